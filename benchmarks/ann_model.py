"""A million picture vectors with the geometry of CLIP's, and sentences for them: synthetic, and checked.

    python -m benchmarks.ann_model FOLDER

The vectors are drawn from a model; no picture stands behind them. The model is fitted to 2,140 real picture vectors and
to 100 pictures with 500 sentences (CLIP ViT-B/32):

- A picture is a random mixture of a real picture and three of its seven nearest, plus Gaussian noise. The noise has the
  shape of what sets real pictures apart from their neighbours, and is as large as it is around the picture that was
  drawn, so that crowded and lonely places stay what they are.
- A sentence is the mean of all sentences (there is the modality gap) plus what it says of its picture plus noise. What
  it says is a share of the way from the mean of all pictures to a point between its picture and others near by: a
  sentence fits many pictures. The share is the real one for each block of the principal components of pictures; the
  noise has the covariance of what the real sentences say beside that.

A draw is compared with the real vectors in ``compare``: norms of the means, cosines within and between kinds, nearest
neighbours, how they come nearer as the vectors become more, what 40 centroids explain, hit rates. Three numbers were
turned until these agreed: ``_NOISE``, ``_NEAR_SHARE`` and ``_SAYS``. What 2,140 vectors cannot show, the geometry among
a million, is the model's own, and Flickr8k's photographs are of fewer kinds than a web crawl's. The two fitted sets
come from two variants of the same weights (cosine .94 on shared pictures): the sentences' means and shares are
measured beside their own pictures and then used beside the others.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ann_data import save
from benchmarks.record import SHARED

Matrix = npt.NDArray[np.float32]
RowIds = npt.NDArray[np.int64]

ROWS = 1_000_000
_ROWS_A_PART = 20_000
_SENTENCES = {"sentences-dev": 5_000, "sentences-train": 30_000}
_HELD_OUT = 5_000

_NEAR = 8  # a picture and its seven nearest
_MIXED = 4  # of which so many are mixed
_NOISE = 0.9  # the noise of a picture, in units of the distance of the real one from the mean of its nearest
_NOISE_SPREAD = 0.2  # standard deviation of the logarithm of that
_SUBJECT_NEAR = 16  # a sentence fits two pictures of so many
_NEAR_SHARE = 0.55  # and speaks of them to this share, else of its own picture
_SAYS = 1.3  # times the real share, which is smaller because real sentences speak of their own picture only in part
_BLOCKS = (10, 25, 50, 100, 200)  # where another block of principal components starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """The vectors that the model is fitted to; float32 unit rows."""

    pictures: Matrix
    captioned: Matrix
    sentences: Matrix
    picture_of_sentence: RowIds


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Pictures, and a sentence of each; both ``(n, dim)`` float32, unit rows."""

    pictures: Matrix
    sentences: Matrix


class ClipModel:
    """Draws pairs of a picture and a sentence."""

    def __init__(self, real: Real) -> None:
        """Fit."""
        self._real = real.pictures
        self._nearest = _nearest(real.pictures, max(_NEAR, _SUBJECT_NEAR))
        apart = real.pictures - real.pictures[self._nearest[:, :_NEAR]].mean(axis=1)
        self._distance = np.linalg.norm(apart, axis=1)
        self._noise = _root(unit(apart))
        self._mean = real.pictures.mean(axis=0)
        self._mean_sentence = real.sentences.mean(axis=0)
        axes: Matrix = np.linalg.svd(real.pictures - self._mean, full_matrices=False)[2]
        captioned = (real.captioned - real.captioned.mean(axis=0)) @ axes.T
        said = (real.sentences - self._mean_sentence) @ axes.T
        share = _shares(captioned[real.picture_of_sentence], said)
        self._says: Matrix = (axes.T * share) @ axes
        unsaid = said - (captioned * share)[real.picture_of_sentence]
        self._unsaid = _root(unsaid @ axes)

    def draw(self, n: int, seed: list[int]) -> Draw:
        """n pairs; the same for the same seed."""
        chance = np.random.default_rng(seed)
        first = chance.integers(0, len(self._real), n)
        others = self._nearest[first[:, np.newaxis], chance.integers(0, _NEAR, (n, _MIXED - 1))]
        mixed = self._mixed(np.column_stack([first, others]), chance.dirichlet(np.ones(_MIXED), n))
        size = _NOISE * self._distance[first] * np.exp(_NOISE_SPREAD * chance.standard_normal(n))
        pictures = unit(mixed + size.astype(np.float32)[:, np.newaxis] * _gaussian(chance, n, self._noise))
        fits = self._nearest[first[:, np.newaxis], chance.integers(0, _SUBJECT_NEAR, (n, 2))]
        subject = (1 - _NEAR_SHARE) * pictures + _NEAR_SHARE * self._mixed(fits, np.full((n, 2), 0.5)) - self._mean
        said = _SAYS * subject.astype(np.float32) @ self._says
        return Draw(pictures=pictures, sentences=unit(self._mean_sentence + said + _gaussian(chance, n, self._unsaid)))

    def _mixed(self, row_ids: RowIds, weights: npt.NDArray[np.float64]) -> Matrix:
        """``(n, dim)`` weighted sums of real pictures."""
        total = np.zeros((len(row_ids), self._real.shape[1]), np.float32)
        for ids, weight in zip(row_ids.T, weights.T.astype(np.float32), strict=True):
            total += weight[:, np.newaxis] * self._real[ids]
        return total


