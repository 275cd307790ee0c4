"""Sources to items, bytes to RGB pixels, within limits."""

from mmsearch.media.preprocessing import Interpolation, Preprocessing, ResizeMode

__all__ = ["Interpolation", "Preprocessing", "ResizeMode"]
