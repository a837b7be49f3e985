"""A video and some words -> probabilities."""

import contextlib
import os
import pathlib
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import jax
import numpy as np

from actionclip_jax import checkpoints, config, progress, sharding
from actionclip_jax.config import renamed
from actionclip_jax.data import class_names as label_names
from actionclip_jax.data import test_views, video
from actionclip_jax.data.video import given
from actionclip_jax.inference import batching, choices, class_scores, encoder, inputs, prediction

Path = str | os.PathLike[str]
Templates = str | os.PathLike[str] | Sequence[str]


class Predictor(encoder.VideoTextEncoder):
    """A model on one device with its tokenizer: encodes videos and texts, and predicts.

    `predict` asks what happens in videos; `preprocess`, `encode_video` and `score` are its three steps. In a `with`
    the model's memory is given back at the end.
    """

    def __init__(
        self, weights: checkpoints.Weights, compute: config.ComputeConfig, cache: pathlib.Path | None = None
    ) -> None:
        super().__init__(weights, compute, sharding.make_mesh(jax.local_devices()[:1]), cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    @renamed.refuse_arguments
    def predict(
        self,
        videos: Any,
        class_names: Sequence[str],
        *,
        views: tuple[int, int] | str = (1, 1),
        frames: int | None = None,
        templates: Templates = "actionclip",
        split_names: bool = True,
        absolute: bool = False,
        batch_size: int = 8,
        keep_images: bool | None = None,
        allow_urls: bool = False,
        progress: bool = False,
    ) -> Any:  # Prediction | Predictions: only the file system knows whether a path is a directory
        """One video -> its Prediction; several -> Predictions, with a VideoError for those that cannot be used.

        Args:
            videos: a file, bytes, a file opened with 'rb', or uint8 frames: an array [T, H, W, 3] of any size, or a
                list of pictures. Several: a list of these, a directory, or a glob.
            class_names: the texts to choose from.
            views: (T, S) or "TxS": T clips spread over time x S crops along the longer side, whose probabilities are
                averaged.
            frames: frames of a clip (the model's own number by default).
            templates: prompt templates: a name in `text.TEMPLATES`, a file with one a line, or the templates.
            split_names: split joined names into words, as data sets do: the model reads "yo yo" for "YoYo".
            absolute: the probability of each class name by itself, whatever the others are, so that they do not sum to
                1: of models with a logit_bias, as SigLIP's.
            batch_size: clips computed at once, at most.
            keep_images: keep what the model saw, to be shown and drawn; by default if it is one video.
            allow_urls: fetch videos from http and https addresses, with limits.
            progress: show a progress bar.

        Raises:
            VideoError: the single video given cannot be used.
            ValueError: videos, class names or options that make no sense; it says what was expected.
        """
        kind = choices.checked_kind(self, absolute)
        opened, is_one = inputs.open_any(videos, allow_urls)
        keep = is_one if keep_images is None else keep_images
        how = {"views": views, "frames": frames, "templates": templates, "split_names": split_names, "kind": kind}
        results = self._predict(opened, class_names, batch_size=batch_size, keep_images=keep, **how)
        with show_progress(progress):
            predicted = prediction.Predictions(results)
        if not is_one:
            return predicted
        if isinstance(predicted[0], video.VideoError):
            raise predicted[0]
        return predicted[0]

    @renamed.refuse_arguments
    def predict_each(
        self,
        videos: Iterable[Any],
        class_names: Sequence[str],
        *,
        views: tuple[int, int] | str = (1, 1),
        frames: int | None = None,
        templates: Templates = "actionclip",
        split_names: bool = True,
        absolute: bool = False,
        batch_size: int = 8,
        keep_images: bool = False,
        allow_urls: bool = False,
    ) -> Iterator[prediction.Prediction | video.VideoError]:
        """Predicts several videos in the order given, decoding the next ones while the model works.

        The arguments are those of `predict`.

        Yields:
            A Prediction or, for a video that cannot be used, the VideoError that says why.
        """
        kind = choices.checked_kind(self, absolute)
        opened = inputs.open_each(videos, allow_urls)
        how = {"views": views, "frames": frames, "templates": templates, "split_names": split_names, "kind": kind}
        yield from self._predict(opened, class_names, batch_size=batch_size, keep_images=keep_images, **how)

    def preprocess(
        self, video: Any, *, frames: int | None = None, views: tuple[int, int] | str = (1, 1), allow_urls: bool = False
    ) -> np.ndarray:
        """One video, in any form that `predict` takes -> its clips, uint8 [T * S, frames, size, size, 3].

        It samples the frames, resizes and crops them: the first step of `predict`. The second is
        `encode_video(clips)`, the third `score(features, class_names)`, the mean of whose rows is the prediction.

        Raises:
            VideoError: the video cannot be used.
            ValueError: no video, or options that make no sense.
        """
        opened, is_one = inputs.open_any(video, allow_urls)
        if not is_one:
            raise ValueError(f"preprocess takes one video, and {len(opened)} were given")
        sample = choices.checked_sampling(self, frames, views)
        return test_views.read_clips(opened[0].read, sample).clips

    @renamed.refuse_arguments
    def score(
        self,
        video_features: np.ndarray,
        class_names: Sequence[str],
        *,
        templates: Templates = "actionclip",
        split_names: bool = True,
        absolute: bool = False,
    ) -> np.ndarray:
        """Features [N, E] of clips, as `encode_video` gives them -> probabilities float32 [N, C].

        Each row sums to 1 unless they are `absolute`. A row is the mean over the prompt templates. Rows of one video's
        views are averaged for its prediction.

        Raises:
            ValueError: features of another shape or without unit norm, or class names that make no sense.
        """
        features = checked_features(video_features, self.config.embed_width)
        names, kind = choices.checked_class_names(class_names), choices.checked_kind(self, absolute)
        classes = self.encode_classes(label_names.as_texts(names, split_names), templates, names)
        return class_scores.class_scores(features[:, None], classes, self.scaling, kind=kind)

    def _predict(
        self,
        videos: Sequence[given.Video],
        class_names: Sequence[str],
        *,
        views: tuple[int, int] | str,
        frames: int | None,
        templates: Templates,
        split_names: bool,
        kind: str,
        batch_size: int,
        keep_images: bool,
    ) -> Iterator[prediction.Prediction | video.VideoError]:
        names = choices.checked_class_names(class_names)
        sample = choices.checked_sampling(self, frames, views, batch_size)
        texts = label_names.as_texts(names, split_names)
        classes = self.encode_classes(texts, templates, names)
        clip_count = len(videos) * sample.views_time * sample.views_space
        batches = max(1, -(-clip_count // batch_size))
        batch_size = max(1, -(-clip_count // batches))  # equal batches: little padding in the last
        decoded = test_views.read_ahead(videos, sample)
        done = progress.Progress("predicting", len(videos))
        for encoded in batching.encode_each(self.encode_video, decoded, batch_size):
            done.advance()
            if isinstance(encoded, video.VideoError):
                yield encoded
                continue
            read = encoded.read
            features = np.stack(encoded.features)[:, None]
            scores = class_scores.class_scores(features, classes, self.scaling, kind=kind)
            yield prediction.Prediction(
                encoded.path,
                names,
                scores.mean(axis=0),
                frames=read.indices,
                timestamps=read.timestamps,
                note=read.note,
                images=read.clips[(sample.views_space - 1) // 2] if keep_images else None,
                texts=texts,
                absolute=kind == "sigmoid",
            )


def show_progress(wanted: bool) -> contextlib.AbstractContextManager[None]:
    """Within, a bar shows how far work is, if that is wanted."""
    return progress.drawn() if wanted else contextlib.nullcontext()


def checked_features(features: Any, width: int) -> np.ndarray:
    """[N, E] of unit norm, or a ValueError that says what it is instead."""
    array = np.asarray(features)
    if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"video features are {array.dtype} {array.shape}: expected floats (clips, {width})")
    norms = np.linalg.norm(array, axis=1)
    if not (np.abs(norms - 1) < 0.01).all():  # catches NaN too
        raise ValueError(
            f"video features are {norms.min():.3g} to {norms.max():.3g} long: expected 1, as encode_video has"
        )
    return array
