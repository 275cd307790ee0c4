"""Search pictures by sentence, by picture or both, and sentences by picture.

>>> import mmsearch
>>> photos = mmsearch.create("photos/.mmsearch")        # doctest: +SKIP
>>> photos.add("photos")                                # doctest: +SKIP
>>> for hit in photos.search("two dogs in the snow"):   # doctest: +SKIP
...     print(hit.rank, f"{hit.score:.3f}", hit.path)
"""

from mmsearch import errors
from mmsearch.ann import BuildOptions, BuildReport, BuildStep, IndexInfo
from mmsearch.collection import Collection, Info
from mmsearch.embedding import IndexReport, JobOptions, Progress
from mmsearch.encoders import (
    DualEncoder,
    EmbeddingSpace,
    KnownEncoder,
    known_encoders,
    load_encoder,
)
from mmsearch.errors import MmsearchError
from mmsearch.evaluation import DirectionReport, Report
from mmsearch.media import Limits
from mmsearch.opening import create, find, index, open, verify  # noqa: A004 - users write mmsearch.open
from mmsearch.search import (
    By,
    CopyGroup,
    Explanation,
    Hit,
    Hits,
    Item,
    Neighbors,
    Picture,
    Query,
    TagReport,
    Text,
    parse_line,
    parse_query,
    read_words,
    with_feedback,
    write_contact_sheet,
)
from mmsearch.store import Damage, Modality, RepairReport

__all__ = [
    "BuildOptions",
    "BuildReport",
    "BuildStep",
    "By",
    "Collection",
    "CopyGroup",
    "Damage",
    "DirectionReport",
    "DualEncoder",
    "EmbeddingSpace",
    "Explanation",
    "Hit",
    "Hits",
    "IndexInfo",
    "IndexReport",
    "Info",
    "Item",
    "JobOptions",
    "KnownEncoder",
    "Limits",
    "MmsearchError",
    "Modality",
    "Neighbors",
    "Picture",
    "Progress",
    "Query",
    "RepairReport",
    "Report",
    "TagReport",
    "Text",
    "create",
    "errors",
    "find",
    "index",
    "known_encoders",
    "load_encoder",
    "open",
    "parse_line",
    "parse_query",
    "read_words",
    "verify",
    "with_feedback",
    "write_contact_sheet",
]
