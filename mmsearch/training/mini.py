"""Train, export and check the bundled encoder: ``python -m mmsearch.training.mini --data DIR --out DIR``.

1. Views of all pictures pass the frozen lower part of EfficientNet-Lite2, captions the frozen MiniLM, once.
2. Two heads are trained on those features.
3. The upper part of the picture tower is trained with them, at a small rate.
4. Both towers become ONNX graphs, and the graphs, not the modules, are measured on the pictures held out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path

from mmsearch.encoders import OnnxEncoder
from mmsearch.evaluation import Report, evaluate_pairs
from mmsearch.training.data import Captioned, read_tars
from mmsearch.training.export import Description, export_folder
from mmsearch.training.minilm import CONTEXT_LENGTH
from mmsearch.training.pictures import PREPROCESSING
from mmsearch.training.recipe import Recipe, Trained, minilm_folder, picture_of_text, train

logger = logging.getLogger(__name__)


def export(folder: Path, trained: Trained, recipe: Recipe) -> None:
    """Write the encoder folder of a trained pair of towers."""
    description = Description(
        name="mini",
        dim=recipe.dim,
        preprocessing=PREPROCESSING,
        tokenizer=f"wordpiece/{CONTEXT_LENGTH}",
        context_length=CONTEXT_LENGTH,
        logit_scale=trained.logit_scale,
    )
    tokenizer = minilm_folder() / "tokenizer.json"
    export_folder(folder, description, pictures=trained.pictures, texts=trained.texts, tokenizer=tokenizer)


def measure(folder: Path, captioned: Captioned) -> Report:
    """Hit rates of an encoder folder on pictures it was not trained on, through its ONNX files."""
    encoder = OnnxEncoder(folder)
    return evaluate_pairs(
        images=encoder.encode_images(captioned.pixels),
        texts=encoder.encode_texts(captioned.texts),
        image_of_text=picture_of_text(captioned),
        encoder=encoder.space.encoder,
    )


def main() -> None:
    """Parse the command line, train, export, measure."""
    parser = argparse.ArgumentParser(
        prog="python -m mmsearch.training.mini", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.tar and dev-*.tar")
    parser.add_argument("--out", type=Path, required=True, help="encoder folder to write")
    parser.add_argument("--cache", type=Path, default=Path("mini-cache"), help="folder for features, 1 GB")
    parser.add_argument("--wordnet", type=Path, help="WordNet 3.0's data.noun; without it no kinds are learnt")
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    for chatty in ("onnx_ir", "onnxscript"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    recipe = dataclasses.replace(Recipe(), seed=options.seed)
    captioned = read_tars(sorted(options.data.glob("train-*.tar")), PREPROCESSING)
    trained = train(captioned, recipe, wordnet=options.wordnet, cache=options.cache)
    export(options.out, trained, recipe)
    report = measure(options.out, read_tars(sorted(options.data.glob("dev-*.tar")), PREPROCESSING))
    logger.info("on the pictures held out: %s", json.dumps(report.to_json()))


if __name__ == "__main__":
    main()
