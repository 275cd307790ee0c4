"""Do templates such as "a photo of a dog" help short queries, one by one or as the mean of several?

Data: 112 nouns and 232 two-word phrases over Flickr8k's dev split, a hit is right if its captions have the words; the
20 plain queries of `benchmarks.quality` on 16 photographs; and, where Debian's tuxpaint-stamps-default is installed,
the stamps' English titles of at most three words. For each set of templates: precision of the first ten, mean
reciprocal rank, hit rate among the first ten, and the change against the query as typed with its 95 % interval over
queries. And how well the best hit's relevance tells nouns with a right picture among the first ten from 86 things that
are in no picture, all without articles: AUROC, its change, and how often "nothing here matches well" is said of both.

    python -m benchmarks.prompts
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import lay_out_dev
from benchmarks.judge import Judge, Right, captions_by_key, phrases
from benchmarks.quality import PLAIN_PICTURES, PLAIN_QUERIES
from benchmarks.record import write_record
from benchmarks.relevance import ABSENT, NONSENSE, NOUNS, auroc, gain
from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders import DualEncoder, load_encoder
from mmsearch.media import Limits, load_picture
from mmsearch.search.embed import _PLAIN_TEXTS
from mmsearch.search.relevance import nothing_below, yardstick
from mmsearch.store import Modality

TEMPLATES = {
    "as typed": ("{}",),
    "photo": ("a photo of {}",),
    "article": ("{a} {}",),
    "photo and article": ("a photo of {a} {}",),
    "mean of 3": ("{}", "{a} {}", "a photo of {a} {}"),
}
STAMPS = Path("/usr/share/tuxpaint/stamps")
TOP = 10
_ARTICLE = re.compile(r"^(an?|the|some)\s+", re.IGNORECASE)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """Short queries, ``(n, dim)`` pictures, ``(n_texts, n)`` which are right, and what is made of their ranking."""

    texts: Sequence[str]
    pictures: Embeddings
    right: Right
    value: Callable[[Right], Values]
    """``(n_texts, n)`` right, best first -> one value a query."""


def precision(ranked: Right) -> Values:
    """Share of the first ten that are right."""
    return ranked[:, :TOP].mean(axis=1)


def reciprocal_rank(ranked: Right) -> Values:
    """One over the rank of the first that is right."""
    return 1 / (1 + ranked.argmax(axis=1))


def hit_rate(ranked: Right) -> Values:
    """1 where one of the first ten is right."""
    return ranked[:, :TOP].any(axis=1).astype(float)


def filled(template: str, text: str) -> str:
    """The template around the text without its own article, where the template brings one."""
    bare = _ARTICLE.sub("", text)
    if "{a}" not in template:
        return template.replace("{}", text)
    return template.replace("{a}", "an" if bare[:1].lower() in "aeiou" else "a").replace("{}", bare)


def embedded(encoder: DualEncoder, texts: Sequence[str]) -> dict[str, Embeddings]:
    """Templates -> ``(n, dim)`` directions of the means over them."""
    used = dict.fromkeys(template for templates in TEMPLATES.values() for template in templates)
    vectors = {template: encoder.encode_texts([filled(template, text) for text in texts]) for template in used}
    sums = {name: sum(vectors[template] for template in templates) for name, templates in TEMPLATES.items()}
    return {name: total / np.linalg.norm(total, axis=1, keepdims=True) for name, total in sums.items()}


def compared(encoder: DualEncoder, trial: Trial) -> dict[str, Any]:
    """Templates -> mean value, and change against the query as typed."""
    values = {}
    for name, queries in embedded(encoder, trial.texts).items():
        order = np.argsort(-(queries @ trial.pictures.T), axis=1, kind="stable")
        values[name] = trial.value(np.take_along_axis(trial.right, order, axis=1))
    changes = {name: found - values["as typed"] for name, found in values.items()}
    return {
        "queries": len(trial.texts),
        "measured": trial.value.__name__,
        **{
            name: {
                "mean": round(float(values[name].mean()), 3),
                "change": round(float(change.mean()), 3),
                "plus_minus": round(float(1.96 * change.std(ddof=1) / len(change) ** 0.5), 3),
            }
            for name, change in changes.items()
        },
    }


def told_apart(encoder: DualEncoder, nouns: Trial) -> dict[str, Any]:
    """Templates -> how well relevance tells nouns that are found from what is in no picture."""
    absent = [_ARTICLE.sub("", text) for text in ABSENT[:-NONSENSE]]
    arrays = {"sample": nouns.pictures, "pictures": nouns.pictures, "texts": encoder.encode_texts(_PLAIN_TEXTS)}
    measured = yardstick([Modality.TEXT], Modality.IMAGE, **arrays)

    def best(query: Embeddings) -> float:
        return float(measured.relevance(query, nouns.pictures @ query).max())

    of_nouns, of_absent = embedded(encoder, nouns.texts), embedded(encoder, absent)
    typed = np.argsort(-(of_nouns["as typed"] @ nouns.pictures.T), axis=1, kind="stable")
    is_found = np.take_along_axis(nouns.right, typed, axis=1)[:, :TOP].any(axis=1)
    bests = {
        name: (np.array([best(q) for q in of_nouns[name][is_found]]), np.array([best(q) for q in of_absent[name]]))
        for name in TEMPLATES
    }
    level = nothing_below(len(nouns.pictures))
    return {
        "queries": [int(is_found.sum()), len(absent)],
        **{
            name: auroc(*pair)
            | {"over_as_typed": gain(bests["as typed"], pair)}
            | {"nothing_said": [round(float((values < level).mean()), 3) for values in pair]}
            for name, pair in bests.items()
        },
    }


def flickr8k(encoder: DualEncoder, scratch: Path) -> dict[str, Trial]:
    """Nouns and phrases over the dev split."""
    lay_out_dev(scratch / "dev")
    captions = captions_by_key("dev.csv")
    pictures = _encoded(encoder, [scratch / "dev" / key for key in captions])
    judge = Judge(list(captions.values()))
    pairs = phrases(captions, 5)
    return {
        "nouns": Trial(NOUNS, pictures, judge.right(NOUNS), precision),
        "phrases": Trial(pairs, pictures, judge.right(pairs), precision),
    }


def plain(encoder: DualEncoder) -> Trial:
    """The plain queries on scikit-image's photographs."""
    pictures = _encoded(encoder, [Path(str(resources.files("skimage") / "data" / name)) for name in PLAIN_PICTURES])
    right = np.array([[name == meant for name in PLAIN_PICTURES] for meant in PLAIN_QUERIES.values()])
    return Trial(list(PLAIN_QUERIES), pictures, right, reciprocal_rank)


