"""Which words does a picture get, are they right, and what made the defaults of `mmsearch tag`?

Data: the 1,000 photographs of Flickr8k's dev split and 89 nouns that their captions use, with 20 nouns that they do not
use beside them. A word is right for a picture if one of its five captions has it, in singular or plural; captions leave
much unsaid, so precision is a lower bound. Compared, each with at most 3 words a picture: the cosine above the word's
mean in units of all words (what `tags_for` does), the same without a prompt, the plain cosine, the cosine in units of
each word's own deviation, and the softmax over the words. Their thresholds are set on the pictures of even number so
that they give two words a picture there; precision and recall are those of the others. Then our own at several
thresholds; and lists of a single word, with and without the common words beside it.

    python -m benchmarks.tag
"""

from __future__ import annotations

import argparse
import re
import tarfile
from typing import Any

import numpy as np
import numpy.typing as npt

import mmsearch
from benchmarks.record import SHARED, write_record
from benchmarks.subtract import captions_by_key
from mmsearch.arrays import Embeddings, Ids
from mmsearch.media import decode_picture
from mmsearch.search.tagging import COMMON_WORDS, DEFAULT_MOST, PROMPT, tags_for

_SAID = """
man woman boy girl child baby dog bird horse cat people crowd snow grass beach ocean sand lake river water mountain rock
forest tree field hill road street sidewalk city park playground building house wall fence bridge pool boat bike
motorcycle car truck bus skateboard snowboard surfboard ramp ball frisbee stick rope toy swing slide tennis soccer
football baseball basketball hat helmet jacket shirt dress suit uniform costume glasses sunglasses coat scarf table
chair couch bed bench stairs window sign flower camera guitar food sunset night ice fire wave
"""
_UNSAID = """
elephant zebra airplane piano pizza laptop kitchen lion penguin spaceship violin refrigerator keyboard castle pyramid
giraffe rocket shark butterfly teapot
"""
SAID, UNSAID = tuple(_SAID.split()), tuple(_UNSAID.split())
_OTHERWISE = {"man": "men", "woman": "women", "child": "children", "people": "person"}
DENSITY = 2.0  # words a picture
THRESHOLDS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
ALONE = ("dog", "man", "snow", "beach", "elephant", "pizza", "lion", "photo")

Scores = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


def truth(captions: list[str], words: tuple[str, ...]) -> Truth:
    """``(n_pictures, n_words)``: whether the picture's captions, one lower-case string, have the word."""
    patterns = [re.compile(rf"\b({word}|{word}s|{word}es|{_OTHERWISE.get(word, word)})\b") for word in words]
    return np.array([[bool(pattern.search(text)) for pattern in patterns] for text in captions])


def chosen(scores: Scores, threshold: float) -> Ids:
    """Positions of the best words of each picture, -1 where there is no further one."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEFAULT_MOST]
    return np.where(np.take_along_axis(scores, best, axis=1) >= threshold, best, -1)


def judged(tags: Ids, right: Truth) -> dict[str, float]:
    """How many words, and how many of them are right; words beyond the columns of ``right`` never are."""
    given = np.zeros((len(tags), len(SAID) + len(UNSAID)), bool)
    for column in range(tags.shape[1]):
        rows = np.flatnonzero(tags[:, column] >= 0)
        given[rows, tags[rows, column]] = True
    n, hits = given.sum(), (given[:, : right.shape[1]] & right).sum()
    return {
        "words_a_picture": round(float(n / len(tags)), 3),
        "pictures_tagged": round(float(given.any(axis=1).mean()), 3),
        "precision": round(float(hits / max(n, 1)), 3),
        "recall": round(float(hits / right.sum()), 3),
        "share_of_unsaid_words": round(float(given[:, len(SAID) :].sum() / max(n, 1)), 3),
    }


def rivals(pictures: Embeddings, plain: Embeddings, words: Embeddings, scale: float) -> dict[str, Scores]:
    """The scores that could be cut off, ``(n_pictures, n_words)`` each."""
    bare, cosines = (pictures @ vectors.T for vectors in (plain, words))
    above = cosines - cosines.mean(axis=0)
    likely = np.exp(scale * cosines)
    return {
        "above the word's mean": above,
        "the same without a prompt": bare - bare.mean(axis=0),
        "cosine": cosines,
        "deviations of the word": above / above.std(axis=0),
        "softmax over the words": likely / likely.sum(axis=1, keepdims=True),
    }


def measure(encoder_name: str) -> dict[str, Any]:
    """All of it."""
    encoder = mmsearch.load_encoder(encoder_name)
    keys, pictures = _pictures(encoder)
    captions = captions_by_key()
    right = truth([captions[key] for key in keys], SAID)
    every = (*SAID, *UNSAID)
    plain = encoder.encode_texts(list(every))
    words = encoder.encode_texts([PROMPT.format(word) for word in every])
    beside = encoder.encode_texts([PROMPT.format(word) for word in COMMON_WORDS])
    even, odd = slice(0, None, 2), slice(1, None, 2)
    compared = {}
    for name, scores in rivals(pictures, plain, words, encoder.space.logit_scale).items():
        best = -np.sort(-scores[even], axis=1)[:, :DEFAULT_MOST]
        threshold = float(np.quantile(best, 1 - DENSITY / DEFAULT_MOST))
        compared[name] = {"threshold": round(threshold, 4), **judged(chosen(scores[odd], threshold), right[odd])}
    ours = {}
    for threshold in THRESHOLDS:
        tags = tags_for(pictures, words, beside=beside, threshold=threshold)
        ours[str(threshold)] = {"even": judged(tags[even], right[even]), "odd": judged(tags[odd], right[odd])}
    return {
        "encoder": encoder_name,
        "pictures": len(keys),
        "words": len(every),
        "most": DEFAULT_MOST,
        "compared_at_two_words_a_picture": compared,
        "by_threshold": ours,
        "single_words": {word: _alone(word, encoder, pictures, beside, keys, captions) for word in ALONE},
    }


def _alone(
    word: str,
    encoder: mmsearch.DualEncoder,
    pictures: Embeddings,
    beside: Embeddings,
    keys: list[str],
    captions: dict[str, str],
) -> dict[str, Any]:
    """Pictures tagged, and those of them that a caption gives the word, for a list of one word."""
    vector = encoder.encode_texts([PROMPT.format(word)])
    right = truth([captions[key] for key in keys], (word,))[:, 0]
    counts: dict[str, Any] = {"said_of": int(right.sum())}
    for name, others in (("with_common_words", beside), ("alone", beside[:0])):
        tagged = tags_for(pictures, vector, beside=others)[:, 0] == 0
        counts[name] = {"tagged": int(tagged.sum()), "right": int((tagged & right).sum())}
    return counts


def _pictures(encoder: mmsearch.DualEncoder) -> tuple[list[str], Embeddings]:
    keys, pixels = [], []
    with tarfile.open(SHARED / "flickr8k/dev-000.tar") as tar:
        for member in tar:
            if member.name.endswith(".jpg") and (file := tar.extractfile(member)):
                keys.append(member.name)
                pixels.append(encoder.space.preprocessing.prepare(decode_picture(file.read())))
    return keys, np.concatenate(
        [encoder.encode_images(np.stack(pixels[i : i + 32])) for i in range(0, len(pixels), 32)]
    )


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini")
    write_record("tag", measure(parser.parse_args().encoder))


if __name__ == "__main__":
    main()
