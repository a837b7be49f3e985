"""CLIP's image and text towers (openai/CLIP), with ActionCLIP's two prompts inside the image tower."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from actionclip_jax import config
from actionclip_jax.models import blocks, layers, norm


def normalize(frames: jax.Array, image: config.ImageConfig) -> jax.Array:
    """RGB [..., 3] of 0..255 -> float32 with the model's mean and deviation taken out."""
    return (frames.astype(jnp.float32) / 255 - jnp.array(image.mean)) / jnp.array(image.std)


def patchify(images: jax.Array, patch: int) -> jax.Array:
    """[N, S, S, 3] -> [N, patches, patch * patch * 3]: the patch convolution as a matrix product."""
    count, size = images.shape[0], images.shape[1] // patch
    images = images.reshape(count, size, patch, size, patch, 3).swapaxes(2, 3)
    return images.reshape(count, size * size, patch * patch * 3)


def shift_over_time(x: jax.Array, frames: int) -> jax.Array:
    """Temporal shift of patch tokens: [B*T, 1+N, D] -> the same; the class token stays.

    The first eighth of the channels takes the next frame, the second eighth the previous one, zero at the ends.
    """
    fold = x.shape[-1] // 8
    patches = x[:, 1:].reshape(-1, frames, *x[:, 1:].shape[1:])
    after = jnp.pad(patches[:, 1:, ..., :fold], ((0, 0), (0, 1), (0, 0), (0, 0)))
    before = jnp.pad(patches[:, :-1, ..., fold : 2 * fold], ((0, 0), (1, 0), (0, 0), (0, 0)))
    shifted = jnp.concatenate([after, before, patches[..., 2 * fold :]], axis=-1)
    return jnp.concatenate([x[:, :1], shifted.reshape(x[:, 1:].shape)], axis=1)


def draw_patches(key: jax.Array, batch: int, patches: int, kept: int) -> jax.Array:
    """Which patches of each clip's frames are kept: int32 [B, K], ascending and without repeats.

    They are the same in all frames of a clip, so that what is shifted over time or joined stays in its place.
    """
    order = jax.random.uniform(key, (batch, patches)).argsort(axis=1)
    return jnp.sort(order[:, :kept], axis=1)


def frame_positions(table: jax.Array, frames: int, interpolate: bool) -> jax.Array:
    """The positions of `frames` frames from a learned table [P, D] -> [T, D]."""
    rows = table.shape[0]
    if frames <= rows:
        return table[:frames]
    if not interpolate:
        raise ValueError(
            f"{frames} frames were given, but the model has learned positions for {rows}: give at most {rows} frames, "
            "or ask for interpolate_positions (--interpolate-positions on the command line)"
        )
    return jax.image.resize(table, (frames, table.shape[1]), "linear")


