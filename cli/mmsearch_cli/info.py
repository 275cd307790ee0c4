"""mmsearch info"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code
from mmsearch_cli.indexes import lines_about

if TYPE_CHECKING:
    from mmsearch import Info


def info(
    collection: CollectionOption = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a collection is and holds.

    Example: mmsearch info -c ~/Pictures
    """
    with errors_to_exit_code():
        import mmsearch

        found = mmsearch.open(collection).info()
        facts = asdict(found)
        if as_json:
            print(json.dumps(facts, default=str))
        else:
            _print(facts)
            _print_indexes(found)


def _print_indexes(info: Info) -> None:
    for modality in info.counts:
        kept = info.indexes.get(modality)
        lines = lines_about(kept) if kept else ["none: every item is compared"]
        for line in lines:
            print(f"index        {modality}: {line}")


def _print(facts: dict[str, Any]) -> None:
    counts = ", ".join(f"{n:,} {modality}" for modality, n in facts["counts"].items()) or "none"
    print(f"collection   {facts['path']}")
    print(f"items        {counts}")
    print(f"encoder      {facts['encoder']}, {facts['dim']}-d, space {facts['fingerprint'][:12]}")
    print(f"on disk      {facts['shards']:,} shards, {facts['size_bytes'] / 1e6:,.1f} MB")
    print(f"last commit  {facts['last_commit']:,}, {facts['committed']}")
    for source, n in facts["sources"].items():
        print(f"source       {source} ({n:,} items)")
    print(f"columns      {', '.join(facts['columns'])}")
    if facts["failures_file"]:
        print(f"unread       {facts['failures_file']}")
