"""The table of clips every data set becomes: what there is, where it lies, and what it is labelled."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from actionclip_jax.data import video

TEXT = np.dtypes.StringDType()
COLUMNS = ("ids", "paths", "label_ids", "starts", "ends", "frame_counts")  # of a ClipTable, a row a clip


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """One row of the table."""

    id: str
    path: str  # a video, a folder of frames, or whatever else the table's reader finds it by
    labels: tuple[int, ...]  # indices into the table's labels: one, any number if multi-label, none if not known
    start: float | None = None  # seconds on a player's clock; None: from the beginning
    end: float | None = None  # seconds; None: to the end
    frames: int | None = None  # how many there are, where the source says so


class Reader(Protocol):
    """Decodes the clips of one kind of storage. Readers travel to worker processes, so they must pickle."""

    def read(
        self, clip: Clip, choose: video.Choose, transform: video.Transform, short_side: int | None = None
    ) -> video.Frames:
        """The frames `choose(number of frames of the clip)`, each as `transform([H, W, 3] uint8 RGB)`.

        With a `short_side` larger frames may arrive shrunk to it, by a quicker filter than PIL's. Raises VideoError.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class ClipTable:
    """Clips in columns (half a million of them pickle in a blink), the names of the classes, and how to read them."""

    ids: np.ndarray  # [N] text, unique
    paths: np.ndarray  # [N] text
    label_ids: np.ndarray  # [N, L] int32, padded with -1
    starts: np.ndarray  # [N] float64 seconds, NaN where a clip has no start or end of its own
    ends: np.ndarray  # [N] float64
    frame_counts: np.ndarray  # [N] int64, -1 where not known
    labels: tuple[str, ...]  # [C] texts, as the prompts will say them
    names: tuple[str, ...]  # [C] the same as the source spells them
    multi_label: bool
    reader: Reader
    origin: dict[str, Any]  # where all this came from and what was done to it; JSON

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Clip:
        labels = tuple(label for label in self.label_ids[row].tolist() if label >= 0)
        start, end, frames = self.starts[row], self.ends[row], int(self.frame_counts[row])
        return Clip(
            self.ids[row],
            self.paths[row],
            labels,
            None if np.isnan(start) else float(start),
            None if np.isnan(end) else float(end),
            None if frames < 0 else frames,
        )

    @property
    def label_frequency(self) -> float:
        """Of all (clip, class) pairs, how many belong together."""
        return float((self.label_ids >= 0).sum()) / (len(self) * len(self.labels))

    def take(self, rows: np.ndarray, **changes: Any) -> "ClipTable":
        """The table of these rows [M] int, in that order; `changes` replace other fields."""
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS}, **changes)


def make_table(
    clips: Sequence[Clip],
    labels: Sequence[str],
    reader: Reader,
    *,
    names: Sequence[str] | None = None,
    multi_label: bool = False,
    origin: dict[str, Any] | None = None,
) -> ClipTable:
    """Puts clips into columns; `names` are the labels' own spelling where that differs."""
    label_ids = np.full((len(clips), max((len(clip.labels) for clip in clips), default=0) or 1), -1, np.int32)
    for row, clip in zip(label_ids, clips, strict=True):
        row[: len(clip.labels)] = clip.labels
    seconds = [[np.nan if end is None else end for end in (clip.start, clip.end)] for clip in clips]
    starts, ends = np.array(seconds, np.float64).reshape(-1, 2).T
    return ClipTable(
        np.array([clip.id for clip in clips], TEXT),
        np.array([clip.path for clip in clips], TEXT),
        label_ids,
        starts,
        ends,
        np.array([-1 if clip.frames is None else clip.frames for clip in clips], np.int64),
        tuple(labels),
        tuple(labels if names is None else names),
        multi_label,
        reader,
        origin or {},
    )
