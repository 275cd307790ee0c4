"""The training loop: batches of matching pairs, InfoNCE, AdamW."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmsearch.training.losses import clamp_log_scale, info_nce

logger = logging.getLogger(__name__)

_REPORT_EVERY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Matching pairs: first the pictures, then pairs whose picture side is a feature row already."""

    pictures: Tensor
    """``(n, ...)``, whatever the picture tower takes."""
    rows: Tensor
    """``(m, features)``; m may be 0."""
    texts: Tensor
    """``(n + m, width)``, whatever the text head takes."""
    other_positives: Tensor | None = None
    """``(n + m, n + m)`` bool, see ``info_nce``."""


class TwoTowers(nn.Module):
    """What is trained: the upper part of the picture tower, both heads, and the logit scale."""

    def __init__(self, tower: nn.Module, picture_head: nn.Module, text_head: nn.Module, *, logit_scale: float) -> None:
        super().__init__()
        self.tower, self.picture_head, self.text_head = tower, picture_head, text_head
        self.log_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings of both sides, ``(n + m, dim)`` each."""
        features = torch.cat([self.tower(batch.pictures), batch.rows])
        return self.picture_head(features), self.text_head(batch.texts)


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that share a peak learning rate."""

    parameters: Sequence[nn.Parameter]
    peak_rate: float


def fit(
    model: TwoTowers, batches: Iterable[Batch], groups: Sequence[Group], *, steps: int, weight_decay: float
) -> list[float]:
    """Train in place for ``steps`` batches: rates rise for a tenth of them, then fall along a cosine.

    The caller decides by ``train()`` and ``eval()`` which modules drop out and which normalisation is frozen.

    Returns:
        The loss of each step.

    Raises:
        ValueError: there are fewer batches than steps.
        FloatingPointError: the loss is no longer a number.
    """
    optimiser = torch.optim.AdamW(
        [{"params": list(group.parameters), "lr": group.peak_rate} for group in groups], weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group.peak_rate for group in groups], total_steps=steps, pct_start=0.1
    )
    losses: list[float] = []
    for step, batch in zip(range(steps), batches, strict=False):
        images, texts = model(batch)
        loss = info_nce(images, texts, model.log_scale, other_positives=batch.other_positives)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}; lower the learning rates")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        clamp_log_scale(model.log_scale)
        losses.append(loss.item())
        if (step + 1) % _REPORT_EVERY == 0:
            logger.info("step %d of %d: loss %.3f", step + 1, steps, sum(losses[-_REPORT_EVERY:]) / _REPORT_EVERY)
    if len(losses) < steps:
        raise ValueError(f"{len(losses)} batches for {steps} steps")
    return losses
