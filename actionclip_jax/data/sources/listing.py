"""What a list or an annotation file says, before it is compared with the files and the labels there are."""

import dataclasses
import pathlib
from collections.abc import Collection
from typing import Any

from actionclip_jax.data import label_files, table

Label = int | str  # a number of the label file, or a name


@dataclasses.dataclass(slots=True)
class Entry:
    """One clip as listed."""

    where: str  # in the list, for messages
    places: tuple[str, ...]  # where its file may be below the folder of videos; the first is its usual name
    labels: tuple[Label, ...]
    start: float | None = None
    end: float | None = None
    frames: int | None = None
    id: str = ""  # by default its place and interval


@dataclasses.dataclass
class Listing:
    """All clips listed, and what is needed to make sense of them."""

    entries: list[Entry]
    videos: pathlib.Path | None  # the folder of the files; None: the places need no checking
    files: list[pathlib.Path]  # that were read
    reader: table.Reader
    known: label_files.Classes | None = None  # what the source itself says they are
    other_labels: Collection[Label] = ()  # of the list's other splits: their classes are classes here too
    multi_label: bool = False
    repeats: bool = False  # whether one interval of a video may be several clips
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)  # for the table's origin
