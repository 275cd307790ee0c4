"""A dual encoder from an open_clip model; needs torch. For the names it is loaded by see ``open_clip_source``."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders.grad_eclip import grad_eclip, has_class_token
from mmsearch.encoders.open_clip_source import LoadedModel, import_open_clip, load_model
from mmsearch.encoders.protocol import Heat
from mmsearch.encoders.space import EmbeddingSpace
from mmsearch.errors import EncoderError
from mmsearch.media import Interpolation, Preprocessing, ResizeMode

logger = logging.getLogger(__name__)

_CPU_BATCH = 32
_GPU_BATCH = 256
"""Items in one pass through a tower: past these, throughput hardly grows and memory does."""
_NOT_ARCHITECTURE = ("timm_model_pretrained", "hf_model_pretrained")
"""Keys of a tower's configuration that say where its weights came from, not what it computes."""


class OpenClipEncoder:
    """Both towers of an open_clip model.

    On a CUDA device the towers run in bfloat16 (autocast; the weights stay float32), pictures cross the bus as
    uint8 from pinned memory and are normalised there. Elsewhere all is float32. Embeddings are normalised in
    float32 in either case.
    """

    def __init__(self, loaded: LoadedModel, device: str) -> None:
        """Use ``load``."""
        import torch

        self._device = torch.device(device)
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self.space = _space(loaded)
        self._model.eval().requires_grad_(False).to(self._device)
        mean, std = self.space.preprocessing.mean, self.space.preprocessing.std
        self._mean = torch.tensor(mean, device=self._device).mul_(255).view(3, 1, 1)
        self._std = torch.tensor(std, device=self._device).mul_(255).view(3, 1, 1)

    @classmethod
    def load(cls, name: str, *, device: str = "auto") -> OpenClipEncoder:
        """Load a model with its weights; random weights are never taken.

        Args:
            name: ``ARCH/TAG``, ``hf-hub:ORG/REPO``, ``local-dir:PATH`` or ``ARCH@FILE``; see ``open_clip_source``.
            device: ``cpu``, ``cuda``, ``cuda:1``, …, or ``auto``: the GPU where there is one.

        Raises:
            EncoderError: unknown name or device, no or damaged weights, a hub that cannot be reached, or a
                preprocessing that mmsearch does not know.
            MissingPackage: torch or open_clip is not installed.
        """
        import_open_clip()
        chosen = _choose_device(device)
        return cls(load_model(name), chosen)

    def prepare(self, picture: Image.Image) -> Pixels:
        """One upright RGB picture -> ``(size, size, 3)`` uint8."""
        return self.space.preprocessing.prepare(picture)

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """``(n, size, size, 3)`` uint8 -> ``(n, dim)`` float32, unit rows."""
        size = self.space.preprocessing.size
        if pixels.ndim != 4 or pixels.shape[1:] != (size, size, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; give uint8 (n, {size}, {size}, 3)")
        with self._computing():
            return self._join([self._image_features(part) for part in _parts(pixels, self._batch)])

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """n texts -> ``(n, dim)`` float32, unit rows; what is longer than the context is cut off, with a warning."""
        parts = [(part, self._tokenizer(part)) for part in _parts(list(texts), self._batch)]
        cut = sum(self._count_cut(part, tokens) for part, tokens in parts)
        if cut:
            length = self._tokenizer.context_length
            logger.warning("%d of %d texts end after %d tokens; the encoder reads no more", cut, len(texts), length)
        with self._computing():
            return self._join([self._model.encode_text(tokens.to(self._device)) for _, tokens in parts])

    @property
    def tells_its_patches(self) -> bool:
        """Whether ``patch_heat`` can be asked; otherwise occlusion can."""
        return has_class_token(self._model.visual)

    def patch_heat(self, pixels: Pixels, directions: Embeddings) -> tuple[Heat, Embeddings]:
        """How much each patch of one picture adds to its cosine with each direction, by ``grad_eclip``.

        Args:
            pixels: ``(size, size, 3)`` uint8.
            directions: ``(m, dim)`` float32.

        Returns:
            ``(m, rows, columns)`` float32, 0 or more; and the picture's ``(dim,)`` float32 unit vector.
        """
        return grad_eclip(self._model.visual, self._colours(pixels[np.newaxis]), directions)

    @property
    def _on_gpu(self) -> bool:
        return bool(self._device.type == "cuda")

    @property
    def _batch(self) -> int:
        return _GPU_BATCH if self._on_gpu else _CPU_BATCH

    @contextmanager
    def _computing(self) -> Iterator[None]:
        import torch

        # bfloat16 costs some 3e-5 of cosine. On a CPU it makes single texts ten times slower.
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._on_gpu):
            yield

    def _image_features(self, pixels: Pixels) -> Any:
        return self._model.encode_image(self._colours(pixels))

    def _colours(self, pixels: Pixels) -> Any:
        """``(n, size, size, 3)`` uint8 -> ``(n, 3, size, size)`` on the device, normalised."""
        import torch

        # torch warns of arrays that it could not write to, such as one view of a memory map.
        batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        if self._on_gpu:
            # The host goes on to the next batch while this one is copied and encoded.
            batch = batch.pin_memory().to(self._device, non_blocking=True)
        return (batch.permute(0, 3, 1, 2).float() - self._mean) / self._std

    def _join(self, features: list[Any]) -> Embeddings:
        """Normalise what a tower gave and bring it to the host."""
        import torch

        if not features:
            return np.empty((0, self.space.dim), dtype=np.float32)
        rows = torch.nn.functional.normalize(torch.cat(features).float(), dim=-1)
        embeddings: Embeddings = rows.cpu().numpy()
        return embeddings

    def _count_cut(self, texts: list[str], tokens: Any) -> int:
        """How many of the texts have more tokens than the context keeps."""
        length = self._tokenizer.context_length
        padding = getattr(getattr(self._tokenizer, "tokenizer", None), "pad_token_id", 0)
        used = (tokens != padding).sum(dim=1)
        # A text was cut if one more place would hold one more token; only full rows need asking.
        full = [i for i, n in enumerate(used.tolist()) if n >= length - 1]
        if not full:
            return 0
        longer = self._tokenizer([texts[i] for i in full], context_length=length + 1)
        return int(((longer != padding).sum(dim=1) > used[full]).sum())


