"""From where on are two pictures the same picture?

Data: 300 photographs of Flickr8k's dev split (224 pixels) and 13 of scikit-image (300 to 1,411 pixels), each changed
in sixteen ways (smaller, stored again, cropped, brighter, marked, mirrored ...); as different pictures all 7,091
photographs of Flickr8k, 25 million pairs. Two rules are compared: the
cosine of vectors alone, and a lower cosine together with the correlation of 16 x 16 grey values. Reported for each
threshold: the share of changed pictures that are found, the pairs of different pictures that are called copies, and
how many pictures have a neighbour that near, whose files the second rule reads. The same share is given for CLIP
ViT-B/32's vectors of 2,140 of the photographs, a space in which all pictures lie much closer together.

Flickr8k holds a few real copies and pictures of one moment; `different_called_copies` counts them as mistakes, and
`most_alike` names the pairs so that they can be looked at.

    python -m benchmarks.copies
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from benchmarks.data import lay_out
from benchmarks.record import SHARED, write_record
from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder, load_encoder
from mmsearch.search.looks import SAME_LOOK, Looks, look_of
from mmsearch.search.variety import COPY, NEAR

PICTURES = 7091
CHANGED = 300
NEARS = (0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
LOOKS = (0.8, 0.85, 0.9, 0.95)
PHOTOGRAPHS = (
    "astronaut.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
_BATCH = 32

Change = Callable[[Image.Image], Image.Image]


def stored_again(picture: Image.Image, quality: int) -> Image.Image:
    """Through JPEG and back."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cropped(picture: Image.Image, share: float) -> Image.Image:
    """Without so much of its width and height, the middle kept."""
    x, y = round(picture.width * share / 2), round(picture.height * share / 2)
    return picture.crop((x, y, picture.width - x, picture.height - y))


def marked(picture: Image.Image) -> Image.Image:
    """With a small line of white text in the lower right corner."""
    copy = picture.copy()
    ImageDraw.Draw(copy).text((0.6 * copy.width, 0.92 * copy.height), "(c) 2019 J. Doe", fill="white")
    return copy


