from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mmsearch.encoders import OnnxEncoder, load_encoder
from mmsearch.errors import EncoderError

MINI = Path(__file__).parents[3] / "mmsearch/encoders/mini"


@pytest.fixture(scope="module")
def mini() -> OnnxEncoder:
    return OnnxEncoder(MINI)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MINI, tmp_path / "encoder"))


def random_pixels(n: int, size: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, size=(n, size, size, 3), dtype=np.uint8)


def test_both_towers_give_unit_rows_of_the_stated_width(mini: OnnxEncoder) -> None:
    images = mini.encode_images(random_pixels(3, mini.space.preprocessing.size))
    texts = mini.encode_texts(["a cat", "two dogs in the snow", "red"])
    for embeddings in (images, texts):
        assert embeddings.shape == (3, mini.space.dim)
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-4)


def test_a_batch_gives_what_its_members_give_alone(mini: OnnxEncoder) -> None:
    pixels = random_pixels(40, mini.space.preprocessing.size)
    alone = np.concatenate([mini.encode_images(pixels[i : i + 1]) for i in range(40)])
    assert (np.sum(alone * mini.encode_images(pixels), axis=1) > 0.9999).all()
    texts = ["cat", "a very long sentence about a dog that runs over a green field with a ball", "sea"] * 30
    alone = np.concatenate([mini.encode_texts([text]) for text in texts[:3]] * 30)
    assert (np.sum(alone * mini.encode_texts(texts), axis=1) > 0.999).all()


def test_nothing_gives_an_empty_matrix(mini: OnnxEncoder) -> None:
    size = mini.space.preprocessing.size
    assert mini.encode_texts([]).shape == (0, mini.space.dim)
    assert mini.encode_images(np.empty((0, size, size, 3), np.uint8)).shape == (0, mini.space.dim)


def test_words_and_pictures_meet(mini: OnnxEncoder) -> None:
    skimage = pytest.importorskip("skimage")
    data = Path(skimage.__file__).parent / "data"
    names = ["chelsea.png", "coffee.png", "motorcycle_left.png", "brick.png"]
    words = ["a cat", "a cup of coffee", "a motorcycle", "a brick wall"]
    pictures = np.stack([mini.prepare(Image.open(data / name).convert("RGB")) for name in names])
    scores = mini.encode_texts(words) @ mini.encode_images(pictures).T
    assert (scores.argmax(axis=1) == np.arange(4)).all()


def test_pixels_of_another_size_are_refused(mini: OnnxEncoder) -> None:
    with pytest.raises(ValueError, match=r"give uint8 \(n, \d+, \d+, 3\)"):
        mini.encode_images(np.zeros((1, 10, 10, 3), np.uint8))


def test_a_text_longer_than_the_context_is_cut_and_said(mini: OnnxEncoder, caplog: pytest.LogCaptureFixture) -> None:
    assert np.isfinite(mini.encode_texts(["word " * 10_000, "short"])).all()
    assert "1 of 2 texts end after" in caplog.text


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "tokenizer.json"])
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    encoder = load_encoder(str(copy))
    size = encoder.space.preprocessing.size
    with pytest.raises(EncoderError, match=f"{name} is not the file that encoder.json describes"):
        _ = encoder.encode_images(np.zeros((1, size, size, 3), np.uint8)), encoder.encode_texts(["a cat"])


def test_a_folder_without_description_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="is no encoder folder: FileNotFoundError"):
        OnnxEncoder(tmp_path)


def test_a_newer_format_is_refused(copy: Path) -> None:
    facts = json.loads((copy / "encoder.json").read_text())
    (copy / "encoder.json").write_text(json.dumps({**facts, "format_version": 2}))
    with pytest.raises(EncoderError, match="has format 2, and this mmsearch reads up to 1"):
        OnnxEncoder(copy)


def test_the_fingerprint_is_that_of_the_weights_not_of_the_place(mini: OnnxEncoder, copy: Path) -> None:
    assert OnnxEncoder(copy).space.fingerprint == mini.space.fingerprint
    facts = json.loads((copy / "encoder.json").read_text())
    facts["files"]["text.onnx"] = "0" * 64
    (copy / "encoder.json").write_text(json.dumps(facts))
    assert OnnxEncoder(copy).space.fingerprint != mini.space.fingerprint


def test_searching_with_mini_loads_no_torch() -> None:
    code = (
        "import sys, mmsearch; mmsearch.load_encoder('mini').encode_texts(['a cat']);"
        "print(sorted({'torch', 'open_clip', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_written_home(tmp_path: Path) -> None:
    """ONNX Runtime's wheels keep usage data under the home folder, and send it, unless told not to."""
    code = "import mmsearch; mmsearch.load_encoder('mini').encode_texts(['a cat'])"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    subprocess.run([sys.executable, "-c", code], check=True, env={**environment, "HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_importing_mmsearch_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'faiss', 'onnxruntime', 'open_clip', 'tokenizers', 'torchvision', 'rich', 'typer'}"
    code = f"import sys, mmsearch; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
