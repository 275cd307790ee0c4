"""What do words add to vectors, where do they hurt, and how much should they weigh?

Data: the 1,000 photographs of Flickr8k's dev split. Each carries one of its five captions as its text, each a
different one in turn; the other four are queries whose answer is that photograph. Ranked by vectors (sentence against
picture), by words (BM25), by vectors of the texts (sentence against the caption that the picture carries), and by
fusions: reciprocal rank fusion as published, and with each item's words weighed by how much of the query it has.

Captions are rare in real collections, so everything is asked a second time with captions on every other photograph
only, for queries whose answer has one and for those whose answer has none. The weight of words and the constant of the
fusion are chosen on the queries of half of the photographs, by the mean reciprocal rank over both situations. All else
is reported on the queries of the other half: against vectors alone, by the number of words of the query, for queries
of the three rarest words of a caption, by depth of the rankings, and what the index's rules for words do to BM25 alone:
as they are, with endings kept, and without the commonest words.

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
from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.search import lexical
from mmsearch.search.fusion import CONSTANT, WORDS_WEIGHT, fuse
from mmsearch.search.lexical import LexicalIndex
from mmsearch.search.tokens import tokens
from mmsearch.store import Modality, Snapshot, Store

WEIGHTS = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)
CONSTANTS = (5, 10, 20, 60)
PUBLISHED = 60  # the constant of the paper
DEPTHS = (50, 100, 1000)
LENGTHS = ((1, 7), (8, 10), (11, 13), (14, 99))
KEYWORDS, COMMON = 3, 10  # the rarest words of a caption that so many captions have

Ranks = npt.NDArray[np.int64]
"""``(n,)`` rank of the right picture for each query, 1 for the best."""
Chosen = npt.NDArray[np.bool_]
"""``(n,)`` which queries count."""
Rankings = Sequence[Ids]
"""For each query the ids of pictures, best first."""
Rules = Mapping[str, Ranks]
"""What the queries' answers are ranked by -> where they stand."""


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


@dataclass(frozen=True, slots=True)
class Words:
    """The photographs that share a word with each query, by BM25."""

    ids: Rankings
    coverages: Sequence[Scores]


def by_words(material: Material, queries: Sequence[str], among: Ids | None = None) -> Words:
    """Search the index of words, and nothing but it."""
    index = LexicalIndex.open(material.snapshot)
    found = [index.search(query, len(material.pictures), Modality.IMAGE, among=among) for query in queries]
    coverages = [index.coverage(query, scores) for query, (_, scores) in zip(queries, found, strict=True)]
    return Words([ids for ids, _ in found], coverages)


def fused(
    vectors: Rankings, words: Words, weight: float, *, constant: float = CONSTANT, depth: int = 1000
) -> list[Ids]:
    """Each query's two rankings as one, words weighed by coverage."""
    return [
        fuse([near[:depth], having[:depth]], [1.0, weight * coverage[:depth]], constant=constant)[0]
        for near, having, coverage in zip(vectors, words.ids, words.coverages, strict=True)
    ]


def fused_as_published(*rankings: Rankings, weights: Sequence[float]) -> list[Ids]:
    """Each query's rankings as one, by the paper's formula and constant."""
    return [fuse(of_query, weights, constant=PUBLISHED)[0] for of_query in zip(*rankings, strict=True)]


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
            found[name] = score(by_words(material, material.queries).ids)
    shutil.rmtree(material.snapshot.folder / "indexes" / "lexical", ignore_errors=True)
    return found