class ImageTower(nnx.Module):
    """Vision transformer over frames. With joint attention it gives one feature a clip instead of one a frame."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        image, normal = model.image, nnx.initializers.normal(model.image.width**-0.5)
        self.model, self.interpolate = model, compute.interpolate_positions
        self.spec = layers.TransformerSpec(
            image.width, image.depth, image.heads, model.activation, model.norm_eps, compute, drop_path=model.drop_path
        )
        linear = functools.partial(
            nnx.Linear,
            dot_general=layers.dot_general,
            use_bias=False,
            kernel_init=normal,
            dtype=self.spec.dtype,
            rngs=rngs,
        )
        self.patch = linear(image.patch**2 * 3, image.width)
        self.class_embedding = nnx.Param(normal(rngs.params(), (image.width,)))
        self.position = nnx.Param(normal(rngs.params(), (image.tokens, image.width)))
        if model.joint:
            self.time = nnx.Param(normal(rngs.params(), (model.frames, image.width)))
        self.ln_pre = norm.LayerNorm(image.width, model.norm_eps, rngs=rngs)
        self.blocks = blocks.stack_blocks(lambda r: blocks.Block(self.spec, rngs=r), image.depth, rngs)
        self.ln_post = norm.LayerNorm(image.width, model.norm_eps, rngs=rngs)
        self.projection = linear(image.width, model.embed_width)

    @jax.named_scope("image")
    def __call__(self, frames: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Normalised frames [B, T, S, S, 3] -> [B, T, E] ([B, 1, E] with joint attention); a key turns on dropping."""
        batch, count, *shape = frames.shape
        size = self.model.image.size
        if shape != [size, size, 3]:
            raise ValueError(f"frames have shape {shape}: the model takes [{size}, {size}, 3]")
        patch_key, embed_key, blocks_key = (None,) * 3 if key is None else jax.random.split(key, 3)
        x = self.embed(frames.reshape(-1, *shape), count, patch_key if self.model.patch_dropout else None)
        x = self.ln_pre(layers.dropout(x, self.model.embedding_dropout, embed_key))
        x = blocks.run_blocks(
            self.blocks,
            x,
            self.spec,
            key=blocks_key if self.spec.drop_path else None,
            before=functools.partial(shift_over_time, frames=count) if self.model.shift else lambda x: x,
            read=0,
        )
        return self.projection(self.ln_post(x)).reshape(batch, -1, self.model.embed_width)

    def embed(self, images: jax.Array, count: int, key: jax.Array | None = None) -> jax.Array:
        """[B*T, S, S, 3] -> tokens [B*T, 1+N, D], or [B, 1+T*N, D] with joint attention over `count` frames.

        A key leaves patches out: N then is `model.kept_patches`.
        """
        dtype, width = self.spec.dtype, self.spec.width
        patches, positions = patchify(images.astype(dtype), self.model.image.patch), self.position[1:].astype(dtype)
        if key is not None:
            kept = draw_patches(key, images.shape[0] // count, patches.shape[1], self.model.kept_patches)
            kept = jnp.repeat(kept, count, axis=0)
            patches, positions = jnp.take_along_axis(patches, kept[..., None], axis=1), positions[kept]
        x = self.patch(patches) + positions
        if self.model.joint:
            times = frame_positions(self.time[...], count, self.interpolate).astype(dtype)
            x = (x.reshape(-1, count, *x.shape[1:]) + times[:, None]).reshape(-1, count * x.shape[1], width)
        first = jnp.broadcast_to((self.class_embedding + self.position[0]).astype(dtype), (x.shape[0], 1, width))
        return jnp.concatenate([first, x], axis=1)


class TextTower(nnx.Module):
    """Causal transformer over byte-pair tokens; the feature is read at the end-of-text token."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        text, normal = model.text, nnx.initializers.normal
        self.context, self.embedding_dropout = text.context, model.embedding_dropout
        self.spec = layers.TransformerSpec(
            text.width,
            text.depth,
            text.heads,
            model.activation,
            model.norm_eps,
            compute,
            causal=True,
            drop_path=model.drop_path,
        )
        dtype = self.spec.dtype
        self.token = nnx.Embed(text.vocabulary, text.width, embedding_init=normal(0.02), dtype=dtype, rngs=rngs)
        self.position = nnx.Param(normal(0.01)(rngs.params(), (text.context, text.width)))
        self.blocks = blocks.stack_blocks(lambda r: blocks.Block(self.spec, rngs=r), text.depth, rngs)
        self.ln_final = norm.LayerNorm(text.width, model.norm_eps, rngs=rngs)
        self.projection = nnx.Linear(
            text.width, model.embed_width, use_bias=False, kernel_init=normal(text.width**-0.5), dtype=dtype, rngs=rngs
        )

    @jax.named_scope("text")
    def __call__(self, tokens: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Token ids [N, L] -> [N, E]. Padding after the end token may be cut off: attention is causal."""
        length = tokens.shape[1]
        if length > self.context:
            raise ValueError(f"texts have {length} tokens: the text tower takes at most {self.context}")
        embed_key, blocks_key = (None, None) if key is None else jax.random.split(key)
        words = self.token.embedding[...][tokens]  # looked up before it is converted: the table is large
        x = words.astype(self.spec.dtype) + self.position[:length].astype(self.spec.dtype)
        x = layers.dropout(x, self.embedding_dropout, embed_key)
        end = tokens.argmax(axis=1)  # the end-of-text token has the largest id
        x = blocks.run_blocks(self.blocks, x, self.spec, key=blocks_key if self.spec.drop_path else None, read=end)
        return self.projection(self.ln_final(x))
