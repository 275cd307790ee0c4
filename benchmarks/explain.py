"""Do heat maps point at what a query is about? Asked where its place is known.

The pointing game: is the warmest spot of the map inside the box of what the query names? Chance is the box's share of
the picture; always guessing the picture's middle is the other thing to beat.

pasted: a cut-out (tuxpaint's stamps, or a photograph of scikit-image's as a rectangle) is put at a random place on a
    photograph of Flickr8k's dev split that does not mention it; the query is the cut-out's title. Only those that the
    encoder sees count: the score rises by .05 or more when the cut-out is put on. How many do is told.
collages: four dev photographs in a square; the query is a caption of one, and the box is its quarter.
squares: two coloured squares on noise, open_clip transformers of three and of eight layers that are trained on such
    pictures in a minute or two, and the query "a red square": Grad-ECLIP beside occlusion, which is its oracle.

`share` is the share of the positive heat that lies in the box. Costs are counted in pictures encoded.

    python -m benchmarks.explain mini
    python -m benchmarks.explain squares
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

import mmsearch
from benchmarks.record import SHARED, write_record
from mmsearch.arrays import Pixels
from mmsearch.encoders import DualEncoder, Heat, HeatMaps, OpenClipEncoder, heat_maps
from mmsearch.encoders.heat import occlusion

STAMPS = Path("/usr/share/tuxpaint/stamps")
"""Of Debian's package tuxpaint-stamps-default."""
PHOTOGRAPHS = {"chelsea.png": "a cat", "coffee.png": "a cup of coffee", "astronaut.png": "an astronaut",
               "rocket.jpg": "a rocket launch"}  # fmt: skip
SIDE = 224
SEEN = 0.05
COLOURS = {"red": (220, 30, 30), "green": (30, 190, 50), "blue": (40, 60, 230), "yellow": (235, 220, 40),
           "purple": (150, 40, 190), "white": (250, 250, 250)}  # fmt: skip
TINY: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
LAYERS = (3, 8)

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A query, a square picture, and the box where what it names lies."""

    query: str
    picture: Image.Image
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """Something that can be put on a photograph: RGBA, cropped to what is not transparent."""

    title: str
    picture: Image.Image


def points_inside(heat: Heat, box: Box, side: int) -> bool:
    """Whether the warmest cell's middle lies in the box, in a square picture of so many pixels a side."""
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    x, y = (float(column) + 0.5) * side / heat.shape[1], (float(row) + 0.5) * side / heat.shape[0]
    left, top, right, bottom = box
    return heat.max() > 0 and left <= x < right and top <= y < bottom


def share_inside(heat: Heat, box: Box, side: int) -> float:
    """Share of the positive heat in the box, cells counted by their part in it; 0 where nothing is warm."""
    left, top, right, bottom = (edge / side for edge in box)
    warm = np.maximum(heat, 0)
    part = np.outer(_overlap(heat.shape[0], top, bottom), _overlap(heat.shape[1], left, right))
    return float((warm * part).sum() / total) if (total := warm.sum()) else 0.0


def _overlap(cells: int, start: float, end: float) -> Any:
    """How much of each of so many cells lies between two places of the unit line: 0 to 1."""
    edges = np.arange(cells + 1) / cells
    return (np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)).clip(0) * cells


def cut_outs() -> list[CutOut]:
    """Stamps with transparency and a title of at most three words, one a title, and scikit-image's photographs."""
    found: dict[str, CutOut] = {}
    for text in sorted(STAMPS.rglob("*.txt")):
        title = text.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip().rstrip(".!").lower()
        file = text.with_suffix(".png")
        if title in found or not 1 <= len(title.split()) <= 3 or not file.exists():
            continue
        picture = Image.open(file).convert("RGBA")
        alpha = np.asarray(picture.getchannel("A")) > 127
        box = picture.getchannel("A").point(lambda a: 255 * (a > 127)).getbbox()
        if box and alpha.mean() < 0.9:
            found[title] = CutOut(title, picture.crop(box))
    folder = Path(skimage.data.__file__).parent
    photographs = [CutOut(title, Image.open(folder / file).convert("RGBA")) for file, title in PHOTOGRAPHS.items()]
    return list(found.values())[1::2] + photographs  # every other stamp served to choose the squares' sizes


def dev_photographs() -> Iterator[tuple[Image.Image, list[str]]]:
    """The dev split's photographs with their captions, lower case."""
    with tarfile.open(SHARED / "flickr8k/dev-000.tar") as tar:
        data: dict[str, bytes] = {}
        for member in tar:
            file = tar.extractfile(member)
            data[member.name] = file.read() if file else b""
    for name in sorted(name for name in data if name.endswith(".jpg")):
        captions = data[name.removesuffix(".jpg") + ".txt"].decode().lower().splitlines()
        yield Image.open(io.BytesIO(data[name])).convert("RGB").resize((SIDE, SIDE)), captions


