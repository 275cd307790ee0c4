"""Raw measurements with everything needed to take them again, one JSON object a line."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
"""Real pictures, captions and vectors to measure with; not part of the repository."""

_PACKAGES = (
    "mmsearch",
    "numpy",
    "pillow",
    "pyarrow",
    "onnxruntime",
    "onnxruntime-gpu",
    "faiss-cpu",
    "faiss-gpu",
    "faiss-gpu-cuvs",
    "tantivy",
    "torch",
    "open-clip-torch",
)


def write_record(question: str, measured: Mapping[str, Any], *, folder: Path = ROOT / "benchmarks/results") -> Path:
    """Append one record to ``results/<question>.jsonl`` and say so.

    Args:
        question: the benchmark's module name.
        measured: parameters, raw timings, counts; plain JSON values.
        folder: where records are kept.
    """
    record = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "-m", f"benchmarks.{question}", *map(_without_place, sys.argv[1:])]),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        **measured,
    }
    file = folder / f"{question}.jsonl"
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")
    print(json.dumps(measured, indent=1))
    print(f"recorded in {file}")
    return file


def _without_place(argument: str) -> str:
    """Where a folder lies on this machine is nobody's business, and says nothing elsewhere."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _git(*args: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=False).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
