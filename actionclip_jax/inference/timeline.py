"""What happens when in a long video: the probabilities of the labels over time, and the segments they make."""

import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import class_names as label_names
from actionclip_jax.data import video
from actionclip_jax.inference import choices, predict, windows


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
        best, segments = self.probabilities.argmax(axis=1), []
        sure = self.probabilities.max(axis=1) >= self.threshold
        for label, run in itertools.groupby(range(len(best)), key=lambda window: best[window] if sure[window] else -1):
            if label >= 0:
                rows = list(run)
                score = float(self.probabilities[rows, label].mean())
                start, end = self.bounds[rows[0]], self.bounds[rows[-1] + 1]
                segments.append(Segment(float(start), float(end), self.labels[label], score))
        return tuple(segments)


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
    templates: str | os.PathLike[str] | Sequence[str] = "actionclip",
    split_names: bool = True,
    frames: int | None = None,
    batch_size: int = 8,
    **timing: Any,
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
        **timing: fields of `config.TimelineConfig`: window, hop, threshold.

    Yields:
        A Timeline or, for a video that cannot be used, the VideoError that says why.
    """
    settings, labels = checked(config.TimelineConfig(**timing)), choices.checked_class_names(labels, "labels")
    frames = model.config.frames if frames is None else frames
    if min(frames, batch_size) < 1:
        raise ValueError(f"frames {frames} and batch size {batch_size} must be at least 1")
    model.check_frames_apart()
    model.check_frames(frames)
    classes = model.encode_classes(label_names.as_texts(labels, split_names), templates, labels)
    hop = settings.window / 4 if settings.hop is None else settings.hop
    slide = windows.SlidingWindows(model, classes, settings.window, hop, frames, batch_size)
    for path in videos:
        try:
            times, probabilities, note = slide(os.fspath(path))
            yield Timeline(os.fspath(path), labels, times, probabilities, settings.threshold, note)
        except video.VideoError as error:
            yield error


def checked(settings: config.TimelineConfig) -> config.TimelineConfig:
    """The settings, or a ValueError naming everything wrong with them."""
    problems = [
        f"{name} is {value} seconds: expected more than 0"
        for name, value in (("window", settings.window), ("hop", settings.hop))
        if value is not None and not 0 < value < math.inf  # catches NaN too
    ]
    if not problems and settings.hop is not None and settings.hop > settings.window:
        problems.append(f"hop {settings.hop:g} s is longer than window {settings.window:g} s: parts would go unseen")
    if not 0 < settings.threshold <= 1:
        problems.append(f"threshold is {settings.threshold}: expected a probability above 0")
    if problems:
        raise ValueError("; ".join(problems))
    return settings