def measure(encoder: str) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as scratch:
        material = prepare(Path(scratch) / "dev", encoder)
        embedded = mmsearch.load_encoder(encoder)
        answers, every = material.answers, len(material.pictures)
        chosen_on = np.isin(answers, material.pictures[::2])
        captioned = np.concatenate([material.pictures[0::4], material.pictures[1::4]])

        def ranks(rankings: Rankings) -> Ranks:
            return ranks_of(rankings, answers, every)

        queries = embedded.encode_texts(material.queries)
        vectors, texts = by_vectors(material, queries), by_texts(material, queries)
        words, some = by_words(material, material.queries), by_words(material, material.queries, among=captioned)
        settings = [(constant, weight) for constant in CONSTANTS for weight in WEIGHTS]
        alone = ranks(vectors)
        full = {at: ranks(fused(vectors, words, at[1], constant=at[0])) for at in settings}
        half = {at: ranks(fused(vectors, some, at[1], constant=at[0])) for at in settings}
        best = max(settings, key=lambda at: _both(full[at], half[at], chosen_on))
        shipped = CONSTANT, WORDS_WEIGHT
        everywhere: Rules = {
            "vectors": alone,
            "words": ranks(words.ids),
            "texts": ranks(texts),
            **{
                f"vectors+{weight:g}*words, published": ranks(
                    fused_as_published(vectors, words.ids, weights=[1, weight])
                )
                for weight in WEIGHTS
            },
            "vectors+words": full[shipped],
            "vectors+texts, published": ranks(fused_as_published(vectors, texts, weights=[1, 1])),
            "texts+words": ranks(fused(texts, words, WORDS_WEIGHT)),
        }
        somewhere: Rules = {
            "vectors": alone,
            "vectors+words": half[shipped],
            **{
                f"vectors+{weight:g}*words, published": ranks(
                    fused_as_published(vectors, some.ids, weights=[1, weight])
                )
                for weight in WEIGHTS
            },
        }
        has = np.isin(answers, captioned)
        judged = ~chosen_on
        return {
            "encoder": encoder,
            "pictures": every,
            "queries": {"chosen_on": int(chosen_on.sum()), "judged": int(judged.sum())},
            "mean_mrr_of_both_situations_chosen_on": {
                f"constant {constant}, weight {weight:g}": round(_both(full[at], half[at], chosen_on), 4)
                for at in settings
                for constant, weight in [at]
            },
            "best": best,
            "shipped": shipped,
            "all_captioned": reports(everywhere, judged),
            "half_captioned": {
                "answer_has_a_caption": reports(somewhere, judged & has),
                "answer_has_none": reports(somewhere, judged & ~has),
            },
            "against_vectors": compared(alone[judged], full[shipped][judged]),
            "depths": {
                str(depth): report(ranks(fused(vectors, words, WORDS_WEIGHT, depth=depth))[judged]) for depth in DEPTHS
            },
            "by_length": _by_length(material, everywhere, judged),
            "keywords": _keywords(material, embedded.encode_texts, judged),
            "words_alone": words_alone(material, lambda rankings: report(ranks(rankings)[judged])),
        }


def reports(rules: Rules, counted: Chosen) -> dict[str, Any]:
    """How well each rule does on some of the queries."""
    return {name: report(ranks[counted]) for name, ranks in rules.items()}


def _both(full: Ranks, half: Ranks, counted: Chosen) -> float:
    """Mean reciprocal rank over the two situations."""
    return float(((1 / full[counted]).mean() + (1 / half[counted]).mean()) / 2)


def _by_length(material: Material, rules: Rules, judged: Chosen) -> dict[str, Any]:
    lengths = np.array([len(tokens(query).words) for query in material.queries])
    shown = {name: rules[name] for name in ("vectors", "words", "vectors+words")}
    return {
        f"{low}-{high} words": {"queries": int(within.sum()), **reports(shown, within)}
        for low, high in LENGTHS
        for within in [judged & (lengths >= low) & (lengths <= high)]
    }


def _keywords(material: Material, encode: Callable[[Sequence[str]], Embeddings], judged: Chosen) -> dict[str, Any]:
    """Queries as people type them."""
    rows = np.flatnonzero(judged)[::4]  # one for each photograph
    short, answers = [keywords(material.queries)[row] for row in rows], material.answers[rows]
    vectors, words = by_vectors(material, encode(short)), by_words(material, short)
    rankings = {"vectors": vectors, "words": words.ids, "vectors+words": fused(vectors, words, WORDS_WEIGHT)}
    found = {name: report(ranks_of(ids, answers, len(material.pictures))) for name, ids in rankings.items()}
    return {"queries": len(short), "for_example": short[:5], **found}


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    write_record("hybrid", measure(parser.parse_args().encoder))


if __name__ == "__main__":
    main()