def load_real() -> Real:
    """The vectors of CLIP ViT-B/32 beside this repository."""
    folder = SHARED / "clip-vit-b32"
    with np.load(folder / "flickr8k-images.npz") as images, np.load(folder / "flickr8k-100.npz") as pairs:
        return Real(
            pictures=unit(images["image_embeddings"].astype(np.float32)),
            captioned=unit(pairs["image_embeddings"]),
            sentences=unit(pairs["text_embeddings"]),
            picture_of_sentence=pairs["image_of_text"],
        )


def agreement(pictures: Matrix) -> dict[str, Any]:
    """What pictures are like; to be compared between real and drawn ones of the same number."""
    cosines = _cosines(pictures)
    spectrum = np.linalg.eigvalsh(np.cov(pictures.T))
    nearest = {n: np.sort(_cosines(pictures[:n]), axis=1) for n in (100, 250, 500, 1000, len(pictures))}
    return {
        "norm_of_mean": _rounded(np.linalg.norm(pictures.mean(axis=0))),
        "mean_cosine": _rounded(cosines[np.isfinite(cosines)].mean()),
        "effective_dimensions": _rounded(spectrum.sum() ** 2 / (spectrum**2).sum(), 1),
        "nearest_5_25_50_75_95_percent": _quantiles(nearest[len(pictures)][:, -1]),
        "tenth_nearest_5_25_50_75_95_percent": _quantiles(nearest[len(pictures)][:, -10]),
        "nearest_by_number": {n: _rounded(np.median(found[:, -1])) for n, found in nearest.items()},
        "unexplained_by_40_centroids": _rounded(_unexplained(pictures, 40)),
    }


def agreement_of_pairs(pictures: Matrix, sentences: Matrix, picture_of_sentence: RowIds) -> dict[str, float]:
    """What sentences are like beside pictures."""
    scores = sentences @ pictures.T
    every = np.arange(len(sentences))
    matched = scores[every, picture_of_sentence]
    others = scores.copy()
    others[every, picture_of_sentence] = np.nan
    better = np.sum(others > matched[:, np.newaxis], axis=1)
    within = _cosines(sentences)
    return {
        "norm_of_mean_sentence": _rounded(np.linalg.norm(sentences.mean(axis=0))),
        "cosine_within_sentences": _rounded(within[np.isfinite(within)].mean()),
        "cosine_of_pairs": _rounded(matched.mean()),
        "cosine_of_others": _rounded(np.nanmean(others)),
        "cosine_of_best_other": _rounded(np.nanmax(others, axis=1).mean()),
        "spread_of_a_sentence": _rounded(scores.std(axis=1).mean()),
        **{f"hit_rate@{k}": _rounded(np.mean(better < k)) for k in (1, 5, 10)},
    }


