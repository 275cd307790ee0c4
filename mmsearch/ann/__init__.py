"""Approximate indexes over a collection's items: built, tuned for each kind of query, and searched."""

from mmsearch.ann.building import (
    DUE_SHARE,
    PAYS_SHARE,
    BuildOptions,
    BuildProgress,
    BuildReport,
    BuildStep,
    build,
    outdated,
)
from mmsearch.ann.item_index import ItemIndex
from mmsearch.ann.queries import TuningQueries, exact_neighbors, tuning_queries
from mmsearch.ann.sentences import everyday_sentences
from mmsearch.ann.stored import QUERY_KINDS, IndexInfo, indexes_in_use, open_index

__all__ = [
    "DUE_SHARE",
    "PAYS_SHARE",
    "QUERY_KINDS",
    "BuildOptions",
    "BuildProgress",
    "BuildReport",
    "BuildStep",
    "IndexInfo",
    "ItemIndex",
    "TuningQueries",
    "build",
    "everyday_sentences",
    "exact_neighbors",
    "indexes_in_use",
    "open_index",
    "outdated",
    "tuning_queries",
]