CHANGES: dict[str, Change] = {
    "half the size": lambda p: p.resize((p.width // 2, p.height // 2), Image.Resampling.LANCZOS),
    "quarter of the size": lambda p: p.resize((p.width // 4, p.height // 4), Image.Resampling.LANCZOS),
    "jpeg 60": lambda p: stored_again(p, 60),
    "jpeg 20": lambda p: stored_again(p, 20),
    "crop 5 %": lambda p: cropped(p, 0.05),
    "crop 10 %": lambda p: cropped(p, 0.10),
    "crop 20 %": lambda p: cropped(p, 0.20),
    "brightness 1.2": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    "contrast 1.3": lambda p: ImageEnhance.Contrast(p).enhance(1.3),
    "watermark": marked,
    "grey": lambda p: p.convert("L").convert("RGB"),
    "white border 5 %": lambda p: ImageOps.expand(p, round(p.width * 0.05), "white"),
    "turned by 2 degrees": lambda p: cropped(p.rotate(2, Image.Resampling.BICUBIC), 0.06),
    "mirrored": ImageOps.mirror,
    "half size, crop 5 %, jpeg 60": lambda p: stored_again(
        cropped(p, 0.05).resize((p.width // 2, p.height // 2), Image.Resampling.LANCZOS), 60
    ),
    "turned by 90 degrees": lambda p: p.transpose(Image.Transpose.ROTATE_90),
}


def embedded(pictures: Iterable[Image.Image], encoder: DualEncoder) -> tuple[Embeddings, Looks]:
    """Vectors and looks of pictures, in order."""
    vectors, looks, batch = [], [], []
    for picture in pictures:
        looks.append(look_of(picture))
        batch.append(encoder.prepare(picture))
        if len(batch) == _BATCH:
            vectors.append(encoder.encode_images(np.stack(batch)))
            batch.clear()
    if batch:
        vectors.append(encoder.encode_images(np.stack(batch)))
    return np.concatenate(vectors), np.stack(looks)


def found(pictures: Sequence[Image.Image], encoder: DualEncoder) -> dict[str, Any]:
    """For each change, the share of changed pictures that each rule calls copies of the original."""
    vectors, looks = embedded(pictures, encoder)
    changes = {}
    for name, change in CHANGES.items():
        changed, changed_looks = embedded(map(change, pictures), encoder)
        cosines, likeness = (vectors * changed).sum(axis=1), (looks * changed_looks).sum(axis=1)
        changes[name] = {
            "cosine_1_5_50_percent": _quantiles(cosines, (0.01, 0.05, 0.5)),
            "look_1_5_50_percent": _quantiles(likeness, (0.01, 0.05, 0.5)),
            "found_by_cosine": {str(near): _share(cosines >= near) for near in NEARS},
            "found_by_cosine_and_look": {
                str(near): _share((cosines >= near) & (likeness >= SAME_LOOK)) for near in NEARS
            },
        }
    return {"pictures": len(pictures), "changes": changes}


def mistaken(vectors: Embeddings, looks: Looks, keys: Sequence[str]) -> dict[str, Any]:
    """Pairs of different pictures that each rule calls copies."""
    cosines, likeness = vectors @ vectors.T, looks @ looks.T
    pairs = np.triu(np.ones(cosines.shape, bool), 1)
    near_ones = np.argwhere(pairs & (cosines >= NEAR) & (likeness >= LOOKS[0]))
    order = np.argsort([-likeness[a, b] for a, b in near_ones])[:12]
    np.fill_diagonal(cosines, -1)
    nearest = cosines.max(axis=1)
    return {
        "pictures": len(vectors),
        "pairs": int(pairs.sum()),
        "different_called_copies_by_cosine": {str(near): int((pairs & (cosines >= near)).sum()) for near in NEARS},
        "different_called_copies_by_cosine_and_look": {
            str(near): {str(look): int((pairs & (cosines >= near) & (likeness >= look)).sum()) for look in LOOKS}
            for near in NEARS
        },
        "share_with_near_neighbour": {str(near): _share(nearest >= near) for near in NEARS},
        "most_alike": [
            [keys[a], keys[b], round(float(cosines[a, b]), 3), round(float(likeness[a, b]), 3)]
            for a, b in near_ones[order]
        ],
    }


def near_in_clip() -> dict[str, float]:
    """The share of pictures that have a neighbour that near in CLIP's space."""
    stored = np.load(SHARED / "clip-vit-b32/flickr8k-images.npz")["image_embeddings"].astype(np.float32)
    vectors = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return {str(near): _share(cosines.max(axis=1) >= near) for near in NEARS}


def large_photographs() -> list[Image.Image]:
    """Those that come with scikit-image."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS]


def measure(encoder: DualEncoder, pictures: int, changed: int) -> dict[str, Any]:
    """Both sides: copies that are found, and different pictures that are mistaken for copies."""
    with tempfile.TemporaryDirectory() as scratch:
        lay_out(Path(scratch) / "dev", changed)
        dev = [Image.open(file).convert("RGB") for file in sorted(Path(scratch, "dev").iterdir())]
        lay_out(Path(scratch) / "all", pictures)
        files = sorted(Path(scratch, "all").iterdir())
        vectors, looks = embedded((Image.open(file).convert("RGB") for file in files), encoder)
        return {
            "encoder": encoder.space.encoder,
            "near": NEAR,
            "copy": COPY,
            "same_look": SAME_LOOK,
            "flickr8k": found(dev, encoder),
            "scikit_image": found(large_photographs(), encoder),
            "different": mistaken(vectors, looks, [file.stem for file in files]),
            "share_with_near_neighbour_in_clip_vit_b32": near_in_clip(),
        }


def _share(which: npt.NDArray[np.bool_]) -> float:
    return round(float(which.mean()), 4)


def _quantiles(values: npt.NDArray[np.float32], shares: Sequence[float]) -> list[float]:
    return [round(float(value), 3) for value in np.quantile(values, shares)]


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--changed", type=int, default=CHANGED)
    args = parser.parse_args()
    write_record("copies", measure(load_encoder(args.encoder), args.pictures, args.changed))


if __name__ == "__main__":
    main()
