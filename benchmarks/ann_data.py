"""Vectors to measure indexes with, made once and kept outside the repository.

python -m benchmarks.ann_data FOLDER

(a) `mini`, real encoder geometry: 33 views (crops, mirror images, changed colours; the first is the picture itself)
    of each of the 6,091 training pictures of Flickr8k, 201,003 vectors of 384 numbers; the sentences and pictures of
    its dev split as queries, the sentences of its train split to tune with.
(b) drawn from a model of CLIP's geometry: `benchmarks.ann_model` makes the same files.

What is there already is not made again: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import csv
import io
import sys
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.record import SHARED
from mmsearch import load_encoder
from mmsearch.arrays import Embeddings, StoredEmbeddings

VIEWS = 33
_PICTURES_A_PART = 100


def view(picture: Image.Image, number: int, seed: int) -> Image.Image:
    """View 0 is the picture; the others a crop of 30 to 100 % of its area, mirrored or not, in other light."""
    if not number:
        return picture
    chance = np.random.default_rng([seed, number])
    area, shape = chance.uniform(0.3, 1), np.exp(chance.uniform(-0.25, 0.25))
    width, height = (min(1.0, float(np.sqrt(area * factor))) for factor in (shape, 1 / shape))
    left, top = chance.uniform(0, 1 - width), chance.uniform(0, 1 - height)
    box = (left * picture.width, top * picture.height, (left + width) * picture.width, (top + height) * picture.height)
    cropped = picture.resize(picture.size, Image.Resampling.BILINEAR, box=box)
    mirrored = ImageOps.mirror(cropped) if chance.random() < 0.5 else cropped
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        mirrored = enhancer(mirrored).enhance(float(chance.uniform(0.7, 1.3)))
    return mirrored


def make_pictures(folder: Path) -> None:
    """``pictures-<n>.npy``, each ``(100 * VIEWS, 384)`` float16 but for the last."""
    encoder = load_encoder("mini")
    with ThreadPoolExecutor(2) as pool:
        for number, pictures in enumerate(_batches(_pictures("train-*.tar"), _PICTURES_A_PART)):
            target = folder / f"pictures-{number:03}.npy"
            if target.exists():
                continue
            seeds = range(number * _PICTURES_A_PART, number * _PICTURES_A_PART + len(pictures))
            jobs = [(picture, i, seed) for picture, seed in zip(pictures, seeds, strict=True) for i in range(VIEWS)]
            pixels = pool.map(lambda job: encoder.prepare(view(*job)), jobs)
            rows = [encoder.encode_images(np.stack(batch)) for batch in _batches(pixels, 64)]
            save(target, np.concatenate(rows))
            print(f"{target}: {len(jobs):,} vectors", file=sys.stderr)


def make_sentences(folder: Path) -> None:
    """``sentences-dev.npy`` and ``sentences-train.npy``, five rows a picture, in the order of the CSV files."""
    encoder = load_encoder("mini")
    for split in ("dev", "train"):
        target = folder / f"sentences-{split}.npy"
        if not target.exists():
            with (SHARED / f"flickr8k/{split}.csv").open(encoding="utf-8", newline="") as file:
                captions = [row["caption"] for row in csv.DictReader(file)]
            save(target, np.concatenate([encoder.encode_texts(list(part)) for part in _batches(iter(captions), 1000)]))


def make_held_out(folder: Path) -> None:
    """``held-out.npy``, the 1,000 pictures of the dev split, to ask with."""
    target = folder / "held-out.npy"
    if not target.exists():
        encoder = load_encoder("mini")
        pixels = map(encoder.prepare, _pictures("dev-*.tar"))
        save(target, np.concatenate([encoder.encode_images(np.stack(batch)) for batch in _batches(pixels, 64)]))


def load_pictures(folder: Path) -> StoredEmbeddings:
    """``(201003, 384)`` float16, in the order of the archives."""
    return np.concatenate([np.load(file) for file in sorted(folder.glob("pictures-*.npy"))])


def _pictures(archives: str) -> Iterator[Image.Image]:
    for archive in sorted((SHARED / "flickr8k").glob(archives)):
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    content = tar.extractfile(member)
                    assert content is not None
                    yield Image.open(io.BytesIO(content.read())).convert("RGB")


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def save(target: Path, rows: Embeddings) -> None:
    """As float16, under its name only when it is whole."""
    unfinished = target.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.save(file, rows.astype(np.float16))
    unfinished.replace(target)


if __name__ == "__main__":
    made = Path(sys.argv[1])
    made.mkdir(parents=True, exist_ok=True)
    (made / "about.json").write_text('{"name": "mini"}\n', encoding="utf-8")
    make_sentences(made)
    make_held_out(made)
    make_pictures(made)
