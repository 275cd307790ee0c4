"""What do words add to vectors, where do they hurt, and how much should they weigh?

Data: the 1,000 photographs of Flickr8k's dev split. Each carries one of its five captions as its text, each a
different one in turn; the other four are queries whose answer is that photograph. Ranked by vectors (sentence against
picture), by words (BM25), by vectors of the texts (sentence against the caption that the picture carries), and by
fusions of these. The weight of words is chosen by the mean reciprocal rank on the queries of every other photograph;
everything else is reported on the queries of the rest.

Where it may hurt: by the number of words of the query; for queries of the three rarest words of a caption; and when
only every other photograph carries a caption, for those that do and for those that do not. And what the index does to
words: BM25 alone, with endings as they are, and without the commonest words.

    python -m benchmarks.hybrid --encoder mini
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

import mmsearch
from benchmarks.data import lay_out_dev
from benchmarks.record import SHARED, write_record
from mmsearch.arrays import Embeddings, Ids
from mmsearch.search import lexical
from mmsearch.search.fusion import CONSTANT, WORDS_WEIGHT, fuse
from mmsearch.search.lexical import LexicalIndex
from mmsearch.search.tokens import tokens
from mmsearch.store import Modality, Snapshot, Store

WEIGHTS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
CONSTANTS = (5, 20, 60, 200)
DEPTHS = (50, 100, 1000)
LENGTHS = ((1, 7), (8, 10), (11, 13), (14, 99))
KEYWORDS, COMMON = 3, 10  # the rarest words of a caption that so many captions have

Ranks = npt.NDArray[np.int64]
"""``(n,)`` rank of the right picture for each query, 1 for the best."""
Rankings = Sequence[Ids]
"""For each query the ids of pictures, best first."""


@dataclass(frozen=True, slots=True)
class Material:
    """Photographs with one caption each, and queries for them."""

    snapshot: Snapshot
    queries: list[str]
    answers: Ids
    """``(n,)`` the photograph that each query was written for."""
    pictures: Ids
    """``(m,)`` all photographs."""


def prepare(folder: Path, encoder: str) -> Material:
    """Index the photographs, each with one caption."""
    lay_out_dev(folder)
    captions: dict[str, list[str]] = defaultdict(list)
    with (SHARED / "flickr8k/dev.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            captions[row["key"]].append(row["caption"])
    carried = {key: number % len(lines) for number, (key, lines) in enumerate(sorted(captions.items()))}
    with (folder / "carried.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["key", "caption"], *([key, captions[key][at]] for key, at in carried.items())])
    collection, _ = mmsearch.index(folder, captions=folder / "carried.csv", encoder=encoder)
    snapshot = Store.open(collection.path).snapshot()
    table = snapshot.table(["id", "key"], modality=Modality.IMAGE)
    pictures = table["id"].to_numpy()
    id_of = {Path(key).stem: item for item, key in zip(pictures.tolist(), table["key"].to_pylist(), strict=True)}
    pairs = [
        (line, id_of[Path(key).stem])
        for key, lines in captions.items()
        for at, line in enumerate(lines)
        if at != carried[key]
    ]
    return Material(snapshot, [line for line, _ in pairs], np.array([item for _, item in pairs]), pictures)


def by_vectors(material: Material, queries: Embeddings) -> Rankings:
    """All photographs by the cosine of query and picture."""
    ids, stored = material.snapshot.embeddings(Modality.IMAGE)
    return [ids[row] for row in np.argsort(-(queries @ stored.astype(np.float32).T), axis=1, kind="stable")]


def by_texts(material: Material, queries: Embeddings) -> Rankings:
    """All photographs by the cosine of the query and the caption that they carry."""
    ids, stored = material.snapshot.embeddings(Modality.TEXT)
    table = material.snapshot.table(["id", "key"])
    id_of = dict(zip(table["key"].to_pylist(), table["id"].to_pylist(), strict=True))
    text_keys = material.snapshot.rows(ids, ["key"])["key"].to_pylist()
    picture_of = np.array([id_of[key.rpartition("#")[0]] for key in text_keys])
    order = np.argsort(-(queries @ stored.astype(np.float32).T), axis=1, kind="stable")
    return [picture_of[row] for row in order]


def by_words(material: Material, queries: Sequence[str], among: Ids | None = None) -> Rankings:
    """The photographs that share a word with the query, by BM25."""
    index = LexicalIndex.open(material.snapshot)
    every = len(material.pictures)
    return [index.search(query, every, Modality.IMAGE, among=among)[0] for query in queries]


def fused(*rankings: Rankings, weights: Sequence[float], constant: float = CONSTANT, depth: int = 1000) -> list[Ids]:
    """Each query's rankings as one."""
    return [
        fuse([ids[:depth] for ids in of_query], weights, constant=constant)[0]
        for of_query in zip(*rankings, strict=True)
    ]


