"""Do templates such as "a photo of a dog" help short queries, one by one or as the mean of several?

Data: 112 nouns and 232 two-word phrases over Flickr8k's dev split, a hit is right if its captions have the words; the
20 plain queries of `benchmarks.quality` on 16 photographs; and, where Debian's tuxpaint-stamps-default is installed,
the stamps' English titles of at most three words. For each set of templates: precision of the first ten, mean
reciprocal rank, hit rate among the first ten, and the change against the query as typed with its 95 % interval over
queries.

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
from benchmarks.relevance import NOUNS
from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders import DualEncoder, load_encoder
from mmsearch.media import Limits, load_picture

TEMPLATES = {
    "as typed": ("{}",),
    "photo": ("a photo of {}",),
    "article": ("{a} {}",),
    "photo and article": ("a photo of {a} {}",),
    "there is": ("there is {a} {}",),
    "mean of 2": ("{}", "a photo of {a} {}"),
    "mean of 3": ("{}", "{a} {}", "a photo of {a} {}"),
    "mean of 5": ("{}", "a photo of {a} {}", "a picture of {a} {}", "a scene with {a} {}", "someone with {a} {}"),
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


def embedded(encoder: DualEncoder, templates: Sequence[str], texts: Sequence[str]) -> Embeddings:
    """``(n, dim)`` direction of the mean over templates."""
    total = sum(encoder.encode_texts([filled(template, text) for text in texts]) for template in templates)
    unit: Embeddings = total / np.linalg.norm(total, axis=1, keepdims=True)
    return unit


def compared(encoder: DualEncoder, trial: Trial) -> dict[str, Any]:
    """Templates -> mean value, and change against the query as typed."""
    values = {}
    for name, templates in TEMPLATES.items():
        order = np.argsort(-(embedded(encoder, templates, trial.texts) @ trial.pictures.T), axis=1, kind="stable")
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
    write_record("prompts", {"encoder": "mini", "templates": TEMPLATES, **measured})


if __name__ == "__main__":
    main()
