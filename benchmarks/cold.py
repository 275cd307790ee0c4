"""How long does the command take from nothing: `--help`, one search, and one with everything?

Data: a collection of N pictures embedded by `mini` (photographs of Flickr8k, the same files again under other
names past 7,000). Timed as whole processes, five runs each after one that is not counted: `mmsearch --help`,
`python -c "import mmsearch"`, `mmsearch search "two dogs in the snow"` in the collection, and a search with
arithmetic, a condition and a least relevance. What each process had imported is recorded as well.

    python -m benchmarks.cold --pictures 10000
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmsearch
from benchmarks.data import lay_out
from benchmarks.record import write_record

AVAILABLE = 7000
QUERY = "two dogs in the snow"
EVERYTHING = [
    "dog",
    "+",
    "0.5:snow",
    "-",
    "grass",
    "--where",
    "width > 100 and taken is null",
    "--min-relevance",
    "0.05",
]
_HEAVY = ("torch", "open_clip", "faiss", "onnxruntime", "tokenizers", "numpy", "pyarrow", "duckdb")


def time_process(command: Sequence[str], runs: int = 5) -> dict[str, Any]:
    """Wall seconds of a whole process, median and all runs."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    counted = seconds[1:]
    return {"median_s": round(statistics.median(counted), 3), "runs_s": [round(s, 3) for s in counted]}


def imported_by(args: Sequence[str]) -> list[str]:
    """Which of the heavy packages a run of the command imports."""
    code = (
        "import sys\nfrom mmsearch_cli.main import main\nsys.argv = ['mmsearch', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(*[name for name in {_HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    return done.stderr.split()


def measure(pictures: int) -> dict[str, Any]:
    """All of them, on one collection."""
    command = str(Path(sys.executable).parent / "mmsearch")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        lay_out(folder, min(pictures, AVAILABLE))
        originals = sorted(folder.iterdir())
        mmsearch.index(folder)
        for number in range(pictures - len(originals)):
            (folder / f"again-{number:05}.jpg").hardlink_to(originals[number % len(originals)])
        collection, _ = mmsearch.index(folder)
        search = ["search", "-c", str(folder), QUERY]
        return {
            "pictures": len(collection),
            "help": {**time_process([command, "--help"]), "imports": imported_by(["--help"])},
            "import_mmsearch": time_process([sys.executable, "-c", "import mmsearch"]),
            "search": {**time_process([command, *search]), "imports": imported_by(search)},
            "everything": {
                "arguments": EVERYTHING,
                **time_process([command, "search", "-c", str(folder), *EVERYTHING]),
                "imports": imported_by(["search", "-c", str(folder), *EVERYTHING]),
            },
        }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    write_record("cold", measure(parser.parse_args().pictures))


if __name__ == "__main__":
    main()
