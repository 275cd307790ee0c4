"""Is relevance worth its name: does it tell answers from the lack of them, and is it right as often as it says?

Data: Flickr8k's dev split, which `mini` never saw, parted in two halves of 500 pictures, and its queries likewise. The
constants of `mmsearch.search.relevance` are fitted on one half ("fitted", to compare with the shipped ones); all else
is judged on the other. A picture is right for a text if it is its own or if three quarters of the text's words,
weighted by rarity, are in its five captions; no such judge is perfect, and left-out captions often have other pictures
that fit. `_OWN_SHARE` alone was picked with a look at all 1,000 pictures. Texts are embedded as they stand. Measured:

1. told apart: 500 captions whose picture is in the collection of 500 from 500 captions whose picture is not, by their
   best hit; captions, words and phrases that have an answer there from 100 queries that have none. AUROC with 95 %
   intervals (bootstrap over queries) of the cosine, of the query's own z-score, and of relevance.
2. calibration: of the first ten hits with relevance .0 to .1, .1 to .2 ..., how many are right; text to picture,
   picture to picture, text to text; and for CLIP ViT-B/32, whose vectors of 100 pictures and 500 captions we have.
3. "nothing here matches well", in collections of 16 to 7,091 pictures (above 1,000 with the train split, on which
   `mini` was trained): how often it is said where a right picture is among the first ten, and where there is none.
4. copies: 100 pictures cropped by 5 % and stored again as JPEG, relevance of the original; and of each picture's
   nearest other one.

    python -m benchmarks.relevance
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import mmsearch
from benchmarks.data import lay_out
from benchmarks.judge import Judge, Right, captions_by_key, phrases
from benchmarks.record import SHARED, write_record
from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder
from mmsearch.search.embed import _PLAIN_TEXTS
from mmsearch.search.prompts import as_caption
from mmsearch.search.relevance import (
    ACROSS_OFFSET,
    ACROSS_SLOPE,
    WITHIN_OFFSET,
    WITHIN_SLOPE,
    nothing_below,
    yardstick,
)
from mmsearch.store import Modality, Store

Floats = npt.NDArray[np.float64]

TOP = 10
DEV = 1000
SIZES = {16: 20, 50: 10, 100: 5, 250: 4, 500: 2, 1000: 1, 3000: 1, 7091: 1}
"""Pictures in the collection -> how often drawn."""
SAMPLE = 2048
_NOUNS = """
dog grass water snow man woman boy girl child ball beach street bike mountain pool rock tree car horse sand swing tent
umbrella guitar kayak skateboard snowboard motorcycle cat bird trampoline canoe soccer football basketball fountain
sled boat bus train balloon flower ice helmet hat shirt jacket dress sunglasses camera bench fence wall bridge building
sidewalk road field hill cliff river lake ocean wave waterfall forest park playground slide ramp stairs crowd baby
couple police player team game race jump stick frisbee toy tennis hockey surfboard swimming climber skier city sign
window door table food drink cigarette beard hair face leaves mud puddle sky sunset night leash collar tunnel rope flag
bubbles
"""
_ABSENT = """
a penguin|a giraffe|an elephant|a kangaroo|a jellyfish|a seahorse|an octopus|a dragonfly|a ladybug|a wombat
a hippopotamus|an ostrich|a mermaid|a dinosaur|a rhinoceros|a zebra|a lobster|a hedgehog|a crocodile|a caribou
a grasshopper|a quetzal|a scorpion|a snail|a peacock|a gorilla|a pineapple|sushi|spaghetti|broccoli|a cheese platter
garlic|an avocado|a coconut|an onion|a walnut|a croissant|a spreadsheet|an x-ray|bacteria|a barcode|a crossword puzzle
a passport|an invoice|a blueprint|a pie chart|a fingerprint|a submarine|a nuclear reactor|an oil rig|a combine harvester
a steam locomotive|a bulldozer|a forklift|a zeppelin|a piano|a bassoon|a harp|a typewriter|a microwave oven
a screwdriver|a thermometer|a telescope|a chandelier|a refrigerator|a volcano erupting|a galaxy|the moon|lightning
an aurora|an iceberg|a cactus|a mushroom|a bonsai|a coral reef|the eiffel tower|a mosque|a windmill|a lighthouse|surgery
a dentist|a courtroom|a stock exchange|a chemistry laboratory|office cubicles|a coal mine
asdf qwer zxcv|xkcd blorp fnord|lorem ipsum dolor sit amet|12345|!!!|ein hund im schnee|犬が雪の中を走る
собака на снегу|كلب في الثلج|quantum chromodynamics|SELECT * FROM items|IMG_2042|democracy|hgfhgf jjk
"""
NOUNS = _NOUNS.split()
ABSENT = _ABSENT.strip().replace("\n", "|").split("|")
"""None of their words is in a caption of the dev split."""
NONSENSE = 14
"""So many of them, the last, are nonsense or in other languages and scripts."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries of one kind: ``(n, dim)`` vectors and ``(n, n_pictures)`` whether each picture is right."""

    vectors: Embeddings
    right: Right

    def over(self, pictures: npt.NDArray[np.int64]) -> Asked:
        """The same, where only these pictures are there."""
        return Asked(self.vectors, self.right[:, pictures])

    def part(self, rows: Any) -> Asked:
        """Some of the queries."""
        return Asked(self.vectors[rows], self.right[rows])


