"""Approximate indexes over a collection's items: built, tuned for each kind of query, and searched."""

from mmsearch.ann.build import BuildOptions, BuildProgress, BuildReport, BuildStep, build, outdated
from mmsearch.ann.item_index import ItemIndex
from mmsearch.ann.kept import KeptIndex, kept_indexes
from mmsearch.ann.queries import TuningQueries, tuning_queries

__all__ = [
    "BuildOptions",
    "BuildProgress",
    "BuildReport",
    "BuildStep",
    "ItemIndex",
    "KeptIndex",
    "TuningQueries",
    "build",
    "kept_indexes",
    "outdated",
    "tuning_queries",
]
