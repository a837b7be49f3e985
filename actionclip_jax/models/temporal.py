"""Temporal heads ("post-network visual prompts"): frame features [B, T, E] -> a clip feature [B, E]."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from actionclip_jax import config
from actionclip_jax.models import attention, blocks, clip, layers, norm, own_heads


class MeanP(nnx.Module):
    """Mean over frames; no parameters."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        pass

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """[B, T, E] -> [B, E]."""
        return x.mean(axis=1)


class Conv1D(nnx.Module):
    """Depthwise convolution over three frames that starts as a temporal shift, a residual, and the mean over frames."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        width = model.embed_width
        tap = jnp.where(jnp.arange(width) < width // 4, 0, jnp.where(jnp.arange(width) < width - width // 4, 1, 2))
        self.legacy = model.temporal.legacy_layout
        self.kernel = nnx.Param(jax.nn.one_hot(tap, 3, axis=0))  # [3, E]: previous, same and next frame

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """[B, T, E] -> [B, E]."""
        # the source views [B, T, E] as [B, E, T] without transposing: neighbours in memory pass for neighbours in time
        series = x.reshape(x.shape[0], x.shape[2], x.shape[1]).swapaxes(1, 2) if self.legacy else x
        padded = jnp.pad(series, ((0, 0), (1, 1), (0, 0)))
        length = series.shape[1]
        mixed = sum(padded[:, tap : tap + length] * self.kernel[tap] for tap in range(3))
        return (x + mixed).mean(axis=1)


class Lstm(nnx.Module):
    """One LSTM layer, a residual, and the mean over frames. Gates i, f, g, o and two biases, as PyTorch has them."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        width = model.embed_width
        uniform = functools.partial(jax.random.uniform, minval=-(width**-0.5), maxval=width**-0.5)
        self.input_kernel = nnx.Param(uniform(rngs.params(), (width, 4 * width)))
        self.input_bias = nnx.Param(uniform(rngs.params(), (4 * width,)))
        self.hidden_kernel = nnx.Param(uniform(rngs.params(), (width, 4 * width)))
        self.hidden_bias = nnx.Param(uniform(rngs.params(), (4 * width,)))

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """[B, T, E] -> [B, E]."""

        def step(carry: tuple[jax.Array, jax.Array], gates: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            hidden, cell = carry
            gates = gates + hidden @ self.hidden_kernel + self.hidden_bias
            i, f, g, o = jnp.split(gates, 4, axis=-1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        zeros = jnp.zeros_like(x[:, 0])
        gates = x @ self.input_kernel + self.input_bias
        hidden = jax.lax.scan(step, (zeros, zeros), gates.swapaxes(0, 1))[1].swapaxes(0, 1)
        return (x + hidden).mean(axis=1)


class Transf(nnx.Module):
    """The paper's temporal transformer: positions, six pre-norm blocks, a residual, and the mean over frames."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        temporal, width = model.temporal, model.embed_width
        self.spec = layers.TransformerSpec(
            width, temporal.depth, temporal.heads, "quick_gelu", temporal.norm_eps, compute, plain_init=True
        )
        self.position = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (temporal.positions, width)))
        self.blocks = blocks.stack_blocks(lambda r: blocks.Block(self.spec, rngs=r), temporal.depth, rngs)

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """[B, T, E] -> [B, E]."""
        positions = clip.frame_positions(self.position[...], x.shape[1], self.spec.compute.interpolate_positions)
        mixed = blocks.run_blocks(self.blocks, (x + positions).astype(self.spec.dtype), self.spec)
        return (x + mixed.astype(x.dtype)).mean(axis=1)


class PostNormBlock(nnx.Module):
    """PyTorch's TransformerEncoderLayer: norms after the residuals, ReLU, dropout everywhere."""

    def __init__(self, spec: layers.TransformerSpec, *, rngs: nnx.Rngs) -> None:
        self.dropout = spec.dropout
        self.attn = attention.Attention(spec, rngs=rngs)
        self.ln_1 = norm.LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.mlp = layers.Mlp(spec, rngs=rngs)
        self.ln_2 = norm.LayerNorm(spec.width, spec.norm_eps, rngs=rngs)

    @jax.named_scope("block")
    def __call__(
        self, x: jax.Array, drop_path_rate: jax.Array, key: jax.Array | None, *, length: int | None = None
    ) -> jax.Array:
        """[B, L, D] -> [B, L, D]; no key, nothing is dropped. `drop_path_rate` is 0 in this head.

        Tokens from `length` on are padding.
        """
        keys = [None] * 4 if key is None else list(jax.random.split(key, 4))
        x = self.ln_1(x + layers.dropout(self.attn(x, keys[0], length=length), self.dropout, keys[1]))
        return self.ln_2(x + layers.dropout(self.mlp(x, self.dropout, keys[2]), self.dropout, keys[3]))


class TransfCls(nnx.Module):
    """PyTorch's post-norm TransformerEncoder with a class token, whose output is the clip feature."""

    def __init__(self, model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> None:
        temporal, width = model.temporal, model.embed_width
        self.spec = layers.TransformerSpec(
            width,
            temporal.depth,
            temporal.heads,
            "relu",
            1e-5,  # PyTorch's default; the source changes it only in Transf
            compute,
            mlp_width=2048,
            dropout=0.1,
            plain_init=True,
        )
        normal = nnx.initializers.normal(0.02)
        self.class_token = nnx.Param(normal(rngs.params(), (width,)))
        self.position = nnx.Param(normal(rngs.params(), (1 + temporal.positions, width)))
        self.blocks = blocks.stack_blocks(lambda r: PostNormBlock(self.spec, rngs=r), temporal.depth, rngs)
        self.ln_final = norm.LayerNorm(width, 1e-5, rngs=rngs)

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """[B, T, E] -> [B, E]; a key turns on dropout."""
        positions = clip.frame_positions(self.position[1:], x.shape[1], self.spec.compute.interpolate_positions)
        first = jnp.broadcast_to(self.class_token + self.position[0], (x.shape[0], 1, x.shape[2]))
        x = jnp.concatenate([first, x + positions], axis=1).astype(self.spec.dtype)
        return self.ln_final(blocks.run_blocks(self.blocks, x, self.spec, key=key))[:, 0].astype(jnp.float32)


HEADS = {"meanP": MeanP, "Conv_1D": Conv1D, "LSTM": Lstm, "Transf": Transf, "Transf_cls": TransfCls}


def make(model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> nnx.Module:
    """The head that the model names: one of HEADS, or code of the user's own. Raises ValueError for unusable code."""
    return HEADS.get(model.temporal.head, own_heads.make)(model, compute, rngs=rngs)
