"""The number of an example -> its frames and label. Instances travel to worker processes."""

import dataclasses
import functools
import math
from typing import NotRequired, TypedDict

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import augment, bad_clips, order, sampling, table, test_views, video
from actionclip_jax.data.video import views

MAX_ATTEMPTS = 20  # to find a clip that decodes


class Example(TypedDict):
    """What becomes a row of a batch."""

    video: np.ndarray  # [T, S, S, 3] uint8, or [V, T, S, S, 3] for testing
    label: np.ndarray | np.int32  # see `target`
    clip: np.int32  # the row of the table, -1 of filling
    mask: NotRequired[np.bool_]  # for testing: whether it counts
    bad: list[tuple[int, str, str, str]]  # (epoch, clip id, path, reason) of clips that could not be decoded
    notes: list[dict[str, str]]  # what is wrong with the video nevertheless: {id, path, note}


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """An example's number -> random frames of a clip, augmented."""

    data: table.ClipTable
    epochs: order.Epochs
    sample: config.SampleConfig
    loader: config.LoaderConfig
    augmenter: augment.Augmenter

    @classmethod
    def build(
        cls,
        data: table.ClipTable,
        sample: config.SampleConfig,
        augmentation: config.AugmentConfig,
        loader: config.LoaderConfig,
    ) -> "TrainingExamples":
        """The examples of a data set, shuffled and augmented as the settings say."""
        augmenter = augment.Augmenter.build(augmentation, sample.size, data.labels)
        return cls(data, order.Epochs(len(data), loader.seed), sample, loader, augmenter)

    @property
    def clip_bytes(self) -> int:
        """Bytes of an example's video."""
        return 3 * self.sample.frames * self.sample.size**2

    def __call__(self, number: int) -> Example:
        """The example of that number."""
        bad: list[tuple[int, str, str, str]] = []
        short_side = self.loader.short_side or views.default_short_side(self.sample.size)
        for attempt in range(MAX_ATTEMPTS):
            row = self.epochs.row(number, attempt)
            clip = self.data[row]
            rng = self.epochs.rng(number)
            choose = functools.partial(sampling.random_in_segments, frames=self.sample.frames, rng=rng)
            try:
                frames = self.data.reader.read(clip, choose, np.asarray, short_side)
                if len({image.shape for image in frames.images}) > 1:
                    raise video.VideoError(clip.path, "the size of the picture changes")
            except video.VideoError as error:
                bad.append((number // len(self.data), clip.id, error.path, error.reason))
                continue
            images, labels = self.augmenter(frames.images, clip.labels, rng)
            return {
                "video": images,
                "label": target(self.data, labels),
                "clip": np.int32(row),
                "bad": bad,
                "notes": name_note(clip, frames.note),
            }
        _, clip, _, reason = bad[-1]
        raise bad_clips.TooManyBadClips(f"{MAX_ATTEMPTS} clips in a row cannot be decoded; the last: {clip}: {reason}")


@dataclasses.dataclass(frozen=True)
class TestExamples:
    """A row of the table -> its test views; any number behind the table -> filling."""

    data: table.ClipTable
    sample: config.SampleConfig

    @property
    def clip_bytes(self) -> int:
        """Bytes of an example's video."""
        return math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """[V, T, S, S, 3]."""
        sample = self.sample
        return (sample.views_time * sample.views_space, sample.frames, sample.size, sample.size, 3)

    def __call__(self, row: int) -> Example:
        """The example of that number."""
        bad: list[tuple[int, str, str, str]] = []
        notes: list[dict[str, str]] = []
        clip = self.data[row] if row < len(self.data) else None
        images = None
        if clip:
            read = functools.partial(self.data.reader.read, clip)
            try:
                result = test_views.read_clips(read, self.sample)
                images, notes = result.clips, name_note(clip, result.note)
            except video.VideoError as error:
                bad.append((0, clip.id, error.path, error.reason))
        return {
            "video": np.zeros(self.shape, np.uint8) if images is None else images,
            "label": target(self.data, clip.labels if clip else ()),
            "clip": np.int32(row if clip else -1),
            "mask": np.bool_(images is not None),
            "bad": bad,
            "notes": notes,
        }


def name_note(clip: table.Clip, note: str | None) -> list[dict[str, str]]:
    """What is wrong with a clip that could be used nevertheless, if anything, as a list to be joined with others'."""
    return [{"id": clip.id, "path": clip.path, "note": note}] if note else []


def target(data: table.ClipTable, labels: tuple[int, ...]) -> np.ndarray | np.int32:
    """The label as int32, -1 if there is none; multi-label: uint8 [C] of ones and zeros."""
    if not data.multi_label:
        return np.int32(labels[0] if labels else -1)
    ones = np.zeros(len(data.labels), np.uint8)
    ones[list(labels)] = 1
    return ones