def ranks_of(rankings: Rankings, answers: Ids, missing: int) -> Ranks:
    """Where the answers stand; ``missing`` for those that are not in their ranking."""
    places = [np.flatnonzero(ids == answer) for ids, answer in zip(rankings, answers, strict=True)]
    return np.array([place[0] + 1 if place.size else missing for place in places])


def report(ranks: Ranks) -> dict[str, float]:
    """Hit rates at 1, 5 and 10 and the mean reciprocal rank."""
    rates = {f"hit_rate@{k}": round(float((ranks <= k).mean()), 4) for k in (1, 5, 10)}
    return {**rates, "mrr": round(float((1 / ranks).mean()), 4)}


def compared(before: Ranks, after: Ranks) -> dict[str, float]:
    """What became of the queries' answers, as shares of the queries."""
    shares = {
        "better": after < before,
        "worse": after > before,
        "into_top_10": (after <= 10) & (before > 10),
        "out_of_top_10": (after > 10) & (before <= 10),
    }
    return {name: round(float(share.mean()), 4) for name, share in shares.items()}


def keywords(queries: Sequence[str]) -> list[str]:
    """The rarest words of each query that are no rarity, in their order."""
    words = [tokens(query).words for query in queries]
    having = Counter(word for line in words for word in set(line))
    short = []
    for line in words:
        rarest = sorted({word for word in line if having[word] >= COMMON}, key=lambda word: (having[word], word))
        short.append(" ".join(sorted(rarest[:KEYWORDS], key=line.index)))
    return short


def words_alone(material: Material, score: Callable[[Rankings], dict[str, float]]) -> dict[str, Any]:
    """BM25 with other rules for words."""
    import tantivy

    filters = {
        "as_it_is": [tantivy.Filter.ascii_fold(), tantivy.Filter.stemmer("english")],
        "endings_kept": [tantivy.Filter.ascii_fold()],
        "common_words_left_out": [
            tantivy.Filter.ascii_fold(),
            tantivy.Filter.stopword("english"),
            tantivy.Filter.stemmer("english"),
        ],
    }

    def analyzer(name: str) -> Any:
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        for word_filter in filters[name]:
            builder = builder.filter(word_filter)
        return builder.build()

    found = {}
    for name in filters:
        shutil.rmtree(material.snapshot.folder / "indexes" / "lexical", ignore_errors=True)
        with patch.object(lexical, "_analyzer", lambda name=name: analyzer(name)):
            found[name] = score(by_words(material, material.queries))
    shutil.rmtree(material.snapshot.folder / "indexes" / "lexical", ignore_errors=True)
    return found


