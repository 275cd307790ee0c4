from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from mmsearch.encoders import OnnxEncoder
from mmsearch.media import Interpolation, Preprocessing, ResizeMode
from mmsearch.training.heads import Head
from mmsearch.training.minilm import MiniLM
from tests.mmsearch.training.conftest import write_tokenizer

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from mmsearch.training.export import Description, Pictures, Texts, export_folder, quantise

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "cat", "red", "two", "in", "the", "snow"]
TEXTS = ["a dog", "two red cat in the snow", "cat", "the dog in the red snow a cat", "unknown words"]


class Tower(nn.Module):
    """Small, but with a convolution large enough to be stored as float16."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 4, stride=4)
        self.second = nn.Conv2d(32, 24, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.first((pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0).relu()
        features: Tensor = self.second(x).relu().mean((2, 3))
        return features


@pytest.fixture(scope="module")
def modules() -> tuple[Pictures, Texts]:
    torch.manual_seed(0)
    minilm = MiniLM(vocabulary=400, positions=16, width=64, layers=2, heads=4, inner=128, epsilon=1e-12)
    heads = (Head(width, 8, hidden=100, dropout=0.3) for width in (24, 64))
    return Pictures(Tower(), next(heads)).eval(), Texts(minilm, next(heads)).eval()


@pytest.fixture(scope="module")
def folder(modules: tuple[Pictures, Texts], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder")
    write_tokenizer(path / "words.json", WORDS)
    preprocessing = Preprocessing(
        size=16, resize_mode=ResizeMode.SQUASH, interpolation=Interpolation.BICUBIC, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    description = Description(
        name="tiny", dim=8, preprocessing=preprocessing, tokenizer="words/12", context_length=12, logit_scale=20.0
    )
    export_folder(path, description, pictures=modules[0], texts=modules[1], tokenizer=path / "words.json")
    return path


def _ids(folder: Path, texts: list[str]) -> tuple[Tensor, Tensor]:
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(texts)
    return torch.tensor([e.ids for e in encodings]), torch.tensor([e.attention_mask for e in encodings])


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_pictures_keep_their_embeddings(folder: Path, modules: tuple[Pictures, Texts]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = modules[0](torch.from_numpy(pixels)).numpy()
    found = OnnxEncoder(folder).encode_images(pixels)
    assert found.dtype == np.float32
    assert (found * expected).sum(1).min() > 0.9999


@pytest.mark.filterwarnings("ignore")
def test_texts_keep_their_embeddings(folder: Path, modules: tuple[Pictures, Texts]) -> None:
    with torch.no_grad():
        expected = modules[1](*_ids(folder, TEXTS)).numpy()
    found = OnnxEncoder(folder).encode_texts(TEXTS)
    assert (found * expected).sum(1).min() > 0.999


@pytest.mark.filterwarnings("ignore")
def test_a_text_is_the_same_alone_and_in_a_padded_batch(folder: Path) -> None:
    encoder = OnnxEncoder(folder)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), alone, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_large_weights_are_stored_small(folder: Path, modules: tuple[Pictures, Texts]) -> None:
    import onnx

    for file, module, kind, bytes_each in (
        ("image.onnx", modules[0], "FLOAT16", 2),
        ("text.onnx", modules[1], "INT8", 1),
    ):
        weights = list(onnx.load(folder / file).graph.initializer)
        large = [weight for weight in weights if np.prod(weight.dims) >= 4096]
        assert large
        assert {onnx.TensorProto.DataType.Name(weight.data_type) for weight in large} == {kind}
        n_large = sum(int(np.prod(weight.dims)) for weight in large)
        n_all = sum(parameter.numel() for parameter in module.parameters())
        assert (folder / file).stat().st_size < bytes_each * n_large + 4 * (n_all - n_large) + 60_000


@pytest.mark.filterwarnings("ignore")
def test_graphs_do_not_say_where_they_were_made(folder: Path) -> None:
    for file in ("image.onnx", "text.onnx"):
        assert b".py" not in (folder / file).read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_description_carries_the_digest_of_each_file(folder: Path) -> None:
    facts = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    assert facts["logit_scale"] == 20.0
    for name in ("image.onnx", "text.onnx", "tokenizer.json"):
        assert facts["files"][name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert not list(folder.glob("*.tmp"))


@given(
    weight=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-1e3, 1e3, width=32, allow_subnormal=False),
    ),
    axis=st.integers(0, 1),
)
def test_quantised_weights_are_off_by_half_a_step_at_most(weight: npt.NDArray[np.float32], axis: int) -> None:
    steps, scale = quantise(weight, axis=axis)
    assert steps.dtype == np.int8
    assert scale.shape[axis] == 1
    assert (np.abs(steps * scale - weight) <= 0.501 * scale).all()
