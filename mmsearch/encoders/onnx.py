"""A dual encoder from a folder of two ONNX graphs; needs no torch.

The folder::

    image.onnx      pixels (n, size, size, 3) uint8 -> embeddings (n, dim) float32, unit rows
    text.onnx       input_ids, attention_mask (n, length) int64 -> embeddings (n, dim) float32, unit rows
    tokenizer.json  of the `tokenizers` library
    encoder.json    name, dim, preprocessing, context length, logit scale and the sha256 of each file

Mean and standard deviation live inside ``image.onnx``, so pixels stay uint8 up to the graph.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders.space import EmbeddingSpace
from mmsearch.errors import EncoderError, MissingPackage
from mmsearch.media import Preprocessing

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
ENCODER_FILES = ("image.onnx", "text.onnx", "tokenizer.json")
_TEXT_BATCH = 64
_IMAGE_BATCH = 8
"""Rows in one run of a graph: past these, throughput no longer grows and memory does."""


class OnnxEncoder:
    """Both towers of one folder; each is loaded, and its file checked, when first used."""

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        """Read ``encoder.json``.

        Args:
            folder: see the module's docstring.
            threads: of ONNX Runtime in one run; 0 means one for each core.

        Raises:
            EncoderError: the folder or its description cannot be read.
        """
        self.folder = folder
        self._threads = threads
        try:
            facts = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
            if facts["format_version"] > FORMAT_VERSION:
                raise EncoderError(
                    f"encoder {folder} has format {facts['format_version']}, and this mmsearch reads up to "
                    f"{FORMAT_VERSION}; upgrade mmsearch"
                )
            self._sha256: dict[str, str] = {name: facts["files"][name] for name in ENCODER_FILES}
            self._context_length: int = facts["context_length"]
            self.space = EmbeddingSpace(
                encoder=facts["name"],
                architecture="onnx",
                weights_sha256=_digest_of(self._sha256),
                preprocessing=Preprocessing.from_json(facts["preprocessing"]),
                tokenizer=facts["tokenizer"],
                dim=facts["dim"],
                logit_scale=facts["logit_scale"],
            )
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise EncoderError(f"{folder} is no encoder folder: {type(err).__name__}: {err}") from err

    def prepare(self, picture: Image.Image) -> Pixels:
        """One upright RGB picture -> ``(size, size, 3)`` uint8."""
        return self.space.preprocessing.prepare(picture)

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """``(n, size, size, 3)`` uint8 -> ``(n, dim)`` float32, unit rows."""
        size = self.space.preprocessing.size
        if pixels.ndim != 4 or pixels.shape[1:] != (size, size, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; give uint8 (n, {size}, {size}, 3)")
        batches = [
            _run(self._image_session, {"pixels": pixels[start : start + _IMAGE_BATCH]})
            for start in range(0, len(pixels), _IMAGE_BATCH)
        ]
        return self._stack(batches)

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """n texts -> ``(n, dim)`` float32, unit rows; what is longer than the context is cut off."""
        # Texts of like length share a batch, so that little time goes into padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        batches = []
        cut = 0
        for start in range(0, len(order), _TEXT_BATCH):
            encodings = self._tokenizer.encode_batch([texts[i] for i in order[start : start + _TEXT_BATCH]])
            cut += sum(bool(e.overflowing) for e in encodings)
            inputs = {
                "input_ids": np.array([e.ids for e in encodings], dtype=np.int64),
                "attention_mask": np.array([e.attention_mask for e in encodings], dtype=np.int64),
            }
            batches.append(_run(self._text_session, inputs))
        if cut:
            logger.warning(
                "%d of %d texts end after %d tokens; the encoder reads no more",
                cut,
                len(texts),
                self._context_length,
            )
        embeddings = np.empty((len(texts), self.space.dim), dtype=np.float32)
        embeddings[order] = self._stack(batches)
        return embeddings

    def _stack(self, batches: list[Embeddings]) -> Embeddings:
        if not batches:
            return np.empty((0, self.space.dim), dtype=np.float32)
        return np.concatenate(batches)

    @cached_property
    def _image_session(self) -> Any:
        return self._session("image.onnx")

    @cached_property
    def _text_session(self) -> Any:
        return self._session("text.onnx")

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self._read("tokenizer.json").decode("utf-8"))
        tokenizer.enable_truncation(self._context_length)
        tokenizer.enable_padding()
        return tokenizer

    def _session(self, name: str) -> Any:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3  # errors only; its warnings are no business of the user's terminal
        try:
            return onnxruntime.InferenceSession(self._read(name), options, providers=["CPUExecutionProvider"])
        except EncoderError:
            raise
        except Exception as err:  # onnxruntime's exceptions have no common base but Exception
            raise EncoderError(f"{self.folder / name} cannot be loaded: {err}") from err

    def _read(self, name: str) -> bytes:
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as err:
            raise EncoderError(f"{path} cannot be read: {err.strerror}") from err
        if hashlib.sha256(data).hexdigest() != self._sha256[name]:
            raise EncoderError(f"{path} is not the file that encoder.json describes; install it again")
        return data


def _run(session: Any, inputs: dict[str, npt.NDArray[Any]]) -> Embeddings:
    try:
        embeddings: Embeddings = session.run(["embeddings"], inputs)[0]
    except Exception as err:  # onnxruntime's exceptions have no common base but Exception
        raise EncoderError(f"ONNX Runtime cannot run the encoder: {err}") from err
    return embeddings


def _onnxruntime() -> Any:
    # Its wheels send usage data home unless told not to before the import; a search is nobody else's business.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError as err:
        raise MissingPackage("onnxruntime", "cpu") from err
    return onnxruntime


def _digest_of(sha256: dict[str, str]) -> str:
    """One digest for all files, in the form `sha256sum` prints them."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sha256.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
