"""Floating-point operations: those of the model, counted by hand, and those a traced function executes.

A multiplication and an addition are two. Norms, softmax and activations (below 1%) are left out. `benchmarks/flops.py`
compares the counts with XLA's.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from actionclip_jax import config, entry_points
from actionclip_jax.models import own_heads


def blocks(tokens: int, width: int, depth: int, mlp_width: int = 0) -> int:
    """Transformer blocks over one sequence: 4 D^2 + 2 D M products a token, and every token with every other, twice.

    M is the MLP's width (0: four times D).
    """
    weights = 4 * width**2 + 2 * width * (mlp_width or 4 * width)
    return depth * (2 * tokens * weights + 2 * 2 * tokens**2 * width)


def blocks_to_one(tokens: int, width: int, depth: int, mlp_width: int = 0) -> int:
    """The same where one token is read: the last block has keys and values of all, and everything else of this one."""
    return blocks(tokens, width, depth - 1, mlp_width) + look(tokens, width, mlp_width)


def look(tokens: int, width: int, mlp_width: int = 0) -> int:
    """One token that sees so many: their keys and values, its query, output and MLP, and its attention."""
    weights = 2 * tokens * width**2 + 2 * width**2 + 2 * width * (mlp_width or 4 * width)
    return 2 * weights + 2 * 2 * tokens * width


def image_tower(model: config.ModelConfig, frames: int = 1, patches: int = 0) -> int:
    """So many frames of a clip, with so many of their patches (0: all): patches, blocks, pooling and projection.

    Shift costs nothing; nor, but for 0.1%, do rotary positions.
    """
    image, patches = model.image, patches or model.image.patches
    embedding = 2 * frames * patches * image.patch**2 * 3 * image.width
    sequences, patches = (1, frames * patches) if model.joint else (frames, patches)
    shape = (patches + image.class_token, image.width, image.depth, image.mlp_width)
    if image.pooling == "attention":
        encoding = blocks(*shape) + look(shape[0], image.width, image.pool_mlp_width)
    else:
        encoding = blocks_to_one(*shape)
    projection = 2 * image.width * model.embed_width if image.projection else 0
    return embedding + sequences * (encoding + projection)


def text_tower(model: config.ModelConfig, tokens: int = 0) -> int:
    """One text of so many tokens (0: the whole context): blocks, and projection of the token that is read.

    A tower that attends to padding always has the whole context.
    """
    text = model.text
    tokens = tokens if tokens and text.causal else text.context
    return blocks_to_one(tokens, text.width, text.depth, text.mlp_width) + 2 * text.width * model.embed_width


def temporal_head(model: config.ModelConfig, frames: int) -> int:
    """One clip through the Transf head, or one of the user's own, which is traced; the others are not counted."""
    if entry_points.is_name(model.temporal.head):
        return own_head(model, frames)
    return blocks(frames, model.embed_width, model.temporal.depth) if model.temporal.head == "Transf" else 0


def own_head(model: config.ModelConfig, frames: int) -> int:
    """One clip through a head of the user's own: its products, as `executed` counts them."""

    def call(features: jax.Array) -> jax.Array:
        head = own_heads.make(model, config.ComputeConfig(), rngs=nnx.Rngs(0))
        return own_heads.join(model.temporal.head, head, features, None)

    features = jax.ShapeDtypeStruct((1, frames, model.embed_width), jnp.float32)
    return executed(jax.make_jaxpr(call)(features).jaxpr)


def encode_video(model: config.ModelConfig, frames: int) -> int:
    """One clip from pixels to its feature."""
    return image_tower(model, frames) + temporal_head(model, frames)


def train_clip(
    model: config.ModelConfig, objective: config.ObjectiveConfig, frames: int, texts: float, tokens: int
) -> float:
    """A training step, for each of its clips: forward, and twice that backward through what is trained.

    `texts` are encoded for each clip, of so many tokens. What is computed again to save memory does not count.
    """
    image = image_tower(model, frames, model.kept_patches) * (3 if objective.image == "trained" else 1)
    text = texts * text_tower(model, tokens) * (3 if objective.text == "trained" else 0)
    return image + 3 * temporal_head(model, frames) + text


def executed(jaxpr: Any) -> int:
    """All products of a traced function on all devices, those that are computed again for the backward pass included.

    Of a branch the larger side counts, of a loop without a known end one turn.
    """
    total = 0
    for equation in jaxpr.eqns:
        parts = [executed(part) for part in inner_jaxprs(equation)]
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            sizes = [equation.invars[0].aval.shape[axis] for axis in contracted]
            total += 2 * math.prod(sizes) * math.prod(equation.outvars[0].aval.shape)
        elif name == "conv_general_dilated":  # each output sums over a kernel, whose inputs are those of its group
            kernel, outputs = equation.invars[1].aval.shape, parameters["dimension_numbers"].rhs_spec[0]
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) // kernel[outputs]
        elif name.startswith("dot_product_attention"):  # cuDNN's: two products forward, five backward
            batch, length, heads, width = equation.invars[0].aval.shape
            total += (5 if "bwd" in name else 2) * 2 * batch * heads * width * length**2
        elif name == "scan":
            total += parameters["length"] * sum(parts)
        elif name == "cond":
            total += max(parts)
        elif name == "shard_map":  # shapes inside are those of one place on the axes it divides, which JAX has renamed
            axes = parameters.get("newly_manual_axes") or parameters["manual_axes"]
            total += math.prod(parameters["mesh"].shape[axis] for axis in axes) * sum(parts)
        else:
            total += sum(parts)
    return total


def inner_jaxprs(equation: Any) -> Iterator[Any]:
    """The functions that an equation calls."""
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else [value]:
            if hasattr(item, "eqns"):
                yield item
            elif hasattr(item, "jaxpr"):
                yield item.jaxpr
