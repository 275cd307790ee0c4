"""With tiny random models in the layouts that real ones have; nothing is downloaded."""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders import HeatMethod, heat_maps, open_clip_source
from mmsearch.encoders.open_clip import OpenClipEncoder
from mmsearch.errors import EncoderError, MissingPackage
from mmsearch.media import Interpolation, Preprocessing, ResizeMode

open_clip = pytest.importorskip("open_clip")
torch = pytest.importorskip("torch")

MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3},
}
CLIP_PREPROCESSING: dict[str, Any] = {}
"""Empty: open_clip's own choice."""
SIGLIP_PREPROCESSING = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
    "resize_mode": "squash",
}
TEXTS = ["two dogs in the snow", "a red bicycle", "a red bicycle", "", "Ünïcödé 漢字"]

MakeFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def weights() -> dict[str, Any]:
    torch.manual_seed(0)
    state: dict[str, Any] = open_clip.CLIP(**copy.deepcopy(MODEL)).state_dict()
    return state


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory, weights: dict[str, Any]) -> MakeFolder:
    """Writes a ``local-dir:`` model; all arguments change something from the plain one."""

    def make(
        preprocessing: dict[str, Any] = CLIP_PREPROCESSING, changed: dict[str, Any] | None = None, **config: Any
    ) -> Path:
        folder = tmp_path_factory.mktemp("model")
        description = {"model_cfg": {**MODEL, **config}, "preprocess_cfg": preprocessing}
        (folder / "open_clip_config.json").write_text(json.dumps(description))
        torch.save({**weights, **(changed or {})}, folder / "open_clip_pytorch_model.bin")
        return folder

    return make


@pytest.fixture(scope="session")
def folders(make_folder: MakeFolder) -> dict[str, Path]:
    return {"clip": make_folder(), "siglip": make_folder(SIGLIP_PREPROCESSING)}


@pytest.fixture(scope="session")
def encoders(folders: dict[str, Path]) -> dict[str, OpenClipEncoder]:
    return {name: load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def encoder(encoders: dict[str, OpenClipEncoder]) -> OpenClipEncoder:
    return encoders["clip"]


@pytest.fixture(scope="session")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model among open_clip's own architectures, where no published weights belong to it."""
    path = tmp_path_factory.mktemp("architectures") / "mmsearch-tiny.json"
    path.write_text(json.dumps(MODEL))
    open_clip.add_model_config(path)
    return path.stem


def load(folder: Path) -> OpenClipEncoder:
    return OpenClipEncoder.load(f"local-dir:{folder}", device="cpu")


def pictures(n: int, width: int = 96, height: int = 96) -> list[Image.Image]:
    """Smooth random pictures: noise would be all rounding after a resize."""
    noise = np.random.default_rng(0).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return [Image.fromarray(p).resize((width, height), Image.Resampling.BICUBIC) for p in noise]


def prepared(encoder: OpenClipEncoder, n: int) -> Pixels:
    return np.stack([encoder.prepare(picture) for picture in pictures(n)])


def assert_close(left: Embeddings, right: Embeddings, cosine: float = 0.9999) -> None:
    assert np.einsum("ij,ij->i", left, right).min() > cosine


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_embeddings_equal_those_of_open_clips_own_pipeline(
    name: str, encoders: dict[str, OpenClipEncoder], folders: dict[str, Path]
) -> None:
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folders[name]}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folders[name]}")
    # The square keeps the crop out of it; the wide picture is for the one that squashes.
    shapes = [(96, 96), (64, 64)] + ([(200, 90)] if name == "siglip" else [])
    for width, height in shapes:
        some = pictures(5, width, height)
        with torch.no_grad():
            theirs = model.encode_image(torch.stack([transform(p) for p in some]), normalize=True).numpy()
        ours = encoders[name].encode_images(np.stack([encoders[name].prepare(p) for p in some]))
        assert_close(ours, theirs)
    with torch.no_grad():
        texts = model.encode_text(tokenizer(TEXTS), normalize=True).numpy()
    assert_close(encoders[name].encode_texts(TEXTS), texts, 0.999999)


