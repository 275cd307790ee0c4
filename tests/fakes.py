"""A small, deterministic encoder, so that the suite runs in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders import EmbeddingSpace
from mmsearch.media import Interpolation, Preprocessing, ResizeMode


class FakeEncoder:
    """Pictures by a fixed projection of their pixels, texts by the hash of their words."""

    def __init__(self, *, name: str = "fake", dim: int = 16, seed: int = 0) -> None:
        self.space = EmbeddingSpace(
            encoder=name,
            architecture="fake",
            weights_sha256=hashlib.sha256(f"{seed}".encode()).hexdigest(),
            preprocessing=Preprocessing(
                size=8,
                resize_mode=ResizeMode.SQUASH,
                interpolation=Interpolation.BILINEAR,
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
            ),
            tokenizer="words/1000",
            dim=dim,
            logit_scale=10.0,
        )
        self._projection = np.random.default_rng(seed).normal(size=(8 * 8 * 3, dim)).astype(np.float32)
        self.encoded_images = 0
        self.encoded_texts = 0

    def prepare(self, picture: Image.Image) -> Pixels:
        return self.space.preprocessing.prepare(picture)

    def encode_images(self, pixels: Pixels) -> Embeddings:
        self.encoded_images += len(pixels)
        flat = pixels.reshape(len(pixels), -1).astype(np.float32) / 255 - 0.45
        return _unit(flat @ self._projection)

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        self.encoded_texts += len(texts)
        sums = np.zeros((len(texts), self.space.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
                sums[row] += np.random.default_rng(seed).normal(size=self.space.dim)
        return _unit(sums)


def _unit(rows: Embeddings) -> Embeddings:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9).astype(np.float32)
