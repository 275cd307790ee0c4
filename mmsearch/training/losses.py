"""The contrastive loss that pulls a picture and its captions together."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

MAX_LOGIT_SCALE = 100.0
"""Above this the loss only sharpens noise (as in CLIP)."""


def info_nce(images: Tensor, texts: Tensor, log_scale: Tensor, *, other_positives: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE over a batch of matching pairs.

    Args:
        images: ``(n, dim)`` unit rows.
        texts: ``(n, dim)`` unit rows; row i describes picture i.
        log_scale: natural logarithm of the factor from cosine to logit, a scalar.
        other_positives: ``(n, n)`` bool; true at ``[i, j]`` where text j fits picture i although it is not its own
            (a second caption of the same picture, the same class name). Those count neither as positive nor as
            negative. The diagonal is ignored. None: every other text is a negative.

    Returns:
        A scalar, in float32 also when the inputs are narrower: the mean over both directions and all rows of the
        negative log-probability of the own partner.

    Raises:
        ValueError: the shapes do not fit, or there is no pair.

    Source:
        Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", figure 3.
    """
    if images.ndim != 2 or images.shape != texts.shape or len(images) == 0:
        raise ValueError(
            f"images are {tuple(images.shape)} and texts {tuple(texts.shape)}; give (n, dim) twice, n >= 1"
        )
    n = len(images)
    # bfloat16 logits at scale 100 are off by 0.4, so autocast must not reach them.
    with torch.autocast(device_type=images.device.type, enabled=False):
        exact = torch.promote_types(images.dtype, torch.float32)
        logits = log_scale.to(exact).exp() * (images.to(exact) @ texts.to(exact).T)
        if other_positives is not None:
            if other_positives.shape != (n, n):
                raise ValueError(f"other_positives is {tuple(other_positives.shape)} for {n} pairs")
            own = torch.eye(n, dtype=torch.bool, device=logits.device)
            logits = logits.masked_fill(other_positives & ~own, -math.inf)
        own_column = torch.arange(n, device=logits.device)
        loss = functional.cross_entropy(logits, own_column) + functional.cross_entropy(logits.T, own_column)
    return loss / 2


@torch.no_grad()
def clamp_log_scale(log_scale: Tensor) -> None:
    """Keep the logit scale in ``[1, 100]``; call it after each step of the optimiser."""
    log_scale.clamp_(0.0, math.log(MAX_LOGIT_SCALE))


def same_label(labels: Tensor) -> Tensor:
    """``(n,)`` integer labels -> ``(n, n)`` bool, true where two rows carry the same one."""
    return labels[:, None] == labels[None, :]