@dataclass(frozen=True, slots=True)
class Found:
    """The first hits of some queries, all arrays ``(n_queries, TOP)``."""

    scores: Floats
    relevance: Floats
    z: Floats
    right: Right


def search(asked: Asked, pictures: Embeddings, everyday: Embeddings, *, query: Modality, of: Modality) -> Found:
    """Exact search, and the relevance of each hit as `mmsearch` gives it; a picture does not find itself."""
    drawn = np.random.default_rng(0).permutation(len(pictures))[:SAMPLE]
    measured = yardstick([query], of, sample=pictures[drawn], texts=everyday, pictures=pictures[drawn])
    rows = []
    for vector, right in zip(asked.vectors, asked.right, strict=True):
        scores = pictures @ vector
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] < 0.9999][:TOP]
        z = (scores[order] - scores.mean()) / max(float(scores.std()), 1e-9)
        rows.append((scores[order], measured.relevance(vector, scores[order]), z, right[order]))
    return Found(*(np.stack(column) for column in zip(*rows, strict=True)))


def auroc(with_answer: Floats, without: Floats) -> dict[str, float]:
    """The chance that a query with an answer gets more than one without, and its 95 % interval."""
    wins = _wins(with_answer, without)
    return {"auroc": _rounded(wins.mean()), **_interval(lambda i, j: wins[np.ix_(i, j)].mean(), wins.shape)}


