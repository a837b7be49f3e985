"""Transformer blocks shared by all towers: attention, MLP, norm, and running a stack of them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from actionclip_jax import config, sharding, xla

ACTIVATIONS = {
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "relu": jax.nn.relu,
}


def keep(*names: str) -> Callable[..., bool]:
    """The policy that keeps what has these names, and what cuDNN's attention needs for its backward pass."""
    return jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.save_only_these_names(*names),
        lambda primitive, *_, **__: primitive.name.startswith("dot_product_attention_fwd"),
    )


# What the backward pass keeps of a block; the rest is computed again. Memory falls and time grows down the list.
REMAT_POLICIES = {
    "products": keep("qkv", "attended", "out", "mlp"),
    "projections": keep("qkv", "attended", "mlp"),
    "attention": keep("attended"),
    "full": jax.checkpoint_policies.nothing_saveable,
}


@dataclasses.dataclass(frozen=True)
class TransformerSpec:
    """Shape and flavour of one stack of blocks."""

    width: int
    depth: int
    heads: int
    activation: str
    norm_eps: float
    compute: config.ComputeConfig
    mlp_width: int | None = None  # 4 x width unless given
    causal: bool = False
    drop_path: float = 0.0
    dropout: float = 0.0
    plain_init: bool = False  # of a new temporal head: N(0, 0.02), Xavier for qkv; else CLIP's depth-scaled normals

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of activations and matrix products."""
        return jnp.dtype(self.compute.dtype)

    def initializer(self, layer: str) -> nnx.Initializer:
        """Kernel initialiser of `qkv`, `out`, `fc` or `proj` (openai/CLIP model.py; spec of the temporal heads)."""
        if self.plain_init:
            return nnx.initializers.xavier_uniform() if layer == "qkv" else nnx.initializers.normal(0.02)
        residual = self.width**-0.5 * (2 * self.depth) ** -0.5
        deviation = {"qkv": self.width**-0.5, "out": residual, "fc": (2 * self.width) ** -0.5, "proj": residual}
        return nnx.initializers.normal(deviation[layer])


def dot_general(lhs: jax.Array, rhs: jax.Array, *args: Any, **options: Any) -> jax.Array:
    """`jax.lax.dot_general`. XLA has fast bfloat16 products for CPUs (AMX) only where the result is float32."""
    if lhs.dtype == jnp.bfloat16 and xla.platform() == "cpu":
        options["preferred_element_type"] = jnp.float32
    return jax.lax.dot_general(lhs, rhs, *args, **options).astype(lhs.dtype)


class LayerNorm(nnx.LayerNorm):
    """Layer normalisation over the last axis, computed in float32 and returned in the dtype of its input."""

    def __init__(self, width: int, eps: float, *, rngs: nnx.Rngs) -> None:
        # the two-pass variance: E[x^2] - E[x]^2 loses too many digits for parity at 1e-5
        super().__init__(width, epsilon=eps, dtype=jnp.float32, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., D]."""
        return super().__call__(x).astype(x.dtype)


def use_cudnn(q: jax.Array, causal: bool, implementation: str) -> bool:
    """Whether attention over q [B, L, H, K] runs as cuDNN's flash attention.

    `auto` wants an NVIDIA GPU, a 16-bit dtype and enough tokens to pay off: the causal text tower (77) and the
    temporal heads (8 to 32) stay on XLA.
    """
    if implementation != "auto":
        return implementation == "cudnn"
    if xla.platform() != "gpu" or causal or q.dtype.itemsize != 2 or q.shape[1] < 128:
        return False
    return xla.has_flash_attention() and q.shape[-1] % 8 == 0 and q.shape[-1] <= 128


