"""Where a source's items get their keys from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from mmsearch.embedding.inventory import Held
from mmsearch.embedding.options import JobOptions
from mmsearch.errors import MediaError, NotFound
from mmsearch.media import (
    PICTURE_EXTENSIONS,
    SAME_FOLDER,
    TABLE_EXTENSIONS,
    Candidate,
    load_picture,
    path_of,
    portable,
    read_pairs,
    read_texts,
    walk,
)
from mmsearch.store import Snapshot


@dataclass(frozen=True, slots=True)
class Source:
    """One folder or file to index: keys are paths relative to ``root``."""

    start: Path
    root: Path
    name: str
    """What the ``source`` column says: ``.`` for the collection's own folder, else the root's absolute path."""

    @property
    def prefix(self) -> str:
        """Every key of this source begins with it; empty when ``start`` is the root."""
        relative = portable(self.start.relative_to(self.root))
        return "" if relative == "." else relative

    def holds(self, item: Held) -> bool:
        """Whether an item came from here."""
        return item.source == self.name and is_under(item.key, self.prefix)


def is_under(key: str, prefix: str) -> bool:
    """Whether ``prefix`` is ``key`` or a folder above it."""
    return not prefix or key == prefix or key.startswith(f"{prefix}/")


def resolve_sources(starts: Sequence[Path], home: Path, roots: Mapping[str, Set[str]]) -> list[Source]:
    """``resolve_source`` for each of ``starts``, and the known sources that lie below one of them."""
    taken = {name: set(keys) for name, keys in roots.items()}
    sources: list[Source] = []
    for start in starts:
        source = resolve_source(start, home, taken)
        first = source.prefix.split("/", 1)[0]
        names = (
            {first}
            if first
            else ({portable(Path(path.name)) for path in source.start.iterdir()} if source.start.is_dir() else set())
        )
        taken.setdefault(source.name, set()).update(names)
        below = [Source(root, root, name) for name in roots if (root := _root_of(name, home)).is_dir()]
        inside = [other for other in below if other.start != source.start and other.start.is_relative_to(source.start)]
        sources += [each for each in (source, *inside) if each not in sources]
    return sources


def _root_of(name: str, home: Path) -> Path:
    return path_of(name, "", home.resolve())


def resolve_source(start: Path, home: Path, roots: Mapping[str, Set[str]]) -> Source:
    """Choose the root that the keys of ``start`` are relative to.

    Inside the collection's folder that folder is the root. Elsewhere it is a root the collection knows, or the
    source itself, or, where the collection holds other sources already, the nearest parent whose name for the
    source is not taken: so keys stay unique and a second run finds the same ones.

    Args:
        start: the folder or file to index.
        home: the folder the collection belongs to.
        roots: each ``source`` of the collection with the first path components of its keys.

    Raises:
        NotFound: ``start`` does not exist.
    """
    if not start.exists():
        raise NotFound(f"{start} does not exist; nothing was indexed and nothing removed", start)
    # One folder has one name, however it was reached; a link to a file keeps its own.
    start = start.resolve() if start.is_dir() else start.parent.resolve() / start.name
    home = home.resolve()
    if start.is_relative_to(home):
        return Source(start, home, SAME_FOLDER)
    for name in sorted(roots, key=len, reverse=True):  # the nearest one
        if name != SAME_FOLDER and start.is_relative_to(_root_of(name, home)):
            return Source(start, _root_of(name, home), name)
    root = start if start.is_dir() else start.parent
    taken = set().union(*roots.values())
    while roots and root != root.parent and (root == start or portable(start.relative_to(root)).split("/")[0] in taken):
        root = root.parent
    return Source(start, root, portable(root))


def known_roots(snapshot: Snapshot) -> dict[str, set[str]]:
    """Each source of the collection with the first path components of its keys."""
    table = snapshot.table(["source", "key"])
    roots: dict[str, set[str]] = {}
    for source, key in zip(table["source"].to_pylist(), table["key"].to_pylist(), strict=True):
        roots.setdefault(source, set()).add(key.split("/", 1)[0])
    return roots


def check_indexable(paths: Sequence[Path], captions: Path | None, options: JobOptions) -> None:
    """Make sure that there is something to make a collection of, before one is made.

    Raises:
        MediaError: no path holds a picture or a text, or a table or the captions cannot be read.
    """
    if captions:
        read_pairs(captions)
    has_items = [_has_items(path, options) for path in paths]
    if any(has_items):
        return
    names = ", ".join(str(path) for path in paths)
    endings = " ".join(sorted(PICTURE_EXTENSIONS))
    raise MediaError(f"no pictures in {names}; mmsearch takes files that are not hidden and end in {endings}")


def _has_items(path: Path, options: JobOptions) -> bool:
    if is_table(path):
        return bool(read_texts(path, text_column=options.text_column).texts)
    if path.is_dir():
        return any(isinstance(item, Candidate) for item in walk(path, source=SAME_FOLDER))
    load_picture(path, limits=options.limits)
    return True


def is_table(path: Path) -> bool:
    """Whether a source is a table of texts."""
    return path.suffix.lower() in TABLE_EXTENSIONS and path.is_file()
