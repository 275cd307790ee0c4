"""A few words as the caption of a picture."""

from __future__ import annotations

import re

_MOST_WORDS = 3
_WORD = re.compile(r"[a-z]+(['’-][a-z]+)*", re.IGNORECASE)
_SAYS_SO = frozenset({"photo", "photos", "photograph", "picture", "pictures", "image", "images"})


def as_caption(text: str) -> str:
    """What an encoder is asked for when a person types one, two or three English words: "a photo of" them.

    Encoders learnt from captions, and a single word lies apart from those: pictures come in about the same order
    without, but the best of them score hardly more than for a word that fits none. ``benchmarks/prompts.py``.

    >>> as_caption("dog"), as_caption("a red car"), as_caption("two dogs in the snow"), as_caption("雪")
    ('a photo of dog', 'a photo of a red car', 'two dogs in the snow', '雪')
    >>> as_caption('"black dog"')
    'a photo of black dog'

    Source:
        Radford et al., Learning Transferable Visual Models From Natural Language Supervision (2021), section 3.1.4.
    """
    if len(text) > 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1]  # quotes around the whole are for a search by words
    words = text.split()
    is_short = 0 < len(words) <= _MOST_WORDS and all(_WORD.fullmatch(word) for word in words)
    if not is_short or _SAYS_SO & {word.lower() for word in words}:
        return text
    return f"a photo of {' '.join(words)}"