def pasted(cut_out: CutOut, scene: Image.Image, rng: random.Random) -> Case:
    """Put a cut-out, 64 to 104 pixels long, at a random place."""
    scale = rng.randint(64, 104) / max(cut_out.picture.size)
    width, height = (max(1, round(side * scale)) for side in cut_out.picture.size)
    left, top = rng.randint(0, SIDE - width), rng.randint(0, SIDE - height)
    small = cut_out.picture.resize((width, height), Image.Resampling.LANCZOS)
    picture = scene.copy()
    picture.paste(small, (left, top), small)
    return Case(cut_out.title, picture, (left, top, left + width, top + height))


def collage(photographs: Sequence[tuple[Image.Image, list[str]]], rng: random.Random) -> Case:
    """Four photographs in a square; a caption of one is the query."""
    half, asked = SIDE // 2, rng.randrange(4)
    picture = Image.new("RGB", (SIDE, SIDE))
    for place, (photograph, _) in enumerate(photographs):
        small = photograph.resize((half, half), Image.Resampling.BICUBIC)
        picture.paste(small, (half * (place % 2), half * (place // 2)))
    left, top = half * (asked % 2), half * (asked // 2)
    return Case(rng.choice(photographs[asked][1]), picture, (left, top, left + half, top + half))


def pasted_cases(encoder: DualEncoder, wanted: int, rng: random.Random) -> tuple[list[Case], dict[str, int]]:
    """So many cases that the encoder sees, and how many were tried."""
    things, photographs = cut_outs(), list(dev_photographs())
    rng.shuffle(things)
    rng.shuffle(photographs)
    seen, tried = list[Case](), 0
    for thing, (scene, captions) in zip(things, photographs, strict=False):
        if thing.title.split()[-1] in " ".join(captions):
            continue
        case = pasted(thing, scene, rng)
        without, with_it = encoder.encode_images(np.stack([encoder.prepare(p) for p in (scene, case.picture)]))
        tried += 1
        if float((with_it - without) @ encoder.encode_texts([case.query])[0]) >= SEEN:
            seen.append(case)
        if len(seen) == wanted:
            break
    return seen, {"tried": tried, "seen": len(seen)}


def play(encoder: DualEncoder, cases: Sequence[Case], explain: Any = heat_maps) -> dict[str, Any]:
    """The game over some cases."""
    side = cases[0].picture.width
    found: list[HeatMaps] = [
        explain(encoder, encoder.prepare(case.picture), encoder.encode_texts([case.query])) for case in cases
    ]
    hits = [points_inside(maps.maps[0], case.box, side) for maps, case in zip(found, cases, strict=True)]
    boxes = [case.box for case in cases]
    rate = statistics.mean(hits)
    return {
        "method": found[0].method.value,
        "cases": len(cases),
        "hit_rate": round(rate, 3),
        "interval_95": [round(edge, 3) for edge in wilson(sum(hits), len(hits))],
        "chance": round(statistics.mean((r - x) * (b - y) / side**2 for x, y, r, b in boxes), 3),
        "middle": round(statistics.mean(x <= side / 2 < r and y <= side / 2 < b for x, y, r, b in boxes), 3),
        "share": round(
            statistics.mean(share_inside(m.maps[0], case.box, side) for m, case in zip(found, cases, strict=True)), 3
        ),
        "pictures_encoded_each": found[0].encoded,
        "missed": [case.query for case, hit in zip(cases, hits, strict=True) if not hit],
    }


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def squares_picture(rng: np.random.Generator) -> tuple[Pixels, dict[str, Box]]:
    """64 pixels a side: two squares of 12 to 20 pixels, of two colours, on noise; they do not overlap."""
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    boxes: dict[str, Box] = {}
    for colour in rng.choice(list(COLOURS), 2, replace=False):
        while True:
            side = int(rng.integers(12, 21))
            left, top = (int(place) for place in rng.integers(0, 64 - side + 1, 2))
            box = (left, top, left + side, top + side)
            if all(
                right <= left or box[2] <= x or bottom <= top or box[3] <= y for x, y, right, bottom in boxes.values()
            ):
                break
        picture[top : box[3], left : box[2]] = COLOURS[str(colour)]
        boxes[str(colour)] = box
    return picture, boxes


def train_tiny(folder: Path, *, layers: int, steps: int = 400, seed: int = 0, batch: int = 32) -> OpenClipEncoder:
    """Train an open_clip model on pictures of squares, write it as ``local-dir:`` and load it as any other.

    The loss is the cross-entropy of a picture's similarities to six sentences, one a colour, with its two colours.
    """
    import open_clip
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    config = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "layers": layers}}
    model = open_clip.CLIP(**config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    sentences = open_clip.SimpleTokenizer(context_length=8)([f"a {colour} square" for colour in COLOURS])
    names = list(COLOURS)
    for _ in range(steps):
        made = [squares_picture(rng) for _ in range(batch)]
        target = torch.zeros(batch, len(names))
        for row, (_, boxes) in enumerate(made):
            target[row, [names.index(colour) for colour in boxes]] = 0.5
        pixels = torch.from_numpy(np.stack([picture for picture, _ in made])).permute(0, 3, 1, 2) / 127.5 - 1
        pictures, texts = model.encode_image(pixels, normalize=True), model.encode_text(sentences, normalize=True)
        loss = torch.nn.functional.cross_entropy(model.logit_scale.exp() * pictures @ texts.T, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    description = {
        "model_cfg": config,
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(description), encoding="utf-8")
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return OpenClipEncoder.load(f"local-dir:{folder}", device="cpu")


def squares_cases(n: int, seed: int) -> list[Case]:
    """One query a picture."""
    rng = np.random.default_rng(seed)
    made = (squares_picture(rng) for _ in range(n))
    return [
        Case(f"a {colour} square", Image.fromarray(picture), boxes[colour])
        for picture, boxes in made
        for colour in [min(boxes)]
    ]


def compare_on_squares(encoder: OpenClipEncoder, cases: Sequence[Case]) -> dict[str, Any]:
    """Grad-ECLIP and its oracle on the same pictures."""
    recomputed, agreement = [], []
    for case in cases:
        pixels, text = encoder.prepare(case.picture), encoder.encode_texts([case.query])
        fast, slow = heat_maps(encoder, pixels, text), occlusion(encoder, pixels, text)
        recomputed.append(float(np.abs(fast.embedding - encoder.encode_images(pixels[np.newaxis])[0]).max()))
        cells = slow.maps[0].shape[0] // fast.maps[0].shape[0]
        coarse = slow.maps[0].reshape(fast.maps[0].shape[0], cells, -1, cells).mean(axis=(1, 3))
        agreement.append(float(np.corrcoef(fast.maps[0].ravel(), coarse.ravel())[0, 1]))
    return {
        "grad_eclip": play(encoder, cases),
        "occlusion": play(encoder, cases, occlusion),
        "largest_difference_of_recomputed_embedding": max(recomputed),
        "median_correlation_of_the_two": round(statistics.median(agreement), 3),
    }


def both_colours_first(encoder: OpenClipEncoder, n: int, seed: int) -> float:
    """How often a picture's two colours are the two best of the six sentences."""
    rng = np.random.default_rng(seed)
    made = [squares_picture(rng) for _ in range(n)]
    texts = encoder.encode_texts([f"a {colour} square" for colour in COLOURS])
    scores = encoder.encode_images(np.stack([picture for picture, _ in made])) @ texts.T
    names = np.array(list(COLOURS))
    best = [set(names[np.argsort(-row)[:2]].tolist()) for row in scores]
    return statistics.mean(two == set(boxes) for two, (_, boxes) in zip(best, made, strict=True))


def measure_mini(n: int, seed: int) -> dict[str, Any]:
    """Pasted things and collages."""
    rng = random.Random(seed)
    mini = mmsearch.load_encoder("mini")
    seen, counts = pasted_cases(mini, n, rng)
    photographs = list(dev_photographs())
    rng.shuffle(photographs)
    collages = [collage(photographs[start : start + 4], rng) for start in range(0, 4 * n, 4)]
    return {"pasted": {**counts, **play(mini, seen)}, "collages": play(mini, collages)}


def measure_squares(n: int, seed: int) -> dict[str, Any]:
    """By layers of the transformer."""
    found = {}
    for layers in LAYERS:
        with tempfile.TemporaryDirectory() as scratch:
            tiny = train_tiny(Path(scratch), layers=layers, seed=seed)
            found[f"{layers}_layers"] = {
                "both_colours_are_the_best_two": both_colours_first(tiny, 200, seed + 1),
                **compare_on_squares(tiny, squares_cases(n, seed + 2)),
            }
    return found


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("game", choices=("mini", "squares"))
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    measure = measure_mini if arguments.game == "mini" else measure_squares
    write_record("explain", {"game": arguments.game, **measure(arguments.cases, arguments.seed)})


if __name__ == "__main__":
    main()
