"""Sentences such as people search for, where a collection has no captions to tune an index with."""

from __future__ import annotations

import random

_PEOPLE = (
    "man", "woman", "boy", "girl", "child", "couple", "crowd", "soccer player", "cyclist", "bride", "chef", "worker",
    "musician", "surfer", "climber", "farmer", "soldier", "swimmer", "skater", "family", "baby", "old man", "dancer",
    "photographer", "police officer", "student", "fisherman", "rider",
)  # fmt: skip
_ANIMALS = (
    "dog", "cat", "horse", "bird", "cow", "sheep", "elephant", "bear", "duck", "butterfly", "fish", "squirrel", "owl",
    "rabbit", "goat", "lion", "puppy", "swan", "spider", "deer",
)  # fmt: skip
_THINGS = (
    "car", "bicycle", "boat", "train", "airplane", "bus", "motorcycle", "tree", "flower", "house", "church", "bridge",
    "tower", "table", "chair", "bed", "window", "door", "lamp", "clock", "cup", "bottle", "plate of food", "cake",
    "pizza", "apple", "bread", "book", "computer", "phone", "camera", "guitar", "piano", "ball", "kite", "umbrella",
    "hat", "dress", "shoes", "bag", "sign", "map", "painting", "statue", "fence", "rock", "waterfall", "mountain",
    "cloud", "moon", "toy", "tent", "wedding ring", "suitcase", "skateboard", "candle", "flag", "ladder", "tractor",
)  # fmt: skip
_KINDS = (
    "red", "blue", "green", "yellow", "black", "white", "brown", "small", "large", "old", "new", "wooden", "broken",
    "shiny", "colorful", "wet", "empty", "striped", "snowy", "young", "happy", "tired", "tall", "round", "bright",
)  # fmt: skip
_DOINGS = (
    "running", "jumping", "sitting", "standing", "sleeping", "eating", "playing", "swimming", "walking", "climbing",
    "looking at the camera", "smiling", "lying down", "waiting", "dancing", "drinking", "working", "resting",
)  # fmt: skip
_ACTS = (
    "holding", "looking at", "standing next to", "riding past", "carrying", "pointing at", "playing with", "behind",
    "in front of", "under", "near", "pulling", "painting", "reaching for",
)  # fmt: skip
_PLACES = (
    "in the snow", "on the beach", "in a forest", "in the street", "at night", "in a kitchen", "on a mountain",
    "in the water", "at the station", "in a garden", "in an office", "on a bridge", "in the rain", "in a field",
    "at sunset", "on the grass", "in a market", "in a living room", "on a stage", "in the desert", "by a lake",
    "in a museum", "on a road", "in a swimming pool", "at a party", "in front of a building", "under a blue sky",
)  # fmt: skip


def everyday_sentences(n: int, *, seed: int = 0) -> list[str]:
    """n different sentences and short phrases about everyday pictures, drawn at random."""
    chance = random.Random(seed)
    sentences: dict[str, None] = {}
    while len(sentences) < n:
        sentences[_sentence(chance)] = None
    return list(sentences)


def _sentence(chance: random.Random) -> str:
    living = chance.choice(_PEOPLE + _ANIMALS)
    thing = chance.choice(_THINGS)
    kind, other_kind = chance.sample(_KINDS, 2)
    doing, act, place = chance.choice(_DOINGS), chance.choice(_ACTS), chance.choice(_PLACES)
    shape = chance.choice(
        (
            "{kind} {thing}",
            "{thing} {place}",
            "{living} {doing}",
            "a {living} {doing} {place}",
            "a {kind} {living} {act} a {thing}",
            "a {living} {act} a {kind} {thing} {place}",
            "a {kind} {thing} and a {other_kind} {living} {place}",
            "two {kind} {thing}s {place}",
        )
    )
    return shape.format(living=living, thing=thing, kind=kind, other_kind=other_kind, doing=doing, act=act, place=place)
