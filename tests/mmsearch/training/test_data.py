from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.errors import MediaError
from mmsearch.media import Interpolation, Preprocessing, ResizeMode
from mmsearch.training.data import read_tars
from mmsearch.training.views import view

SMALL = Preprocessing(
    size=8, resize_mode=ResizeMode.SQUASH, interpolation=Interpolation.BICUBIC, mean=(0.5,) * 3, std=(0.5,) * 3
)
FLICKR8K = Path(__file__).parents[4] / "shared" / "data" / "flickr8k"


def _jpeg(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), colour).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_pictures_meet_their_captions_across_tars(tmp_path: Path) -> None:
    first = _tar(tmp_path / "0.tar", {"b.jpg": _jpeg((250, 0, 0)), "b.txt": b"red\n\n a wall \n"})
    second = _tar(tmp_path / "1.tar", {"a.txt": b"blue", "a.jpg": _jpeg((0, 0, 250)), "alone.jpg": _jpeg((9, 9, 9))})
    captioned = read_tars([first, second], SMALL)
    assert captioned.keys == ["b", "a"]
    assert captioned.captions == [["red", "a wall"], ["blue"]]
    assert captioned.texts == ["red", "a wall", "blue"]
    assert captioned.pixels.shape == (2, 8, 8, 3)
    assert captioned.pixels[0, 0, 0].argmax() == 0
    assert captioned.pixels[1, 0, 0].argmax() == 2


def test_tars_without_a_captioned_picture_are_named(tmp_path: Path) -> None:
    tar = _tar(tmp_path / "empty.tar", {"a.jpg": _jpeg((1, 2, 3))})
    with pytest.raises(MediaError, match=r"no captioned picture in .*empty\.tar; a tar holds KEY\.jpg beside KEY\.txt"):
        read_tars([tar], SMALL)


def test_training_and_held_out_pictures_are_different() -> None:
    if not FLICKR8K.is_dir():
        pytest.skip(f"{FLICKR8K} is absent")
    keys = {}
    for split in ("train", "dev"):
        lines = (FLICKR8K / f"{split}.csv").read_text(encoding="utf-8").splitlines()[1:]
        keys[split] = {line.split(",", 1)[0] for line in lines}
    assert len(keys["train"]) == 6091
    assert len(keys["dev"]) == 1000
    assert not keys["train"] & keys["dev"]


def test_views_are_the_picture_its_mirror_image_and_crops() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    assert view(pixels, 0, rng) is pixels
    mirrored = view(pixels, 1, rng)
    assert np.array_equal(mirrored[:, 0], pixels[:, -1])
    crop = view(pixels, 2, rng)
    assert crop.shape == pixels.shape
    assert crop.dtype == np.uint8
    assert not np.array_equal(crop, view(pixels, 2, rng))
    assert np.array_equal(view(pixels, 2, np.random.default_rng(1)), crop)