def stamps(encoder: DualEncoder) -> Trial:
    """Short titles of stamps over all stamps that have a title, letters and symbols left out."""
    titled = {
        picture: text.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip().rstrip(".!")
        for text in sorted(STAMPS.rglob("*.txt"))
        if (picture := text.with_suffix(".png")).exists() and "symbols" not in text.parts
    }
    titles = [_ARTICLE.sub("", title).lower() for title in titled.values()]
    short = sorted({title for title in titles if 0 < len(title.split()) <= 3})
    right = np.array([[other == title for other in titles] for title in short])
    return Trial(short, _encoded(encoder, list(titled)), right, hit_rate)


def _encoded(encoder: DualEncoder, files: Sequence[Path]) -> Embeddings:
    pixels = (encoder.prepare(load_picture(file, limits=Limits())) for file in files)
    return np.concatenate([encoder.encode_images(np.stack(batch)) for batch in _batches(pixels)])


def _batches(pixels: Iterable[Pixels]) -> Iterator[list[Pixels]]:
    left = iter(pixels)
    while batch := list(islice(left, 32)):
        yield batch


def main() -> None:
    """Measure and record."""
    encoder = load_encoder("mini")
    with tempfile.TemporaryDirectory() as scratch:
        trials = flickr8k(encoder, Path(scratch)) | {"plain": plain(encoder)}
    if STAMPS.is_dir():
        trials["stamps"] = stamps(encoder)
    measured = {name: compared(encoder, trial) for name, trial in trials.items()}
    measured["told_apart"] = told_apart(encoder, trials["nouns"])
    write_record("prompts", {"encoder": "mini", "templates": TEMPLATES, **measured})


if __name__ == "__main__":
    main()
