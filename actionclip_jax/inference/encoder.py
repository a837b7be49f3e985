"""A model's weights on the devices, ready to encode videos and texts."""

import functools
import hashlib
import logging
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from actionclip_jax import checkpoints, config, entry_points, sharding, text, xla
from actionclip_jax.inference import class_scores
from actionclip_jax.models import action_clip

logger = logging.getLogger(__name__)

TEXT_BATCH = 256  # texts encoded at once


class VideoTextEncoder:
    """A model with its tokenizer, whole on every device of a mesh: videos and texts -> features."""

    def __init__(
        self, weights: checkpoints.Weights, compute: config.ComputeConfig, mesh: Mesh, cache: pathlib.Path | None = None
    ) -> None:
        """`cache` is a directory that keeps the features of classes between runs."""
        config.checked_model(weights.model, compute)
        self.config, self.compute, self.mesh = weights.model, compute, mesh
        self.tokenizer, self.provenance = weights.tokenizer, weights.provenance
        self._params: dict[str, jax.Array] | None = sharding.replicate(weights.params, mesh)
        self.cache = text.TextCache(cache)
        self._encode_video = compile_for(action_clip.ActionClip.encode_video, weights.model, compute, mesh)
        self._encode_frames = compile_for(action_clip.ActionClip.encode_frames, weights.model, compute, mesh)
        self._join_frames = compile_for(action_clip.ActionClip.join_frames, weights.model, compute, mesh)
        self._encode_texts = compile_for(encode_texts, weights.model, compute, mesh)

    @property
    def params(self) -> dict[str, jax.Array]:
        """Parameters by path. Raises ValueError once they are given back."""
        if self._params is None:
            raise ValueError("the model was closed: load it again")
        return self._params

    def close(self) -> None:
        """Gives the memory of the parameters back; after it the model computes nothing."""
        self._params = None

    def __repr__(self) -> str:
        model, source = self.config, self.provenance.get("source", "unknown")
        name = f"{type(self).__name__}({config.size_name(model)}, temporal head {model.temporal.head}"
        if self._params is None:
            return f"{name}, closed)"
        count = sum(param.size for param in self.params.values())
        weights = f"weights {self.digests['weights'][:12]} from {source!r}"
        return f"{name}, {model.frames} frames, {count:,} parameters, {weights})"

    def encode_video(self, frames: np.ndarray) -> np.ndarray:
        """uint8 RGB [B, T, S, S, 3] at the model's size S -> float32 [B, E] of unit norm.

        Raises:
            ValueError: another dtype or shape, or more frames than the model has positions for.
        """
        self._check_pixels(frames)
        return np.asarray(self._encode_video(self.params, frames))

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """uint8 RGB [B, T, S, S, 3] -> float32 features of single frames [B, T, E], each its own whatever the others.

        Raises:
            ValueError: another dtype or shape, or a model whose frames mix before they are features.
        """
        self.check_frames_apart()
        self._check_pixels(frames)
        return np.asarray(self._encode_frames(self.params, frames))

    def join_frames(self, features: np.ndarray) -> np.ndarray:
        """Features [B, T, E] of single frames -> float32 [B, E] of unit norm: `encode_video` in two halves."""
        return np.asarray(self._join_frames(self.params, features))

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Plain strings -> float32 [N, E] of unit norm.

        Raises:
            ValueError: a text with more tokens than the text tower takes (CLIP: 77).
        """
        tokens = text.tokenize(self.tokenizer, texts, self.config.text)
        if not len(tokens):
            return np.zeros((0, self.config.embed_width), np.float32)
        return np.asarray(self._encode_texts(self.params, text.cut_padding(tokens, self.config.text)))

    def encode_classes(
        self, labels: Sequence[str], templates: str | os.PathLike[str] | Sequence[str], names: Sequence[str] = ()
    ) -> np.ndarray:
        """Labels in prompt templates -> float32 [C, P, E] of unit norm, from the cache if known.

        `templates` is a name in `text.TEMPLATES`, a file with one a line, or the templates. `names` are the
        labels as they were given, for messages.

        Raises:
            ValueError: labels that are the same text to the model, or templates or prompts that cannot be used.
        """
        text.check_distinct(self.tokenizer, labels, self.config.text, names)
        self._note_other_templates(templates)
        if isinstance(templates, str | os.PathLike):
            filled = text.load_templates(templates)
        else:
            filled = text.checked_templates(templates)
        made_from = {
            "weights": self._text_digest,
            "tokenizer": self._tokenizer_digest,
            "dtype": self.compute.dtype,
            "templates": list(filled),
            "labels": list(labels),
        }
        prompts = text.fill(labels, filled)
        shape = (len(labels), len(filled), self.config.embed_width)
        return self.cache.get(made_from, lambda: self.encode_text(prompts).reshape(shape), shape)

    def check_frames(self, frames: int) -> None:
        """Raises ValueError if clips of this many frames do not fit the model; costs no computation."""
        size = self.config.image.size
        clip = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.uint8)
        jax.eval_shape(self._encode_video, self.params, clip)

    def check_frames_apart(self) -> None:
        """Raises ValueError if the image tower mixes the frames of a clip."""
        if self.config.shift or self.config.joint:
            name = "shift" if self.config.shift else "joint"
            raise ValueError(f"the model's image tower mixes frames ({name}): there are no features of single ones")

    def _check_pixels(self, frames: np.ndarray) -> None:
        size, shape = self.config.image.size, np.shape(frames)
        wrong_shape = len(shape) != 5 or shape[2:] != (size, size, 3) or 0 in shape
        if getattr(frames, "dtype", None) != np.uint8 or wrong_shape:
            given = f"{getattr(frames, 'dtype', type(frames).__name__)} {shape}"
            raise ValueError(f"frames are {given}: expected uint8 (clips, frames, {size}, {size}, 3)")

    def _note_other_templates(self, templates: object) -> None:
        """Says so where the model was trained with a user's own templates, and asked with others."""
        run = self.provenance.get("config")
        trained = run.get("objective", {}).get("templates") if isinstance(run, Mapping) else None
        if entry_points.is_name(trained) and templates != trained:
            logger.warning(f"note: the model was trained with the templates {trained}, and other ones are used here")

    @functools.cached_property
    def scaling(self) -> class_scores.Scaling:
        """What similarities are scaled by, to score classes."""
        return class_scores.scaling_of(self.params)

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of all weights, and of those that encode videos, with what else decides what they compute.

        That is how pixels are made, if not as by CLIP, and the code of a temporal head of the user's own.
        """
        whole, video = checkpoints.digest(self.params), checkpoints.digest(self.params, "image", "temporal")
        digests, beside = {"weights": whole, "video": video}, []
        image, clip = self.config.image, config.ImageConfig()
        if (image.mean, image.std) != (clip.mean, clip.std):
            beside.append(repr((image.mean, image.std)))
        if (image.resize, image.filter) != (clip.resize, clip.filter):
            beside.append(repr((image.resize, image.filter)))
        if entry_points.is_name(head := self.config.temporal.head):
            beside += [head, entry_points.digest(head)]
        for line in beside:
            digests = {name: hashlib.sha256(f"{one}\n{line}".encode()).hexdigest() for name, one in digests.items()}
        return digests

    @functools.cached_property
    def _tokenizer_digest(self) -> str:
        """SHA-256 of the tokenizer, computed once: that of a million tokens takes half a second."""
        return hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()

    @functools.cached_property
    def _text_digest(self) -> str:
        """SHA-256 of all that decides a text's features: the text tower's shape, flavour and parameters."""
        flavour = (self.config.text, self.config.activation, self.config.norm_eps)
        tower = {path.removeprefix("text/"): x for path, x in self.params.items() if path.startswith("text/")}
        return hashlib.sha256(f"{flavour}{checkpoints.digest(tower)}".encode()).hexdigest()


def compile_for(
    encode: Callable[[action_clip.ActionClip, jax.Array], jax.Array],
    model: config.ModelConfig,
    compute: config.ComputeConfig,
    mesh: Mesh,
) -> Callable[[Mapping[str, jax.Array], jax.Array | np.ndarray], jax.Array]:
    """`encode(module, inputs)` as a jitted function of (parameters, inputs), whose result is on every device."""

    def call(params: Mapping[str, jax.Array], inputs: jax.Array) -> jax.Array:
        return encode(action_clip.from_params(model, compute, params), inputs)

    return jax.jit(call, out_shardings=sharding.everywhere(mesh), compiler_options=xla.options(compute.dtype))


def encode_texts(module: action_clip.ActionClip, tokens: jax.Array) -> jax.Array:
    """Token ids [..., L] -> unit-norm [..., E], so many texts at a time that memory stays bounded."""
    flat = tokens.reshape(-1, tokens.shape[-1])
    encoded = jax.lax.map(lambda one: module.encode_text(one[None])[0], flat, batch_size=min(TEXT_BATCH, len(flat)))
    return encoded.reshape(*tokens.shape[:-1], -1)
