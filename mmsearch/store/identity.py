"""Who a collection is: ``collection.json``, written once and true for ever."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from mmsearch.encoders import EmbeddingSpace
from mmsearch.errors import CollectionError, Corrupt, NotFound
from mmsearch.store.durable import NoLinksError, discard, ensure_folder, link, sync_folder, write_new
from mmsearch.store.sealed import seal, unseal

_FILE = "collection.json"
_FOLDERS = ("manifests", "shards", "tombstones", "failures", "indexes", "tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What ``collection.json`` says."""

    uuid: str
    created: str
    """ISO 8601, UTC."""
    space: EmbeddingSpace


def found(path: Path, space: EmbeddingSpace, created: str) -> Identity:
    """Make ``path`` a collection: its folders, then the file that makes it one.

    Raises:
        CollectionError: it is one already, or it cannot be written.
    """
    target = path / _FILE
    if target.exists():
        raise CollectionError(f"{path} holds a collection already; open it, or choose another folder")
    for name in _FOLDERS:
        ensure_folder(path / name)
    identity = Identity(uuid=str(uuid.uuid4()), created=created, space=space)
    data, _ = seal({"uuid": identity.uuid, "created": created, "space": space.to_json()})
    temporary = path / "tmp" / f"{identity.uuid}.json"
    write_new(temporary, data)
    try:
        if not _publish(temporary, target, data):
            raise CollectionError(f"{path} was made a collection by another process just now; run the command again")
    finally:
        discard(temporary)
    return identity


def _publish(temporary: Path, target: Path, data: bytes) -> bool:
    try:
        return link(temporary, target)
    except NoLinksError:
        write_new(target, data)  # never overwrites either
        sync_folder(target.parent)
        return True


def read_identity(path: Path) -> Identity:
    """What ``collection.json`` of the collection at ``path`` says.

    Raises:
        NotFound, NewerFormat, Corrupt: there is none, it is of a later format, or it is damaged.
        CollectionError: it cannot be read for another reason.
    """
    file = path / _FILE
    try:
        values, _ = unseal(file, path)
        space = EmbeddingSpace.from_json(values["space"])
        return Identity(uuid=values["uuid"], created=values["created"], space=space)
    except (FileNotFoundError, NotADirectoryError) as err:
        raise NotFound(f"no collection at {path}; make one with: mmsearch index FOLDER", path) from err
    except OSError as err:
        raise CollectionError(f"cannot read {file}: {err.strerror}") from err
    except (KeyError, TypeError, ValueError) as err:
        raise Corrupt(f"{file} cannot be understood: {err!r}; was it written by a later mmsearch?", file) from err
