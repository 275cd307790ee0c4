"""Queries in, hits out."""

from mmsearch.search.answer import Answer
from mmsearch.search.contact_sheet import write_contact_sheet
from mmsearch.search.duplicates import CopyGroup, duplicates_in
from mmsearch.search.embed import QueryEncoder
from mmsearch.search.explain import Explanation, explain
from mmsearch.search.feedback import with_feedback
from mmsearch.search.filters import matching_ids
from mmsearch.search.hits import Hit, Hits
from mmsearch.search.options import DEFAULT_K, By, SearchOptions
from mmsearch.search.parse import parse_line, parse_query
from mmsearch.search.query import Item, Picture, Query, Text, as_query
from mmsearch.search.searcher import Neighbors, Searcher, file_key
from mmsearch.search.tagging import (
    DEFAULT_COLUMN,
    DEFAULT_MOST,
    DEFAULT_THRESHOLD,
    TagReport,
    read_words,
    tag,
)

__all__ = [
    "DEFAULT_COLUMN",
    "DEFAULT_K",
    "DEFAULT_MOST",
    "DEFAULT_THRESHOLD",
    "Answer",
    "By",
    "CopyGroup",
    "Explanation",
    "Hit",
    "Hits",
    "Item",
    "Neighbors",
    "Picture",
    "Query",
    "QueryEncoder",
    "SearchOptions",
    "Searcher",
    "TagReport",
    "Text",
    "as_query",
    "duplicates_in",
    "explain",
    "file_key",
    "matching_ids",
    "parse_line",
    "parse_query",
    "read_words",
    "tag",
    "with_feedback",
    "write_contact_sheet",
]
