"""How often does an encoder find what was meant, through the public API and the files that ship?

Data: the 1,000 photographs and 5,000 captions of Flickr8k's dev split, which `mini` never saw; and, from another
source, 16 photographs of scikit-image with 20 plain queries written before any was tried. For the first, hit rates,
MRR, nDCG and median rank in both directions; for the second, the rank of the picture that was meant.

    python -m benchmarks.quality --encoder mini
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import mmsearch
from benchmarks.data import lay_out_dev
from benchmarks.record import SHARED, write_record

PLAIN_QUERIES = {
    "a cat": "chelsea.png",
    "a pet looking at you": "chelsea.png",
    "a cup of coffee": "coffee.png",
    "a hot drink on a table": "coffee.png",
    "a rocket": "rocket.jpg",
    "a spacecraft on its launch pad": "rocket.jpg",
    "an astronaut": "astronaut.png",
    "a smiling woman": "astronaut.png",
    "a motorcycle": "motorcycle_left.png",
    "a vehicle in a garage": "motorcycle_left.png",
    "a horse": "horse.png",
    "a man with a camera": "camera.png",
    "old coins": "coins.png",
    "money": "coins.png",
    "the surface of the moon": "moon.png",
    "stars and galaxies": "hubble_deep_field.jpg",
    "a brick wall": "brick.png",
    "a page of a book": "page.png",
    "small stones": "gravel.png",
    "a clock": "clock_motion.png",
}
PLAIN_PICTURES = sorted({*PLAIN_QUERIES.values(), "grass.png", "retina.jpg"})


def flickr8k(scratch: Path, encoder: str) -> dict[str, Any]:
    """The report of `Collection.evaluate` on the dev split."""
    folder = scratch / "flickr8k"
    lay_out_dev(folder)
    photos, _ = mmsearch.index(folder, encoder=encoder)
    return photos.evaluate(SHARED / "flickr8k/dev.csv").to_json()


def plain_queries(scratch: Path, encoder: str) -> dict[str, int]:
    """Query -> the rank of the picture that was meant."""
    folder = scratch / "plain"
    folder.mkdir()
    for name in PLAIN_PICTURES:
        (folder / name).symlink_to(str(resources.files("skimage") / "data" / name))
    photos, _ = mmsearch.index(folder, encoder=encoder)
    found = {query: [hit.key for hit in photos.search(query, k=len(PLAIN_PICTURES))] for query in PLAIN_QUERIES}
    return {query: found[query].index(meant) + 1 for query, meant in PLAIN_QUERIES.items()}


def measure(encoder: str) -> dict[str, Any]:
    """Both."""
    with tempfile.TemporaryDirectory() as scratch:
        ranks = plain_queries(Path(scratch), encoder)
        return {
            "encoder": encoder,
            "flickr8k_dev": flickr8k(Path(scratch), encoder),
            "plain_pictures": len(PLAIN_PICTURES),
            "plain_ranks": ranks,
            "plain_first": sum(rank == 1 for rank in ranks.values()),
            "plain_mean_reciprocal_rank": round(statistics.mean(1 / rank for rank in ranks.values()), 3),
        }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    write_record("quality", measure(parser.parse_args().encoder))


if __name__ == "__main__":
    main()
