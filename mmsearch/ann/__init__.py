"""Approximate indexes over a collection's items: built, tuned for each kind of query, and searched."""

from mmsearch.ann.border import raised_as
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
from mmsearch.ann.queries import TuningQueries, truth_of, tuning_queries
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
    "indexes_in_use",
    "open_index",
    "outdated",
    "raised_as",
    "truth_of",
    "tuning_queries",
]
