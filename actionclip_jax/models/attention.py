"""Multi-head self-attention: by XLA with a derivative of its own, or by cuDNN."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from actionclip_jax import xla
from actionclip_jax.models import layers


class Attention(nnx.Module):
    """Multi-head self-attention. The kernel is [D, 3, H, K] rather than [D, 3D] so that heads can be sharded."""

    def __init__(self, spec: layers.TransformerSpec, *, rngs: nnx.Rngs) -> None:
        heads = (spec.heads, spec.width // spec.heads)
        linear = functools.partial(nnx.LinearGeneral, dot_general=layers.dot_general, dtype=spec.dtype, rngs=rngs)
        self.causal, self.dropout, self.implementation = spec.causal, spec.dropout, spec.compute.attention
        self.qkv = linear(spec.width, (3, *heads), kernel_init=spec.initializer("qkv"))
        self.out = linear(heads, spec.width, axis=(-2, -1), kernel_init=spec.initializer("out"))

    @jax.named_scope("attn")
    def __call__(self, x: jax.Array, key: jax.Array | None = None, read: int | jax.Array | None = None) -> jax.Array:
        """[B, L, D] -> [B, L, D]; a key turns on dropout of the attention probabilities.

        With `read`, what one token of each row sees, [B, 1, D]: see `layers.pick_token`. There is no dropout then.
        """
        if read is not None:
            q = self.project(layers.pick_token(x, read), 0)
            attended = attend_one(q, self.project(x, 1), self.project(x, 2), read if self.causal else None)
            return self.out(attended)
        q, k, v = (self.project(x, part) for part in range(3))
        drops = key is not None and self.dropout > 0  # which cuDNN's has not
        if not drops and use_cudnn(q, self.causal, self.implementation):
            attended = attend_cudnn(q, k, v, causal=self.causal)
        else:
            attended = attend_xla(q, k, v, causal=self.causal, dropout_rate=self.dropout, key=key)
        return checkpoint_name(self.out(attended), "out")

    def project(self, x: jax.Array, part: int) -> jax.Array:
        """[B, L, D] -> queries (part 0), keys (1) or values (2), [B, L, H, K].

        By a product each: the gradients of a single product for all would have to be copied into one array first.
        """
        kernel, bias = (param[...].astype(x.dtype) for param in (self.qkv.kernel, self.qkv.bias))
        product = layers.dot_general(x, kernel[:, part], (((2,), (0,)), ((), ())))
        return checkpoint_name(product + bias[part], "qkv")


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
    attended = multiply("bhlm,bhmk->bhlk", layers.dropout(weights, dropout_rate, key), v)
    return (attended / weights.sum(axis=-1, keepdims=True)).astype(v.dtype).swapaxes(1, 2)


def attend_one(q: jax.Array, k: jax.Array, v: jax.Array, last: int | jax.Array | None) -> jax.Array:
    """The same for one query a row: [B, 1, H, K] and two [B, L, H, K] -> [B, 1, H, K].

    `last` is the last token that the query sees, in all rows or of each [B]; None: it sees all.
    """
    scores = multiply("bqhk,bmhk->bhqm", q * q.shape[-1] ** -0.5, k)
    if last is not None:
        seen = jnp.arange(k.shape[1]) <= jnp.reshape(last, (-1, 1))
        scores = jnp.where(seen[:, None, None], scores, -jnp.inf)
    return multiply("bhqm,bmhk->bqhk", jax.nn.softmax(scores), v).astype(v.dtype)


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
    maximum = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - maximum)
    # The sum divides the result [L, K] rather than the probabilities [L, L]: 1.9 times as fast on a CPU. It comes from
    # the product with a column of ones, which a TPU, whose products are 128 wide, has for nothing.
    summed = multiply("bhlm,bhmk->bhlk", weights, jnp.pad(v, [(0, 0)] * 3 + [(0, 1)], constant_values=1))
    totals = summed[..., -1:]
    attended = checkpoint_name((summed[..., :-1] / totals).astype(v.dtype), "attended")
    return attended, (q, k, v, attended, checkpoint_name(maximum + jnp.log(totals), "attended"))


def attend_backward(causal: bool, kept: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of q, k and v [B, H, L, K]."""
    q, k, v, attended, log_totals = kept
    probabilities = jnp.exp(score(q, k, causal) - log_totals)
    shared = (gradient.astype(jnp.float32) * attended).sum(axis=-1, keepdims=True)
    of_scores = probabilities * (multiply("bhlk,bhmk->bhlm", gradient, v) - shared)
    return (
        multiply("bhlm,bhmk->bhlk", of_scores, k).astype(q.dtype),
        multiply("bhlm,bhlk->bhmk", of_scores, q).astype(q.dtype),
        multiply("bhlm,bhlk->bhmk", probabilities, gradient).astype(q.dtype),
    )


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
