"""The image and text towers of CLIP and its successors, with ActionCLIP's two prompts inside the image tower."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx

from actionclip_jax import config
from actionclip_jax.models import attention_pool, blocks, layers, norm, rotary


def normalize(frames: jax.Array, image: config.ImageConfig) -> jax.Array:
    """RGB [..., 3] of 0..255 -> float32 with the model's mean and deviation taken out."""
    return (frames.astype(jnp.float32) / 255 - jnp.array(image.mean)) / jnp.array(image.std)


def patchify(images: jax.Array, patch: int) -> jax.Array:
    """[N, S, S, 3] -> [N, patches, patch * patch * 3]: the patch convolution as a matrix product.

    As a convolution does, it leaves out pixels at the right and lower edge that fill no patch.
    """
    count, size = images.shape[0], images.shape[1] // patch
    images = images[:, : size * patch, : size * patch]
    images = images.reshape(count, size, patch, size, patch, 3).swapaxes(2, 3)
    return images.reshape(count, size * size, patch * patch * 3)


def shift_over_time(x: jax.Array, frames: int, class_token: bool) -> jax.Array:
    """Temporal shift of patch tokens: [B*T, 1+N, D] (or N without a class token) -> the same; the class token stays.

    The first eighth of the channels takes the next frame, the second eighth the previous one, zero at the ends.
    """
    fold, first = x.shape[-1] // 8, int(class_token)
    patches = x[:, first:].reshape(-1, frames, *x[:, first:].shape[1:])
    after = jnp.pad(patches[:, 1:, ..., :fold], ((0, 0), (0, 1), (0, 0), (0, 0)))
    before = jnp.pad(patches[:, :-1, ..., fold : 2 * fold], ((0, 0), (1, 0), (0, 0), (0, 0)))
    shifted = jnp.concatenate([after, before, patches[..., 2 * fold :]], axis=-1)
    return jnp.concatenate([x[:, :first], shifted.reshape(x[:, first:].shape)], axis=1)


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
            image.width,
            image.depth,
            image.heads,
            model.activation,
            model.norm_eps,
            compute,
            mlp_width=image.mlp_width,
            drop_path=model.drop_path,
        )
        linear = functools.partial(
            nnx.Linear, dot_general=layers.dot_general, kernel_init=normal, dtype=self.spec.dtype, rngs=rngs
        )
        self.patch = linear(image.patch**2 * 3, image.width, use_bias=image.patch_bias)
        if image.class_token:
            self.class_embedding = nnx.Param(normal(rngs.params(), (image.width,)))
        self.position = nnx.Param(normal(rngs.params(), (image.tokens, image.width)))
        if model.joint:
            self.time = nnx.Param(normal(rngs.params(), (model.frames, image.width)))
        if image.pre_norm:
            self.ln_pre = norm.LayerNorm(image.width, model.norm_eps, rngs=rngs)
        self.blocks = blocks.stack_blocks(lambda r: blocks.Block(self.spec, rngs=r), image.depth, rngs)
        self.ln_post = norm.LayerNorm(image.width, model.norm_eps, rngs=rngs)
        if image.pooling == "attention":
            pool = dataclasses.replace(self.spec, heads=image.pool_heads, mlp_width=image.pool_mlp_width)
            self.pool = attention_pool.AttentionPool(pool, rngs=rngs)
        if image.projection:
            self.projection = linear(image.width, model.embed_width, use_bias=False)

    @jax.named_scope("image")
    def __call__(self, frames: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Normalised frames [B, T, S, S, 3] -> [B, T, E] ([B, 1, E] with joint attention); a key turns on dropping."""
        batch, count, *shape = frames.shape
        image = self.model.image
        if shape != [image.size, image.size, 3]:
            raise ValueError(f"frames have shape {shape}: the model takes [{image.size}, {image.size}, 3]")
        patch_key, embed_key, blocks_key = (None,) * 3 if key is None else jax.random.split(key, 3)
        kept = None
        if patch_key is not None and self.model.patch_dropout:
            kept = draw_patches(patch_key, batch, image.patches, self.model.kept_patches)
        x = self.embed(frames.reshape(-1, *shape), count, kept)
        x = layers.dropout(x, self.model.embedding_dropout, embed_key)
        shift = functools.partial(shift_over_time, frames=count, class_token=image.class_token)
        x = blocks.run_blocks(
            self.blocks,
            self.ln_pre(x) if image.pre_norm else x,
            self.spec,
            key=blocks_key if self.spec.drop_path else None,
            before=shift if self.model.shift else lambda x: x,
            read=0 if image.pooling == "class_token" else None,
            turns=self.turns(count, kept) if image.rotary else None,
        )
        x = self.ln_post(x)
        if image.pooling == "attention":
            x = self.pool(x)
        return (self.projection(x) if image.projection else x).reshape(batch, -1, self.model.embed_width)

    def embed(self, images: jax.Array, count: int, kept: jax.Array | None = None) -> jax.Array:
        """[B*T, S, S, 3] -> tokens [B*T, 1+N, D], or [B, 1+T*N, D] with joint attention over `count` frames.

        There is one less without a class token. Of the patches all are taken, or those `kept`, int32 [B, N].
        """
        dtype, width, image = self.spec.dtype, self.spec.width, self.model.image
        patches = patchify(images.astype(dtype), image.patch)
        positions = self.position[int(image.class_token) :].astype(dtype)
        if kept is not None:
            kept = jnp.repeat(kept, count, axis=0)
            patches, positions = jnp.take_along_axis(patches, kept[..., None], axis=1), positions[kept]
        x = self.patch(patches) + positions
        if self.model.joint:
            times = frame_positions(self.time[...], count, self.interpolate).astype(dtype)
            x = (x.reshape(-1, count, *x.shape[1:]) + times[:, None]).reshape(-1, count * x.shape[1], width)
        if not image.class_token:
            return x
        first = jnp.broadcast_to((self.class_embedding + self.position[0]).astype(dtype), (x.shape[0], 1, width))
        return jnp.concatenate([first, x], axis=1)

    def turns(self, count: int, kept: jax.Array | None) -> jax.Array:
        """How far the tokens that `embed` gives turn, [2, L, K / 2] or, of those kept, [2, rows, L, K / 2]."""
        turns = rotary.patch_turns(self.model.image)
        if kept is not None:
            turns = turns[:, kept if self.model.joint else jnp.repeat(kept, count, axis=0)]
        if self.model.joint:
            turns = jnp.concatenate([turns] * count, axis=-2)  # the same in every frame
        return rotary.add_class_token(turns) if self.model.image.class_token else turns


class TextTower(nnx.Module):
    """Transformer over a text's tokens; the feature is read at one of them."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        text, normal = model.text, nnx.initializers.normal
        self.text, self.embedding_dropout = text, model.embedding_dropout
        self.spec = layers.TransformerSpec(
            text.width,
            text.depth,
            text.heads,
            model.activation if text.activation == "same" else text.activation,
            model.norm_eps,
            compute,
            mlp_width=text.mlp_width,
            causal=text.causal,
            drop_path=model.drop_path,
        )
        dtype = self.spec.dtype
        self.token = nnx.Embed(text.vocabulary, text.width, embedding_init=normal(0.02), dtype=dtype, rngs=rngs)
        self.position = nnx.Param(normal(0.01)(rngs.params(), (text.context, text.width)))
        self.blocks = blocks.stack_blocks(lambda r: blocks.Block(self.spec, rngs=r), text.depth, rngs)
        self.ln_final = norm.LayerNorm(text.width, model.norm_eps, rngs=rngs)
        self.projection = nnx.Linear(
            text.width,
            model.embed_width,
            use_bias=text.projection_bias,
            kernel_init=normal(text.width**-0.5),
            dtype=dtype,
            rngs=rngs,
        )

    @jax.named_scope("text")
    def __call__(self, tokens: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Token ids [N, L] -> [N, E]. Padding may be cut off where attention is causal, and nowhere else."""
        length, text = tokens.shape[1], self.text
        if length > text.context or (length < text.context and not text.causal):
            takes = f"at most {text.context}" if text.causal else f"{text.context}, with the padding, which it reads"
            raise ValueError(f"texts have {length} tokens: the text tower takes {takes}")
        embed_key, blocks_key = (None, None) if key is None else jax.random.split(key)
        words = self.token.embedding[...][tokens]  # looked up before it is converted: the table is large
        x = words.astype(self.spec.dtype) + self.position[:length].astype(self.spec.dtype)
        x = layers.dropout(x, self.embedding_dropout, embed_key)
        blocks_key = blocks_key if self.spec.drop_path else None
        x = blocks.run_blocks(self.blocks, x, self.spec, key=blocks_key, read=self.place(tokens))
        return self.projection(self.ln_final(x))

    def place(self, tokens: jax.Array) -> int | jax.Array:
        """Which of the tokens [N, L] the feature is read at: one for all texts, or int32 [N]."""
        pooling = self.text.pooling
        if pooling == "largest":
            return tokens.argmax(axis=1)
        if pooling == "end":
            return (tokens == self.text.end).argmax(axis=1)
        return 0 if pooling == "first" else tokens.shape[1] - 1
