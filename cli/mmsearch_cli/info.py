"""mmsearch info"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code


def info(
    collection: CollectionOption = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a collection is and holds.

    Example: mmsearch info -c ~/Pictures
    """
    with errors_to_exit_code():
        import mmsearch

        facts = asdict(mmsearch.open(collection).info())
        if as_json:
            print(json.dumps(facts, default=str))
        else:
            _print(facts)


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
