"""What a camera noted about a picture: EXIF, which is a small TIFF file without a picture in it.

Ten tags are read here and nothing else. A general reader decodes all there are, and 64 kB can ask for minutes of that.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from mmsearch.media.failures import one_line

_PREFIX = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_MOST_ENTRIES = 1000  # of one directory; cameras write a few dozen
_LONGEST_TEXT = 256  # bytes
_ENTRY_BYTES = 12

# Tags and types as in CIPA DC-008 (Exif 2.32), sections 4.6.2 and 4.6.4 to 4.6.6.
_MAKE, _MODEL, _ORIENTATION, _CHANGED = 0x010F, 0x0110, 0x0112, 0x0132
_PHOTO_FOLDER, _GPS_FOLDER = 0x8769, 0x8825
_TAKEN, _DIGITIZED, _LENS = 0x9003, 0x9004, 0xA434
_LATITUDE_SIDE, _LATITUDE, _LONGITUDE_SIDE, _LONGITUDE = 1, 2, 3, 4
_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5
_FOLDER = 13  # a LONG that libtiff writes for the place of a directory
_UTF8 = 129  # Exif 3.0
_SIZES = {_ASCII: 1, _UTF8: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _FOLDER: 4}

_TIME = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exif:
    """The part of a picture's EXIF that people search by; None where it does not say."""

    taken: datetime | None = None
    """As the camera's clock showed it, without a zone."""
    camera: str | None = None
    lens: str | None = None
    orientation: int | None = None
    """As stored in the file, 1 to 8; pixels and sizes are upright already."""
    latitude: float | None = None
    """Degrees, north of the equator positive."""
    longitude: float | None = None
    """Degrees, east of Greenwich positive."""

    def pack(self) -> bytes:
        """JSON in UTF-8."""
        values = {**asdict(self), "taken": self.taken and self.taken.isoformat()}
        return json.dumps({name: value for name, value in values.items() if value is not None}).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Exif:
        """The inverse of ``pack``."""
        values = json.loads(data)
        if "taken" in values:
            values["taken"] = datetime.fromisoformat(values["taken"])
        return cls(**values)


def read_exif(block: bytes) -> Exif:
    """Read the EXIF of a picture.

    Args:
        block: an EXIF block, with or without ``Exif\\0\\0`` before it, or a whole TIFF file. Any bytes will do:
            what is broken, or out of its range, is taken as not said.
    """
    tiff = _Tiff(block.removeprefix(_PREFIX))
    main = tiff.folder(tiff.first_folder)
    photo = tiff.folder(tiff.number(main.get(_PHOTO_FOLDER)))
    gps = tiff.folder(tiff.number(main.get(_GPS_FOLDER)))
    turn = tiff.number(main.get(_ORIENTATION))
    latitude = _degrees(tiff.rationals(gps.get(_LATITUDE)), tiff.text(gps.get(_LATITUDE_SIDE)), "N", "S", 90)
    longitude = _degrees(tiff.rationals(gps.get(_LONGITUDE)), tiff.text(gps.get(_LONGITUDE_SIDE)), "E", "W", 180)
    is_placed = latitude is not None and longitude is not None
    times = (photo.get(_TAKEN), photo.get(_DIGITIZED), main.get(_CHANGED))
    return Exif(
        taken=next(filter(None, (_time(tiff.text(entry)) for entry in times)), None),
        camera=_camera(tiff.text(main.get(_MAKE)), tiff.text(main.get(_MODEL))),
        lens=tiff.text(photo.get(_LENS)),
        orientation=turn if turn is not None and 1 <= turn <= 8 else None,
        latitude=latitude if is_placed else None,
        longitude=longitude if is_placed else None,
    )


class _Entry(NamedTuple):
    kind: int
    n: int
    at: int
    """Where in the file the values lie."""


class _Tiff:
    """The directories of a TIFF file. Nothing here raises: what lies outside the file is not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = _BYTE_ORDERS.get(data[:4])

    @property
    def first_folder(self) -> int | None:
        found = self._unpack("L", 4)
        return found[0] if found else None

    def folder(self, at: int | None) -> dict[int, _Entry]:
        """Tag -> entry of the directory at an offset; of a directory that is cut short, what is there."""
        head = self._unpack("H", at) if at else None
        if at is None or head is None:
            return {}
        start = at + 2
        whole = (len(self._data) - start) // _ENTRY_BYTES
        raw = self._data[start : start + _ENTRY_BYTES * min(head[0], whole, _MOST_ENTRIES)]
        entries = {}
        for number, (tag, kind, count, value) in enumerate(struct.iter_unpack(f"{self._order}HHLL", raw)):
            is_inline = _SIZES.get(kind, 8) * count <= 4
            entries[tag] = _Entry(kind, count, start + _ENTRY_BYTES * number + 8 if is_inline else value)
        return entries

    def number(self, entry: _Entry | None) -> int | None:
        if entry is None or entry.n != 1 or entry.kind not in (_SHORT, _LONG, _FOLDER):
            return None
        found = self._unpack("H" if entry.kind == _SHORT else "L", entry.at)
        return found[0] if found else None

    def rationals(self, entry: _Entry | None) -> list[float]:
        """Up to three fractions; none if one of them has no value."""
        if entry is None or entry.kind != _RATIONAL or not 1 <= entry.n <= 3:
            return []
        pairs = self._unpack(f"{2 * entry.n}L", entry.at)
        if pairs is None or 0 in pairs[1::2]:
            return []
        return [above / below for above, below in zip(pairs[::2], pairs[1::2], strict=True)]

    def text(self, entry: _Entry | None) -> str | None:
        if entry is None or entry.kind not in (_ASCII, _UTF8):
            return None
        raw = self._data[entry.at : entry.at + min(entry.n, _LONGEST_TEXT)].split(b"\0", 1)[0]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return one_line(text) or None

    def _unpack(self, layout: str, at: int) -> tuple[int, ...] | None:
        if self._order is None:
            return None
        try:
            return struct.unpack_from(self._order + layout, self._data, at)
        except struct.error:
            return None


def _time(text: str | None) -> datetime | None:
    found = _TIME.match(text or "")
    try:
        return datetime(*map(int, found.groups())) if found else None  # type: ignore[arg-type]  # six numbers
    except ValueError:  # cameras that do not know say 0000:00:00
        return None


def _camera(make: str | None, model: str | None) -> str | None:
    """Make and model; the model alone where it begins with a word of the make, as in "NIKON D850"."""
    if not make or not model:
        return model or make
    return model if model.split()[0].casefold() in make.casefold().split() else f"{make} {model}"


def _degrees(parts: list[float], side: str | None, plus: str, minus: str, most: int) -> float | None:
    """Degrees, minutes and seconds on a side of zero as one signed number."""
    if not parts or side not in (plus, minus):
        return None
    degrees = math.fsum(part / unit for part, unit in zip(parts, (1, 60, 3600), strict=False))
    if degrees > most:
        return None
    return degrees if side == plus else -degrees
