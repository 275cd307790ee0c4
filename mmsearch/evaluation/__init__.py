"""How good a ranking is: known pairs, metrics, reports."""

from mmsearch.evaluation.bench import BenchReport, Curve, bench
from mmsearch.evaluation.evaluate import evaluate_embeddings, evaluate_pairs, evaluate_run
from mmsearch.evaluation.metrics import (
    ann_recall_at_k,
    hit_rate_at_k,
    hit_rate_interval,
    median_rank,
    mrr,
    ndcg_at_k,
    recall_at_k,
)
from mmsearch.evaluation.plot import PlotLine, PlotPoint, recall_plot
from mmsearch.evaluation.qrels import Qrels
from mmsearch.evaluation.ranks import RelevantRanks, ranks_in_embeddings, ranks_in_run
from mmsearch.evaluation.report import DirectionReport, Report

__all__ = [
    "BenchReport",
    "Curve",
    "DirectionReport",
    "PlotLine",
    "PlotPoint",
    "Qrels",
    "RelevantRanks",
    "Report",
    "ann_recall_at_k",
    "bench",
    "evaluate_embeddings",
    "evaluate_pairs",
    "evaluate_run",
    "hit_rate_at_k",
    "hit_rate_interval",
    "median_rank",
    "mrr",
    "ndcg_at_k",
    "ranks_in_embeddings",
    "ranks_in_run",
    "recall_at_k",
    "recall_plot",
]
