"""A video, and the part of it that is asked for."""

import dataclasses
import math
import os

import av
import numpy as np

from actionclip_jax.data.video import errors

LATE = 1.0  # seconds by which a list's times may be behind the end of a video: some are whole seconds
ROUNDING = 1e-6  # seconds: lists give times in a few decimals


@dataclasses.dataclass(frozen=True)
class Source:
    """A video and how to look at it."""

    path: str | os.PathLike
    start: float = 0.0  # seconds on a player's clock: only frames from here on ...
    end: float = math.inf  # ... and before here exist
    unit: str = "seconds"  # of start and end; or "frames", numbered from 0
    short_side: int | None = None  # larger frames are shrunk to this by the decoder


def find_window(source: Source, seconds: np.ndarray) -> tuple[int, int]:
    """(first, stop): the frames from `start` on and before `end`, of all that have these times [N].

    Raises VideoError where there are none.
    """
    places = np.arange(len(seconds)) if source.unit == "frames" else seconds
    first, stop = np.searchsorted(places, (source.start - ROUNDING, source.end - ROUNDING)).tolist()
    if first == stop:
        raise errors.VideoError(source.path, _describe_gap(source, places, first))
    return first, stop


def _describe_gap(source: Source, places: np.ndarray, number: int) -> str:
    """That no frame of these `places` is in the part asked for, and which are near: it lies before that `number`."""
    mark = " s" if source.unit == "seconds" else ""
    end = "the end" if source.end == math.inf else f"{source.end:g}{mark}"
    near = [f"{place:.2f}" if mark else f"{place:g}" for place in places[max(0, number - 1) : number + 1]]
    told = {0: "the first one is", len(places): "the last one is"}.get(number, "the nearest are")
    return f"has no frame from {source.start:g}{mark} to {end}: {told} at {' and '.join(near)}{mark}"


def describe_end(source: Source, container: av.container.InputContainer, seconds: np.ndarray, gap: float) -> str | None:
    """That the part asked for goes on behind the video's end, whose frames [N] have these times."""
    if source.unit == "frames":
        length, late, mark = len(seconds), source.end > len(seconds), "frame "
    else:
        length = max(float(seconds[-1]) + gap, (container.duration or 0) / av.time_base)
        late, mark = source.end > length + LATE, ""
    if source.end == math.inf or not late:
        return None
    unit = "" if mark else " s"
    return f"the part asked for ends at {mark}{source.end:g}{unit}, the video at {mark}{round(length, 1):g}{unit}"
