"""Sources to items, bytes to RGB pixels, within limits."""

from mmsearch.media.decode import decode_picture, load_picture
from mmsearch.media.exif import Exif
from mmsearch.media.failures import Failure, Stage
from mmsearch.media.keys import match_keys
from mmsearch.media.limits import Limits
from mmsearch.media.outcomes import Decoded, DecodeTask, SameContent
from mmsearch.media.pool import DecodePool, default_workers
from mmsearch.media.preprocessing import Interpolation, Preprocessing, ResizeMode
from mmsearch.media.tables import TABLE_EXTENSIONS, Pair, TextTable, read_pairs, read_texts
from mmsearch.media.walk import PICTURE_EXTENSIONS, SAME_FOLDER, Candidate, path_of, portable, walk

__all__ = [
    "PICTURE_EXTENSIONS",
    "SAME_FOLDER",
    "TABLE_EXTENSIONS",
    "Candidate",
    "DecodePool",
    "DecodeTask",
    "Decoded",
    "Exif",
    "Failure",
    "Interpolation",
    "Limits",
    "Pair",
    "Preprocessing",
    "ResizeMode",
    "SameContent",
    "Stage",
    "TextTable",
    "decode_picture",
    "default_workers",
    "load_picture",
    "match_keys",
    "path_of",
    "portable",
    "read_pairs",
    "read_texts",
    "walk",
]
