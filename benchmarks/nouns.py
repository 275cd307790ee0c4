"""Everyday nouns, which pictures show them by their captions, and vectors of the pictures."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

import mmsearch
from benchmarks.data import lay_out_dev
from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder
from mmsearch.store import Modality, Store

NOUNS = (
    "man", "dog", "people", "woman", "boy", "girl", "shirt", "water", "child", "grass", "ball", "snow", "street",
    "jacket", "bike", "park", "beach", "hat", "crowd", "player", "bicycle", "building", "ocean", "path", "sidewalk",
    "hill", "rock", "mountain", "lake", "wall", "toy", "sand", "road", "pool", "pants", "suit", "coat", "collar",
    "game", "skateboard", "glasses", "hair", "baby", "tennis", "tree", "race", "ramp", "stick", "fence", "helmet",
    "river", "toddler", "dress", "sign", "sunglasses", "car", "baseball", "boat", "swing", "wave", "soccer", "horse",
    "field", "camera", "city", "rope", "frisbee", "football", "basketball", "skier", "snowboarder", "surfer",
    "climber", "motorcycle", "guitar", "bench", "chair", "table", "bird", "cat", "boots", "umbrella", "stairs",
    "window", "fountain", "bus", "truck", "train", "tent", "slide", "trampoline", "kayak",
)  # fmt: skip
"""Frequent nouns of Flickr8k's captions, chosen by hand from its most frequent words."""

Shows = npt.NDArray[np.bool_]


def shows(words: tuple[str, ...], captions: list[str]) -> Shows:
    """``(n,)`` which pictures show all of the words: some caption has it, in singular or plural.

    Args:
        words: lower case.
        captions: of each picture, lower case, in one string.
    """
    patterns = [re.compile(rf"\b{word}(s|es)?\b") for word in words]
    return np.array([all(pattern.search(text) for pattern in patterns) for text in captions])


def dev_pictures(encoder: DualEncoder) -> tuple[list[str], Embeddings]:
    """Keys and ``(1000, dim)`` float32 vectors of Flickr8k's dev split, as a collection holds them."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "dev"
        lay_out_dev(folder)
        photos = mmsearch.create(folder / ".mmsearch", encoder)
        photos.add(folder)
        snapshot = Store.open(photos.path).snapshot()
        _, stored = snapshot.embeddings(Modality.IMAGE)
        return snapshot.table(["key"], modality=Modality.IMAGE)["key"].to_pylist(), stored.astype(np.float32)
