from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from mmsearch.training.losses import MAX_LOGIT_SCALE, clamp_log_scale, info_nce, same_label


def _unit_rows(n: int, dim: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return functional.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=-1)


def _by_hand(images: Tensor, texts: Tensor, scale: float, left_out: set[tuple[int, int]]) -> float:
    n = len(images)
    total = 0.0
    for i in range(n):
        own = scale * float(images[i] @ texts[i])
        among_texts = [scale * float(images[i] @ texts[j]) for j in range(n) if (i, j) not in left_out]
        among_images = [scale * float(images[j] @ texts[i]) for j in range(n) if (j, i) not in left_out]
        for logits in (among_texts, among_images):
            total += math.log(sum(math.exp(logit - own) for logit in logits))
    return total / (2 * n)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 7), dim=st.integers(1, 9), scale=st.floats(1.0, 100.0), seed=st.integers(0, 999))
def test_loss_agrees_with_the_definition_written_out(n: int, dim: int, scale: float, seed: int) -> None:
    images, texts = _unit_rows(n, dim, seed), _unit_rows(n, dim, seed + 1)
    expected = _by_hand(images, texts, scale, set())
    assert info_nce(images, texts, torch.tensor(math.log(scale))).item() == pytest.approx(expected, rel=1e-3, abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(labels=st.lists(st.integers(0, 3), min_size=2, max_size=8), seed=st.integers(0, 999))
def test_other_positives_are_left_out_of_both_directions(labels: list[int], seed: int) -> None:
    n = len(labels)
    images, texts = _unit_rows(n, 5, seed), _unit_rows(n, 5, seed + 1)
    left_out = {(i, j) for i in range(n) for j in range(n) if i != j and labels[i] == labels[j]}
    loss = info_nce(images, texts, torch.tensor(math.log(10.0)), other_positives=same_label(torch.tensor(labels)))
    assert loss.item() == pytest.approx(_by_hand(images, texts, 10.0, left_out), rel=1e-3, abs=1e-4)


def test_other_positives_may_differ_by_direction() -> None:
    images, texts = _unit_rows(3, 4, 0), _unit_rows(3, 4, 1)
    other = torch.zeros(3, 3, dtype=torch.bool)
    other[0, 2] = True
    loss = info_nce(images, texts, torch.tensor(1.0), other_positives=other)
    assert loss.item() == pytest.approx(_by_hand(images, texts, math.e, {(0, 2)}), rel=1e-4)


def test_gradient_is_that_of_the_loss() -> None:
    images, texts = _unit_rows(4, 3, 0, torch.float64), _unit_rows(4, 3, 1, torch.float64)
    log_scale = torch.tensor(1.5, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (images, texts, log_scale)]
    other = same_label(torch.tensor([0, 1, 0, 2]))
    assert torch.autograd.gradcheck(lambda i, t, s: info_nce(i, t, s, other_positives=other), inputs)


def test_loss_of_equal_embeddings_is_the_logarithm_of_the_batch() -> None:
    same = _unit_rows(1, 8, 0).expand(16, 8)
    assert info_nce(same, same, torch.tensor(3.0)).item() == pytest.approx(math.log(16), rel=1e-5)


def test_loss_is_computed_in_float32_under_autocast() -> None:
    images, texts = _unit_rows(32, 16, 0), _unit_rows(32, 16, 1)
    log_scale = torch.tensor(math.log(100.0))
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(images, texts, log_scale)
    assert loss.dtype is torch.float32
    torch.testing.assert_close(loss, info_nce(images, texts, log_scale))


def test_narrow_inputs_are_widened() -> None:
    images, texts = _unit_rows(4, 8, 0).bfloat16(), _unit_rows(4, 8, 1).bfloat16()
    loss = info_nce(images, texts, torch.tensor(2.0))
    torch.testing.assert_close(loss, info_nce(images.float(), texts.float(), torch.tensor(2.0)))


@pytest.mark.parametrize(("n_images", "n_texts"), [(2, 3), (0, 0)])
def test_loss_refuses_what_are_no_pairs(n_images: int, n_texts: int) -> None:
    with pytest.raises(ValueError, match=rf"images are \({n_images}, 4\) and texts \({n_texts}, 4\)"):
        info_nce(torch.zeros(n_images, 4), torch.zeros(n_texts, 4), torch.tensor(1.0))


def test_loss_refuses_a_mask_of_another_size() -> None:
    pairs = _unit_rows(3, 4, 0)
    with pytest.raises(ValueError, match=r"other_positives is \(2, 2\) for 3 pairs"):
        info_nce(pairs, pairs, torch.tensor(1.0), other_positives=torch.zeros(2, 2, dtype=torch.bool))


@pytest.mark.parametrize(("before", "after"), [(-1.0, 0.0), (2.0, 2.0), (9.0, math.log(MAX_LOGIT_SCALE))])
def test_logit_scale_stays_between_1_and_100(before: float, after: float) -> None:
    log_scale = torch.nn.Parameter(torch.tensor(before))
    clamp_log_scale(log_scale)
    assert log_scale.item() == pytest.approx(after)


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, mmsearch.training; print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