def _parts(rows: Any, size: int) -> list[Any]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _choose_device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as err:
        raise EncoderError(f"there is no device {device!r}; use auto, cpu, cuda, cuda:1, …") from err
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise EncoderError(f"device {device} is not here: torch sees {torch.cuda.device_count()} GPUs; use auto or cpu")
    return device


def _space(loaded: LoadedModel) -> EmbeddingSpace:
    config = loaded.config
    # Which instructions a processor has decides the last digits of an exponential, and they are no part of an identity.
    scale = float(f"{math.exp(loaded.model.logit_scale.item()):.6g}")
    tokenizer = config["text_cfg"].get("hf_tokenizer_name") or "clip-bpe"
    return EmbeddingSpace(
        encoder=loaded.source.name,
        architecture=_canonical(config),
        weights_sha256=_weights_sha256(loaded.model.state_dict()),
        preprocessing=_preprocessing(loaded.model.visual.preprocess_cfg, loaded.source.name),
        tokenizer=f"{tokenizer}/{loaded.tokenizer.context_length}",
        dim=config["embed_dim"],
        logit_scale=scale,
    )


def _canonical(config: dict[str, Any]) -> str:
    """One text for each configuration, quick GELU always named."""
    towers = {
        tower: {key: value for key, value in config[tower].items() if key not in _NOT_ARCHITECTURE}
        for tower in ("vision_cfg", "text_cfg")
    }
    return json.dumps({"quick_gelu": False, **config, **towers}, sort_keys=True, separators=(",", ":"))


def _weights_sha256(weights: dict[str, Any]) -> str:
    """Over names, types, shapes and bytes of all tensors, in the order of their names."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _preprocessing(config: dict[str, Any], name: str) -> Preprocessing:
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise EncoderError(f"{name} wants pictures of {height} x {width} pixels; only square ones are supported")
    try:
        return Preprocessing(
            size=height,
            resize_mode=ResizeMode(config["resize_mode"]),
            interpolation=Interpolation(config["interpolation"]),
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )
    except ValueError as err:
        raise EncoderError(
            f"{name} wants pictures resized by {config['resize_mode']}, {config['interpolation']}; supported are "
            f"{', '.join(ResizeMode)} and {', '.join(Interpolation)}"
        ) from err
