"""The encoder that is bundled keeps what its card promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch.encoders import DualEncoder, load_encoder
from mmsearch.evaluation import evaluate_embeddings
from mmsearch.training.data import Captioned, read_tars

pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "mmsearch" / "encoders" / "mini"
FLICKR8K = ROOT.parent / "shared" / "data" / "flickr8k"


@pytest.fixture(scope="module")
def mini() -> DualEncoder:
    return load_encoder("mini", device="cpu")


@pytest.fixture(scope="module")
def held_out(mini: DualEncoder) -> Captioned:
    if not FLICKR8K.is_dir():
        pytest.skip(f"{FLICKR8K} is absent")
    return read_tars(sorted(FLICKR8K.glob("dev-*.tar")), mini.space.preprocessing)


def _rates(mini: DualEncoder, captioned: Captioned, n: int, texts_each: int) -> dict[str, Any]:
    texts = [text for own in captioned.captions[:n] for text in own[:texts_each]]
    images, words = mini.encode_images(captioned.pixels[:n]), mini.encode_texts(texts)
    of_picture = np.repeat(np.arange(n), texts_each)
    t2i = evaluate_embeddings(words, images, [[row] for row in of_picture])
    i2t = evaluate_embeddings(images, words, [np.flatnonzero(of_picture == row) for row in range(n)])
    return {"t2i": t2i.to_json(), "i2t": i2t.to_json()}


def test_bundled_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 45e6


def test_bundled_encoder_finds_the_picture_of_a_caption(mini: DualEncoder, held_out: Captioned) -> None:
    rates = _rates(mini, held_out, n=100, texts_each=1)
    assert rates["t2i"]["hit_rate@1"] > 0.5
    assert rates["t2i"]["hit_rate@10"] > 0.9
    assert rates["i2t"]["hit_rate@10"] > 0.9


@pytest.mark.slow
def test_bundled_encoder_keeps_the_recall_of_its_card(mini: DualEncoder, held_out: Captioned) -> None:
    rates = _rates(mini, held_out, n=1000, texts_each=5)
    assert rates["t2i"]["hit_rate@1"] > 0.22
    assert rates["t2i"]["hit_rate@10"] > 0.66
    assert rates["i2t"]["hit_rate@10"] > 0.70


@pytest.mark.parametrize(
    ("query", "expected"),
    [("a cat", "chelsea.png"), ("a cup of coffee", "coffee.png"), ("a brick wall", "brick.png")],
)
def test_bundled_encoder_knows_things_that_no_caption_taught(mini: DualEncoder, query: str, expected: str) -> None:
    data = pytest.importorskip("skimage.data")
    folder = Path(data.__file__).parent
    names = ["chelsea.png", "coffee.png", "brick.png", "rocket.jpg", "astronaut.png", "grass.png", "moon.png"]
    pixels = np.stack([mini.prepare(Image.open(folder / name).convert("RGB")) for name in names])
    scores = mini.encode_texts([query])[0] @ mini.encode_images(pixels).T
    assert names[int(scores.argmax())] == expected


def test_bundled_encoder_gives_a_text_the_same_vector_in_any_batch(mini: DualEncoder) -> None:
    texts = ["a dog", "two children play in the snow near a red house", "x " * 100]
    alone = np.concatenate([mini.encode_texts([text]) for text in texts])
    assert (mini.encode_texts(texts) * alone).sum(1).min() > 0.9999