def attend_xla(
    q: jax.Array, k: jax.Array, v: jax.Array, *, causal: bool, dropout_rate: float = 0.0, key: jax.Array | None = None
) -> jax.Array:
    """softmax(q k^T / sqrt(K)) v with a float32 softmax: three [B, L, H, K] -> [B, L, H, K].

    Heads go before tokens so that the products are plain batched matrix products: jax.nn.dot_product_attention leaves
    them strided, which costs 1.6 times as long on a CPU. A key drops probabilities, as PyTorch's encoder does.
    """
    q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
    if key is None or not dropout_rate:
        return attend_heads(q, k, v, causal).swapaxes(1, 2)
    scores = score(q, k, causal)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    attended = multiply("bhlm,bhmk->bhlk", dropout(weights, dropout_rate, key), v)
    return (attended / weights.sum(axis=-1, keepdims=True)).astype(v.dtype).swapaxes(1, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def attend_heads(q: jax.Array, k: jax.Array, v: jax.Array, causal: bool) -> jax.Array:
    """softmax(q k^T) v: three [B, H, L, K] -> [B, H, L, K].

    Its derivative is written by hand so that nothing of size [L, L] is kept for the backward pass, which computes the
    probabilities anew from the sums of the forward pass, as flash attention does (arXiv 2205.14135, appendix B).
    """
    return attend_and_keep(q, k, v, causal)[0]


def attend_and_keep(q: jax.Array, k: jax.Array, v: jax.Array, causal: bool) -> tuple[jax.Array, tuple]:
    """The forward pass, with what the backward pass needs."""
    scores = score(q, k, causal)
    greatest = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - greatest)
    # The sum divides the result [L, K] rather than the probabilities [L, L]: 1.9 times as fast on a CPU. It comes from
    # the product with a column of ones, which a TPU, whose products are 128 wide, has for nothing.
    summed = multiply("bhlm,bhmk->bhlk", weights, jnp.pad(v, [(0, 0)] * 3 + [(0, 1)], constant_values=1))
    totals = summed[..., -1:]
    attended = checkpoint_name((summed[..., :-1] / totals).astype(v.dtype), "attended")
    return attended, (q, k, v, attended, checkpoint_name(greatest + jnp.log(totals), "attended"))


