"""The collection's folder on disk: shards, manifests, commits, tombstones, locks. Knows no encoder."""

from mmsearch.store.indexes import no_index
from mmsearch.store.manifest import FileEntry, IndexEntry, Manifest, ShardEntry, TombstoneEntry
from mmsearch.store.repair import RepairReport
from mmsearch.store.schema import EXIF_SCHEMA, FAILURE_SCHEMA, Modality, embedding_column, item_schema
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.store import Store
from mmsearch.store.verify import Damage, verify

__all__ = [
    "EXIF_SCHEMA",
    "FAILURE_SCHEMA",
    "Damage",
    "FileEntry",
    "IndexEntry",
    "Manifest",
    "Modality",
    "RepairReport",
    "ShardEntry",
    "Snapshot",
    "Store",
    "TombstoneEntry",
    "embedding_column",
    "item_schema",
    "no_index",
    "verify",
]