def compare(real: Real, model: ClipModel) -> dict[str, Any]:
    """Both kinds of statistics, real and drawn, at the same numbers; of pairs one sentence a picture, means."""
    order = np.random.default_rng(0).permutation(len(real.pictures))
    own = np.arange(len(real.captioned))
    draws = [model.draw(len(own), [1, i]) for i in range(20)]
    first = np.unique(real.picture_of_sentence, return_index=True)[1]
    sentences_each = range(len(real.sentences) // len(own))
    return {
        "pictures": {
            "real": agreement(real.pictures[order]),
            "drawn": agreement(model.draw(len(order), [0]).pictures),
        },
        "pairs": {
            "real": _means(
                [agreement_of_pairs(real.captioned, real.sentences[first + i], own) for i in sentences_each]
            ),
            "drawn": _means([agreement_of_pairs(draw.pictures, draw.sentences, own) for draw in draws]),
        },
    }


def relative_contrast(queries: Matrix, rows: Matrix, k: int = 100) -> float:
    """How much farther the mean row is than the k-th nearest (L2), in the mean over queries; 1 is hopeless."""
    distances = np.sqrt(np.maximum(2 - 2 * queries @ rows.T, 0))
    return _rounded(np.mean(distances.mean(axis=1) / np.partition(distances, k - 1, axis=1)[:, k - 1]))


def make(folder: Path, rows: int = ROWS) -> None:
    """The files of ``benchmarks.ann_data``, drawn; what is there already is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    real = load_real()
    model = ClipModel(real)
    for number, start in enumerate(range(0, rows, _ROWS_A_PART)):
        target = folder / f"pictures-{number:03}.npy"
        if not target.exists():
            save(target, model.draw(min(_ROWS_A_PART, rows - start), [2, number]).pictures)
    for number, (name, n) in enumerate(_SENTENCES.items()):
        save(folder / f"{name}.npy", model.draw(n, [3, number]).sentences)
    save(folder / "held-out.npy", model.draw(_HELD_OUT, [4]).pictures)
    about = {"name": "clip model", "statistics": compare(real, model), "relative_contrast@100": _contrasts(folder)}
    (folder / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    print(json.dumps(about, indent=1))


def unit(rows: npt.NDArray[Any]) -> Matrix:
    """The same directions, of length 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _contrasts(folder: Path) -> dict[str, float]:
    parts = [np.load(file) for file in sorted(folder.glob("pictures-*.npy"))[:10]]
    rows = np.concatenate(parts).astype(np.float32)
    kinds = {"sentences": "sentences-dev", "pictures": "held-out"}
    queries = {kind: np.load(folder / f"{file}.npy")[:200].astype(np.float32) for kind, file in kinds.items()}
    return {f"{kind}, {len(rows):,} rows": relative_contrast(queries[kind], rows) for kind in kinds}


def _nearest(rows: Matrix, k: int) -> RowIds:
    return np.argsort(-_cosines(rows), axis=1)[:, :k]


def _cosines(rows: Matrix) -> Matrix:
    """Between unit rows; -inf of a row with itself."""
    cosines: Matrix = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines


def _shares(pictures: Matrix, said: Matrix) -> Matrix:
    """``(dim,)`` slope of the sentences' coordinates on those of their pictures, one for each block."""
    share = np.empty(pictures.shape[1], np.float32)
    for block in np.split(np.arange(len(share)), [start for start in _BLOCKS if start < len(share)]):
        share[block] = (said[:, block] * pictures[:, block]).sum() / (pictures[:, block] ** 2).sum()
    return share


def _root(rows: Matrix) -> Matrix:
    """A small matrix whose square is the mean square of the rows: ``root.T @ root == rows.T @ rows / len(rows)``."""
    root: Matrix = np.linalg.qr(rows, mode="r") / np.float32(np.sqrt(len(rows)))
    return root


def _gaussian(chance: np.random.Generator, n: int, spread: Matrix) -> Matrix:
    """n vectors of the covariance ``spread.T @ spread``."""
    drawn: Matrix = chance.standard_normal((n, len(spread)), dtype=np.float32) @ spread
    return drawn


def _unexplained(rows: Matrix, centroids: int) -> float:
    """Share of the variance of one half of the rows that is left around centroids of the other half."""
    import faiss

    half = len(rows) // 2
    means = faiss.Kmeans(rows.shape[1], centroids, niter=15, seed=0, min_points_per_centroid=1)
    means.train(rows[:half])
    left = means.index.search(rows[half:], 1)[0].mean()
    return float(left / ((rows[half:] - rows[:half].mean(axis=0)) ** 2).sum(axis=1).mean())


def _means(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: _rounded(np.mean([each[name] for each in measured])) for name in measured[0]}


def _quantiles(values: Matrix) -> list[float]:
    return [_rounded(value) for value in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))]


def _rounded(value: Any, digits: int = 3) -> float:
    return round(float(value), digits)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
