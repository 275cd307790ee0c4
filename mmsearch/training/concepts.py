"""Names of the 1,000 ImageNet classes, and of what WordNet says they are kinds of.

A row of the classifier's last layer points to where pictures of its class lie, so a name and its row are a pair to
train on, without a picture: concepts that no caption mentions are found as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TEMPLATES = ("{}", "{article} {}", "a photo of {article} {}", "a picture of {article} {}")
WIDEST = 150
"""A kind with more classes than this below it ("artifact") says nothing that a person would search for."""


@dataclass(frozen=True, slots=True)
class Concepts:
    """Texts that name classes."""

    texts: list[str]
    fits: npt.NDArray[np.bool_]
    """``(1000, n_texts)``: the text names the class or a kind of thing it belongs to."""
    own: npt.NDArray[np.bool_]
    """``(1000, n_texts)``: the text is a name of the class itself."""


def read_concepts(wordnet: Path | None) -> Concepts:
    """Names of all classes in a few templates.

    Args:
        wordnet: WordNet 3.0's ``data.noun`` (Debian: ``/usr/share/wordnet/data.noun``), whose kinds are added;
            None: the classes' own names only.
    """
    from timm.data.imagenet_info import ImageNetInfo

    info: Any = ImageNetInfo("imagenet-1k")  # its methods have no types
    synsets = [str(name) for name in info.label_names()]
    names: dict[str, set[int]] = {}
    own: set[tuple[str, int]] = set()
    for number, synset in enumerate(synsets):
        for name in str(info.label_name_to_description(synset, detailed=False)).split(", "):
            names.setdefault(name, set()).add(number)
            own.add((name, number))
    if wordnet is not None:
        for name, members in _kinds(synsets, wordnet).items():
            names.setdefault(name, set()).update(members)
    texts = [_fill(template, name) for name in names for template in TEMPLATES]
    fits = np.zeros((len(synsets), len(texts)), dtype=bool)
    named = np.zeros_like(fits)
    for start, (name, members) in enumerate(names.items()):
        columns = slice(start * len(TEMPLATES), (start + 1) * len(TEMPLATES))
        fits[sorted(members), columns] = True
        named[[number for number in members if (name, number) in own], columns] = True
    return Concepts(texts, fits, named)


def _fill(template: str, name: str) -> str:
    return template.replace("{article}", "an" if name[:1].lower() in "aeiou" else "a").replace("{}", name)


def _kinds(synsets: Iterable[str], wordnet: Path) -> dict[str, set[int]]:
    """Name of a kind -> classes below it, for kinds that are neither a class themselves nor too wide."""
    parents, words = _read_nouns(wordnet)
    below: dict[str, set[int]] = {}
    for number, synset in enumerate(synsets):
        waiting = [synset.removeprefix("n")]
        seen: set[str] = set()
        while waiting:
            for parent in parents.get(waiting.pop(), []):
                if parent not in seen:
                    seen.add(parent)
                    waiting.append(parent)
                    below.setdefault(parent, set()).add(number)
    kinds: dict[str, set[int]] = {}
    for offset, members in below.items():
        if len(members) <= WIDEST:
            for word in words[offset][:2]:
                kinds.setdefault(word, set()).update(members)
    return kinds


def _read_nouns(path: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Offset -> offsets of the kinds above it, and offset -> words; the format is in WordNet's wndb(5WN)."""
    parents: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        words[fields[0]] = [word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
        pointers = fields[5 + 2 * count :]
        parents[fields[0]] = [pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]
    return parents, words
