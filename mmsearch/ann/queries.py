"""What an index is tuned with: queries of one kind, none of them an item that they may find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsearch.ann.sentences import everyday_sentences
from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder
from mmsearch.store import Modality, Snapshot
from mmsearch_indexes import ApproximateIndex, Truth, find_truth

N_QUERIES = 2000
"""Half choose a setting and half measure it, to about a hundredth."""
_ENOUGH = 200
"""Items of a kind that are taken for queries rather than something else."""
_IGNORED = 33
"""An item, its copies, and the other shots of the same moment: what a picture from elsewhere does not have. Tuned with
them, pictures of other scenes found .87 of their neighbours where .95 was promised (benchmarks/ann_collection.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class TuningQueries:
    """Queries of one kind, to be asked of the items of one modality."""

    vectors: Embeddings
    """``(n, dim)`` float32, unit rows."""
    are_rows: bool
    """Whether they are items that the index holds."""


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
        drawn = chance.choice(ids, min(N_QUERIES, len(ids)), replace=False)
        vectors = snapshot.vectors(drawn).astype(np.float32)
        return TuningQueries(vectors, are_rows=asked_in is indexed)
    if asked_in is not Modality.TEXT:
        return None
    return TuningQueries(encoder.encode_texts(everyday_sentences(N_QUERIES, seed=seed)), are_rows=False)


def truth_of(index: ApproximateIndex, queries: TuningQueries) -> Truth:
    """What the queries should find in an index; of those that are its own rows, not what is nearly the same."""
    return find_truth(index, queries.vectors, ignoring=_IGNORED if queries.are_rows else 0)
