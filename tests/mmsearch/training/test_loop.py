from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmsearch.training.heads import Head
from mmsearch.training.loop import Batch, Group, TwoTowers, fit

CONCEPTS, PICTURES, WORDS = 12, 24, 20


class World:
    """Things of twelve features, seen through one random map as pictures and through another as texts."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._to_picture = torch.randn(CONCEPTS, PICTURES, generator=generator)
        self._to_text = torch.randn(CONCEPTS, WORDS, generator=generator)

    def sides(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        things = torch.randn(n, CONCEPTS, generator=torch.Generator().manual_seed(seed))
        return (things @ self._to_picture).tanh(), (things @ self._to_text).tanh()

    def batches(self, n: int, *, as_rows: bool = False) -> Iterator[Batch]:
        seed = 1
        while True:
            pictures, texts = self.sides(n, seed)
            split = 0 if as_rows else n
            yield Batch(pictures=pictures[:split], rows=pictures[split:], texts=texts)
            seed += 1


def _model() -> TwoTowers:
    torch.manual_seed(0)
    heads = (Head(width, 16, hidden=32, dropout=0.0) for width in (PICTURES, WORDS))
    return TwoTowers(nn.Identity(), *heads, logit_scale=10.0)


def _hit_rate_at_1(model: TwoTowers, world: World) -> float:
    pictures, texts = world.sides(200, seed=0)
    with torch.no_grad():
        images, words = model.eval()(Batch(pictures=pictures, rows=torch.empty(0, PICTURES), texts=texts))
    return float(((words @ images.T).argmax(1) == torch.arange(200)).float().mean())


@pytest.mark.parametrize("as_rows", [False, True], ids=["pictures", "rows"])
def test_training_finds_the_picture_of_a_text_it_never_saw(as_rows: bool) -> None:
    model, world = _model(), World()
    before = _hit_rate_at_1(model, world)
    model.train()
    group = Group(list(model.parameters()), 5e-3)
    losses = fit(model, world.batches(64, as_rows=as_rows), [group], steps=150, weight_decay=0.01)
    assert before < 0.05
    assert np.mean(losses[-10:]) < 0.2 * losses[0]
    assert _hit_rate_at_1(model, world) > 0.7


def test_training_again_gives_the_same_losses() -> None:
    world = World()
    runs = []
    for _ in range(2):
        model = _model()
        runs.append(fit(model, world.batches(8), [Group(list(model.parameters()), 1e-3)], steps=5, weight_decay=0.0))
    assert runs[0] == runs[1]


def test_only_the_groups_are_trained() -> None:
    model, world = _model(), World()
    text_head = [parameter.clone() for parameter in model.text_head.parameters()]
    picture_head = [parameter.clone() for parameter in model.picture_head.parameters()]
    fit(model, world.batches(8), [Group(list(model.picture_head.parameters()), 1e-3)], steps=3, weight_decay=0.0)
    assert all(torch.equal(*pair) for pair in zip(text_head, model.text_head.parameters(), strict=True))
    assert not any(torch.equal(*pair) for pair in zip(picture_head, model.picture_head.parameters(), strict=True))


def test_too_few_batches_are_named() -> None:
    model, world = _model(), World()
    few = [next(world.batches(8))] * 2
    with pytest.raises(ValueError, match="2 batches for 3 steps"):
        fit(model, few, [Group(list(model.parameters()), 1e-3)], steps=3, weight_decay=0.0)


def test_a_loss_that_is_no_number_stops_the_training() -> None:
    model = _model()
    broken = Batch(
        pictures=torch.full((2, PICTURES), torch.nan), rows=torch.empty(0, PICTURES), texts=torch.ones(2, WORDS)
    )
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0; lower the learning rates"):
        fit(model, [broken], [Group(list(model.parameters()), 1e-3)], steps=2, weight_decay=0.0)
