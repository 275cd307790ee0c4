"""The table of known encoders, ``known.json``: what each costs, what it finds, and whether it may be used for profit.

Numbers are those of the source that each row names; what no source states is null. Other encoders load as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).parent / "known.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class HitRates:
    """Published "R@k", in percent: queries with a relevant candidate in the top k."""

    at_1: float | None
    at_5: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEncoder:
    """One row of the table."""

    name: str
    """As ``load_encoder`` takes it."""
    dim: int
    parameters_m: float | None
    """Millions, both towers."""
    gflops_per_image: float | None
    """Twice the multiplications, one picture."""
    licence: str | None
    """Of the weights."""
    commercial_use: bool | None
    """None: the licence wants to be read."""
    languages: str
    flickr30k_t2i: HitRates
    """Text finds picture, 1,000 test pictures of the Karpathy split."""
    flickr30k_i2t: HitRates
    coco_t2i: HitRates
    """Text finds picture, 5,000 test pictures of the Karpathy split."""
    coco_i2t: HitRates
    note: str
    source: str | None
    """Where the numbers stand."""


@cache
def known_encoders() -> tuple[KnownEncoder, ...]:
    """All rows: the bundled encoder first, then by family."""
    return tuple(_row(values) for values in json.loads(_TABLE.read_text(encoding="utf-8")))


def _row(values: dict[str, Any]) -> KnownEncoder:
    rates = {
        name: HitRates(at_1=pair[0], at_5=pair[1]) for name, pair in values.items() if name.endswith(("_t2i", "_i2t"))
    }
    return KnownEncoder(**{**values, **rates})


def knows_only_english(name: str) -> bool:
    """Whether an encoder is known to have learned no other language."""
    return any(known.name == name and known.languages == "English" for known in known_encoders())
