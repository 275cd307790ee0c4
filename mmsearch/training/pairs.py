"""Batches to train on: captioned pictures and classes with their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmsearch.training.concepts import Concepts
from mmsearch.training.loop import Batch
from mmsearch.training.losses import same_label

OWN_NAME = 0.7
"""Share of class pairs with a name of the class itself; the others get a kind that it belongs to."""


@dataclass(frozen=True, slots=True)
class PictureSide:
    """Inputs of the picture tower: one array ``(n, ...)`` for each view, rows in the same order."""

    views: Sequence[npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class CaptionSide:
    """Features of all captions, ``(n_texts, width)``, and the picture row of each, ``(n_texts,)`` ascending."""

    features: Tensor
    picture_of_text: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClassSide:
    """Classes as pairs: one feature row each, and the features of their names."""

    rows: Tensor
    """``(n_classes, features)``"""
    names: Tensor
    """``(n_names, width)``, in the order of ``concepts.texts``."""
    concepts: Concepts


def batches(
    pictures: PictureSide,
    captions: CaptionSide,
    classes: ClassSide | None,
    *,
    size: int,
    class_pairs: int,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Endless batches: ``size`` different pictures in a random view with one of their captions each, and class pairs.

    An epoch sees each picture at most once; what is left over at its end is dropped.

    Raises:
        ValueError: there are fewer pictures than ``size``.
    """
    n = len(pictures.views[0])
    if size > n:
        raise ValueError(f"a batch of {size} from {n} pictures; make it smaller")
    first = np.searchsorted(captions.picture_of_text, np.arange(n + 1))
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            chosen = order[start : start + size]
            texts = rng.integers(first[chosen], first[chosen + 1])
            inputs = torch.from_numpy(_gather(pictures, chosen, rng)).float()
            if inputs.ndim == 4:
                inputs = inputs.contiguous(memory_format=torch.channels_last)  # convolutions run 1.4 times as fast
            if classes is None:
                rows, names, other = torch.empty(0, inputs.shape[-1]), captions.features[:0], None
            else:
                rows, names, other = _class_pairs(classes, class_pairs, rng)
                other = nn.functional.pad(other, (size, 0, size, 0))  # captions and classes stay negatives
            yield Batch(
                pictures=inputs,
                rows=rows,
                texts=torch.cat([captions.features[torch.from_numpy(texts)], names]),
                other_positives=other,
            )


def _gather(pictures: PictureSide, chosen: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.generic]:
    of_picture = rng.integers(len(pictures.views), size=len(chosen))
    return np.stack([pictures.views[number][row] for number, row in zip(of_picture, chosen, strict=True)])


def _class_pairs(classes: ClassSide, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    concepts = classes.concepts
    chosen = rng.choice(len(classes.rows), size=n, replace=False)
    texts = np.array(
        [
            rng.choice(np.flatnonzero((concepts.own if rng.random() < OWN_NAME else concepts.fits)[number]))
            for number in chosen
        ]
    )
    other = torch.from_numpy(concepts.fits[np.ix_(chosen, texts)])
    same_text = same_label(torch.from_numpy(texts))
    return classes.rows[torch.from_numpy(chosen)], classes.names[torch.from_numpy(texts)], other | same_text
