"""Vector search over float32 matrices and int64 row ids; knows no pictures, texts or item ids."""

from mmsearch_indexes.approximate import ApproximateIndex
from mmsearch_indexes.curve import CurvePoint, MeasuredCurve, measure_curve
from mmsearch_indexes.errors import (
    FaissMissing,
    IndexUnusable,
    InvalidK,
    InvalidRecipe,
    InvalidVectors,
    OverBudget,
    VectorIndexError,
)
from mmsearch_indexes.flat import FlatIndex
from mmsearch_indexes.gpu import gpu_count, on_gpu
from mmsearch_indexes.index_files import (
    IndexDescription,
    describe_index,
    load_index,
    save_index,
    store_rows,
)
from mmsearch_indexes.neighbors import Matrix, Neighbors, RowIds, Scores, check_k, merge, rank
from mmsearch_indexes.planner import EXACT_ROWS, Plan, plan
from mmsearch_indexes.recipe import TUNED_K, IndexRecipe, Setting, Tuned
from mmsearch_indexes.truth import Truth, find_truth
from mmsearch_indexes.tuning import tune

__all__ = [
    "EXACT_ROWS",
    "TUNED_K",
    "ApproximateIndex",
    "CurvePoint",
    "FaissMissing",
    "FlatIndex",
    "IndexDescription",
    "IndexRecipe",
    "IndexUnusable",
    "InvalidK",
    "InvalidRecipe",
    "InvalidVectors",
    "Matrix",
    "MeasuredCurve",
    "Neighbors",
    "OverBudget",
    "Plan",
    "RowIds",
    "Scores",
    "Setting",
    "Truth",
    "Tuned",
    "VectorIndexError",
    "check_k",
    "describe_index",
    "find_truth",
    "gpu_count",
    "load_index",
    "measure_curve",
    "merge",
    "on_gpu",
    "plan",
    "rank",
    "save_index",
    "store_rows",
    "tune",
]
