"""From the name a user gives to an encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmsearch.encoders.onnx import OnnxEncoder
from mmsearch.encoders.open_clip import OpenClipEncoder
from mmsearch.encoders.protocol import DualEncoder
from mmsearch.errors import EncoderError

DEFAULT_ENCODER = "mini"
_BUNDLED = Path(__file__).parent / "mini"


def load_encoder(name: str = DEFAULT_ENCODER, *, device: str = "auto") -> DualEncoder:
    """Load an encoder by name.

    Args:
        name: ``mini`` (bundled), a folder with an ``encoder.json`` (see ``OnnxEncoder``), or what
            ``OpenClipEncoder.load`` takes: ``ARCH/TAG``, ``hf-hub:org/repo``, ``local-dir:/path``, a checkpoint.
        device: ``cpu``, ``cuda``, ``cuda:1``, …, or ``auto``: the GPU where there is one. ONNX runs on the CPU.

    Raises:
        EncoderError: unknown name, or weights that cannot be had.
        MissingPackage: the encoder needs a package that is not installed.
    """
    folder = _BUNDLED if name == DEFAULT_ENCODER else Path(name).expanduser()
    if not (folder / "encoder.json").is_file():
        return OpenClipEncoder.load(name, device=device)
    if device not in ("auto", "cpu"):
        raise EncoderError(f"encoder {name} runs on the CPU, not on {device!r}; leave the device out")
    encoder = OnnxEncoder(folder)
    if folder != _BUNDLED:  # a collection loads its encoder by this name again
        encoder.space = replace(encoder.space, encoder=str(folder.resolve()))
    return encoder
