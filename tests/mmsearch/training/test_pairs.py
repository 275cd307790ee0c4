from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from mmsearch.training.concepts import Concepts
from mmsearch.training.loop import Batch
from mmsearch.training.pairs import CaptionSide, ClassSide, PictureSide, batches

# Picture n has the number n in view 0 and 100 + n in view 1; it has n + 1 captions that carry the number n.
PICTURES = PictureSide([np.arange(10.0)[:, None] + 100 * view for view in range(2)])
PICTURE_OF_TEXT = np.repeat(np.arange(10), np.arange(1, 11))
CAPTIONS = CaptionSide(torch.from_numpy(PICTURE_OF_TEXT[:, None].astype(np.float32)), PICTURE_OF_TEXT)

# Classes 0 and 1 are both a "cat" (text 2); texts 0, 1 and 3 name one class each.
FITS = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)
OWN = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=bool)
CLASSES = ClassSide(
    torch.tensor([[1000.0], [1001.0], [1002.0]]),
    torch.tensor([[500.0], [501.0], [502.0], [503.0]]),
    Concepts(["tabby", "tiger cat", "cat", "dog"], FITS, OWN),
)


def _take(n: int, *, classes: ClassSide | None = None, seed: int = 0, size: int = 4) -> list[Batch]:
    rng = np.random.default_rng(seed)
    return list(islice(batches(PICTURES, CAPTIONS, classes, size=size, class_pairs=3, rng=rng), n))


def test_each_picture_comes_with_a_caption_of_its_own() -> None:
    for batch in _take(20):
        assert torch.equal(batch.pictures % 100, batch.texts)
        assert batch.rows.shape == (0, 1)
        assert batch.other_positives is None


def test_an_epoch_shows_no_picture_twice() -> None:
    first, second, *_ = _take(2)
    seen = torch.cat([first.pictures, second.pictures]).flatten() % 100
    assert len(set(seen.tolist())) == 8


def test_all_views_are_used() -> None:
    values = torch.cat([batch.pictures for batch in _take(20)])
    assert (values < 100).any()
    assert (values >= 100).any()


def test_classes_come_with_names_that_fit() -> None:
    for batch in _take(30, classes=CLASSES):
        numbers = (batch.rows.flatten() - 1000).int()
        names = (batch.texts[4:].flatten() - 500).int()
        assert FITS[numbers.numpy(), names.numpy()].all()
        assert len(set(numbers.tolist())) == 3


def test_names_that_fit_another_class_of_the_batch_are_no_negatives() -> None:
    for batch in _take(30, classes=CLASSES):
        numbers = (batch.rows.flatten() - 1000).int().tolist()
        names = (batch.texts[4:].flatten() - 500).int().tolist()
        assert batch.other_positives is not None
        assert not batch.other_positives[:4].any()
        assert not batch.other_positives[:, :4].any()
        for i, number in enumerate(numbers):
            for j, name in enumerate(names):
                expected = bool(FITS[number, name]) or names[i] == name
                assert bool(batch.other_positives[4 + i, 4 + j]) == expected


def test_the_seed_decides_the_batches() -> None:
    def flat(seed: int) -> list[float]:
        return [float(value) for batch in _take(5, classes=CLASSES, seed=seed) for value in batch.pictures]

    assert flat(1) == flat(1)
    assert flat(1) != flat(2)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 11 from 10 pictures; make it smaller"):
        _take(1, size=11)
