"""Queries in, hits out."""

from mmsearch.search.answer import Answer
from mmsearch.search.contact_sheet import write_contact_sheet
from mmsearch.search.embed import QueryEncoder
from mmsearch.search.feedback import with_feedback
from mmsearch.search.filters import matching_ids
from mmsearch.search.hits import Hit, Hits
from mmsearch.search.options import DEFAULT_K, By, SearchOptions
from mmsearch.search.parse import parse_query
from mmsearch.search.query import Item, Picture, Query, Text
from mmsearch.search.searcher import Neighbors, Searcher, file_key

__all__ = [
    "DEFAULT_K",
    "Answer",
    "By",
    "Hit",
    "Hits",
    "Item",
    "Neighbors",
    "Picture",
    "Query",
    "QueryEncoder",
    "SearchOptions",
    "Searcher",
    "Text",
    "file_key",
    "matching_ids",
    "parse_query",
    "with_feedback",
    "write_contact_sheet",
]