def gain(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> dict[str, float]:
    """By how much the AUROC of the same queries changes, and the 95 % interval of that."""
    change = _wins(*after) - _wins(*before)
    return {"change": _rounded(change.mean()), **_interval(lambda i, j: change[np.ix_(i, j)].mean(), change.shape)}


def told_apart(with_answer: Found, without: Found) -> dict[str, Any]:
    """By the best hit: cosine, z-score, relevance."""
    pairs = {
        name: (getattr(with_answer, field)[:, 0], getattr(without, field)[:, 0])
        for name, field in (("cosine", "scores"), ("z_score", "z"), ("relevance", "relevance"))
    }
    return {
        "queries": [len(with_answer.scores), len(without.scores)],
        **{name: auroc(*pair) for name, pair in pairs.items()},
        "relevance_over_cosine": gain(pairs["cosine"], pairs["relevance"]),
    }


def calibration(groups: Mapping[str, Found]) -> dict[str, Any]:
    """Each group weighs the same. Bins: hits, mean relevance, share that is right."""
    relevance = np.concatenate([found.relevance.ravel() for found in groups.values()])
    right = np.concatenate([found.right.ravel() for found in groups.values()])
    weight = np.concatenate([np.full(found.right.size, 1 / found.right.size) for found in groups.values()])
    bins = {}
    error = 0.0
    for tenth in range(10):
        inside = np.minimum((relevance * 10).astype(int), 9) == tenth
        if inside.any():
            said, was = (float(np.average(values[inside], weights=weight[inside])) for values in (relevance, right))
            bins[f"{tenth / 10:.1f}"] = {"hits": int(inside.sum()), "said": _rounded(said), "right": _rounded(was)}
            error += abs(said - was) * weight[inside].sum() / weight.sum()
    mean = float(np.average(right, weights=weight))
    return {
        "right": _rounded(mean),
        "said": _rounded(np.average(relevance, weights=weight)),
        "calibration_error": _rounded(error),
        "brier": _rounded(np.average((relevance - right) ** 2, weights=weight)),
        "brier_of_the_mean": _rounded(mean * (1 - mean)),
        "bins": bins,
    }


def fitted(groups: Mapping[str, Found], slope: float, offset: float) -> dict[str, float]:
    """Slope and offset that logistic regression gives on these hits, each group weighing the same."""
    relevance = np.concatenate([found.relevance.ravel() for found in groups.values()]).clip(1e-12, 1 - 1e-12)
    right = np.concatenate([found.right.ravel() for found in groups.values()]).astype(float)
    weight = np.concatenate([np.full(found.right.size, 1000 / found.right.size) for found in groups.values()])
    inputs = np.stack([(np.log(relevance / (1 - relevance)) - offset) / slope, np.ones(len(right))], axis=1)
    constants = np.array([slope, offset])
    for _ in range(30):  # Newton's method
        said = 1 / (1 + np.exp(-inputs @ constants))
        hessian = (inputs * (weight * said * (1 - said))[:, np.newaxis]).T @ inputs
        constants -= np.linalg.solve(hessian, inputs.T @ (weight * (said - right)))
    return {"slope": round(float(constants[0]), 2), "offset": round(float(constants[1]), 2)}


class Flickr8k:
    """Pictures, queries and judge; the dev split comes first."""

    def __init__(self, scratch: Path, encoder: str, pictures: int) -> None:
        """Index so many pictures through the public API."""
        folder = scratch / "pictures"
        lay_out(folder, pictures)
        self.photos, _ = mmsearch.index(folder, encoder=encoder)
        snapshot = Store.open(self.photos.path).snapshot()
        captions = captions_by_key("dev.csv", "train.csv")
        place = {key: row for row, key in enumerate(captions)}
        keys = snapshot.table(["key"], modality=Modality.IMAGE)["key"].to_pylist()
        order = np.argsort([place[key] for key in keys])
        self.keys = [keys[row] for row in order]
        self.pictures = snapshot.embeddings(Modality.IMAGE)[1].astype(np.float32)[order]
        self.encoder: DualEncoder = self.photos.encoder
        self.everyday = self.encoder.encode_texts([*map(as_caption, _PLAIN_TEXTS)])
        judge = Judge([captions[key] for key in self.keys])
        self.captions = [captions[key] for key in self.keys[:DEV]]
        self.kinds = {
            "word": self._asked(judge, NOUNS),
            "phrase": self._asked(judge, phrases(dict(zip(self.keys[:DEV], self.captions, strict=True)), 5)),
            "caption": self._asked(judge, [line for lines in self.captions for line in lines]),
            "absent": self._asked(judge, ABSENT),
        }
        self.kinds["absent"].right[:] = False
        own = np.arange(5 * DEV)
        self.kinds["caption"].right[own, own // 5] = True
        shows = np.stack([judge.coverage(lines).max(axis=0) for lines in self.captions]) >= 0.6
        self.kinds["picture"] = Asked(self.pictures[:DEV], shows)

    def _asked(self, judge: Judge, texts: Sequence[str]) -> Asked:
        return Asked(self.encoder.encode_texts([*map(as_caption, texts)]), judge.right(texts))

    def to_pictures(self, asked: Asked, pictures: npt.NDArray[np.int64]) -> Found:
        """Texts search these pictures."""
        over = asked.over(pictures)
        return search(over, self.pictures[pictures], self.everyday, query=Modality.TEXT, of=Modality.IMAGE)

    def across(self, pictures: npt.NDArray[np.int64], half: int) -> dict[str, Found]:
        """Half of the words, phrases and absent ones, and all captions of these pictures."""
        parts: dict[str, Any] = dict.fromkeys(("word", "phrase", "absent"), slice(half, None, 2))
        parts["caption"] = captions_of(pictures)
        return {kind: self.to_pictures(self.kinds[kind].part(rows), pictures) for kind, rows in parts.items()}

    def within(self, pictures: npt.NDArray[np.int64]) -> dict[str, Found]:
        """Pictures find each other, and each picture's first caption finds second captions."""
        captions = self.kinds["caption"]
        first, second = 5 * pictures, 5 * pictures + 1
        alike = self.kinds["picture"].part(pictures).over(pictures)
        texts = captions.part(first).over(pictures)
        return {
            "picture": search(alike, self.pictures[pictures], self.everyday, query=Modality.IMAGE, of=Modality.IMAGE),
            "text": search(texts, captions.vectors[second], self.everyday, query=Modality.TEXT, of=Modality.TEXT),
        }


def captions_of(pictures: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows of all five captions of each of these pictures."""
    rows: npt.NDArray[np.int64] = (5 * pictures[:, np.newaxis] + np.arange(5)).ravel()
    return rows


def nothing_said(data: Flickr8k) -> dict[str, Any]:
    """Size -> how often "nothing here matches well" was said with a right hit among the first ten, and without any."""
    return {str(size): _nothing_said(data, size, draws) for size, draws in SIZES.items() if size <= len(data.pictures)}


def _nothing_said(data: Flickr8k, size: int, draws: int) -> dict[str, Any]:
    said: dict[bool, list[bool]] = {True: [], False: []}
    for pictures, rng in _draws(size, draws, len(data.pictures)):
        for kind in ("word", "phrase", "caption", "absent"):
            asked = data.kinds[kind]
            rows = rng.permutation(len(asked.vectors))[:100]
            found = data.to_pictures(asked.part(rows), pictures)
            for relevance, right in zip(found.relevance, found.right, strict=True):
                if right.any() or kind == "absent":
                    said[bool(right.any())].append(bool(relevance[0] < nothing_below(size)))
    return {
        "below": _rounded(nothing_below(size)),
        "queries": [len(said[True]), len(said[False])],
        "said_though_found": _rounded(np.mean(said[True])),
        "said_where_there_is_none": _rounded(np.mean(said[False])),
    }


def _draws(size: int, draws: int, pictures: int) -> Iterator[tuple[npt.NDArray[np.int64], np.random.Generator]]:
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        dev = rng.permutation(DEV)[:size]
        yield np.concatenate([dev, DEV + rng.permutation(pictures - DEV)[: max(0, size - DEV)]]), rng


def clip() -> dict[str, Any]:
    """CLIP's captions over half of its 100 pictures; the other half's captions stand in for everyday texts."""
    with np.load(SHARED / "clip-vit-b32/flickr8k-100.npz") as file:
        pictures, texts, own = file["image_embeddings"], file["text_embeddings"], file["image_of_text"]
    half = np.random.default_rng(0).permutation(len(pictures))[: len(pictures) // 2]
    inside = np.isin(own, half)
    right = own[:, np.newaxis] == half
    arrays = (pictures[half], texts[~inside])
    there, left_out = (
        search(Asked(texts[rows], right[rows]), *arrays, query=Modality.TEXT, of=Modality.IMAGE)
        for rows in (inside, ~inside)
    )
    return {"told_apart": told_apart(there, left_out), "calibration": calibration({"caption": there})}


def copies(data: Flickr8k, pictures: npt.NDArray[np.int64], folder: Path) -> dict[str, Any]:
    """Quantiles of relevance: of the original for a changed copy, and of the nearest other picture."""
    stored = data.pictures[pictures]
    measured = yardstick([Modality.IMAGE], Modality.IMAGE, sample=stored, texts=data.everyday, pictures=stored)
    changed = []
    for row in pictures[:100]:
        buffer = io.BytesIO()
        with Image.open(folder / data.keys[row]) as picture:
            left, top = picture.width // 40, picture.height // 40
            picture.crop((left, top, picture.width - left, picture.height - top)).save(buffer, "JPEG", quality=60)
        changed.append(data.encoder.prepare(Image.open(buffer).convert("RGB")))
    queries = data.encoder.encode_images(np.stack(changed))
    pairs = zip(queries, stored, strict=False)
    of_original = [measured.relevance(query, np.array([query @ original]))[0] for query, original in pairs]
    nearest = data.within(pictures)["picture"].relevance[:, 0]
    return {
        name: {str(share): _rounded(np.quantile(values, share)) for share in (0.0, 0.05, 0.5, 0.95)}
        for name, values in (("original_of_a_copy", of_original), ("nearest_other_picture", nearest))
    }


def measure(encoder: str, pictures: int) -> dict[str, Any]:
    """All four."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Flickr8k(Path(scratch), encoder, pictures)
        order = np.random.default_rng(0).permutation(DEV)
        fit, judged = np.sort(order[: DEV // 2]), np.sort(order[DEV // 2 :])
        across, within = data.across(judged, 1), data.within(judged)
        left_out = data.to_pictures(data.kinds["caption"].part(5 * fit), judged)
        there = data.to_pictures(data.kinds["caption"].part(5 * judged), judged)
        absent = data.to_pictures(data.kinds["absent"], judged)
        return {
            "encoder": encoder,
            "fitted": {
                "across": fitted(data.across(fit, 0), ACROSS_SLOPE, ACROSS_OFFSET),
                "within": fitted(data.within(fit), WITHIN_SLOPE, WITHIN_OFFSET),
                "shipped": {"across": [ACROSS_SLOPE, ACROSS_OFFSET], "within": [WITHIN_SLOPE, WITHIN_OFFSET]},
            },
            "told_apart": {
                "left_out_that_have_another_right_picture": _rounded(
                    data.kinds["caption"].part(5 * fit).over(judged).right.any(axis=1).mean()
                ),
                "captions_from_left_out_captions": told_apart(there, left_out),
                **{
                    f"{kind}s_from_absent": told_apart(_answered(data, kind, judged), absent)
                    for kind in ("caption", "phrase", "word")
                },
            },
            "calibration": {
                "text_to_picture": calibration(across),
                **{kind: calibration({kind: found}) for kind, found in across.items()},
                "picture_to_picture": calibration({"picture": within["picture"]}),
                "text_to_text": calibration({"text": within["text"]}),
            },
            "nothing_here_matches_well": nothing_said(data),
            "copies": copies(data, judged, Path(scratch) / "pictures"),
            "clip_vit_b32": clip(),
        }


def _answered(data: Flickr8k, kind: str, pictures: npt.NDArray[np.int64]) -> Found:
    asked = data.kinds[kind]
    rows = 5 * pictures if kind == "caption" else asked.right[:, pictures].any(axis=1)
    return data.to_pictures(asked.part(rows), pictures)


def _wins(first: Floats, second: Floats) -> Floats:
    return (first[:, np.newaxis] > second) + 0.5 * (first[:, np.newaxis] == second)


def _interval(statistic: Callable[[Any, Any], Any], shape: tuple[int, ...]) -> dict[str, float]:
    rng = np.random.default_rng(0)
    drawn = [statistic(*(rng.integers(0, n, n) for n in shape)) for _ in range(400)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"low": _rounded(low), "high": _rounded(high)}


def _rounded(value: Any) -> float:
    return round(float(value), 3)


def main() -> None:
    """Measure and record."""
    write_record("relevance", measure("mini", max(SIZES)))


if __name__ == "__main__":
    main()
