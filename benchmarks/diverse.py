"""What do --diverse and --distinct change, and at what price?

Data: everyday nouns as queries, a picture shows a noun by its captions. Two collections: the 1,000 photographs of
Flickr8k's dev split, which hardly repeat themselves; and the same with 200 of them in six versions (cropped twice,
stored again, brighter, marked), as a person's folders have them. For the top ten, chosen from the best 50: how many
different photographs there are, how many of these show the noun, how many different words (of 3 to 200 pictures)
their captions use, and the mean cosine between two of the ten.

    python -m benchmarks.diverse
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.copies import CHANGES, embedded
from benchmarks.data import lay_out_dev
from benchmarks.nouns import NOUNS, Shows, shows
from benchmarks.record import write_record
from benchmarks.subtract import captions_by_key
from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.encoders import DualEncoder, load_encoder
from mmsearch.search.looks import Looks
from mmsearch.search.variety import NEAR, diversify, fold_copies

K = 10
CANDIDATES = 50
BALANCES = (0.9, 0.7, 0.6, 0.5, 0.4, 0.3)
REPEATED = 200
VERSIONS = ("crop 5 %", "crop 10 %", "jpeg 60", "brightness 1.2", "watermark")
_FEWEST = 10

Choose = Callable[[Scores, Embeddings, Looks], Ids]
"""Scores, vectors and looks of the candidates, best first -> the positions shown."""


@dataclass(frozen=True)
class Album:
    """Pictures, some of which are versions of one photograph."""

    vectors: Embeddings
    looks: Looks
    photograph: Ids
    """``(n,)`` row of ``words`` for each picture."""
    words: Sequence[set[str]]
    """Of each photograph's captions."""

    def measure(self, queries: Embeddings, right: Sequence[Shows], choose: Choose) -> dict[str, float]:
        """Means over the queries."""
        rows = [self._one(query, shown, choose) for query, shown in zip(queries, right, strict=True)]
        names = ("photographs", "showing_the_noun", "words", "cosine")
        return {name: round(float(value), 3) for name, value in zip(names, np.mean(rows, axis=0), strict=True)}

    def _one(self, query: Embeddings, right: Shows, choose: Choose) -> tuple[float, ...]:
        scores = self.vectors @ query
        best = np.argsort(-scores, kind="stable")[:CANDIDATES]
        top = best[choose(scores[best], self.vectors[best], self.looks[best])[:K]]
        photographs = np.unique(self.photograph[top])
        cosines = self.vectors[top] @ self.vectors[top].T
        words = set[str]().union(*(self.words[row] for row in photographs))
        off_diagonal = (cosines.sum() - np.trace(cosines)) / (len(top) * (len(top) - 1))
        return len(photographs), int(right[photographs].sum()), len(words), float(off_diagonal)


def by_score(scores: Scores, vectors: Embeddings, looks: Looks) -> Ids:  # noqa: ARG001
    """All, best first."""
    return np.arange(len(scores))


def distinct(scores: Scores, vectors: Embeddings, looks: Looks) -> Ids:  # noqa: ARG001
    """Best first, copies folded."""
    leader_of = fold_copies(vectors, None, NEAR, looks=looks)
    return np.flatnonzero(leader_of == np.arange(len(vectors)))


def diverse(balance: float) -> Choose:
    """Maximal marginal relevance."""
    return lambda scores, vectors, looks: diversify(scores, vectors, K, balance=balance)  # noqa: ARG005


def uncommon_words(captions: Sequence[str]) -> list[set[str]]:
    """The words of each picture's captions that 3 to 200 pictures have."""
    words = [set(re.findall(r"[a-z]+", text)) for text in captions]
    pictures = Counter(word for some in words for word in some)
    known = {word for word, n in pictures.items() if 3 <= n <= 200}
    return [some & known for some in words]


def measure(encoder: DualEncoder) -> dict[str, Any]:
    """Both collections by each way of choosing."""
    with tempfile.TemporaryDirectory() as scratch:
        lay_out_dev(Path(scratch) / "dev")
        files = sorted(Path(scratch, "dev").iterdir())
        pictures = [Image.open(file).convert("RGB") for file in files]
    captions_of = captions_by_key()
    captions = [captions_of[file.name] for file in files]
    plain = Album(*embedded(pictures, encoder), np.arange(len(pictures)), uncommon_words(captions))
    versions = [embedded(map(CHANGES[name], pictures[:REPEATED]), encoder) for name in VERSIONS]
    repeated = Album(
        np.concatenate([plain.vectors, *(vectors for vectors, _ in versions)]),
        np.concatenate([plain.looks, *(looks for _, looks in versions)]),
        np.concatenate([plain.photograph, *(np.arange(REPEATED) for _ in versions)]),
        plain.words,
    )
    asked = {noun: shows((noun,), captions) for noun in NOUNS}
    asked = {noun: right for noun, right in asked.items() if right.sum() >= _FEWEST}
    queries, right = encoder.encode_texts(list(asked)), list(asked.values())
    ways = {"by score": by_score, "distinct": distinct, **{f"diverse {b:g}": diverse(b) for b in BALANCES}}
    return {
        "encoder": encoder.space.encoder,
        "queries": len(asked),
        "k": K,
        "candidates": CANDIDATES,
        "flickr8k_dev": {name: plain.measure(queries, right, way) for name, way in ways.items()},
        "with_versions": {name: repeated.measure(queries, right, way) for name, way in ways.items()},
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    write_record("diverse", measure(load_encoder(parser.parse_args().encoder)))


if __name__ == "__main__":
    main()
