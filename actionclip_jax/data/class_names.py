"""Names of classes: made into words, compared, and what becomes of them in a mirror."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import ftfy
import numpy as np

# Before a capital that begins a word: after a small letter, a digit (Salsa2Step, but not 3DPrinting) or an acronym.
WORD_START = re.compile(r"(?<=[^\W\dA-Z_])(?=[A-Z])|(?<=[A-Z\d])(?=[A-Z][a-z])")
LONGEST_SHOWN = 48  # letters
MIRRORED = {"left": "right", "right": "left", "clockwise": "counterclockwise", "counterclockwise": "clockwise"}
DIRECTION = re.compile(rf"\b({'|'.join(MIRRORED)})\b")
COLOR = re.compile(r"\b(black|white|gr[ae]y|red|orange|yellow|green|blue|purple|violet|pink|brown)\b")


def split_name(name: str) -> str:
    """`ApplyEyeMakeup`, `brush_hair` -> small words; names that hold a space already stay exactly as they are."""
    if " " in name:
        return name
    if not name.isascii():
        name = ftfy.fix_text(name)  # as the tokenizer does, which could not once the letters are small
    return " ".join(WORD_START.sub(" ", name.replace("_", " ")).lower().split())


def shorten(name: str, length: int = LONGEST_SHOWN) -> str:
    """At most so many letters as a picture or a line has room for."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def as_texts(names: Sequence[str], split_names: bool) -> tuple[str, ...]:
    """What the model reads for names: their words, or themselves."""
    return tuple(map(split_name, names)) if split_names else tuple(names)


def match_names(wanted: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """Where each wanted name stands among the names, spelt the same or the same words once split.

    None where it is none of them, or may be several.
    """
    exact, words = _unique(names), _unique(map(_words, names))
    return [exact[name] if name in exact else words.get(_words(name)) for name in wanted]


def match_letters(wanted: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """The same for names that need only have the same letters and digits, whatever stands between them."""
    places = _unique(map(_letters, names))
    return [places.get(_letters(name)) for name in wanted]


def _unique(keys: Iterable[str]) -> dict[str, int | None]:
    """Where each key stands; None for one that stands at several places."""
    places: dict[str, int | None] = {}
    for place, key in enumerate(keys):
        places[key] = None if key in places else place
    return places


def same_words(one: str, other: str) -> bool:
    """Whether two names are the same once split."""
    return _words(one) == _words(other)


def _words(name: str) -> str:
    return unicodedata.normalize("NFC", split_name(name)).casefold()


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", name)).casefold()


def describe_splitting(names: Sequence[str]) -> str | None:
    """What is said of names that are split into words, if any are."""
    changed = [name for name in names if split_name(name).lower() != name.lower()]
    if not changed:
        return None
    more = f", and {len(changed) - 1} more joined names alike" if len(changed) > 1 else ""
    return f"reads {changed[0]!r} as {split_name(changed[0])!r}{more} (--no-split-names leaves names as they are)"


def mirror_labels(names: Sequence[str]) -> np.ndarray:
    """The label [C] int32 a clip has after a horizontal flip: its own, its partner's, or -1 if that is not there.

    Any `left` and `right` counts, so that "pulling it right out" is rather not flipped than flipped wrongly.
    """
    turn = r"\b(?:anti|counter)[- ]?clockwise\b"
    spelt = [re.sub(turn, "counterclockwise", split_name(name).lower()) for name in names]
    mirrored = [DIRECTION.sub(lambda word: MIRRORED[word[0]], name) for name in spelt]
    index = {name: label for label, name in enumerate(spelt)}
    partners = [index.get(mirror, -1) for mirror in mirrored]
    for label, (name, mirror) in enumerate(zip(spelt, mirrored, strict=True)):
        if name == mirror:
            partners[label] = label  # also where two names read the same
    return np.array(partners, np.int32)


def are_told_apart_by_colors(names: Sequence[str]) -> bool:
    """Whether two of the names are the same but for words of colours."""
    spelt = {split_name(name).lower() for name in names}
    return len({COLOR.sub("", name) for name in spelt}) < len(spelt)


def is_direction_sensitive(names: Sequence[str]) -> bool:
    """Whether a horizontal flip changes what any of the names says."""
    return bool((mirror_labels(names) != np.arange(len(names))).any())
