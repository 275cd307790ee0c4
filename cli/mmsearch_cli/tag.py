"""mmsearch tag"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, say

if TYPE_CHECKING:
    from mmsearch.search.tagging import TagReport


def tag(
    words: Annotated[list[str] | None, typer.Argument(metavar="WORD", help="Words to choose from.")] = None,
    words_file: Annotated[
        Path | None,
        typer.Option("--words", help="More of them: a text file with a word a line, or a CSV or Parquet table."),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="The column of that table that holds the words.")] = None,
    collection: CollectionOption = HERE,
    column: Annotated[str, typer.Option(help="The column that takes the tags; what it has is replaced.")] = "tags",
    most: Annotated[int, typer.Option(min=1, help="Words a picture, at most.")] = 3,
    threshold: Annotated[float, typer.Option(help="Higher for fewer and surer words; 1 is loose, 3 is strict.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Give each picture the words that fit it, of those listed, for searches to filter by.

    Example: mmsearch tag dog cat "birthday cake" beach snow

    Example: mmsearch tag --words nouns.txt && mmsearch search "at play" --where "list_contains(tags, 'dog')"
    """
    with errors_to_exit_code():
        import mmsearch
        from mmsearch import read_words

        more = read_words(words_file, text_column=text_column) if words_file else []
        report = mmsearch.open(collection).tag([*(words or ()), *more], column=column, most=most, threshold=threshold)
        if as_json:
            print(json.dumps(report.to_json(), ensure_ascii=False))
        else:
            _print(report)


def _print(report: TagReport) -> None:
    for word, n in report.counts.items():
        if n:
            print(f"{n}\t{word}")
    unused = sum(not n for n in report.counts.values())
    rest = f"; {unused:,} of {len(report.counts):,} words fit none" if unused else ""
    say(f"{report.tagged:,} of {report.pictures:,} pictures have words in column {report.column} now{rest}")
    plain = next((word for word, n in report.counts.items() if n and word.isalnum()), None)
    if plain and report.column.isidentifier():
        say(f"filter by them: mmsearch search QUERY --where \"list_contains({report.column}, '{plain}')\"")
