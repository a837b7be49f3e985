"""Scoring a model on a data set: every clip once, on all devices and hosts."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import transformers
from jax.sharding import Mesh

from actionclip_jax import compiler, config, metrics, sharding, text
from actionclip_jax.data import order, pipeline, table
from actionclip_jax.models import action_clip

TEXT_BATCH = 256  # texts encoded at once


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a model makes of a data set."""

    labels: tuple[str, ...]
    clips: int  # in the data set
    scored: int  # of them; the others cannot be decoded
    values: dict[str, float]  # top1 and top5, or mean_average_precision
    probabilities: np.ndarray  # [scored, C]
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
        clips: table.ClipTable,
        model: config.ModelConfig,
        compute: config.ComputeConfig,
        sample: config.SampleConfig,
        loader: config.LoaderConfig,
        *,
        templates: str,
        tokenizer: transformers.PreTrainedTokenizerBase,
        mesh: Mesh,
        report: pathlib.Path | None = None,
    ) -> None:
        """`report` is where clips that cannot be decoded are named. Raises ValueError for settings that cannot work."""
        sharding.check_rows(loader.batch_size, mesh)
        self.clips, self.mesh = clips, mesh
        self.batches = pipeline.eval_batches(
            clips, sample, loader, host=order.Host(jax.process_index(), jax.process_count()), report=report
        )
        tokens = text.token_table(tokenizer, clips.labels, text.load_templates(templates))
        self.tokens = text.cut_padding(tokens)  # [C, P, L]
        options = {"out_shardings": sharding.everywhere(mesh), "compiler_options": compiler.options(compute.dtype)}
        build = functools.partial(action_clip.from_params, model, compute)

        def encode_batch(params: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
            rest = {name: value for name, value in batch.items() if name != "video"}
            return {**rest, "features": encode_views(build(params), batch["video"])}

        # what goes in spread over devices and hosts comes out whole on each of them
        self._encode_batch = jax.jit(encode_batch, **options)
        self._encode_texts = jax.jit(lambda params, tokens: encode_texts(build(params), tokens), **options)

    def __call__(self, params: Mapping[str, jax.Array], progress: Callable[[int], None] = lambda clips: None) -> Scores:
        """Scores the parameters; `progress` is told of clips as they are done."""
        classes = np.asarray(self._encode_texts(params, self.tokens))
        self.batches.restore(self.batches.state() | {"position": 0})
        parts: list[dict[str, np.ndarray]] = []
        for batch in self.batches:
            encoded = self._encode_batch(params, sharding.place_batch(batch, self.mesh))
            parts.append({name: np.asarray(value) for name, value in encoded.items()})
            progress(int(parts[-1]["mask"].sum()))
        return self.score(classes, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def score(self, classes: np.ndarray, found: Mapping[str, np.ndarray]) -> Scores:
        """Class features [C, P, E] and what was found of all clips -> their scores, without filling and bad clips."""
        scored = found["mask"]
        features, targets = found["features"][scored], found["label"][scored]
        count, views = features.shape[:2]
        by_view = metrics.class_probabilities(features.reshape(count * views, -1), classes)
        probabilities = by_view.reshape(count, views, -1).mean(axis=1)
        values = {}
        if not count:
            values["top1"] = float("nan")
        elif self.clips.multi_label:
            values["mean_average_precision"] = metrics.mean_average_precision(probabilities, targets)
        else:
            values["top1"] = metrics.top_k(probabilities, targets, 1)
            if len(self.clips.labels) > 5:
                values["top5"] = metrics.top_k(probabilities, targets, 5)
        return Scores(
            self.clips.labels, len(self.clips), int(count), values, probabilities, targets, found["clip"][scored]
        )


def encode_views(model: action_clip.ActionClip, videos: jax.Array) -> jax.Array:
    """uint8 [B, V, T, S, S, 3] -> unit-norm [B, V, E], one view after the other."""
    return jax.lax.map(model.encode_video, videos.swapaxes(0, 1)).swapaxes(0, 1)


def encode_texts(model: action_clip.ActionClip, tokens: jax.Array) -> jax.Array:
    """Token ids [C, P, L] -> unit-norm [C, P, E], so many texts at a time that memory stays bounded."""
    flat = tokens.reshape(-1, tokens.shape[-1])
    features = jax.lax.map(lambda one: model.encode_text(one[None])[0], flat, batch_size=min(TEXT_BATCH, len(flat)))
    return features.reshape(*tokens.shape[:2], -1)
