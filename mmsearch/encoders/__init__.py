"""Dual encoders: pictures and texts into one space."""

from mmsearch.encoders.heat import HeatMaps, HeatMethod, heat_maps
from mmsearch.encoders.known import KnownEncoder, known_encoders, knows_only_english
from mmsearch.encoders.load import DEFAULT_ENCODER, load_encoder
from mmsearch.encoders.onnx import OnnxEncoder
from mmsearch.encoders.open_clip import OpenClipEncoder
from mmsearch.encoders.protocol import DualEncoder, Heat
from mmsearch.encoders.space import EmbeddingSpace

__all__ = [
    "DEFAULT_ENCODER",
    "DualEncoder",
    "EmbeddingSpace",
    "Heat",
    "HeatMaps",
    "HeatMethod",
    "KnownEncoder",
    "OnnxEncoder",
    "OpenClipEncoder",
    "heat_maps",
    "known_encoders",
    "knows_only_english",
    "load_encoder",
]
