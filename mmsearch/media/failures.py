"""What could not be read, and why: a value, so that one bad file never stops a job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_MESSAGE = 500


class Stage(StrEnum):
    """How far an input came before it failed."""

    WALK = "walk"
    READ = "read"
    DECODE = "decode"
    ENCODE = "encode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One input that was passed over."""

    key: str
    """The item's key; for a folder that cannot be listed, what its files' keys begin with (root: "")."""
    path: str
    """Where it lies, for people: bytes of the name that are not UTF-8 are written as ``\\xff``."""
    stage: Stage
    error: str
    """Class of the underlying error, such as ``UnidentifiedImageError``."""
    message: str
    """One line of at most 500 characters."""


def one_line(text: str) -> str:
    """``text`` fit for a table's cell and a terminal: no control characters, at most 500 characters."""
    flat = "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "backslashreplace").decode())
    flat = " ".join(flat.split())
    return flat if len(flat) <= MAX_MESSAGE else flat[: MAX_MESSAGE - 1] + "…"


def cause_name(error: Exception) -> str:
    """Class name of what lies at the bottom of ``error``."""
    return type(error.__cause__ or error).__name__
