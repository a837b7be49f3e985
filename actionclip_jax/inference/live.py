"""What happens in a video that is still being written: each frame is encoded once, as it comes."""

import dataclasses
import math
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import video
from actionclip_jax.data.video import feed, growing, stream
from actionclip_jax.inference import arrivals, choices, predict, smoothing, timeline, windows


@dataclasses.dataclass(frozen=True)
class Window:
    """What the model says of a window, as soon as it is known."""

    start: float  # seconds
    end: float
    probabilities: np.ndarray  # [C] float32, in the order of the labels; NaN where frames of it were dropped
    label: str | None  # the most probable one; None where frames were dropped
    probability: float
    dropped: int  # frames that came too late up to now


Event = Window | timeline.Segment | timeline.Timeline


def follow(
    model: predict.Predictor,
    path: predict.Path,
    labels: Sequence[str],
    *,
    templates: str | os.PathLike[str] | Sequence[str] = "actionclip",
    split_names: bool = True,
    frames: int | None = None,
    absolute: bool = False,
    batch_size: int = 8,
    idle: float = config.LiveConfig.idle,
    max_lag: float | None = config.LiveConfig.max_lag,
    stop: threading.Event | None = None,
    **timing: Any,
) -> Iterator[Event]:
    """Follows a growing file or a named pipe: windows and segments as they are known, at the end the timeline.

    Where nothing was dropped the timeline is that of the finished file: see `timeline.follow_each`, whose arguments
    these are.

    Args:
        model: one whose image tower sees each frame alone.
        path: a file that is being written, in a container that can be read from its beginning; or a named pipe.
        labels: the texts to choose from.
        templates: as `Predictor.predict_each` takes them, like the next.
        split_names: split joined names into words.
        frames: frames of a window (the model's own number by default).
        absolute: as `Predictor.predict` takes it.
        batch_size: windows' worth of frames computed at once, of a video that is shorter than a window.
        idle: seconds without a new byte after which a file has ended.
        max_lag: seconds behind what comes in, beyond which frames are dropped until half of that is caught up with,
            but never before a whole window was seen; by default two windows.
        stop: once it is set, what came so far is the end.
        **timing: fields of `config.TimelineConfig`.

    Yields:
        A Window for each window, a Segment as soon as it has ended, and last the Timeline of all.

    Raises:
        VideoError: the video cannot be followed, or a pipe ended before a window was full.
        ValueError: settings that cannot work.
    """
    settings, labels = timeline.checked(config.TimelineConfig(**timing)), choices.checked_class_names(labels, "labels")
    lag = checked(config.LiveConfig(idle, max_lag)).max_lag or 2 * settings.window
    kind = choices.checked_kind(model, absolute)
    slide = timeline.sliding_windows(model, labels, settings, templates, split_names, frames, batch_size, kind)
    warm_up(slide)
    source = feed.Feed(path, idle)
    try:
        grid = growing.GrowingGrid(source, slide.spacing, slide.prepare_frame)
        with arrivals.read(grid, lag, slide.hop_cells, slide.frames, stop) as parts:
            yield from Follower(slide, labels, settings, grid).follow(parts)
    finally:
        source.close()


def checked(live: config.LiveConfig) -> config.LiveConfig:
    """The settings, or a ValueError naming everything wrong with them."""
    problems = [
        f"{name} is {value} seconds: expected more than 0"
        for name, value in (("idle", live.idle), ("max_lag", live.max_lag))
        if value is not None and not value > 0  # catches NaN too; infinity means never
    ]
    if problems:
        raise ValueError("; ".join(problems))
    return live


def warm_up(slide: windows.SlidingWindows) -> None:
    """Compiles what will be computed, so that the first frames are not late for it."""
    size = slide.model.config.image.size
    for count in {slide.hop_cells, slide.frames}:
        features = slide.encode(np.zeros((1, size, size, 3), np.uint8), count)
    slide.score(features, np.zeros((1, slide.frames), np.int64), 1)


