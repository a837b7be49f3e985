"""What happens when in a long video: the probabilities of the labels over time, and the segments they make."""

import dataclasses
import functools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import class_names as label_names
from actionclip_jax.data import video
from actionclip_jax.inference import choices, class_scores, predict, smoothing, windows


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a video in which one label stays the best."""

    start: float  # seconds
    end: float
    label: str
    score: float  # the label's mean probability over the windows, as the model gave them


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What the model says of one video over time."""

    path: str
    labels: tuple[str, ...]
    times: np.ndarray  # [W, 2] float64: start and end of each window in seconds, rising
    probabilities: np.ndarray  # [W, C] float32 as the model gave them: rows sum to 1 unless absolute; NaN: not scored
    threshold: float  # the probability that a label needs for a segment
    note: str | None  # what is wrong with the file although it could be used
    median: int = 1  # windows that the running median looks at, for segments
    min_length: float = 0.0  # seconds that a label, or none, must last to take the place of the one before it
    dropped: int = 0  # frames of a video followed live that came too late to be encoded
    absolute: bool = False  # each probability is that of its label by itself

    @property
    def remark(self) -> str | None:
        """What is to be said beside the probabilities, where they are no shares of 1."""
        return class_scores.ABSOLUTE if self.absolute else None

    @functools.cached_property
    def bounds(self) -> np.ndarray:
        """[W + 1] float64: a window speaks for the time around its middle, up to halfway to its neighbours' middles."""
        middles = self.times.mean(axis=1)
        return np.concatenate([self.times[:1, 0], (middles[:-1] + middles[1:]) / 2, self.times[-1:, 1]])

    @functools.cached_property
    def smooth(self) -> np.ndarray:
        """[W, C] float32: the probabilities that decide about segments, which no longer sum to 1 where `median` > 1."""
        return smoothing.running_median(self.probabilities, self.median)

    @functools.cached_property
    def runs(self) -> list[tuple[int, int, int]]:
        """(number of the label or -1, first window, end) of all windows in order: what is current when."""
        return smoothing.hold(smoothing.find_runs(self.smooth, self.threshold), self.bounds, self.min_length)

    @functools.cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The runs of windows with one label.

        In each window it is the best, at least as probable as the threshold; but where others last less than
        `min_length`, they are part of the run before.
        """
        return tuple(self.segment(*run) for run in self.runs if run[0] >= 0)

    def segment(self, label: int, first: int, end: int) -> Segment:
        """The windows from the first up to the end, as a segment of a label."""
        score = float(np.nanmean(self.probabilities[first:end, label]))
        return Segment(float(self.bounds[first]), float(self.bounds[end]), self.labels[label], score)


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
    absolute: bool = False,
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
        absolute: as `Predictor.predict` takes it.
        batch_size: windows' worth of frames computed at once.
        **timing: fields of `config.TimelineConfig`: window, hop, threshold, smooth, min_length.

    Yields:
        A Timeline or, for a video that cannot be used, the VideoError that says why.
    """
    settings, labels = checked(config.TimelineConfig(**timing)), choices.checked_class_names(labels, "labels")
    kind = choices.checked_kind(model, absolute)
    slide = sliding_windows(model, labels, settings, templates, split_names, frames, batch_size, kind)
    for path in videos:
        try:
            times, probabilities, note = slide(os.fspath(path))
            yield make_timeline(os.fspath(path), labels, times, probabilities, note, slide, settings)
        except video.VideoError as error:
            yield error


def sliding_windows(
    model: predict.Predictor,
    labels: Sequence[str],
    settings: config.TimelineConfig,
    templates: str | os.PathLike[str] | Sequence[str],
    split_names: bool,
    frames: int | None,
    batch_size: int,
    kind: str,
) -> windows.SlidingWindows:
    """The model with all that stays the same from video to video. Raises ValueError for what cannot work."""
    frames = model.config.frames if frames is None else frames
    if min(frames, batch_size) < 1:
        raise ValueError(f"frames {frames} and batch size {batch_size} must be at least 1")
    model.check_frames_apart()
    model.check_frames(frames)
    classes = model.encode_classes(label_names.as_texts(labels, split_names), templates, labels)
    hop = settings.window / 4 if settings.hop is None else settings.hop
    slide = windows.SlidingWindows(model, classes, settings.window, hop, frames, batch_size, kind)
    if settings.smooth and smoothing.median_windows(settings.smooth, slide.step) == 1:
        raise ValueError(
            f"smooth {settings.smooth:g} s changes nothing: windows are {slide.step:g} s apart, and a median needs "
            f"three of them: expected at least {2 * slide.step:g} s"
        )
    return slide


def make_timeline(
    path: str,
    labels: tuple[str, ...],
    times: np.ndarray,
    probabilities: np.ndarray,
    note: str | None,
    slide: windows.SlidingWindows,
    settings: config.TimelineConfig,
    dropped: int = 0,
) -> Timeline:
    """What was found out of a video, with what makes segments of it."""
    return Timeline(
        path,
        labels,
        times,
        probabilities,
        settings.threshold,
        note,
        median=smoothing.median_windows(settings.smooth, slide.step),
        min_length=settings.min_length,
        dropped=dropped,
        absolute=slide.kind == "sigmoid",
    )


def checked(settings: config.TimelineConfig) -> config.TimelineConfig:
    """The settings, or a ValueError naming everything wrong with them."""
    problems = [
        f"{name} is {value} seconds: expected more than 0"
        for name, value in (("window", settings.window), ("hop", settings.hop))
        if value is not None and not 0 < value < math.inf  # catches NaN too
    ]
    if not problems and settings.hop is not None and settings.hop > settings.window:
        problems.append(f"hop {settings.hop:g} s is longer than window {settings.window:g} s: parts would go unseen")
    problems += [
        f"{name} is {value} seconds: expected 0 or more"
        for name, value in (("smooth", settings.smooth), ("min_length", settings.min_length))
        if not 0 <= value < math.inf
    ]
    if not 0 < settings.threshold <= 1:
        problems.append(f"threshold is {settings.threshold}: expected a probability above 0")
    if problems:
        raise ValueError("; ".join(problems))
    return settings
