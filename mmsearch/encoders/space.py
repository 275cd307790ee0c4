"""The identity of an embedding: which vectors may be compared with which."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from mmsearch.media import Preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpace:
    """What fully decides a vector. Two vectors are comparable only if their spaces are equal."""

    encoder: str
    """The name it is loaded by: ``mini``, ``ViT-B-32/openai``, ``local-dir:/models/mine``, …"""
    architecture: str
    """What the weights alone do not say, such as open_clip's model configuration (quick GELU or not)."""
    weights_sha256: str
    """Over all weights of both towers."""
    preprocessing: Preprocessing
    tokenizer: str
    """Name of the tokenizer and the number of tokens it keeps, as in ``clip-bpe/77``."""
    dim: int
    logit_scale: float
    """Factor that turns a cosine into a logit (1 / temperature)."""
    normalised: bool = True
    """Vectors have unit L2 norm."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 over everything that changes a vector; the name is a label and stays out."""
        facts = self.to_json()
        del facts["encoder"]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "encoder": self.encoder,
            "architecture": self.architecture,
            "weights_sha256": self.weights_sha256,
            "preprocessing": self.preprocessing.to_json(),
            "tokenizer": self.tokenizer,
            "dim": self.dim,
            "logit_scale": self.logit_scale,
            "normalised": self.normalised,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EmbeddingSpace:
        """The inverse of ``to_json``; unknown or missing names raise ``TypeError``."""
        return cls(**{**values, "preprocessing": Preprocessing.from_json(values["preprocessing"])})
