"""Which pictures are right for a text, judged by the captions that people wrote for them."""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from benchmarks.record import SHARED

Right = npt.NDArray[np.bool_]
"""``(n_texts, n_pictures)`` bool: whether the picture is right for the text."""

ENOUGH = 0.75
"""Share of a text's words, weighted by rarity, that a picture's five captions must have."""

_SAYS_NOTHING = """
a an the of in on at to with and is are as by for from while his her its their it he she they who that this into over
under up down out off through near next being be has have two three one another some other several around across behind
front along against there them him very was were or each about onto someone something
"""
_STOPS = frozenset(_SAYS_NOTHING.split())


def captions_by_key(*files: str) -> dict[str, list[str]]:
    """Picture -> its captions, in the order of the files."""
    captions: dict[str, list[str]] = defaultdict(list)
    for name in files:
        with (SHARED / "flickr8k" / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                captions[row["key"]].append(row["caption"])
    return captions


def words(text: str) -> set[str]:
    """What a text speaks of: its words without endings and without those that say nothing."""
    found = re.findall(r"[a-z]+", text.lower())
    return {_stem(word) for word in found if len(word) > 1 and word not in _STOPS}


def phrases(captions: dict[str, list[str]], pictures: int) -> list[str]:
    """All pairs of neighbouring words with meaning ("brown dog", "rock climbing") said of so many pictures."""
    said_of: dict[str, set[str]] = defaultdict(set)
    for key, lines in captions.items():
        for line in lines:
            found = re.findall(r"[a-z]+|[.,]", line.lower())
            for pair in pairwise(found):
                if all(len(word) > 2 and word not in _STOPS for word in pair):
                    said_of[" ".join(pair)].add(key)
    return sorted(phrase for phrase, keys in said_of.items() if len(keys) >= pictures)


class Judge:
    """Looks texts up in the captions of pictures."""

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        """Take the captions of each picture, in the order of the pictures."""
        shown = [words(" ".join(lines)) for lines in captions]
        self._column = {word: column for column, word in enumerate(sorted(set().union(*shown)))}
        self._shows = np.zeros((len(shown), len(self._column)), np.float32)
        for row, found in enumerate(shown):
            self._shows[row, [self._column[word] for word in found]] = 1

    def coverage(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """``(n_texts, n_pictures)``: share of each text's words that the captions of each picture have."""
        asked = np.zeros((len(texts), len(self._column)), np.float32)
        total = np.zeros((len(texts), 1), np.float32)
        for row, text in enumerate(texts):
            for word in words(text):
                rarity = self._rarity(word)
                total[row] += rarity
                if word in self._column:
                    asked[row, self._column[word]] = rarity
        shares: npt.NDArray[np.float32] = asked @ self._shows.T / np.maximum(total, 1e-6)
        return shares

    def right(self, texts: Sequence[str]) -> Right:
        """Which pictures show enough of what each text speaks of."""
        return self.coverage(texts) >= ENOUGH - 1e-6

    def _rarity(self, word: str) -> float:
        shown_by = self._shows[:, self._column[word]].sum() if word in self._column else 0
        return math.log((len(self._shows) + 1) / (shown_by + 1)) + 0.1


def _stem(word: str) -> str:
    for ending in ("ing", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
