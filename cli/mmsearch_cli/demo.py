"""mmsearch demo"""

from __future__ import annotations

import csv
import shutil
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from mmsearch_cli.console import errors_to_exit_code, progress_bar, say
from mmsearch_cli.render import print_table


def demo(
    to: Annotated[Path, typer.Option(help="Where to put the photographs, the collection and the page.")] = Path(
        "mmsearch-demo"
    ),
) -> None:
    """Index a handful of photographs with captions and search them in four directions.

    Example: mmsearch demo
    """
    with errors_to_exit_code():
        import mmsearch

        captions = _lay_out(to)
        with progress_bar("item") as progress:
            photos, report = mmsearch.index(to, captions=captions, progress=progress)
        say(f"{report.embedded} embedded, {report.unchanged} unchanged in {report.seconds:.1f} s")
        cup = mmsearch.Text("a hot drink in a cup")
        moon, coffee = mmsearch.Picture(to / "moon.png"), mmsearch.Picture(to / "coffee.png")
        both = mmsearch.Picture(to / "horse.png") + mmsearch.Text("engine and wheels")
        results = [
            ('a sentence finds pictures: "a hot drink in a cup"', photos.search(cup, k=4)),
            ("a picture finds pictures: moon.png", photos.search(moon, k=4)),
            ("a picture finds sentences: coffee.png", photos.search(coffee, k=4, modality="text")),
            ('picture and sentence together: horse.png + "engine and wheels"', photos.search(both, k=4)),
        ]
        for title, hits in results:
            print(title)
            print_table(hits)
            print()
        page = to / "demo.html"
        mmsearch.write_contact_sheet(page, [hits for _, hits in results], title="mmsearch demo")
    say(f"the same as a page: {page}")
    say(f'now your own: mmsearch search -c {to} "a cat", or mmsearch index YOUR_FOLDER')


def _lay_out(folder: Path) -> Path:
    """Copy scikit-image's photographs and our captions of them into ``folder``."""
    from mmsearch.errors import CollectionError, MissingPackage

    try:
        photographs = resources.files("skimage") / "data"
    except ModuleNotFoundError as err:
        raise MissingPackage("scikit-image", "demo") from err
    captions = folder / "captions.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(resources.files("mmsearch_cli") / "demo_captions.csv"), captions)
        with captions.open(encoding="utf-8", newline="") as file:
            for name in {row["key"] for row in csv.DictReader(file)}:
                if not (folder / name).exists():
                    shutil.copyfile(str(photographs / name), folder / name)
    except OSError as err:
        raise CollectionError(f"{folder} cannot be written: {err.strerror}; choose another with --to DIR") from err
    return captions