def measure(encoder: str) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as scratch:
        material = prepare(Path(scratch) / "dev", encoder)
        embedded = mmsearch.load_encoder(encoder)
        answers, every = material.answers, len(material.pictures)
        lengths = np.array([len(tokens(query).words) for query in material.queries])
        chosen_on = np.isin(answers, material.pictures[::2])
        judged = ~chosen_on

        def score(rankings: Rankings) -> dict[str, float]:
            return report(ranks_of(rankings, answers, every)[judged])

        vectors_of = embedded.encode_texts(material.queries)
        vectors, texts = by_vectors(material, vectors_of), by_texts(material, vectors_of)
        words = by_words(material, material.queries)
        ranks = {weight: ranks_of(fused(vectors, words, weights=[1, weight]), answers, every) for weight in WEIGHTS}
        best = max(WEIGHTS, key=lambda weight: float((1 / ranks[weight][chosen_on]).mean()))
        alone = ranks_of(vectors, answers, every)
        return {
            "encoder": encoder,
            "pictures": every,
            "queries": {"chosen_on": int(chosen_on.sum()), "judged": int(judged.sum())},
            "chosen_on": {str(weight): report(found[chosen_on]) for weight, found in ranks.items()},
            "best_weight": best,
            "shipped_weight": WORDS_WEIGHT,
            "judged": {
                "vectors": report(alone[judged]),
                "words": score(words),
                "texts": score(texts),
                **{f"vectors+{weight}*words": report(found[judged]) for weight, found in ranks.items()},
                "vectors+texts": score(fused(vectors, texts, weights=[1, 1])),
                "texts+words": score(fused(texts, words, weights=[1, 1])),
                "vectors+texts+words": score(fused(vectors, texts, words, weights=[1, 1, 1])),
            },
            "against_vectors": {str(weight): compared(alone[judged], found[judged]) for weight, found in ranks.items()},
            "constants": {
                str(constant): score(fused(vectors, words, weights=[1, WORDS_WEIGHT], constant=constant))
                for constant in CONSTANTS
            },
            "depths": {
                str(depth): score(fused(vectors, words, weights=[1, WORDS_WEIGHT], depth=depth)) for depth in DEPTHS
            },
            "by_length": {
                f"{low}-{high} words": {
                    "queries": int(within.sum()),
                    "vectors": report(alone[within]),
                    "words": report(ranks_of(words, answers, every)[within]),
                    "both": report(ranks[WORDS_WEIGHT][within]),
                }
                for low, high in LENGTHS
                for within in [judged & (lengths >= low) & (lengths <= high)]
            },
            "keywords": _keywords(material, embedded.encode_texts, judged),
            "half_captioned": _half_captioned(material, vectors, judged),
            "words_alone": words_alone(material, score),
        }


def _keywords(
    material: Material, encode: Callable[[Sequence[str]], Embeddings], judged: npt.NDArray[np.bool_]
) -> Mapping[str, Any]:
    """Queries as people type them."""
    rows = np.flatnonzero(judged)[::4]  # one for each photograph
    short, answers = [keywords(material.queries)[row] for row in rows], material.answers[rows]
    vectors, words = by_vectors(material, encode(short)), by_words(material, short)
    alone = ranks_of(vectors, answers, len(material.pictures))
    found: dict[str, Any] = {
        "queries": len(short),
        "for_example": short[:5],
        "vectors": report(alone),
        "words": report(ranks_of(words, answers, len(material.pictures))),
    }
    for weight in WEIGHTS:
        both = ranks_of(fused(vectors, words, weights=[1, weight]), answers, len(material.pictures))
        found[f"vectors+{weight}*words"] = report(both)
    return found


def _half_captioned(
    material: Material, vectors: Rankings, judged: npt.NDArray[np.bool_]
) -> Mapping[str, Mapping[str, Any]]:
    """Every other one of the judged photographs, and of the others, counts as one without a caption."""
    captioned = np.concatenate([material.pictures[0::4], material.pictures[1::4]])
    words = by_words(material, material.queries, among=captioned)
    has = np.isin(material.answers, captioned)
    every = len(material.pictures)
    found = {"vectors": ranks_of(vectors, material.answers, every)}
    for weight in WEIGHTS:
        both = fused(vectors, words, weights=[1, weight])
        found[f"vectors+{weight}*words"] = ranks_of(both, material.answers, every)
    return {
        name: {"answer_has_a_caption": report(ranks[judged & has]), "answer_has_none": report(ranks[judged & ~has])}
        for name, ranks in found.items()
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    write_record("hybrid", measure(parser.parse_args().encoder))


if __name__ == "__main__":
    main()
