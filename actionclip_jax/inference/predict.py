"""A video and some words -> probabilities."""

import collections
import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from actionclip_jax import checkpoints, config, progress, text, textfile, xla
from actionclip_jax.data import class_names as label_names
from actionclip_jax.data import test_views as reading
from actionclip_jax.data import video
from actionclip_jax.inference import class_scores
from actionclip_jax.models import action_clip

TEXT_BATCH = 64
Path = str | os.PathLike


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
    path: Path,
    *,
    frames: int | None = None,
    activation: str | None = None,
    cache: Path | None = None,
    **compute: Any,
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
    config.checked_model(weights.model, how)
    return Predictor(weights, how, None if cache is None else pathlib.Path(cache))


class Predictor:
    """A model with its tokenizer: encodes videos and texts, and predicts."""

    def __init__(
        self, weights: checkpoints.Weights, compute: config.ComputeConfig, cache: pathlib.Path | None = None
    ) -> None:
        self.config = weights.model
        self.tokenizer = weights.tokenizer
        self.module = action_clip.from_params(weights.model, compute, weights.params)
        self.cache = text.TextCache(cache)
        options = xla.options(compute.dtype)
        self._encode_video = jax.jit(lambda module, frames: module.encode_video(frames), compiler_options=options)
        self._encode_text = jax.jit(lambda module, tokens: module.encode_text(tokens), compiler_options=options)
        self._encode_frames = jax.jit(lambda module, frames: module.encode_frames(frames), compiler_options=options)
        self._join_frames = jax.jit(lambda module, features: module.join_frames(features), compiler_options=options)

    def encode_video(self, frames: np.ndarray) -> np.ndarray:
        """uint8 RGB [B, T, S, S, 3] at the model's size S -> float32 [B, E] of unit norm.

        Raises:
            ValueError: another dtype or shape, or more frames than the model has positions for.
        """
        self._check_pixels(frames)
        return np.asarray(self._encode_video(self.module, frames))

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """uint8 RGB [B, T, S, S, 3] -> float32 features of single frames [B, T, E], each its own whatever the others.

        Raises:
            ValueError: another dtype or shape, or a model whose frames mix before they are features.
        """
        self.check_frames_apart()
        self._check_pixels(frames)
        return np.asarray(self._encode_frames(self.module, frames))

    def join_frames(self, features: np.ndarray) -> np.ndarray:
        """Features [B, T, E] of single frames -> float32 [B, E] of unit norm: `encode_video` in two halves."""
        return np.asarray(self._join_frames(self.module, features))

    def check_frames_apart(self) -> None:
        """Raises ValueError if the image tower mixes the frames of a clip."""
        if self.config.shift or self.config.joint:
            name = "shift" if self.config.shift else "joint"
            raise ValueError(f"the model's image tower mixes frames ({name}): there are no features of single ones")

    def _check_pixels(self, frames: np.ndarray) -> None:
        size, shape = self.config.image.size, np.shape(frames)
        wrong_shape = len(shape) != 5 or shape[2:] != (size, size, 3) or 0 in shape
        if getattr(frames, "dtype", None) != np.uint8 or wrong_shape:
            found = f"{getattr(frames, 'dtype', type(frames).__name__)} {shape}"
            raise ValueError(f"frames are {found}: expected uint8 (clips, frames, {size}, {size}, 3)")

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Plain strings -> float32 [N, E] of unit norm.

        Raises:
            ValueError: a text with more tokens than the text tower takes (CLIP: 77).
        """
        tokens = text.tokenize(self.tokenizer, texts, self.config.text.context)
        if not len(tokens):
            return np.zeros((0, self.config.embed_width), np.float32)
        tokens = text.cut_padding(tokens)
        batches = []
        for start in range(0, len(tokens), TEXT_BATCH):
            batch = tokens[start : start + TEXT_BATCH]
            missing = TEXT_BATCH - len(batch) if len(tokens) > TEXT_BATCH else 0  # one compilation for all batches
            padded = np.pad(batch, ((0, missing), (0, 0)), mode="edge")
            batches.append(np.asarray(self._encode_text(self.module, padded))[: len(batch)])
        return np.concatenate(batches)

    def encode_classes(
        self, labels: Sequence[str], templates: str | Sequence[str], names: Sequence[str] = ()
    ) -> np.ndarray:
        """Labels in prompt templates -> float32 [C, P, E] of unit norm, from the cache if known.

        `templates` is a name in `text.TEMPLATES`, a file with one a line, or the templates. `names` are the
        labels as they were given, for messages.

        Raises:
            ValueError: labels that are the same text to the model, or templates or prompts that cannot be used.
        """
        text.check_distinct(self.tokenizer, labels, names)
        is_name = isinstance(templates, str | os.PathLike)
        templates = text.load_templates(templates) if is_name else text.checked_templates(templates)
        made_from = {
            "weights": self._text_digest,
            "tokenizer": hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
            "dtype": self.module.compute.dtype,
            "templates": list(templates),
            "labels": list(labels),
        }
        prompts = text.fill(labels, templates)
        shape = (len(labels), len(templates), self.config.embed_width)
        return self.cache.get(made_from, lambda: self.encode_text(prompts).reshape(shape), shape)

    @functools.cached_property
    def _text_digest(self) -> str:
        """SHA-256 of all that decides a text's embedding: the text tower's shape, flavour and parameters."""
        flavour = (self.config.text, self.config.activation, self.config.norm_eps)
        weights = checkpoints.digest(action_clip.named_params(self.module.text))
        return hashlib.sha256(f"{flavour}{weights}".encode()).hexdigest()

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
        single = isinstance(videos, str | os.PathLike)
        results = list(self.predict_each([videos] if single else videos, labels, **options))
        if not single:
            return results
        if isinstance(results[0], video.VideoError):
            raise results[0]
        return results[0]

    def predict_each(
        self,
        videos: Iterable[Path],
        labels: Sequence[str],
        *,
        templates: str | Sequence[str] = "actionclip",
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
        videos, frames = [os.fspath(path) for path in videos], self.config.frames if frames is None else frames
        if min(*views, frames, batch_size) < 1:
            raise ValueError(f"views {views}, frames {frames} and batch size {batch_size} must all be at least 1")
        sample = config.SampleConfig(frames, self.config.image.size, *views)
        config.check_data(sample)
        self.check_frames(frames)
        texts = label_names.as_texts(labels, split_names)
        classes = self.encode_classes(texts, templates, labels)
        clips = views[0] * views[1]
        batches = max(1, -(-len(videos) * clips // batch_size))
        batch_size = max(1, -(-len(videos) * clips // batches))  # equal batches: little padding in the last
        decoded = reading.read_ahead(videos, size=self.config.image.size, frames=frames, views=views)
        done = progress.Progress("predicting", len(videos))
        for path, read, features in self._encode_each(decoded, batch_size):
            done.advance()
            if isinstance(read, video.VideoError):
                yield read
                continue
            probabilities = class_scores.class_scores(features[None], classes)[0]
            images = read.clips[(views[1] - 1) // 2] if keep_images else None
            yield Prediction(path, labels, probabilities, read.indices, read.timestamps, read.note, images, texts)

    def check_frames(self, frames: int) -> None:
        """Raises ValueError if clips of this many frames do not fit the model; costs no computation."""
        size = self.config.image.size
        clip = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.uint8)
        jax.eval_shape(lambda module, clip: module.encode_video(clip), self.module, clip)

    def _encode_each(
        self, videos: Iterator[tuple[str, reading.Clips | video.VideoError]], batch_size: int
    ) -> Iterator[tuple[str, reading.Clips | video.VideoError, np.ndarray | None]]:
        """Encodes the clips of all videos in batches of one size; yields each video with its features [V, E]."""
        waiting: collections.deque = collections.deque()  # videos in order, with the features so far
        pending: list[tuple[np.ndarray, list]] = []  # clips not yet encoded, and where their features go

        def encode() -> None:
            batch = np.stack([clip for clip, _ in pending[:batch_size]])
            padded = np.pad(batch, ((0, batch_size - len(batch)), *((0, 0),) * 4), mode="edge")
            features = self.encode_video(padded)[: len(batch)]
            for (_, place), feature in zip(pending[:batch_size], features, strict=True):
                place.append(feature)
            del pending[:batch_size]

        def finished() -> Iterator[tuple[str, reading.Clips | video.VideoError, np.ndarray | None]]:
            while waiting and len(waiting[0][2]) == waiting[0][3]:
                path, read, features, _ = waiting.popleft()
                yield path, read, np.stack(features) if features else None

        for path, read in videos:
            clips = [] if isinstance(read, video.VideoError) else read.clips
            waiting.append((path, read, features := [], len(clips)))
            pending += [(clip, features) for clip in clips]
            while len(pending) >= batch_size:
                encode()
            yield from finished()
        while pending:
            encode()
        yield from finished()


def checked_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels stripped, or a ValueError naming everything wrong with them."""
    if isinstance(labels, str):
        raise ValueError(f"labels are the single text {labels!r}: expected a list of texts")
    if not isinstance(labels, Iterable) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels are {labels!r}: expected a list of texts")
    stripped = tuple(label.strip() for label in labels)
    found = ["there are none"] if not stripped else []
    found += [f"too long: {textfile.shorten(label)}" for label in stripped if len(label) > textfile.LONGEST_LABEL][:5]
    if empty := [index + 1 for index, label in enumerate(stripped) if not label]:
        found.append(f"empty at position {', '.join(map(str, empty))}")
    if twice := [label for label, count in collections.Counter(stripped).items() if count > 1]:
        found.append(f"given more than once: {', '.join(map(repr, twice))}")
    if found:
        raise ValueError(f"labels: {'; '.join(found)}")
    return stripped
