"""Does a subtracted term push its matches down, and does what was asked for stay?

Data: the 1,000 photographs and 5,000 captions of Flickr8k's dev split. For pairs of words ("dog - grass"), the top 20
pictures for the first word alone and for the difference; a picture shows a word if one of its five captions has it, in
singular or plural. Reported for each pair and on average: how many of the 20 show the subtracted word, and how many
show the word that was asked for; for several weights of what is subtracted, with and without centring each modality.

    python -m benchmarks.subtract
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mmsearch
from benchmarks.data import lay_out_dev
from benchmarks.record import SHARED, write_record
from mmsearch.arrays import Embeddings
from mmsearch.store import Modality, Store

PAIRS = (
    ("dog", "grass"),
    ("dog", "water"),
    ("dog", "snow"),
    ("man", "bike"),
    ("man", "mountain"),
    ("child", "swing"),
    ("boy", "pool"),
    ("girl", "water"),
    ("people", "street"),
    ("woman", "dog"),
    ("ball", "dog"),
    ("beach", "dog"),
)
K = 20
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5)

Search = Callable[[str, str | None], Sequence[str]]
"""Word, word to subtract -> keys of the top K."""


def captions_by_key() -> dict[str, str]:
    """Picture -> its captions, lower case, in one string."""
    with (SHARED / "flickr8k/dev.csv").open(encoding="utf-8", newline="") as file:
        captions = defaultdict(list)
        for row in csv.DictReader(file):
            captions[row["key"]].append(row["caption"].lower())
    return {key: " ".join(lines) for key, lines in captions.items()}


def count(keys: Sequence[str], word: str, captions: dict[str, str]) -> int:
    """How many of the pictures show the word."""
    pattern = re.compile(rf"\b{word}(s|es)?\b")
    return sum(bool(pattern.search(captions[key])) for key in keys)


def summary(search: Search, captions: dict[str, str]) -> dict[str, Any]:
    """Means over all pairs, and each pair's ``[wanted, unwanted]`` of K."""
    each = {
        f"{wanted} - {unwanted}": [count(keys, wanted, captions), count(keys, unwanted, captions)]
        for wanted, unwanted in PAIRS
        for keys in [search(wanted, unwanted)]
    }
    return {
        "shows_wanted": round(statistics.mean(pair[0] for pair in each.values()), 2),
        "shows_unwanted": round(statistics.mean(pair[1] for pair in each.values()), 2),
        "each": each,
    }


def measure(encoder: str) -> dict[str, Any]:
    """With and without the subtraction, and the subtraction of vectors as they are."""
    captions = captions_by_key()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "dev"
        lay_out_dev(folder)
        photos, _ = mmsearch.index(folder, encoder=encoder)
        keys, pictures = _vectors(photos)

        def plain(wanted: str, _: str | None) -> Sequence[str]:
            return [hit.key for hit in photos.search(wanted, k=K)]

        def subtracted(wanted: str, unwanted: str | None) -> Sequence[str]:
            return [hit.key for hit in photos.search(mmsearch.parse_query([wanted, "-", str(unwanted)]), k=K)]

        def centred(weight: float) -> Search:
            def search(wanted: str, unwanted: str | None) -> Sequence[str]:
                query = mmsearch.Text(wanted) - weight * mmsearch.Text(str(unwanted))
                return [hit.key for hit in photos.search(query, k=K)]

            return search

        def uncentred(weight: float) -> Search:
            def search(wanted: str, unwanted: str | None) -> Sequence[str]:
                first, second = photos.encoder.encode_texts([wanted, str(unwanted)])
                return [keys[row] for row in np.argsort(-(pictures @ (first - weight * second)), kind="stable")[:K]]

            return search

        return {
            "encoder": encoder,
            "k": K,
            "word_alone": summary(plain, captions),
            "subtracted": summary(subtracted, captions),
            "by_weight": {str(weight): summary(centred(weight), captions) for weight in WEIGHTS},
            "by_weight_without_centring": {str(weight): summary(uncentred(weight), captions) for weight in WEIGHTS},
        }


def _vectors(photos: mmsearch.Collection) -> tuple[list[str], Embeddings]:
    snapshot = Store.open(photos.path).snapshot()
    _, stored = snapshot.embeddings(Modality.IMAGE)
    return snapshot.table(["key"], modality=Modality.IMAGE)["key"].to_pylist(), stored.astype(np.float32)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    write_record("subtract", measure(parser.parse_args().encoder))


if __name__ == "__main__":
    main()
