"""A video and some words -> probabilities."""

import collections
import dataclasses
import os
import pathlib
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from actionclip_jax import checkpoints, config, files, progress, sharding, xla
from actionclip_jax.data import class_names as label_names
from actionclip_jax.data import test_views, video
from actionclip_jax.inference import batching, class_scores, encoder

Path = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the model says of one video."""

    path: str
    labels: tuple[str, ...]
    probabilities: np.ndarray  # [C] float32, in the order of the labels; sums to 1
    frames: np.ndarray  # [V, T] int64: the frames used, by temporal view
    timestamps: np.ndarray  # [V, T] float64: their times in seconds on a player's clock
    note: str | None  # what is wrong with the file although it could be used
    images: np.ndarray | None = None  # [T, S, S, 3] uint8: what the model saw of the first view, if asked for
    texts: tuple[str, ...] = ()  # what the model read for each label: joined names are split into words

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities, best first."""
        best = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[index], float(self.probabilities[index])) for index in best]


def load(
    path: Path, *, frames: int | None = None, activation: str | None = None, cache: Path | None = None, **compute: Any
) -> "Predictor":
    """Loads a model directory, a PyTorch checkpoint or a hub name.

    Args:
        path: where the weights are.
        frames: frames sampled from a clip, if not the model's own number.
        activation: quick_gelu or gelu, for PyTorch checkpoints that do not say it.
        cache: directory that keeps text embeddings between runs.
        **compute: fields of `config.ComputeConfig`: dtype, attention, interpolate_positions ...
    """
    how = config.ComputeConfig(**compute)
    xla.check_attention(how.attention)
    weights = checkpoints.read_any(path, activation=activation, frames=frames)
    return Predictor(weights, how, None if cache is None else pathlib.Path(cache))


class Predictor(encoder.VideoTextEncoder):
    """A model on one device with its tokenizer: encodes videos and texts, and predicts."""

    def __init__(
        self, weights: checkpoints.Weights, compute: config.ComputeConfig, cache: pathlib.Path | None = None
    ) -> None:
        super().__init__(weights, compute, sharding.make_mesh(jax.local_devices()[:1]), cache)

    @typing.overload
    def predict(self, videos: Path, labels: Sequence[str], **options: Any) -> Prediction: ...

    @typing.overload
    def predict(
        self, videos: Sequence[Path], labels: Sequence[str], **options: Any
    ) -> list[Prediction | video.VideoError]: ...

    def predict(
        self, videos: Path | Sequence[Path], labels: Sequence[str], **options: Any
    ) -> Prediction | list[Prediction | video.VideoError]:
        """One video -> its Prediction; several -> a list with one entry each, an error for those that cannot be used.

        Args:
            videos: a file, or several.
            labels: the texts to choose from.
            **options: those of `predict_each`.

        Raises:
            VideoError: the single video given cannot be used.
            ValueError: labels or options that make no sense.
        """
        if not isinstance(videos, str | os.PathLike):
            return list(self.predict_each(videos, labels, **options))
        (result,) = self.predict_each([videos], labels, **options)
        if isinstance(result, video.VideoError):
            raise result
        return result

    def predict_each(
        self,
        videos: Iterable[Path],
        labels: Sequence[str],
        *,
        templates: str | os.PathLike[str] | Sequence[str] = "actionclip",
        split_names: bool = True,
        frames: int | None = None,
        views: tuple[int, int] = (1, 1),
        batch_size: int = 8,
        keep_images: bool = False,
    ) -> Iterator[Prediction | video.VideoError]:
        """Predicts videos in the order given, decoding the next ones while the model works.

        Args:
            videos: files.
            labels: the texts to choose from.
            templates: prompt templates: a name in `text.TEMPLATES`, a file with one a line, or the templates.
            split_names: split joined names into words, as data sets do: the model reads "yo yo" for "YoYo".
            frames: frames of a clip (the model's own number by default).
            views: (T, S): T clips spread over time x S crops along the longer side; probabilities are averaged.
            batch_size: clips computed at once, at most.
            keep_images: keep what the model saw.

        Yields:
            A Prediction or, for a video that cannot be used, the VideoError that says why.
        """
        labels = checked_labels(labels)
        paths = [os.fspath(path) for path in videos]
        frames = self.config.frames if frames is None else frames
        if min(*views, frames, batch_size) < 1:
            raise ValueError(f"views {views}, frames {frames} and batch size {batch_size} must all be at least 1")
        sample = config.SampleConfig(frames, self.config.image.size, *views)
        config.check_data(sample)
        self.check_frames(frames)
        texts = label_names.as_texts(labels, split_names)
        classes = self.encode_classes(texts, templates, labels)
        clip_count = len(paths) * views[0] * views[1]
        batches = max(1, -(-clip_count // batch_size))
        batch_size = max(1, -(-clip_count // batches))  # equal batches: little padding in the last
        decoded = test_views.read_ahead(paths, size=self.config.image.size, frames=frames, views=views)
        done = progress.Progress("predicting", len(paths))
        for encoded in batching.encode_each(self.encode_video, decoded, batch_size):
            done.advance()
            if isinstance(encoded, video.VideoError):
                yield encoded
                continue
            read = encoded.read
            yield Prediction(
                encoded.path,
                labels,
                class_scores.class_scores(np.stack(encoded.features)[None], classes)[0],
                frames=read.indices,
                timestamps=read.timestamps,
                note=read.note,
                images=read.clips[(views[1] - 1) // 2] if keep_images else None,
                texts=texts,
            )


def checked_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels stripped, or a ValueError naming everything wrong with them."""
    if isinstance(labels, str):
        raise ValueError(f"labels are the single text {labels!r}: expected a list of texts")
    if not isinstance(labels, Iterable) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels are {labels!r}: expected a list of texts")
    stripped = tuple(label.strip() for label in labels)
    problems = ["there are none"] if not stripped else []
    problems += [f"too long: {files.shorten(label)}" for label in stripped if len(label) > files.LONGEST_LABEL][:5]
    if empty := [index + 1 for index, label in enumerate(stripped) if not label]:
        problems.append(f"empty at position {', '.join(map(str, empty))}")
    if twice := [label for label, count in collections.Counter(stripped).items() if count > 1]:
        problems.append(f"given more than once: {', '.join(map(repr, twice))}")
    if problems:
        raise ValueError(f"labels: {'; '.join(problems)}")
    return stripped