def test_a_crop_of_a_wide_picture_agrees_with_open_clips(encoder: OpenClipEncoder, folders: dict[str, Path]) -> None:
    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{folders['clip']}")
    picture = pictures(1, 301, 150)[0]
    mean, std = (np.array(getattr(encoder.space.preprocessing, name)) for name in ("mean", "std"))
    theirs = (transform(picture).numpy().transpose(1, 2, 0) * std + mean) * 255
    # They round the width before they crop, which shifts the picture by a fraction of a pixel.
    assert np.abs(encoder.prepare(picture) - theirs).mean() < 2


def test_rows_are_float32_of_unit_length(encoder: OpenClipEncoder) -> None:
    for embeddings in (encoder.encode_images(prepared(encoder, 3)), encoder.encode_texts(TEXTS)):
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


def test_a_batch_is_encoded_as_one_by_one(encoder: OpenClipEncoder) -> None:
    pixels = prepared(encoder, 70)  # more than one pass
    singly = np.concatenate([encoder.encode_images(pixels[i : i + 1]) for i in range(70)])
    np.testing.assert_allclose(encoder.encode_images(pixels), singly, atol=1e-5)
    texts = [f"picture number {i}" for i in range(70)]
    singly = np.concatenate([encoder.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode_texts(texts), singly, atol=1e-5)


def test_nothing_gives_no_rows(encoder: OpenClipEncoder) -> None:
    assert encoder.encode_texts([]).shape == (0, 64)
    assert encoder.encode_images(np.empty((0, 64, 64, 3), dtype=np.uint8)).shape == (0, 64)


def test_pixels_that_may_not_be_written_or_lie_apart_are_encoded(encoder: OpenClipEncoder) -> None:
    pixels = prepared(encoder, 4)
    expected = encoder.encode_images(pixels)[::2]
    pixels.setflags(write=False)
    np.testing.assert_allclose(encoder.encode_images(pixels[::2]), expected, atol=1e-5)


def test_pixels_of_another_size_are_refused(encoder: OpenClipEncoder) -> None:
    with pytest.raises(ValueError, match=r"pixels are uint8 \(1, 32, 32, 3\); give uint8 \(n, 64, 64, 3\)"):
        encoder.encode_images(np.zeros((1, 32, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_heat_map_comes_with_the_very_embedding_it_explains(name: str, encoders: dict[str, OpenClipEncoder]) -> None:
    encoder = encoders[name]
    pixels = prepared(encoder, 1)[0]
    found = heat_maps(encoder, pixels, encoder.encode_texts(TEXTS[:3]))
    assert (found.method, found.encoded, found.maps.shape) == (HeatMethod.GRAD_ECLIP, 1, (3, 4, 4))
    np.testing.assert_allclose(found.embedding, encoder.encode_images(pixels[np.newaxis])[0], atol=1e-5)
    np.testing.assert_array_equal(found.maps[1], found.maps[2])
    assert (found.maps >= 0).all()
    assert (found.maps.max(axis=(1, 2)) > 0).all()


def test_heat_is_value_along_gradient_times_fit_of_query_and_key(encoder: OpenClipEncoder) -> None:
    """The same from open_clip's own forward pass: gradients taken behind each attention and led back through it."""
    visual = encoder._model.visual
    blocks = visual.transformer.resblocks
    pixels, direction = prepared(encoder, 1)[0], encoder.encode_texts(["a red bicycle"])
    caught: list[tuple[Any, Any]] = []

    def catch(_: Any, inputs: Any, outputs: Any) -> Any:
        attended = outputs[0] if outputs[0].requires_grad else outputs[0].detach().requires_grad_()
        attended.retain_grad()
        caught.append((inputs[0].detach().numpy()[0], attended))
        return attended, None

    hooks = [block.attn.register_forward_hook(catch) for block in blocks]
    embedding = torch.nn.functional.normalize(visual(encoder._colours(pixels[np.newaxis])), dim=-1)
    for hook in hooks:
        hook.remove()
    (embedding @ torch.from_numpy(direction[0])).sum().backward()

    expected = np.zeros(16)
    for block, (tokens, attended) in zip(blocks, caught, strict=True):
        gradient = (attended.grad[0, 0] @ block.attn.out_proj.weight).numpy()
        weight, bias = block.attn.in_proj_weight.numpy(), block.attn.in_proj_bias.numpy()
        query, keys, values = (tokens @ weight[i : i + 64].T + bias[i : i + 64] for i in (0, 64, 128))
        cosines = keys[1:] @ query[0] / np.linalg.norm(keys[1:], axis=1) / np.linalg.norm(query[0])
        expected += np.maximum(values[1:] @ gradient, 0) * (cosines - cosines.min()) / np.ptp(cosines)
    found = heat_maps(encoder, pixels, direction).maps[0].ravel()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize("vision", [{"pool_type": "avg"}, {"attentional_pool": True, "attn_pooler_heads": 2}])
def test_a_transformer_without_a_class_token_to_ask_is_explained_by_occlusion(
    vision: dict[str, Any], make_folder: MakeFolder
) -> None:
    config = copy.deepcopy(MODEL) | {"vision_cfg": MODEL["vision_cfg"] | vision}
    torch.manual_seed(0)
    changed = {name: tensor for name, tensor in open_clip.CLIP(**config).state_dict().items() if "visual." in name}
    other = load(make_folder(changed=changed, vision_cfg=config["vision_cfg"]))
    found = heat_maps(other, prepared(other, 1)[0], other.encode_texts(["a dog"]))
    assert found.method is HeatMethod.OCCLUSION
    assert found.encoded > 1


def test_space_says_what_decides_a_vector(encoders: dict[str, OpenClipEncoder], folders: dict[str, Path]) -> None:
    space = encoders["siglip"].space
    assert space.encoder == f"local-dir:{folders['siglip']}"
    assert space.preprocessing == Preprocessing(
        size=64,
        resize_mode=ResizeMode.SQUASH,
        interpolation=Interpolation.BILINEAR,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    assert (space.tokenizer, space.dim, space.logit_scale) == ("clip-bpe/16", 64, pytest.approx(1 / 0.07, rel=1e-5))
    assert '"quick_gelu":false' in space.architecture


def test_fingerprint_is_the_same_for_each_load_and_place(
    encoder: OpenClipEncoder, folders: dict[str, Path], make_folder: MakeFolder
) -> None:
    assert load(folders["clip"]).space == encoder.space
    elsewhere = load(make_folder()).space
    assert elsewhere != encoder.space
    assert elsewhere.fingerprint == encoder.space.fingerprint


def test_fingerprint_changes_with_weights_preprocessing_and_activation(
    encoders: dict[str, OpenClipEncoder], make_folder: MakeFolder, weights: dict[str, Any]
) -> None:
    bias = weights["ln_final.bias"].clone()
    bias[0] += 1e-6
    others = [
        load(make_folder(changed={"ln_final.bias": bias})),
        load(make_folder(preprocessing={"mean": [0.5, 0.5, 0.5]})),
        load(make_folder(quick_gelu=True)),
    ]
    prints = {encoder.space.fingerprint for encoder in [*encoders.values(), *others]}
    assert len(prints) == len(encoders) + len(others)


def test_texts_beyond_the_context_are_cut_with_one_warning(
    encoder: OpenClipEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    fits = " ".join(["dog"] * 14)  # with its start and its end, 16 tokens
    with caplog.at_level(logging.WARNING):
        encoder.encode_texts([fits, "dog"])
        assert caplog.messages == []
        cut = encoder.encode_texts([fits, fits + " cat", "dog", fits + " cat and more"] * 20)
    assert caplog.messages == ["40 of 80 texts end after 16 tokens; the encoder reads no more"]
    np.testing.assert_allclose(cut[1], cut[0], atol=1e-5)


def test_a_tokenizer_of_transformers_counts_cut_texts_as_well(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = make_folder(text_cfg={**MODEL["text_cfg"], "hf_tokenizer_name": "some/tokenizer"})
    words = Tokenizer(models.WordLevel({"</s>": 1, "dog": 2, "cat": 3, "<unk>": 0}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    # As SigLIP has it: what ends a text also fills the context.
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="</s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)

    encoder = load(folder)
    assert encoder.space.tokenizer == "some/tokenizer/16"
    fits = " ".join(["dog"] * 15)
    with caplog.at_level(logging.WARNING, logger="mmsearch"):
        encoder.encode_texts([fits, "dog", ""])
        assert caplog.messages == []
        cut = encoder.encode_texts([fits, fits + " cat", "dog", fits + " cat and more"])
    assert caplog.messages == ["2 of 4 texts end after 16 tokens; the encoder reads no more"]
    np.testing.assert_allclose(cut[1], cut[0], atol=1e-5)


def test_a_checkpoint_file_is_loaded_with_its_architecture(
    encoder: OpenClipEncoder,
    architecture: str,
    folders: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folders["clip"])
    loaded = OpenClipEncoder.load(f"{architecture}@open_clip_pytorch_model.bin", device="cpu")
    path = folders["clip"] / "open_clip_pytorch_model.bin"
    assert loaded.space.encoder == f"{architecture}@{path}"
    assert loaded.space.fingerprint == encoder.space.fingerprint
    assert caplog.messages == [
        "a checkpoint of mmsearch-tiny does not say how pictures are prepared; OpenAI CLIP's way is taken. "
        "A folder with open_clip_config.json (local-dir:) would say it"
    ]


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (
            "ViT-B-16-SigLIP",
            {"image_mean": (0.5, 0.5, 0.5), "image_interpolation": "bicubic", "image_resize_mode": "squash"},
        ),
        ("PE-Core-B-16", {"image_interpolation": "bilinear", "image_resize_mode": "squash"}),
        ("MobileCLIP-S1", {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}),
        ("ViT-L-14", {}),  # its published weights differ
    ],
)
def test_a_checkpoint_is_prepared_as_all_published_weights_of_its_architecture(
    architecture: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "epoch_1.pt").write_bytes(b"")
    given = open_clip_source.parse_name(f"{architecture}@{tmp_path / 'epoch_1.pt'}").preprocessing
    assert {name: given[name] for name in expected} == expected
    assert bool(given) == bool(expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-33/openai", "there is no encoder 'ViT-B-33'; did you mean ViT-B-32 or .*`mmsearch encoders`"),
        ("qqq", "there is no encoder 'qqq'; the command `mmsearch encoders` lists"),
        ("ViT-B-32/laion2b_s34", "ViT-B-32 has no published weights 'laion2b_s34'; use ViT-B-32/laion2b_s34b_b79k or"),
        ("ViT-B-32-256", "ViT-B-32-256 is an architecture without weights; use ViT-B-32-256/datacomp_s34b_b86k;"),
        ("ViT-B-32/openai", "trained with another activation than ViT-B-32 has; use ViT-B-32-quickgelu/openai"),
        ("local-dir:/no/such/folder", "/no/such/folder is no folder; local-dir: wants one with open_clip_config.json"),
        ("ViT-B-32@/no/such.pt", "/no/such.pt is no file; ARCH@FILE wants a checkpoint of ViT-B-32"),
        ("ViT-B-33@/no/such.pt", "there is no encoder 'ViT-B-33'"),
    ],
)
def test_names_that_mean_nothing_are_explained(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        OpenClipEncoder.load(name)


def test_random_weights_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(EncoderError, match="has no weights, and random ones find nothing; add the weights file"):
        load(folder)


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="cannot be loaded: .*open_clip_config.json"):
        load(tmp_path)


def test_weights_of_another_shape_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder(changed={"text_projection": torch.zeros(32, 32)})
    with pytest.raises(EncoderError, match="cannot be loaded: .*size mismatch for text_projection"):
        load(folder)


def test_damaged_weights_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder()
    path = folder / "open_clip_pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EncoderError, match="cannot be loaded: "):
        load(folder)


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("harm",)


def test_a_pickle_that_would_run_code_is_refused(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_folder(changed={"harm": Harmful()})
    with pytest.raises(EncoderError, match="cannot be loaded: Weights only load failed"):
        load(folder)
    assert not Path("harm").exists()


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        (
            {"resize_mode": "longest"},
            "resized by longest, bicubic; supported are shortest, squash and bilinear, bicubic",
        ),
        ({"interpolation": "random"}, "resized by shortest, random; supported are"),
    ],
)
def test_other_preprocessing_is_refused(preprocessing: dict[str, str], message: str, make_folder: MakeFolder) -> None:
    with pytest.raises(EncoderError, match=message):
        load(make_folder(preprocessing))


def test_pictures_that_are_not_square_are_refused(make_folder: MakeFolder) -> None:
    vision = {**MODEL["vision_cfg"], "image_size": [32, 128]}
    with pytest.raises(EncoderError, match="wants pictures of 32 x 128 pixels; only square ones"):
        load(make_folder(changed={"visual.positional_embedding": torch.zeros(17, 64)}, vision_cfg=vision))


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "there is no device 'gpu'; use auto"), ("cuda:99", "device cuda:99 is not here: torch sees [0-9]+ GPUs")],
)
def test_devices_that_are_not_there_are_refused(device: str, message: str, folders: dict[str, Path]) -> None:
    with pytest.raises(EncoderError, match=message):
        OpenClipEncoder.load(f"local-dir:{folders['clip']}", device=device)


@pytest.mark.parametrize("name", ["ViT-B-32/laion2b_s34b_b79k", "hf-hub:no/such", "ViT-B-16-SigLIP/webli"])
def test_without_a_network_one_sentence_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    constants = pytest.importorskip("huggingface_hub").constants
    # Nothing listens on the discard port, and nothing is in the cache.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    offline = constants.HF_HUB_OFFLINE
    with pytest.raises(
        EncoderError,
        match=f"{name} is not on this machine, and http://127.0.0.1:9 cannot be reached .*mini, which works",
    ):
        OpenClipEncoder.load(name)
    assert constants.HF_HUB_OFFLINE is offline
    assert caplog.messages == []


def test_loading_leaves_the_root_logger_as_it_was(folders: dict[str, Path]) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), list(root.filters), root.level)
    load(folders["clip"])
    assert (list(root.handlers), list(root.filters), root.level) == before


@pytest.mark.parametrize("package", ["torch", "open_clip"])
def test_missing_packages_are_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "open_clip" or name.startswith("open_clip.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=f"{package} is not installed"):
        OpenClipEncoder.load("ViT-B-32/laion2b_s34b_b79k")


class BrokenPair(types.ModuleType):
    """What ``import torchvision`` does when it was built for another torch."""

    @classmethod
    def find_spec(cls, name: str, *_: object) -> None:
        if name == "open_clip":
            raise RuntimeError("operator torchvision::nms does not exist")


def test_a_torchvision_for_another_torch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "open_clip")
    monkeypatch.setattr(sys, "meta_path", [BrokenPair, *sys.meta_path])
    with pytest.raises(
        EncoderError,
        match=r"torchvision does not fit torch [0-9.]+.*nms does not exist\); install a pair .*pip install",
    ):
        OpenClipEncoder.load("ViT-B-32/laion2b_s34b_b79k")
