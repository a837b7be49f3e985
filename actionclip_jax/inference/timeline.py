"""What happens when in a long video: windows slide over it, and each frame is encoded once for all of them."""

import dataclasses
import functools
import itertools
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from actionclip_jax import config, progress
from actionclip_jax.data import class_names as label_names
from actionclip_jax.data import test_views as reading
from actionclip_jax.data import video, workers
from actionclip_jax.data.video import stream, views
from actionclip_jax.inference import class_scores, predict

AHEAD = 2  # batches of frames decoded while the model works


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a video in which one label stays the best."""

    start: float  # seconds
    end: float
    label: str
    score: float  # the label's mean probability over the windows


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What the model says of one video over time."""

    path: str
    labels: tuple[str, ...]
    times: np.ndarray  # [W, 2] float64: start and end of each window in seconds, rising
    probabilities: np.ndarray  # [W, C] float32: each row sums to 1
    threshold: float  # the probability that a label needs for a segment
    note: str | None  # what is wrong with the file although it could be used

    @functools.cached_property
    def bounds(self) -> np.ndarray:
        """[W + 1] float64: a window speaks for the time around its middle, up to halfway to its neighbours' middles."""
        middles = self.times.mean(axis=1)
        return np.concatenate([self.times[:1, 0], (middles[:-1] + middles[1:]) / 2, self.times[-1:, 1]])

    @functools.cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The maximal runs of windows with the same best label, at least as probable as the threshold in each."""
        best, found = self.probabilities.argmax(axis=1), []
        sure = self.probabilities.max(axis=1) >= self.threshold
        for label, run in itertools.groupby(range(len(best)), key=lambda window: best[window] if sure[window] else -1):
            if label >= 0:
                windows = list(run)
                score = float(self.probabilities[windows, label].mean())
                start, end = self.bounds[windows[0]], self.bounds[windows[-1] + 1]
                found.append(Segment(float(start), float(end), self.labels[label], score))
        return tuple(found)


def follow(model: predict.Predictor, path: predict.Path, labels: Sequence[str], **options: Any) -> Timeline:
    """The timeline of one video; `options` are those of `follow_each`. Raises VideoError and ValueError."""
    (result,) = follow_each(model, [path], labels, **options)
    if isinstance(result, video.VideoError):
        raise result
    return result


def follow_each(
    model: predict.Predictor,
    videos: Iterable[predict.Path],
    labels: Sequence[str],
    *,
    templates: str | Sequence[str] = "actionclip",
    split_names: bool = True,
    frames: int | None = None,
    batch_size: int = 8,
    **windows: Any,
) -> Iterator[Timeline | video.VideoError]:
    """Follows videos one after the other, in the order given.

    A window of `window` seconds is a clip of T = `frames` frames, from the middles of T cells of equal length. The next
    one starts `hop` seconds later, rounded to whole cells, and the last one ends with the last whole cell of the video.
    A video as long as a window, or shorter, is one window and gets the prediction of `Predictor.predict`.

    Args:
        model: one whose image tower sees each frame alone.
        videos: files.
        labels: the texts to choose from.
        templates: as `Predictor.predict_each` takes them, like the next.
        split_names: split joined names into words.
        frames: frames of a window (the model's own number by default).
        batch_size: windows' worth of frames computed at once.
        **windows: fields of `config.TimelineConfig`: window, hop, threshold.

    Yields:
        A Timeline or, for a video that cannot be used, the VideoError that says why.
    """
    settings, labels = checked(config.TimelineConfig(**windows)), predict.checked_labels(labels)
    frames = model.config.frames if frames is None else frames
    if min(frames, batch_size) < 1:
        raise ValueError(f"frames {frames} and batch size {batch_size} must be at least 1")
    model.check_frames_apart()
    model.check_frames(frames)
    classes = model.encode_classes(label_names.as_texts(labels, split_names), templates, labels)
    follower = _Follower(model, classes, settings, frames, batch_size)
    for path in map(os.fspath, videos):
        try:
            times, probabilities, note = follower.follow(path)
            yield Timeline(path, labels, times, probabilities, settings.threshold, note)
        except video.VideoError as error:
            yield error


def checked(settings: config.TimelineConfig) -> config.TimelineConfig:
    """The settings, or a ValueError naming everything wrong with them."""
    found = [
        f"{name} is {value} seconds: expected more than 0"
        for name, value in (("window", settings.window), ("hop", settings.hop))
        if value is not None and not 0 < value < math.inf  # catches NaN too
    ]
    if not found and settings.hop is not None and settings.hop > settings.window:
        found.append(f"hop {settings.hop:g} s is longer than window {settings.window:g} s: parts would go unseen")
    if not 0 < settings.threshold <= 1:
        found.append(f"threshold is {settings.threshold}: expected a probability above 0")
    if found:
        raise ValueError("; ".join(found))
    return settings


def clock(seconds: float, decimals: int = 1) -> str:
    """`75.25` -> `1:15.2`, `3600` -> `1:00:00.0`."""
    minutes, rest = divmod(round(seconds, decimals), 60)
    hours, minutes = divmod(int(minutes), 60)
    rest = f"{rest:0{3 + decimals if decimals else 2}.{decimals}f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def window_starts(cells: int, frames: int, hop: int) -> np.ndarray:
    """First cells [W] int64 of windows of `frames` cells, one every `hop` and one that ends with the last cell."""
    starts = np.arange(0, cells - frames + 1, hop, dtype=np.int64)
    return starts if starts[-1] == cells - frames else np.append(starts, cells - frames)


@dataclasses.dataclass(frozen=True)
class _Follower:
    """A model with all that stays the same from video to video. Everything is computed in batches of one size."""

    model: predict.Predictor
    classes: np.ndarray  # [C, P, E]
    settings: config.TimelineConfig
    frames: int
    batch_size: int

    def follow(self, path: str) -> tuple[np.ndarray, np.ndarray, str | None]:
        """Windows [W, 2], their probabilities [W, C], and what is wrong with the file.

        Of all frames only their features are held, those of equal cells once: 2 KiB a frame for a ViT-B.
        """
        window, spacing = self.settings.window, self.settings.window / self.frames
        transform = views.view_transform(self.model.config.image.size)
        grid = stream.Grid(path, spacing, lambda image: transform(image)[0])
        features, cells, done = [], [], 0
        seconds = progress.Progress(f"{pathlib.Path(path).name} (seconds)", None)
        for batch in _read_ahead(grid, self.batch_size * self.frames):
            if _is_shorter(grid, window):
                break
            features.append(self._encode(np.stack([image for image, _ in batch])))
            cells += [count for _, count in batch]
            done += sum(count for _, count in batch)
            seconds.total = grid.promised  # which the first frames tell
            seconds.move_to(done * spacing)
        if _is_shorter(grid, window):
            return self._predict_whole(path, grid)
        whole = math.floor((grid.length + stream.ROUNDING) / spacing)
        features, rows = np.concatenate(features), np.repeat(np.arange(len(cells)), cells)[:whole]
        hop = window / 4 if self.settings.hop is None else self.settings.hop
        starts = window_starts(whole, self.frames, max(1, round(hop / spacing)))
        probabilities = self._score(features, rows[starts[:, None] + np.arange(self.frames)])
        return np.stack([starts, starts + self.frames], axis=1) * spacing, probabilities, grid.note

    def _predict_whole(self, path: str, grid: stream.Grid) -> tuple[np.ndarray, np.ndarray, str | None]:
        """The same for a video shorter than a window, of the frames that `Predictor.predict` takes."""
        read = functools.partial(video.read_frames, path)
        clips = reading.read_clips(read, size=self.model.config.image.size, frames=self.frames, views=(1, 1))
        probabilities = self._score(self._encode(clips.clips[0]), np.arange(self.frames)[None])
        return np.array([[0.0, grid.length]]), probabilities, clips.note

    def _encode(self, images: np.ndarray) -> np.ndarray:
        """Frames [N, S, S, 3] -> features [N, E], for N up to a batch."""
        padded = _fill(images, self.batch_size * self.frames)
        return self.model.encode_frames(padded[:, None])[: len(images), 0]

    def _score(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Features [N, E] and the rows of them that make up each window [W, T] -> probabilities [W, C]."""
        size, scores = self.batch_size * self.frames, []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            joined = self.model.join_frames(features[_fill(part, size)])[: len(part)]
            scores.append(class_scores.class_scores(joined[:, None], self.classes))
        return np.concatenate(scores)


def _is_shorter(grid: stream.Grid, window: float) -> bool:
    return grid.length is not None and grid.length < window - stream.ROUNDING


def _fill(rows: np.ndarray, size: int) -> np.ndarray:
    """[N, ...] -> [size, ...] by repeating the last row."""
    return np.pad(rows, ((0, size - len(rows)), *((0, 0),) * (rows.ndim - 1)), mode="edge")


def _read_ahead(grid: stream.Grid, size: int) -> Iterator[list[tuple[np.ndarray, int]]]:
    """The grid's frames in lists of `size`, decoded by a thread while the model works."""
    frames, pool = iter(grid), futures.ThreadPoolExecutor(1)
    try:
        batches = workers.map_ahead(pool, lambda number: list(itertools.islice(frames, size)), itertools.count(), AHEAD)
        for future in batches:
            if not (batch := future.result()):
                return
            yield batch
    finally:  # whoever stops early closes the file, after the frame that is being decoded
        pool.shutdown(cancel_futures=True)
        frames.close()
