"""What all commands share: exit codes, warnings and progress on stderr."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmsearch import Progress


class Exit(IntEnum):
    """Exit codes; 2 is given by the parser."""

    ERROR = 1
    DAMAGE = 3
    SPACE_MISMATCH = 4
    INTERRUPTED = 130


CollectionOption = Annotated[
    Path,
    typer.Option(
        "--collection",
        "-c",
        envvar="MMSEARCH_COLLECTION",
        help="The collection, or a folder in or below it. By default it is looked for here and upward.",
        show_default=False,
    ),
]
HERE = Path()


def say(message: str) -> None:
    """One line of talk, on stderr."""
    print(message, file=sys.stderr)


@contextmanager
def errors_to_exit_code(stopped: str = "stopped") -> Iterator[None]:
    """Show our own errors as one sentence; with ``--debug`` they keep their traceback.

    Args:
        stopped: what to say after Ctrl-C.
    """
    from mmsearch.errors import EncoderMismatch, MmsearchError

    try:
        yield
        sys.stdout.flush()
    except MmsearchError as err:
        if logging.getLogger("mmsearch").isEnabledFor(logging.DEBUG):
            raise
        say(f"mmsearch: {err}")
        raise SystemExit(Exit.SPACE_MISMATCH if isinstance(err, EncoderMismatch) else Exit.ERROR) from err
    except KeyboardInterrupt as err:
        say(f"mmsearch: {stopped}")
        raise SystemExit(Exit.INTERRUPTED) from err
    except BrokenPipeError as err:
        # The reader of our output has gone, as in `mmsearch search … | head -1`; that is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from err
    except OSError as err:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"mmsearch: {err}")
        raise SystemExit(Exit.ERROR) from err


def interrupt_on_terminate() -> None:
    """Let SIGTERM stop the job as politely as Ctrl-C does, also where Ctrl-C is ignored, as behind a shell's ``&``."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[Progress], None]]:
    """A bar on stderr while that is a terminal: items a second, time left and what holds the job up."""
    from tqdm import tqdm

    bar: tqdm[None] = tqdm(unit=unit, disable=None, dynamic_ncols=True, leave=False, smoothing=0.1)

    def show(progress: Progress) -> None:
        if progress.total != bar.total or progress.done < bar.n:
            bar.reset(total=progress.total)
        bar.set_postfix_str(f"bound by {progress.bound.value}", refresh=False)
        bar.update(progress.done - bar.n)

    with bar:
        yield show
