"""The README's table, from the newest record of each benchmark.

python -m benchmarks.table
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import ann_plot
from mmsearch.evaluation.plot import short

RESULTS = Path(__file__).parent / "results"


def newest(question: str) -> dict[str, Any]:
    """The last record of one benchmark."""
    record: dict[str, Any] = json.loads((RESULTS / f"{question}.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return record


def rows() -> list[tuple[str, str, str]]:
    """What was asked, what was measured, and which module asked."""
    quality, embed, cold, store, index, subtract = map(
        newest, ("quality", "embed", "cold", "crash", "crash_index", "subtract")
    )
    t2i, i2t = quality["flickr8k_dev"]["t2i"], quality["flickr8k_dev"]["i2t"]
    relevance, hybrid, copies, indexed = map(newest, ("relevance", "hybrid", "copies", "ann_collection"))
    memory = list(embed["peak_rss_mb"].items())
    nothing = relevance["nothing_here_matches_well"]
    different = copies["different"]
    return [
        (
            "`mini`, a sentence finds its picture among 1,000 (Flickr8k dev): hit rate @1, @5, @10",
            _rates(t2i),
            "quality",
        ),
        ("`mini`, a picture finds one of its sentences among 5,000: hit rate @1, @5, @10", _rates(i2t), "quality"),
        (
            f"`mini`, {len(quality['plain_ranks'])} plain queries on {quality['plain_pictures']} photographs "
            "from elsewhere",
            f"{quality['plain_first']} find the one that was meant first",
            "quality",
        ),
        (
            f"indexing {embed['pictures']:,} photographs with `mini`, beside the encoder alone",
            f"{median(embed['whole_per_s']):.0f}/s, {median(embed['encode_per_s']):.0f}/s "
            f"({embed['share_of_limit']:.0%} of the limit)",
            "embed",
        ),
        (
            f"peak memory at {int(memory[0][0]):,} and {int(memory[1][0]):,} photographs, decoders included",
            f"{memory[0][1]:.0f} MB, {memory[1][1]:.0f} MB",
            "embed",
        ),
        (
            f"one search from nothing, {cold['pictures']:,} pictures; one with a sum, a condition and a least "
            "relevance; `mmsearch --help`",
            f"{cold['search']['median_s']:.2f} s; {cold['everything']['median_s']:.2f} s; "
            f"{cold['help']['median_s']:.2f} s",
            "cold",
        ),
        (
            f"{index['rounds']} runs of `mmsearch index`, {index['killed']} killed with -9: acknowledged rows lost, "
            "pictures twice",
            f"{index['after_next_run']['lost']}, {index['after_next_run']['doubled_keys']} "
            f"(of {index['after_next_run']['acknowledged']:,})",
            "crash_index",
        ),
        (
            f"{store['bits']['flips']} single flipped bits in a collection's files: named by `verify`",
            f"{store['bits']['named']}",
            "crash",
        ),
        (
            f'top {subtract["k"]} of "dog" and of "dog - grass", 12 such pairs: pictures that show what was subtracted',
            f"{subtract['word_alone']['shows_unwanted']:.1f}, {subtract['subtracted']['shows_unwanted']:.1f}",
            "subtract",
        ),
        (
            "the picture of a caption among 1,000 that carry another one: hit rate @10 by vectors, words, `--hybrid`",
            ", ".join(
                f"{hybrid['all_captioned'][by]['hit_rate@10']:.3f}".lstrip("0")
                for by in ("vectors", "words", "vectors+words")
            ),
            "hybrid",
        ),
        (
            '"nothing here matches well": said where nothing does; where a right picture was found (1,000 pictures)',
            f"{nothing['1000']['said_where_there_is_none']:.0%}, {nothing['1000']['said_though_found']:.0%}",
            "relevance",
        ),
        (
            f"pairs of different photographs that count as copies, of {different['pairs'] / 1e6:.0f} million; "
            "JPEGs of quality 60 that do",
            f"{different['different_called_copies_by_cosine_and_look']['0.85']['0.9']}; "
            f"{copies['flickr8k']['changes']['jpeg 60']['found_by_cosine_and_look']['0.85']:.0%}",
            "copies",
        ),
        (
            f"a sentence among {indexed['rows']:,} pictures' vectors, on two cores: all compared; by the index; share "
            "of the true ten nearest that it finds for captions it was not tuned with",
            f"{indexed['compared']['text']['median_ms']:.0f} ms; {indexed['fresh']['text']['median_ms']:.2f} ms; "
            f"{short(indexed['fresh']['text']['recall'])}",
            "ann_collection",
        ),
        *(_beside_others(data, n) for data, n in (("mini", 201_003), ("clip model", 1_000_000))),
    ]


def _beside_others(data: str, n: int) -> tuple[str, str, str]:
    """Our index beside other libraries, for sentences at a recall of .95 and .99."""
    found = ann_plot.rows(ann_plot.newest(RESULTS / "ann.jsonl")[data, n], "sentences")
    ours = next(row for row in found if row.name == "mmsearch planned")
    others = [row for row in found if not row.is_ours]
    best = max(others, key=lambda row: row.qps["single", 0.95] or 0)
    what = "`mini` vectors" if data == "mini" else "vectors drawn like CLIP's"
    return (
        f"{n:,} {what}, sentences a second on one thread at ann_recall@10 .95 and .99, and bytes a vector; the same of "
        f"the fastest of {len(others)} indexes of other libraries",
        "; ".join(
            f"{row.qps['single', 0.95]:,.0f} and {row.qps['single', 0.99]:,.0f}, {row.size:,.0f}{name}"
            for row, name in ((ours, ""), (best, f" ({best.name.split()[0]})"))
        ),
        "ann",
    )


def render() -> str:
    """The table in Markdown."""
    lines = ["| what | measured | `python -m benchmarks.…` |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {what} | {measured} | `{module}` |" for what, measured, module in rows())])


def _rates(direction: dict[str, float]) -> str:
    return ", ".join(f"{direction[f'hit_rate@{k}']:.3f}".lstrip("0") for k in (1, 5, 10))


if __name__ == "__main__":
    print(render())
