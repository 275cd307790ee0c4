"""Names that people write in tables, matched to the keys of items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence


def match_keys(wanted: Iterable[str], keys: Sequence[str]) -> dict[str, str]:
    """Which item each name means.

    A name means the key that equals it; else the only key that ends in it at a folder's border, or the
    longest key that it ends in (``b.jpg`` and ``/old/place/a/b.jpg`` for ``a/b.jpg``); else the only key that
    does so when endings are left away (``b`` and ``a/b.png`` for ``a/b.jpg``).

    Args:
        wanted: names, such as the ``key`` column of a pairs file.
        keys: the collection's keys.

    Returns:
        Name to key. Names that mean no key, or more than one, are left out.
    """
    names = dict.fromkeys(wanted)
    matches = _by_path(names, {key: key for key in keys})
    rest = [name for name in names if name not in matches]
    if rest:
        # A name may have an ending of another kind than the key's, or none and a dot of its own.
        stems = _unique((_stem(key), key) for key in keys)
        loose = _by_path(dict.fromkeys([*rest, *map(_stem, rest)]), stems)
        for name in rest:
            matches[name] = loose.get(name) or loose.get(_stem(name))
    return {name: key for name, key in matches.items() if key is not None}


def _by_path(names: Iterable[str], keys: Mapping[str, str | None]) -> dict[str, str | None]:
    """Name to what ``keys`` says of the path it means; None for a name, as for a path, of several keys."""
    matches: dict[str, str | None] = {name: keys[name] for name in names if name in keys}
    rest = {name for name in names if name not in matches}
    if rest:
        matches |= _unique((tail, key) for path, key in keys.items() for tail in _tails(path) if tail in rest)
        for name in rest - matches.keys():
            whole = next((tail for tail in _tails(name) if tail in keys), None)
            if whole is not None:
                matches[name] = keys[whole]
    return matches


def _unique(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str | None]:
    """First to second, or to None where one first has several."""
    found: dict[str, str | None] = {}
    for first, second in pairs:
        found[first] = second if found.setdefault(first, second) == second else None
    return found


def _tails(path: str) -> Iterator[str]:
    """``b/c`` and ``c`` of ``a/b/c``."""
    start = path.find("/")
    while start >= 0:
        yield path[start + 1 :]
        start = path.find("/", start + 1)


def _stem(path: str) -> str:
    """The path without its ending, as ``Path.stem`` sees it."""
    dot = path.rfind(".")
    return path[:dot] if dot > path.rfind("/") + 1 else path
