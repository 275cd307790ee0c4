"""Queries in, hits out."""

from mmsearch.search.contact_sheet import write_contact_sheet
from mmsearch.search.embed import embed_queries
from mmsearch.search.filters import matching_ids
from mmsearch.search.hits import Hit, Hits
from mmsearch.search.parse import parse_query
from mmsearch.search.query import Item, Picture, Query, Text
from mmsearch.search.searcher import DEFAULT_K, Neighbors, Searcher, file_key

__all__ = [
    "DEFAULT_K",
    "Hit",
    "Hits",
    "Item",
    "Neighbors",
    "Picture",
    "Query",
    "Searcher",
    "Text",
    "embed_queries",
    "file_key",
    "matching_ids",
    "parse_query",
    "write_contact_sheet",
]