def attend_backward(causal: bool, kept: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of q, k and v [B, H, L, K]."""
    q, k, v, attended, log_totals = kept
    probabilities = jnp.exp(score(q, k, causal) - log_totals)
    shared = (gradient.astype(jnp.float32) * attended).sum(axis=-1, keepdims=True)
    of_scores = probabilities * (multiply("bhlk,bhmk->bhlm", gradient, v) - shared)
    products = (
        multiply("bhlm,bhmk->bhlk", of_scores, k),
        multiply("bhlm,bhlk->bhmk", of_scores, q),
        multiply("bhlm,bhlk->bhmk", probabilities, gradient),
    )
    return tuple(product.astype(q.dtype) for product in products)


attend_heads.defvjp(attend_and_keep, attend_backward)


def score(q: jax.Array, k: jax.Array, causal: bool) -> jax.Array:
    """q k^T: two [B, H, L, K] -> float32 [B, H, L, L], -inf for what comes later where causal."""
    scores = multiply("bhlk,bhmk->bhlm", q, k)
    return jnp.where(jnp.tri(q.shape[2], dtype=bool), scores, -jnp.inf) if causal else scores


def multiply(axes: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """A product in the dtype of `b`, summed in float32 and returned as that."""
    # stated here, as the backward pass is traced outside the model's own precision
    precision = "highest" if b.dtype == jnp.float32 else None
    return jnp.einsum(axes, a.astype(b.dtype), b, precision=precision, preferred_element_type=jnp.float32)


def attend_cudnn(q: jax.Array, k: jax.Array, v: jax.Array, *, causal: bool) -> jax.Array:
    """The same by cuDNN's flash attention. It refuses odd lengths in training, so they are padded, with lengths given:
    a mask would cost a full [B, H, L, L] bias."""
    length, padding = q.shape[1], -q.shape[1] % 8
    q, k, v = (jnp.pad(x, ((0, 0), (0, padding), (0, 0), (0, 0))) for x in (q, k, v))
    lengths = jnp.full(q.shape[0], length, jnp.int32)
    attended = jax.nn.dot_product_attention(
        q, k, v, is_causal=causal, query_seq_lengths=lengths, key_value_seq_lengths=lengths, implementation="cudnn"
    )
    return attended[:, :length]


class Attention(nnx.Module):
    """Multi-head self-attention. The kernel is [D, 3, H, K] rather than [D, 3D] so that heads can be sharded."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs) -> None:
        heads = (spec.heads, spec.width // spec.heads)
        linear = functools.partial(nnx.LinearGeneral, dot_general=dot_general, dtype=spec.dtype, rngs=rngs)
        self.causal, self.dropout, self.implementation = spec.causal, spec.dropout, spec.compute.attention
        self.qkv = linear(spec.width, (3, *heads), kernel_init=spec.initializer("qkv"))
        self.out = linear(heads, spec.width, axis=(-2, -1), kernel_init=spec.initializer("out"))

    def project(self, x: jax.Array) -> list[jax.Array]:
        """[B, L, D] -> queries, keys and values [B, L, H, K].

        By a product each: the gradients of a single product for all would have to be copied into one array first.
        """
        kernel, bias = (param[...].astype(x.dtype) for param in (self.qkv.kernel, self.qkv.bias))
        contracted = (((2,), (0,)), ((), ()))
        return [
            checkpoint_name(dot_general(x, kernel[:, part], contracted) + bias[part], "qkv")
            for part in range(kernel.shape[1])
        ]

    @jax.named_scope("attn")
    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """[B, L, D] -> [B, L, D]; a key turns on dropout of the attention probabilities."""
        q, k, v = self.project(x)
        drops = key is not None and self.dropout > 0  # which cuDNN's has not
        if not drops and use_cudnn(q, self.causal, self.implementation):
            attended = attend_cudnn(q, k, v, causal=self.causal)
        else:
            attended = attend_xla(q, k, v, causal=self.causal, dropout_rate=self.dropout, key=key)
        return checkpoint_name(self.out(attended), "out")


class Mlp(nnx.Module):
    """Two linear layers with an activation between."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs) -> None:
        hidden = spec.mlp_width or 4 * spec.width
        linear = functools.partial(nnx.Linear, dot_general=dot_general, dtype=spec.dtype, rngs=rngs)
        self.activation = spec.activation
        self.fc = linear(spec.width, hidden, kernel_init=spec.initializer("fc"))
        self.proj = linear(hidden, spec.width, kernel_init=spec.initializer("proj"))

    @jax.named_scope("mlp")
    def __call__(self, x: jax.Array, dropout_rate: float = 0.0, key: jax.Array | None = None) -> jax.Array:
        """[..., D] -> [..., D]; a key turns on dropout between the layers."""
        hidden = ACTIVATIONS[self.activation](checkpoint_name(self.fc(x), "mlp"))
        return self.proj(dropout(hidden, dropout_rate, key))


class Block(nnx.Module):
    """A pre-norm transformer block with stochastic depth."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs) -> None:
        self.ln_1 = LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.attn = Attention(spec, rngs=rngs)
        self.ln_2 = LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.mlp = Mlp(spec, rngs=rngs)

    @jax.named_scope("block")
    def __call__(self, x: jax.Array, drop_path_rate: jax.Array, key: jax.Array | None) -> jax.Array:
        """[B, L, D] -> [B, L, D]; no key, nothing is dropped."""
        keys = (None, None) if key is None else jax.random.split(key)
        x = x + drop_path(self.attn(self.ln_1(x)), drop_path_rate, keys[0])
        return x + drop_path(self.mlp(self.ln_2(x)), drop_path_rate, keys[1])


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Zeroes elements with probability `rate` and scales up the rest; unchanged without a key."""
    if key is None or not rate:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0).astype(x.dtype)


def drop_path(x: jax.Array, rate: jax.Array, key: jax.Array | None) -> jax.Array:
    """Stochastic depth (arXiv 1603.09382): zeroes the whole residual branch of a sample of x [B, ...]."""
    if key is None:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(kept, x / (1 - rate), 0).astype(x.dtype)


def stack_blocks(make: Callable[[nnx.Rngs], nnx.Module], depth: int, rngs: nnx.Rngs) -> nnx.Module:
    """One module whose parameters carry a leading layer axis of size `depth`."""
    return jax.vmap(make)(rngs.split(depth))


def run_blocks(
    blocks: nnx.Module,
    x: jax.Array,
    spec: TransformerSpec,
    *,
    key: jax.Array | None = None,
    before: Callable[[jax.Array], jax.Array] = lambda x: x,
) -> jax.Array:
    """Runs stacked blocks one after the other: [B, L, D] -> [B, L, D]; `before` changes the input of each."""
    x = sharding.spread_rows(x)

    def step(x: jax.Array, layer: tuple) -> tuple[jax.Array, None]:
        block, rate, key = layer
        return sharding.spread_rows(block(before(x), rate, key)), None

    scanned = spec.compute.layers == "scan" or (spec.compute.layers == "auto" and xla.platform() == "cpu")
    if spec.compute.remat != "none":
        step = jax.checkpoint(step, policy=REMAT_POLICIES[spec.compute.remat], prevent_cse=not scanned)
    keys = None if key is None else jax.random.split(key, spec.depth)
    layers = (blocks, jnp.linspace(0.0, spec.drop_path, spec.depth), keys)
    if scanned:
        return jax.lax.scan(step, x, layers)[0]
    leaves, structure = jax.tree.flatten(layers)
    # split rather than indexed: the gradient of a split is one concatenation, that of indexing a sum of padded stacks
    for layer in zip(*(jnp.split(leaf, spec.depth) for leaf in leaves), strict=True):
        x, _ = step(x, structure.unflatten(leaf[0] for leaf in layer))
    return x
