"""How much one file may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one picture file; beyond any of them the file is a failure, not a danger."""

    max_bytes: int = 200_000_000
    max_pixels: int = 178_956_970
    """Width times height. The default is where Pillow itself refuses, so a larger value changes nothing."""
    timeout_s: float = 30.0
    """Wall-clock time that reading and decoding may take in a worker."""
    memory_bytes: int = 4 << 30
    """Address space of one worker, where the system enforces it (Linux does)."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it is an upper bound, so it must be more than 0")
        if self.timeout_s > _DAY_S:
            raise ValueError(f"timeout_s is {self.timeout_s}; more than a day, {_DAY_S} s, is no limit")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON; ``Limits(**values)`` is the inverse."""
        return asdict(self)


DEFAULT_LIMITS = Limits()
