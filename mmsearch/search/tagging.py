"""Words for pictures, chosen from a list by the encoder alone (zero-shot), and kept as a column."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmsearch.arrays import Embeddings, Ids, StoredEmbeddings
from mmsearch.encoders import DualEncoder
from mmsearch.errors import MediaError, NotFound, QueryError
from mmsearch.media import TABLE_EXTENSIONS, read_texts
from mmsearch.search.query import Text
from mmsearch.store import Modality, Store, item_schema

DEFAULT_COLUMN = "tags"
DEFAULT_MOST = 3
DEFAULT_THRESHOLD = 2.0
"""Chosen by the captions of Flickr8k's dev pictures of even number, and by eye on forty of all; what it gives on the
others is in benchmarks/results/tag.jsonl."""

PROMPT = "a photo of {}"
_COMMON = """
person animal plant flower tree building house room street vehicle boat food drink furniture clothing sky water
mountain snow night crowd face sport toy machine text drawing
"""
COMMON_WORDS = tuple(_COMMON.split())
"""What words are compared with beside each other: with them a list of one word, or of words that fit no picture at
all, is judged as strictly as a long one."""

_ASSUMED = 5  # pictures of no particular content that each word is taken to have been compared with already
_LEAST_UNIT = 1e-3  # differences below it are those of float16
_SCORES = 1 << 22  # held at once
_TAGS = pa.list_(pa.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class TagReport:
    """What one run of tagging did."""

    column: str
    pictures: int
    tagged: int
    """Pictures that got a word; the others have an empty list."""
    counts: dict[str, int]
    """Word -> pictures that got it, most frequent first, those that fit none as well."""

    def to_json(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def tag(
    store: Store,
    encoder: DualEncoder,
    words: Sequence[str],
    *,
    column: str = DEFAULT_COLUMN,
    most: int = DEFAULT_MOST,
    threshold: float = DEFAULT_THRESHOLD,
) -> TagReport:
    """Give every picture of a collection the words that fit it, as a column of lists, the best word first.

    A picture that no word fits has an empty list; one that is added later has null until the next run. Words given
    by a run before are replaced.

    Args:
        store: the collection; its space is that of ``encoder``.
        encoder: what embeds the words.
        words: to choose from; blank ones and repetitions are left out.
        column: the column's name.
        most: words a picture, at most.
        threshold: see ``tags_for``; a higher one gives fewer and surer words.

    Raises:
        QueryError: no word, no picture, a ``most`` below 1, a threshold that is no number, or a column of which
            every item has its own.
        CollectionError: the column is there and holds something else, or the collection cannot be written.
        Locked: another process writes to the collection.
    """
    wanted = list(dict.fromkeys(word for word in (" ".join(word.split()) for word in words) if word))
    _check(wanted, column, most, threshold, store.space.dim)
    with store.lock():
        ids, pictures = store.snapshot().embeddings(Modality.IMAGE)
        if not len(ids):
            raise QueryError(f"{store.path} holds no pictures, and only pictures are tagged")
        vectors = encoder.encode_texts([PROMPT.format(word) for word in (*wanted, *COMMON_WORDS)])
        chosen = tags_for(
            pictures, vectors[: len(wanted)], beside=vectors[len(wanted) :], most=most, threshold=threshold
        )
        tags = [[wanted[place] for place in row if place >= 0] for row in chosen.tolist()]
        store.give_columns(pa.table({"id": ids, column: pa.array(tags, _TAGS)}), job="tag")
    counts = Counter(dict.fromkeys(wanted, 0))
    counts.update(word for row in tags for word in row)
    return TagReport(column=column, pictures=len(tags), tagged=sum(map(bool, tags)), counts=dict(counts.most_common()))


def _check(words: Sequence[str], column: str, most: int, threshold: float, dim: int) -> None:
    if not words:
        raise QueryError("there is no word to tag with; give some, or a file with a word a line")
    for word in words:
        Text(word)  # refuses what no encoder takes
    if most < 1:
        raise QueryError(f"most is {most}; it counts words a picture, so it must be 1 or more")
    if math.isnan(threshold):
        raise QueryError("the threshold is nan; give a number such as 2")
    if not column.strip() or column in item_schema(dim).names:
        raise QueryError(f"column {column!r} cannot hold tags; choose another name, such as {DEFAULT_COLUMN}")


def tags_for(
    pictures: Embeddings | StoredEmbeddings,
    words: Embeddings,
    *,
    beside: Embeddings,
    most: int = DEFAULT_MOST,
    threshold: float = DEFAULT_THRESHOLD,
) -> Ids:
    """Which words fit which pictures.

    A word's cosine with a picture counts by how far it lies above the mean of that word's cosines with all pictures,
    so that a word which fits everything tags nothing. The unit is the root mean square of these differences over all
    words: not each word's own, as words that fit nothing would then have their best picture called outstanding.

    Args:
        pictures: ``(n, dim)`` float16 or float32, unit rows: those of a whole collection.
        words: ``(m, dim)`` float32, unit rows.
        beside: ``(b, dim)`` float32, unit rows: words of the common kind, for the unit only; may be empty.
        most: words a picture, 1 or more.
        threshold: units that a word must lie above its mean.

    Returns:
        ``(n, min(most, m))`` int64 positions in ``words``, the best first, equal ones by position; -1 where no
        further word fits.
    """
    every = np.concatenate([words, beside])
    means, unit = _calibrate(pictures, every)
    means = means[: len(words)]
    chosen = np.full((len(pictures), min(most, len(words))), -1, np.int64)
    for start, cosines in _cosines(pictures, words):
        above = cosines - means
        best = np.argsort(-above, axis=1, kind="stable")[:, :most]
        fits = np.take_along_axis(above, best, axis=1) >= threshold * unit
        chosen[start : start + len(best)] = np.where(fits, best, -1)
    return chosen


def _calibrate(pictures: Embeddings | StoredEmbeddings, words: Embeddings) -> tuple[npt.NDArray[np.float64], float]:
    """Each word's mean cosine ``(m,)``, drawn towards that of all words where pictures are few; and the unit.

    One picture has no mean to stand out from: there, words are compared with each other instead.
    """
    n = len(pictures)
    total, squares = np.zeros(len(words)), np.zeros(len(words))
    for _, cosines in _cosines(pictures, words):
        total += cosines.sum(axis=0)
        squares += (cosines**2).sum(axis=0)
    means = (total + _ASSUMED * total.mean() / n) / (n + _ASSUMED)
    # The mean of (cosine - mean)² over all pictures and words.
    variance = (squares - 2 * means * total + n * means**2).mean() / n
    return means, max(math.sqrt(max(variance, 0.0)), _LEAST_UNIT)


def _cosines(
    pictures: Embeddings | StoredEmbeddings, words: Embeddings
) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Of some pictures at a time with all words, each part with its start."""
    step = max(1, _SCORES // len(words))
    for start in range(0, len(pictures), step):
        yield start, (pictures[start : start + step].astype(np.float32) @ words.T).astype(np.float64)


def read_words(path: Path, *, text_column: str | None = None) -> list[str]:
    """The words of a file: CSV or Parquet, or else plain text with a word, or a few, a line.

    Args:
        path: the file.
        text_column: the column of a table that holds them; see ``read_texts``.

    Raises:
        NotFound: there is no such file.
        MediaError: it cannot be read.
    """
    if path.suffix.lower() in TABLE_EXTENSIONS:
        return read_texts(path, text_column=text_column).texts
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as err:
        raise NotFound(f"there is no file {path}; check the path", path) from err
    except (OSError, UnicodeDecodeError) as err:
        raise MediaError(f"words cannot be read from {path}: {err}") from err
    return [line.strip() for line in lines if line.strip()]
