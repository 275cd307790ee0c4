"""From what a person typed to a query.

golden retriever + ./pool.jpg - fruit      words, the path of a picture, signs between them
2:golden retriever                         a weight before a term
@2019/IMG_0042.jpg                         an item of the collection, by its key
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmsearch.errors import QueryError
from mmsearch.media import PICTURE_EXTENSIONS
from mmsearch.search.query import Item, Operand, Picture, Query, Sum, Term, Text, check_terms

_SIGNS = {"+": 1.0, "-": -1.0}
_QUOTED_OR_SIGN = re.compile(r'"[^"]*"|(?<!\S)[+-](?!\S)')
_WEIGHTED = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf):(?!//)(\S.*)", re.DOTALL | re.IGNORECASE)


def parse_query(words: str | Sequence[str]) -> Query:
    """Read a query as the command line gives it.

    Args:
        words: one term; or several words, of which ``+`` and ``-`` stand between terms. Words that no sign
            separates are one text.

    Raises:
        QueryError: a term is missing, empty, or names a picture that is not there; or the weights make no sense
            (see ``check_terms``).
    """
    terms = tuple(_terms([words] if isinstance(words, str) else words))
    check_terms(terms)
    return terms[0].of if len(terms) == 1 and terms[0].weight == 1 else Sum(terms)


def parse_line(line: str) -> Query:
    """Read a query that stands on a line of its own, where no shell has split it.

    Args:
        line: terms with ``+`` and ``-`` between them, each with blanks around it; what stands in double quotes is
            never a sign. Words and blanks between two signs are one term, so a path may have blanks.

    Raises:
        QueryError: as ``parse_query``.
    """
    words, start = list[str](), 0
    for part in _QUOTED_OR_SIGN.finditer(line):
        if part[0] in _SIGNS:
            words += [line[start : part.start()].strip(), part[0]]
            start = part.end()
    words.append(line[start:].strip())
    return parse_query([_bare(word) for word in words if word])


def _bare(word: str) -> str:
    """A path or a key without the quotes around it; words keep theirs, which mean something where words are sought."""
    inner = word[1:-1]
    is_quoted = len(word) > 2 and word[0] == word[-1] == '"' and '"' not in inner
    return inner if is_quoted and (inner.startswith("@") or _is(Path.is_file, _path(inner))) else word


def _terms(words: Sequence[str]) -> Iterator[Term]:
    sign, heard = 1.0, list[str]()
    for word in words:
        if word not in _SIGNS:
            heard.append(word)
            continue
        if heard:
            yield _term(sign, heard)
        elif word is not words[0]:
            raise QueryError(f"two signs follow each other in {' '.join(words)!r}; put a term between them")
        sign, heard = _SIGNS[word], []
    if not heard:
        raise QueryError(
            "the query is empty; give a sentence or a picture to search with"
            if not words
            else f"nothing follows the last sign of {' '.join(words)!r}; give what to add or subtract"
        )
    yield _term(sign, heard)


def _term(sign: float, words: list[str]) -> Term:
    first, *others = words
    pictures = [word for word in words if others and _names_picture(word)]
    if pictures:
        raise QueryError(f"{pictures[0]} is a picture among other words; put + or - before and after it")
    if _is(Path.is_file, _path(first)):
        weight = 1.0
    elif weighted := _WEIGHTED.fullmatch(first):
        weight, first = float(weighted[1]), weighted[2]
    else:
        weight = 1.0
    return Term(sign * weight, _text(" ".join([first, *others])) if others else _operand(first))


def _operand(word: str) -> Operand:
    path = _path(word)
    if _is(Path.is_file, path):
        return Picture(path)
    if word.startswith("@"):
        return Item(word.removeprefix("@"))
    if word.startswith(("https://", "http://")) and " " not in word:
        raise QueryError(f"{word} is not fetched; download the picture and give its path")
    if path.suffix.lower() in PICTURE_EXTENSIONS or (_is_path(word) and not _is(Path.is_dir, path)):
        raise QueryError(f"there is no picture {word}; give the path of one, @KEY for an item, or a sentence")
    if ("/" in word or word in (".", "..")) and _is(Path.is_dir, path):
        raise QueryError(f"{word} is a folder; give a picture or a sentence to search with")
    return _text(word)


def _names_picture(word: str) -> bool:
    path = _path(word)
    return (_is_path(word) or path.suffix.lower() in PICTURE_EXTENSIONS) and _is(Path.is_file, path)


def _is_path(word: str) -> bool:
    return word.startswith(("./", "../", "~/", "/")) and " " not in word


def _text(words: str) -> Text:
    try:
        words.encode("utf-8")
    except UnicodeEncodeError:
        # Bytes that the terminal's encoding does not know come as surrogates; most often they are UTF-8.
        words = os.fsencode(words).decode("utf-8", "replace")
    return Text(words)


def _path(word: str) -> Path:
    try:
        return Path(word).expanduser()
    except RuntimeError:  # "~dogs" where nobody is called dogs
        return Path(word)


def _is(what: Callable[[Path], bool], path: Path) -> bool:
    try:
        return what(path)
    except (OSError, ValueError):  # a sentence can be too long for a file name, or hold a NUL
        return False
