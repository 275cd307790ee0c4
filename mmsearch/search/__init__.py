"""Queries in, hits out."""

from mmsearch.search.contact_sheet import write_contact_sheet
from mmsearch.search.hits import Hit, Hits
from mmsearch.search.query import Picture, Query, Text, embed_query, parse_query
from mmsearch.search.searcher import DEFAULT_K, Neighbors, Searcher

__all__ = [
    "DEFAULT_K",
    "Hit",
    "Hits",
    "Neighbors",
    "Picture",
    "Query",
    "Searcher",
    "Text",
    "embed_query",
    "parse_query",
    "write_contact_sheet",
]
