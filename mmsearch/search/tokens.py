"""The words of captions, texts, file names and queries: one rule for all of them.

>>> tokens("IMG_2042 BeachSunset.jpg")
Tokens(words=('img', '2042', 'beachsunset', 'jpg'), parts=('beach', 'sunset'))
>>> tokens("東京 tower")
Tokens(words=('東京', 'tower'), parts=('東', '京'))
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

LONGEST = 100
"""Characters of a word that count; what is longer was not written by a person."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003134f"  # Chinese, Korean
)
# Marks that belong to the letter before them, but are no letters to `re`: Latin, Hebrew, Arabic; all Indic blocks.
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u0dff"
)
_RUN = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?:(?![_{_UNSPACED}])[\w{_MARKS}])+")
_PHRASE = re.compile(r'["“”„«»]([^"“”„«»]*)["“”„«»]')
_MOST_NUMBERS = 2  # borders of letters and digits; "2c47195e4c" has more and means nothing in parts


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as a lexical index sees it, in lower case."""

    words: tuple[str, ...]
    """In their order; neighbours here are neighbours in a phrase."""
    parts: tuple[str, ...]
    """What some of the words are made of: ``img`` and ``2042`` of ``IMG2042``, the letters of ``東京``."""


@dataclass(frozen=True, slots=True)
class WordQuery:
    """What somebody typed, as a lexical index sees it."""

    terms: tuple[str, ...]
    """Words of which a hit has one or more, each once."""
    phrases: tuple[tuple[str, ...], ...]
    """What stood in double quotes: words that a hit has in this order, side by side."""


def tokens(text: str) -> Tokens:
    """Split a text into words.

    Letters are compared without case and in Unicode's compatibility form, so that a name from macOS equals one from
    Linux. ``_`` and ``-`` part words as spaces do. Words in camel case, and those of letters and a number, come whole
    and in parts. Scripts that put no spaces between words are cut into pairs of letters.
    """
    words: list[str] = []
    parts: list[str] = []
    for run in _RUN.finditer(unicodedata.normalize("NFKC", text)):
        word = run[0]
        if run["unspaced"]:
            words += map("".join, pairwise(word)) if len(word) > 1 else word
            parts += word if len(word) > 1 else ()
        else:
            word = word[:LONGEST]
            words.append(word.casefold())
            if not (word.isalpha() and word[1:].islower()):
                parts += _parts(word)
    return Tokens(tuple(words), tuple(parts))


def read_words(words: str) -> WordQuery:
    """What a person typed: words, and phrases in double quotes. Any string will do."""
    loose = tokens(_PHRASE.sub(" ", words))
    # A single letter or digit of a word is in too many others.
    terms = dict.fromkeys([*loose.words, *(part for part in loose.parts if len(part) > 1)])
    phrases = (tokens(quoted).words for quoted in _PHRASE.findall(words))
    return WordQuery(tuple(terms), tuple(filter(None, phrases)))


def _parts(word: str) -> list[str]:
    """``HTMLPage2`` -> html, page, 2; nothing for a word that is all of a piece."""
    numbers = sum(a.isdigit() != b.isdigit() for a, b in pairwise(word))
    cuts = [0, *_borders(word), len(word)] if numbers <= _MOST_NUMBERS else [0, len(word)]
    return [word[start:end].casefold() for start, end in pairwise(cuts)] if len(cuts) > 2 else []


def _borders(word: str) -> Iterator[int]:
    for position, (a, b) in enumerate(pairwise(word), start=1):
        after = word[position + 1 : position + 2]
        if a.isdigit() != b.isdigit() or (b.isupper() and (a.islower() or (a.isupper() and after.islower()))):
            yield position
