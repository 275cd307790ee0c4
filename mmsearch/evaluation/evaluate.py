"""From embeddings or ranked lists and the known pairs to a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mmsearch.arrays import Embeddings, Ids
from mmsearch.evaluation.metrics import hit_rate_at_k, median_rank, mrr, ndcg_at_k
from mmsearch.evaluation.qrels import Qrels
from mmsearch.evaluation.ranks import RelevantRanks, ranks_in_embeddings, ranks_in_run
from mmsearch.evaluation.report import DirectionReport, Report

DEFAULT_KS = (1, 5, 10)


def evaluate_embeddings(
    queries: Embeddings,
    candidates: Embeddings,
    relevant: Qrels | Sequence[Iterable[int]],
    *,
    ks: Sequence[int] = DEFAULT_KS,
) -> DirectionReport:
    """Measure exact search: every candidate is ranked for every query.

    Args:
        queries: ``(n_queries, dim)`` float32.
        candidates: ``(n_candidates, dim)`` float32.
        relevant: ``Qrels``, or the relevant candidate rows of each query.
        ks: places at which the hit rate is wanted.

    Raises:
        ValueError: no queries, shapes that do not fit, NaN, or a k below 1.
    """
    qrels = relevant if isinstance(relevant, Qrels) else Qrels.from_lists(relevant, n_candidates=len(candidates))
    return _report(ranks_in_embeddings(queries, candidates, qrels), ks)


def evaluate_pairs(
    *,
    images: Embeddings,
    texts: Embeddings,
    image_of_text: Ids,
    encoder: str,
    search: str = "exact",
    ks: Sequence[int] = DEFAULT_KS,
) -> Report:
    """Measure both directions of a set of captioned pictures by exact search.

    Args:
        images: ``(n_images, dim)`` float32; all are candidates for the texts, those with a text are queries.
        texts: ``(n_texts, dim)`` float32.
        image_of_text: ``(n_texts,)`` int64 row of each text's picture; several texts may share one.
        encoder: its name, for the report.
        search: how the vectors were compared, for the report.
        ks: places at which the hit rate is wanted.

    Raises:
        ValueError: no texts, shapes that do not fit, NaN, or a k below 1.
    """
    image_of = Qrels.from_pairs(
        np.arange(len(image_of_text)), image_of_text, n_queries=len(texts), n_candidates=len(images)
    )
    captioned = np.unique(image_of_text)
    texts_of = image_of.transposed().take(captioned)
    return Report(
        t2i=evaluate_embeddings(texts, images, image_of, ks=ks),
        i2t=evaluate_embeddings(images[captioned], texts, texts_of, ks=ks),
        encoder=encoder,
        search=search,
    )


def evaluate_run(run: Ids, relevant: Qrels, *, ks: Sequence[int] = DEFAULT_KS) -> DirectionReport:
    """Measure ranked lists, such as those of an approximate index.

    Args:
        run: ``(n_queries, depth)`` int64 candidate rows, best first; -1 means "no result". The reciprocal
            rank and the median count what lies beyond ``depth`` as not found.
        relevant: the known pairs.
        ks: places at which the hit rate is wanted.

    Raises:
        ValueError: no queries, rows that do not fit, or lists that end before ``max(ks)`` or 10.
    """
    return _report(ranks_in_run(run, relevant), ks)


def _report(ranks: RelevantRanks, ks: Sequence[int]) -> DirectionReport:
    return DirectionReport(
        hit_rate={k: hit_rate_at_k(ranks, k) for k in ks},
        mrr=mrr(ranks),
        ndcg_at_10=ndcg_at_k(ranks, 10),
        median_rank=median_rank(ranks),
        n_queries=ranks.qrels.n_queries,
    )
