"""Which items a condition in SQL lets through."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mmsearch.arrays import Ids
from mmsearch.errors import MissingPackage, QueryError
from mmsearch.store import Snapshot

_UNSEEN = ("embedding", "sha256")
"""Columns that no condition compares with: left out, so that they are not read."""


def matching_ids(snapshot: Snapshot, where: str) -> Ids:
    """The live items for which a condition holds.

    The condition sees one table with a row for each live item and every column of the collection, the user's own
    included; only those that it names are read. It can read nothing else, and write nothing.

    Args:
        snapshot: of the collection.
        where: what stands behind WHERE in DuckDB's SQL, such as ``width > 1000 and modality = 'image'``.

    Returns:
        ``(n,)`` int64 ids, ascending.

    Raises:
        QueryError: the condition cannot be understood; an unknown column is named with those there are.
        MissingPackage: duckdb is not installed.
    """
    if not where.strip():
        raise QueryError("the condition is empty; give one such as: width > 1000")
    known = [name for name in snapshot.columns if name not in _UNSEEN]
    words = {word.lower() for word in re.findall(r"\w+", where)}
    named = [name for name in known if set(re.findall(r"\w+", name.lower())) <= words]
    table = snapshot.table(list(dict.fromkeys(["id", *named])))
    duckdb = _duckdb()
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        connection.execute("SET python_enable_replacements = false; SET lock_configuration = true")
        connection.register("items", table)
        try:
            found = _answer(connection, f"SELECT id FROM items WHERE ({where}\n)")
        except duckdb.Error as err:
            raise QueryError(_explained(where, err, known)) from err
    # Whatever the condition makes of the query around it, only items of the collection come back.
    matching: Ids = np.intersect1d(np.asarray(found, dtype=np.int64), table["id"].to_numpy())
    return matching


def _answer(connection: Any, sql: str) -> Any:
    """Run a query in a thread of its own: while DuckDB works it hears no Ctrl-C, but it can be told to stop."""
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(lambda: connection.execute(sql).fetchnumpy()["id"])
        try:
            return answer.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _explained(where: str, err: Exception, known: list[str]) -> str:
    what = str(err).splitlines()[0]
    missing = re.search(r'column "([^"]+)"', what)
    if missing and "not found" in what:
        return f"there is no column {missing[1]!r} in the condition {where!r}; there are {', '.join(known)}"
    return f"the condition {where!r} cannot be used: {what}"


def _duckdb() -> Any:
    try:
        import duckdb
    except ModuleNotFoundError as err:
        raise MissingPackage("duckdb", "sql") from err
    return duckdb
