"""The batch job: plan, decode, encode, hand rows to the store, resume."""

from mmsearch.embedding.job import embed
from mmsearch.embedding.options import JobOptions
from mmsearch.embedding.report import IndexReport, Progress, Step
from mmsearch.embedding.sources import check_indexable

__all__ = ["IndexReport", "JobOptions", "Progress", "Step", "check_indexable", "embed"]
