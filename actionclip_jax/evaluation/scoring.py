"""Scoring a model on a data set: every clip once, on all devices and hosts."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import transformers
from jax.sharding import Mesh

from actionclip_jax import config, sharding, text, xla
from actionclip_jax.data import table
from actionclip_jax.evaluation import clip_encoder, features, metrics
from actionclip_jax.inference import class_scores
from actionclip_jax.models import action_clip

TEXT_BATCH = 256  # texts encoded at once


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a model makes of a data set."""

    labels: tuple[str, ...]
    clips: int  # in the data set
    scored: int  # of them; the others cannot be decoded
    values: dict[str, float]  # top1 and top5, or mean_average_precision
    probabilities: np.ndarray  # [scored, C] float32
    targets: np.ndarray  # [scored] int32, or multi-label [scored, C] uint8
    rows: np.ndarray  # [scored] rows of the data set

    @property
    def headline(self) -> float:
        """The one number that says which of two models is better."""
        return next(iter(self.values.values()))

    def summary(self) -> dict[str, Any]:
        """Counts and scores; JSON."""
        counts = {"clips": self.clips, "scored": self.scored, "classes": len(self.labels)}
        return {**self.values, **counts, "chance": 1 / len(self.labels)}


class Evaluator:
    """Scores one data set, again and again as the parameters change; compiles once."""

    def __init__(
        self,
        encoder: clip_encoder.ClipEncoder,
        tokenizer: transformers.PreTrainedTokenizerBase,
        templates: str,
        **options: str,
    ) -> None:
        """`options` are those of `score`. Raises ValueError for templates or labels that cannot be encoded."""
        self.encoder, self.clips, self.options = encoder, encoder.clips, options
        self.encode_texts = text_encoder(encoder.model, encoder.compute, encoder.mesh)
        tokens = text.token_table(
            tokenizer, self.clips.labels, text.load_templates(templates), encoder.model.text.context
        )
        self.tokens = text.cut_padding(tokens)  # [C, P, L]

    def __call__(
        self, params: Mapping[str, jax.Array], task: str = "evaluating", after_batch: Callable[[], None] = lambda: None
    ) -> Scores:
        """Scores the parameters; `task` and `after_batch` are those of `clip_encoder.ClipEncoder`."""
        classes = np.asarray(self.encode_texts(params, self.tokens))
        return score(self.clips, self.encoder(params, task, after_batch=after_batch), classes, **self.options)


def score(
    clips: table.ClipTable,
    found: features.Features,
    classes: np.ndarray,
    *,
    average: str = "templates",
    kind: str = "softmax",
) -> Scores:
    """Features of the clips, in their order, and of their classes [C, P, E] -> scores of those that could be decoded.

    `average` and `kind` are those of `class_scores.class_scores`; the scores of the views are averaged.
    """
    rows = np.flatnonzero(found.decoded)
    probabilities = class_scores.class_scores(found.values[rows], classes, average=average, kind=kind)
    targets = clips.label_ids[rows, 0]
    values = {}
    if clips.multi_label:
        targets = multi_hot(clips.label_ids[rows], len(clips.labels))
        values["mean_average_precision"] = metrics.mean_average_precision(probabilities, targets)
    elif not len(rows):
        values["top1"] = float("nan")
    else:
        values["top1"] = metrics.top_k(probabilities, targets, 1)
        if len(clips.labels) > 5:
            values["top5"] = metrics.top_k(probabilities, targets, 5)
    return Scores(clips.labels, len(clips), len(rows), values, probabilities, targets, rows)


def multi_hot(label_ids: np.ndarray, classes: int) -> np.ndarray:
    """Labels [N, L] int32, padded with -1 -> uint8 [N, C] of ones and zeros."""
    ones = np.zeros((len(label_ids), classes + 1), np.uint8)  # the last column takes the padding
    np.put_along_axis(ones, label_ids, 1, axis=1)
    return ones[:, :classes]


def text_encoder(model: config.ModelConfig, compute: config.ComputeConfig, mesh: Mesh) -> Callable[..., jax.Array]:
    """A jitted (parameters, token ids [C, P, L]) -> unit-norm [C, P, E] on every device."""

    def encode(params: Mapping[str, jax.Array], tokens: jax.Array) -> jax.Array:
        return encode_texts(action_clip.from_params(model, compute, params), tokens)

    options = {"out_shardings": sharding.everywhere(mesh), "compiler_options": xla.options(compute.dtype)}
    return jax.jit(encode, **options)


def encode_texts(model: action_clip.ActionClip, tokens: jax.Array) -> jax.Array:
    """Token ids [C, P, L] -> unit-norm [C, P, E], so many texts at a time that memory stays bounded."""
    flat = tokens.reshape(-1, tokens.shape[-1])
    encoded = jax.lax.map(lambda one: model.encode_text(one[None])[0], flat, batch_size=min(TEXT_BATCH, len(flat)))
    return encoded.reshape(*tokens.shape[:2], -1)
