"""Does liking and disliking hits find more of what was meant?

Data: the 1,000 photographs of Flickr8k's dev split. Queries: 77 everyday nouns and 148 pairs of them ("dog frisbee")
that at least ten pictures show by their captions. A person is played by the captions: of the ranking, the first two
pictures that show all the words are liked, the first two that don't are disliked. Before and after are compared on
what is left when the four judged pictures are taken out of both rankings: how many of the next 20 show the words.
Weights are swept on the even queries and the shipped ones judged on the odd ones, with a bootstrap interval for the
difference. `possible` is the mean number that a perfect ranking would show.

Captions leave out much that is in a picture, so some of the "wrong" pictures are right.

    python -m benchmarks.feedback
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.nouns import NOUNS, Shows, dev_pictures, shows
from benchmarks.record import write_record
from benchmarks.subtract import captions_by_key
from mmsearch.arrays import Embeddings, Ids
from mmsearch.encoders import DualEncoder, load_encoder
from mmsearch.media import Limits
from mmsearch.search import Item, Query, QueryEncoder, Text
from mmsearch.search.feedback import LIKE_WEIGHT, UNLIKE_WEIGHT, with_feedback
from mmsearch.store import Modality

WHO = ("dog", "man", "woman", "boy", "girl", "child", "people")
LIKES = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0)
UNLIKES = (0.0, 0.15, 0.25, 0.5)
K = 20
_FEWEST = 10
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Shelf:
    """Pictures by key, as ``QueryEncoder`` asks for them."""

    keys: Sequence[str]
    pictures: Embeddings

    @property
    def mean_image(self) -> Embeddings:
        """``(dim,)``"""
        mean: Embeddings = self.pictures.mean(axis=0)
        return mean

    def vector_of(self, key: str) -> tuple[Modality, Embeddings]:
        """By key."""
        return Modality.IMAGE, self.pictures[self.keys.index(key)]


@dataclass(frozen=True)
class Judged:
    """A query and what a person said of its first hits."""

    text: Text
    right: Shows
    like: Ids
    unlike: Ids

    def found(self, ranking: Ids) -> int:
        """How many of the first K that were not judged are right."""
        rest = ranking[~np.isin(ranking, [*self.like, *self.unlike])]
        return int(self.right[rest[:K]].sum())

    @property
    def possible(self) -> int:
        """The same for a perfect ranking."""
        return min(K, int(self.right.sum()) - len(self.like))


def judge(words: tuple[str, ...], ranking: Ids, right: Shows, judged: int) -> Judged:
    """Like the first right ones and dislike the first wrong ones."""
    is_right = right[ranking]
    return Judged(Text(" ".join(words)), right, ranking[is_right][:judged], ranking[~is_right][:judged])


def questions(captions: list[str]) -> dict[tuple[str, ...], Shows]:
    """Nouns and pairs of nouns, and which pictures show them."""
    pairs = [(who, what) for who, what in itertools.product(WHO, NOUNS) if who != what]
    asked = {words: shows(words, captions) for words in [*((noun,) for noun in NOUNS), *pairs]}
    return {words: right for words, right in asked.items() if right.sum() >= _FEWEST}


def ranked(queries: Sequence[Query], encoder: DualEncoder, shelf: Shelf) -> list[Ids]:
    """Rows of the pictures, best first, for each query."""
    embedded = QueryEncoder(encoder).embed(queries, shelf, Limits())
    vectors = np.stack([query.vector for query in embedded])
    return list(np.argsort(-(vectors @ shelf.pictures.T), axis=1, kind="stable"))


def moved(judged: Judged, keys: Sequence[str], like: float, unlike: float) -> Query:
    """Rocchio with any weights."""
    query: Query = 1.0 * judged.text
    for weight, rows in ((like, judged.like), (-unlike, judged.unlike)):
        for row in rows if weight else ():
            query = query + weight / len(rows) * Item(keys[row])
    return query


@dataclass(frozen=True)
class Study:
    """All questions and how they were answered before anybody said anything."""

    encoder: DualEncoder
    shelf: Shelf
    asked: dict[tuple[str, ...], Shows]
    plain: Sequence[Ids]

    def people(self, half: int, judged: int = 2) -> list[Judged]:
        """Those of the even (0) or odd (1) questions, each of whom likes and dislikes so many hits."""
        pairs = zip(self.asked.items(), self.plain, strict=True)
        return [judge(words, ranking, right, judged) for (words, right), ranking in pairs][half::2]

    def found(self, people: Sequence[Judged], queries: Sequence[Query]) -> npt.NDArray[np.int64]:
        """How many right ones each query finds."""
        rankings = ranked(queries, self.encoder, self.shelf)
        return np.array([person.found(ranking) for person, ranking in zip(people, rankings, strict=True)])

    def before(self, people: Sequence[Judged]) -> npt.NDArray[np.int64]:
        """Without feedback."""
        return self.found(people, [person.text for person in people])

    def after(self, people: Sequence[Judged], like: float, unlike: float) -> npt.NDArray[np.int64]:
        """With these weights."""
        return self.found(people, [moved(person, self.shelf.keys, like, unlike) for person in people])

    def shipped(self, people: Sequence[Judged]) -> npt.NDArray[np.int64]:
        """With what users get."""
        keys = self.shelf.keys
        return self.found(
            people,
            [
                with_feedback(
                    person.text, like=[keys[row] for row in person.like], unlike=[keys[row] for row in person.unlike]
                )
                for person in people
            ],
        )


def measure(encoder: DualEncoder) -> dict[str, Any]:
    """The sweep on one half, the shipped weights on the other."""
    keys, pictures = dev_pictures(encoder)
    shelf, captions = Shelf(keys, pictures), captions_by_key()
    asked = questions([captions[key] for key in keys])
    study = Study(encoder, shelf, asked, ranked([Text(" ".join(words)) for words in asked], encoder, shelf))
    tuning = study.people(half=0)
    return {
        "encoder": encoder.space.encoder,
        "k": K,
        "queries": len(asked),
        "single_nouns": sum(len(words) == 1 for words in asked),
        "tuning_before": _mean(study.before(tuning)),
        "tuning_after": {
            f"like {like:g}, unlike {unlike:g}": _mean(study.after(tuning, like, unlike))
            for like, unlike in itertools.product(LIKES, UNLIKES)
        },
        "held_out": held_out(study),
        "held_out_by_number_judged": {
            str(number): [_mean(study.before(people)), _mean(study.shipped(people))]
            for number in (1, 2, 5)
            for people in [study.people(half=1, judged=number)]
        },
    }


def held_out(study: Study) -> dict[str, Any]:
    """The shipped weights, and each part of them alone."""
    people = study.people(half=1)
    before, after = study.before(people), study.shipped(people)
    return {
        "weights": [1, LIKE_WEIGHT, UNLIKE_WEIGHT],
        "before": _mean(before),
        "after": _mean(after),
        "possible": _mean([person.possible for person in people]),
        "difference_95": _interval(after - before),
        "better_same_worse": [int((np.sign(after - before) == sign).sum()) for sign in (1, 0, -1)],
        "liked_only": _mean(study.after(people, LIKE_WEIGHT, 0)),
        "disliked_only": _mean(study.after(people, 0, UNLIKE_WEIGHT)),
        "each": [[person.text.text, int(b), int(a)] for person, b, a in zip(people, before, after, strict=True)],
    }


def _mean(values: Sequence[int] | npt.NDArray[np.int64]) -> float:
    return round(float(np.mean(values)), 2)


def _interval(differences: npt.NDArray[np.int64]) -> list[float]:
    """95 % of the means of resampled queries."""
    rng = np.random.default_rng(0)
    means = rng.choice(differences, (_RESAMPLES, len(differences))).mean(axis=1)
    return [round(float(edge), 2) for edge in np.quantile(means, (0.025, 0.975))]


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    write_record("feedback", measure(load_encoder(parser.parse_args().encoder)))


if __name__ == "__main__":
    main()
