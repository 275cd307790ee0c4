"""How users come to a `Collection`: make one, find and open one, or index straight away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmsearch.collection import COLLECTION_FOLDER, Collection
from mmsearch.embedding import IndexReport, JobOptions, Progress, check_indexable
from mmsearch.encoders import DEFAULT_ENCODER, DualEncoder, load_encoder
from mmsearch.errors import CollectionError, NotFound
from mmsearch.store import Damage, Store
from mmsearch.store import verify as verify_store


def create(path: str | Path, encoder: str | DualEncoder = DEFAULT_ENCODER, *, device: str = "auto") -> Collection:
    """Make an empty collection.

    Args:
        path: the folder to keep it in; for pictures in ``photos``, ``photos/.mmsearch`` moves with them.
        encoder: a name (see ``load_encoder``) or an object with the ``DualEncoder`` protocol.
        device: of an open_clip encoder.

    Raises:
        CollectionError: a collection is there already, or the folder cannot be written.
    """
    loaded = load_encoder(encoder, device=device) if isinstance(encoder, str) else encoder
    return Collection(Store.create(Path(path).expanduser().absolute(), loaded.space), device=device, encoder=loaded)


def open(  # noqa: A001 - users write mmsearch.open
    path: str | Path = ".", *, encoder: str | DualEncoder | None = None, device: str = "auto"
) -> Collection:
    """Open a collection.

    Args:
        path: the collection, or a folder in it or below it: ``.mmsearch`` is looked for there and upward.
        encoder: only to insist on one; the collection knows its own.
        device: of an open_clip encoder.

    Raises:
        NotFound: there is no collection.
        EncoderMismatch: ``encoder`` has another embedding space.
    """
    given = load_encoder(encoder, device=device) if isinstance(encoder, str) else encoder
    collection = Collection(Store.open(find(path)), device=device, encoder=given)
    if given:
        _ = collection.encoder  # compares the spaces
    return collection


def index(
    *sources: str | Path,
    to: str | Path | None = None,
    encoder: str | None = None,
    device: str = "auto",
    captions: str | Path | None = None,
    options: JobOptions = JobOptions(),  # noqa: B008 - frozen
    progress: Callable[[Progress], None] = lambda _: None,
) -> tuple[Collection, IndexReport]:
    """Open or make the collection that fits the sources, and add them to it, as ``mmsearch index`` does.

    The command then calls ``Collection.build`` where ``Collection.outdated`` says that this is due.

    Args:
        sources: see ``Collection.add``.
        to: the collection's folder; when None the collection at or above the first source, or else a new
            ``.mmsearch`` in it.
        encoder: needed only to choose one for a new collection; an open one insists on its own.
        device: of an open_clip encoder.
        captions: see ``Collection.add``.
        options: see ``JobOptions``.
        progress: called as the job goes on.

    Raises:
        NotFound: a source does not exist.
        MediaError: there is nothing to make a new collection of.
        EncoderMismatch: the collection is there and has another embedding space.
    """
    if not sources:
        raise TypeError("index() takes at least one source")
    paths = [Path(source).expanduser() for source in sources]
    for source, path in zip(sources, paths, strict=True):
        if not str(source) or not path.exists():
            raise NotFound(f"{source or 'an empty path'} does not exist; nothing was indexed", path)
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    try:
        # A place that was named is meant as it is; only without one is the search upward welcome.
        found = find(folder) if to is None else _exactly(Path(to).expanduser())
    except NotFound:
        check_indexable(paths, Path(captions).expanduser() if captions else None, options)
        collection = create(to or folder / COLLECTION_FOLDER, encoder or DEFAULT_ENCODER, device=device)
    else:
        collection = open(found, encoder=encoder, device=device)
    return collection, collection.add(*paths, captions=captions, options=options, progress=progress)


def find(path: str | Path = ".") -> Path:
    """The collection at ``path``, in its ``.mmsearch``, or in that of the nearest folder above.

    Raises:
        NotFound: there is none.
    """
    start = Path(path).expanduser()
    start = start.parent.resolve() / start.name if start.name == COLLECTION_FOLDER else start.resolve()
    if not start.is_dir():
        raise NotFound(f"{path} is not a folder; give that of a collection, or one below it", start)
    for folder in (start, *start.parents):
        try:
            return _exactly(folder)
        except NotFound:
            continue
    raise NotFound(f"no collection at {start} or above; make one with: mmsearch index {start}", start)


def verify(path: str | Path = ".", progress: Callable[[int], None] | None = None) -> list[Damage]:
    """Read every byte of a collection, one too damaged to be opened as well, and compare it with what was written.

    Args:
        path: see ``find``.
        progress: called with the bytes of each file that was checked.

    Returns:
        The damaged and missing files; an empty list is good news.

    Raises:
        NotFound: there is no collection.
    """
    return verify_store(find(path), progress)


def _exactly(folder: Path) -> Path:
    """The collection that ``folder`` is, or has in its ``.mmsearch``."""
    if folder.exists() and not folder.is_dir():
        raise CollectionError(f"{folder} is a file; a collection is a folder, so name another place")
    try:
        for place in (folder, folder / COLLECTION_FOLDER):
            if (place / "collection.json").is_file():
                # A ``.mmsearch`` that is a link belongs to the folder the link lies in.
                return place.parent.resolve() / place.name if place.name == COLLECTION_FOLDER else place.resolve()
    except OSError as err:
        raise CollectionError(f"cannot look into {folder}: {err.strerror}") from err
    raise NotFound(f"no collection at {folder}; make one with: mmsearch index FOLDER --to {folder}", folder)
