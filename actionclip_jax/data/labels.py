"""Label texts: names as the data sets spell them made into words, and what becomes of a label in a mirror."""

import re
from collections.abc import Sequence

import numpy as np

# Before a capital that begins a word: after a small letter, a digit (Salsa2Step, but not 3DPrinting) or an acronym.
WORD_START = re.compile(r"(?<=[^\W\dA-Z_])(?=[A-Z])|(?<=[A-Z\d])(?=[A-Z][a-z])")
MIRRORED = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}
DIRECTION = re.compile(rf"\b({'|'.join(MIRRORED)})\b")


def split_name(name: str) -> str:
    """`ApplyEyeMakeup`, `brush_hair` -> small words; names that hold a space already stay exactly as they are."""
    if " " in name:
        return name
    return " ".join(WORD_START.sub(" ", name.replace("_", " ")).lower().split())


def match_names(wanted: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """Where each wanted name stands among the names, spelt the same or equal once split; None where it does not."""
    exact = {name: index for index, name in enumerate(names)}
    split = {split_name(name).lower(): index for index, name in enumerate(names)}
    return [exact.get(name, split.get(split_name(name).lower())) for name in wanted]


def mirror_labels(labels: Sequence[str]) -> np.ndarray:
    """The label [C] int32 a clip has after a horizontal flip: its own, its partner's, or -1 if that is not there.

    Any `left` and `right` counts, so that "pulling it right out" is rather not flipped than flipped wrongly.
    """
    turn = r"\b(?:anti|counter)[- ]?clockwise\b"
    spelt = [re.sub(turn, "counterclockwise", split_name(label).lower()) for label in labels]
    mirrored = [DIRECTION.sub(lambda word: MIRRORED[word[0]], label) for label in spelt]
    index = {label: number for number, label in enumerate(spelt)}
    partners = [index.get(mirror, -1) for mirror in mirrored]
    for number, (label, mirror) in enumerate(zip(spelt, mirrored, strict=True)):
        if label == mirror:
            partners[number] = number  # also where two labels read the same
    return np.array(partners, np.int32)


def is_direction_sensitive(labels: Sequence[str]) -> bool:
    """Whether a horizontal flip changes what any of the labels says."""
    return bool((mirror_labels(labels) != np.arange(len(labels))).any())
