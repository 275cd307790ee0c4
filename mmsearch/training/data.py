"""Captioned pictures from tars of ``KEY.jpg`` and ``KEY.txt`` (the webdataset layout)."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsearch.arrays import Pixels
from mmsearch.errors import MediaError
from mmsearch.media import Limits, Preprocessing, decode_picture


@dataclass(frozen=True, slots=True)
class Captioned:
    """Pictures and their captions, in the order of the tars."""

    keys: list[str]
    pixels: Pixels
    """``(n, size, size, 3)``"""
    captions: list[list[str]]
    """One list a picture, none empty."""

    @property
    def texts(self) -> list[str]:
        """All captions, picture by picture."""
        return [text for own in self.captions for text in own]


def read_tars(tars: Iterable[Path], preprocessing: Preprocessing) -> Captioned:
    """Read every picture that has captions, prepared as the encoder will see it.

    Raises:
        MediaError: a picture cannot be decoded, or no tar holds a captioned picture.
        FileNotFoundError: a tar is missing.
    """
    paths = list(tars)
    pixels: dict[str, Pixels] = {}
    captions: dict[str, list[str]] = {}
    for path in paths:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                key, _, suffix = member.name.rpartition(".")
                if file is None:
                    continue
                if suffix == "jpg":
                    picture = decode_picture(file.read(), limits=Limits())
                    pixels[key] = preprocessing.prepare(picture)
                elif suffix == "txt":
                    lines = file.read().decode("utf-8").splitlines()
                    captions[key] = [line.strip() for line in lines if line.strip()]
    keys = [key for key in pixels if captions.get(key)]
    if not keys:
        names = ", ".join(str(path) for path in paths) or "no tar"
        raise MediaError(f"no captioned picture in {names}; a tar holds KEY.jpg beside KEY.txt")
    return Captioned(keys, np.stack([pixels[key] for key in keys]), [captions[key] for key in keys])
