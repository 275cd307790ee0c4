"""What an index is tuned with: queries of one kind, none of them an item that they may find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsearch.ann.sentences import everyday_sentences
from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder
from mmsearch.store import Modality, Snapshot
from mmsearch_indexes import TUNED_K, ApproximateIndex, RowIds

N_QUERIES = 2000
"""Half choose a setting and half measure it, to about a hundredth."""
_ENOUGH = 200
"""Items of the other modality that are taken for queries rather than something else."""


@dataclass(frozen=True, slots=True, eq=False)
class TuningQueries:
    """Queries of one kind, to be asked of the items of one modality."""

    vectors: Embeddings
    """``(n, dim)`` float32, unit rows."""
    own: RowIds | None
    """``(n,)`` the row of each, where they are rows of the index themselves: it counts as not there."""
    origin: str
    """What they are, in words."""


def tuning_queries(
    snapshot: Snapshot, encoder: DualEncoder, *, indexed: Modality, asked_in: Modality, seed: int = 0
) -> TuningQueries | None:
    """Queries of one kind, drawn at random; None where there are none of this kind.

    Args:
        snapshot: of the collection.
        encoder: for sentences, where the collection has too few texts.
        indexed: what may be found.
        asked_in: the kind of query. Of the modality that may be found, items are drawn, and each is asked for
            its neighbours.
        seed: of what is drawn.
    """
    ids = snapshot.table(["id"], modality=asked_in)["id"].to_numpy()
    chance = np.random.default_rng(seed)
    if len(ids) >= _ENOUGH:
        drawn = np.sort(chance.choice(len(ids), min(N_QUERIES, len(ids)), replace=False))
        vectors = snapshot.vectors(ids[drawn]).astype(np.float32)
        return TuningQueries(vectors, drawn if asked_in is indexed else None, f"{asked_in}s of the collection")
    if asked_in is not Modality.TEXT:
        return None
    return TuningQueries(encoder.encode_texts(everyday_sentences(N_QUERIES, seed=seed)), None, "everyday sentences")


def exact_neighbors(index: ApproximateIndex, queries: TuningQueries) -> RowIds:
    """``(n, 10)`` row ids of each query's nearest, best first, without itself."""
    if queries.own is None:
        return index.search_exactly(queries.vectors, TUNED_K).row_ids
    found = index.search_exactly(queries.vectors, TUNED_K + 1).row_ids
    # Of equal vectors with smaller row ids there may be so many that a row does not find itself.
    itself = found == queries.own[:, np.newaxis]
    itself[~itself.any(axis=1), -1] = True
    others: RowIds = found[~itself].reshape(len(found), TUNED_K)
    return others