class Follower:
    """Encodes the frames of one video as they come, and scores its windows as soon as they are whole."""

    def __init__(
        self,
        slide: windows.SlidingWindows,
        labels: tuple[str, ...],
        settings: config.TimelineConfig,
        grid: growing.GrowingGrid,
    ) -> None:
        self.slide, self.labels, self.settings, self.grid = slide, labels, settings, grid
        median = smoothing.median_windows(settings.smooth, slide.step)
        self.ended = smoothing.EndedRuns(median, settings.threshold, settings.min_length)
        self.starts: list[int] = []  # first cells of the windows scored, and ...
        self.rows: list[np.ndarray] = []  # ... their probabilities [C]
        self.cells: list[np.ndarray | None] = []  # features [E] of the last cells, None of dropped ones; ...
        self.passed = 0  # ... so many before them are no longer held
        self.dropped = 0  # frames

    def follow(self, parts: Iterator[list[arrivals.Arrival]]) -> Iterator[Event]:
        """Windows and segments of frames as they arrive, then the timeline."""
        reported = 0
        for part in parts:
            self.encode(part)
            count = self.passed + len(self.cells)
            for start in self.due(count - 1):  # a cell is whole once the next one has begun
                yield self.score(start)
                for run in self.ended.add(self.rows[-1], self.middle(start)):
                    reported += 1
                    yield self.so_far(None).segment(*run)
        if self.slide.is_longer_than(self.grid.length):
            result = self.predict_whole()
        else:
            whole = math.floor((self.known_length() + stream.ROUNDING) / self.slide.spacing)
            yield from map(self.score, self.due(whole, last=True))
            result = self.so_far(self.grid.note)
        yield from result.segments[reported:]
        yield result

    def encode(self, part: Sequence[arrivals.Arrival]) -> None:
        """Adds the cells of frames that arrived, each encoded once."""
        kept = [arrival.image for arrival in part if arrival.image is not None]
        size = self.slide.hop_cells if len(kept) <= self.slide.hop_cells else self.slide.frames
        features: list[np.ndarray] = []
        for first in range(0, len(kept), size):
            features += list(self.slide.encode(np.stack(kept[first : first + size]), size))
        encoded = iter(features)
        for arrival in part:
            self.dropped += arrival.image is None
            self.cells += [None if arrival.image is None else next(encoded)] * arrival.cells

    def due(self, whole: int, *, last: bool = False) -> Iterator[int]:
        """First cells of the windows not yet scored, of so many whole cells; `last`: one ends with the last of them."""
        while (start := len(self.starts) * self.slide.hop_cells) + self.slide.frames <= whole:
            yield start
        if last and self.starts[-1:] != [whole - self.slide.frames]:
            yield whole - self.slide.frames

    def score(self, start: int) -> Window:
        """Scores the window of the cells from `start` on, and lets go of those that no other needs."""
        place = start - self.passed
        cells = [cell for cell in self.cells[place : place + self.slide.frames] if cell is not None]
        if len(cells) == self.slide.frames:
            row = self.slide.score(np.stack(cells), np.arange(len(cells))[None], 1)[0]
        else:
            row = np.full(len(self.labels), np.nan, np.float32)
        self.starts.append(start)
        self.rows.append(row)
        # the last window of all may begin before the next one in turn: it ends with the last cell, or the one before
        needed = min(len(self.starts) * self.slide.hop_cells, self.passed + len(self.cells) - self.slide.frames - 1)
        del self.cells[: max(0, needed - self.passed)]
        self.passed = max(self.passed, needed)
        best = None if np.isnan(row).any() else int(row.argmax())
        begin, end = start * self.slide.spacing, (start + self.slide.frames) * self.slide.spacing
        label, probability = (None, math.nan) if best is None else (self.labels[best], float(row[best]))
        return Window(begin, end, row, label, probability, self.dropped)

    def middle(self, start: int) -> float:
        """The seconds in the middle of a window."""
        return (start + self.slide.frames / 2) * self.slide.spacing

    def known_length(self) -> float:
        """Seconds of the video, at its end."""
        assert self.grid.length is not None, "known at the end of the grid"
        return self.grid.length

    def so_far(self, note: str | None) -> timeline.Timeline:
        """All windows so far."""
        starts = np.array(self.starts)
        times = np.stack([starts, starts + self.slide.frames], axis=1) * self.slide.spacing
        return self.make_timeline(times, np.stack(self.rows), note)

    def predict_whole(self) -> timeline.Timeline:
        """Of a file shorter than a window, which is there to be read again. Raises VideoError for a pipe."""
        length = self.known_length()
        if not self.grid.source.is_whole:
            raise video.VideoError(
                self.grid.path,
                f"ended after {length:.1f} s, before a window of {self.slide.window:g} s: choose a shorter --window",
            )
        return self.make_timeline(*self.slide.predict_whole(os.fspath(self.grid.path), length))

    def make_timeline(self, times: np.ndarray, probabilities: np.ndarray, note: str | None) -> timeline.Timeline:
        """What was found out up to now."""
        path, settings = os.fspath(self.grid.path), self.settings
        return timeline.make_timeline(path, self.labels, times, probabilities, note, self.slide, settings, self.dropped)
