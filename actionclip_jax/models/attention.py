"""Multi-head self-attention: by XLA with a derivative of its own, by cuDNN, or by a kernel for TPUs."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from actionclip_jax import xla
from actionclip_jax.models import layers, rotary, short_attention

LONG = 128  # tokens from which on `auto` leaves XLA


class Attention(nnx.Module):
    """Multi-head self-attention. The kernel is [D, 3, H, K] rather than [D, 3D] so that heads can be sharded."""

    def __init__(self, spec: layers.TransformerSpec, *, rngs: nnx.Rngs) -> None:
        heads = (spec.heads, spec.head_width)
        linear = functools.partial(nnx.LinearGeneral, rngs=rngs)
        self.spec = spec
        self.qkv = linear(spec.width, (3, *heads), kernel_init=spec.initializer("qkv"))
        self.out = linear(heads, spec.width, axis=(-2, -1), kernel_init=spec.initializer("out"))

    @jax.named_scope("attn")
    def __call__(
        self,
        x: jax.Array,
        key: jax.Array | None = None,
        *,
        length: int | None = None,
        read: int | jax.Array | None = None,
        turns: jax.Array | None = None,
    ) -> jax.Array:
        """[B, L, D] -> [B, L, D]; a key turns on dropout of the attention probabilities.

        Tokens from `length` on are padding that nobody sees: see `padding`. With `read`, what one token of each row
        sees, [B, 1, D] (see `layers.pick_token`); then nothing is dropped. With `turns`, queries and keys turn: see
        `rotary`.
        """
        spec, length = self.spec, length or x.shape[1]
        if read is not None:
            last = read if spec.causal else length - 1
            return self.look(layers.pick_token(x, read), x, last=last, turns=turns)
        implementation = choose(spec, length, dropping=key is not None)
        if implementation == "pallas":
            attended = self.attend_pallas(x, length, turns)
        else:
            q, k, v = self.project_all(x, turns)
            if implementation == "cudnn":
                attended = attend_cudnn(q, k, v, spec.heads, length=length, causal=spec.causal)
            else:
                attended = attend_xla(q, k, v, spec.heads, causal=spec.causal, dropout_rate=spec.dropout, key=key)
        return checkpoint_name(self.join(attended), "out")

    def look(self, one: jax.Array, x: jax.Array, *, last: int | jax.Array, turns: jax.Array | None = None) -> jax.Array:
        """What one token of each row [B, 1, D] sees of the tokens [B, L, D] up to `last`: [B, 1, D].

        With `turns` keys turn; the token, which is a class token then, does not: see `rotary`.
        """
        q, k, v = self.project(one, 0), self.project(x, 1), self.project(x, 2)
        return self.join(attend_one(q, rotary.turn(k, turns, self.spec.heads), v, self.spec.heads, last=last))

    def attend_pallas(self, x: jax.Array, length: int, turns: jax.Array | None) -> jax.Array:
        """The same as `attend_xla` of projections, [B, L, D], by a kernel that finds the gradients of biases too.

        Where queries and keys turn, what the kernel finds would be gradients of turned biases: they are found outside.
        """
        q, k, v = self.project_all(x, turns, bias_gradient=turns is not None)
        bias = self.qkv.bias[...].astype(jnp.float32).reshape(1, 3, -1)
        bias = bias if turns is None else jax.lax.stop_gradient(bias)
        form = short_attention.Form(self.spec.heads, length, self.spec.causal, interpret=xla.platform() == "cpu")
        attended = short_attention.attend(q, k, v, jnp.broadcast_to(bias, (x.shape[0], *bias.shape[1:])), form)
        return checkpoint_name(attended, "attended")

    def project_all(self, x: jax.Array, turns: jax.Array | None, bias_gradient: bool = True) -> list[jax.Array]:
        """[B, L, D] -> queries, keys and values of all heads side by side, each [B, L, D]; the first two turned."""
        q, k, v = (self.project(x, part, bias_gradient) for part in range(3))
        return [rotary.turn(q, turns, self.spec.heads), rotary.turn(k, turns, self.spec.heads), v]

    def project(self, x: jax.Array, part: int, bias_gradient: bool = True) -> jax.Array:
        """[B, L, D] -> queries (part 0), keys (1) or values (2) of all heads side by side, [B, L, D].

        By a product each: the gradients of a single product for all would have to be copied into one array first.
        """
        kernel, bias = self.qkv.kernel[:, part], self.qkv.bias[part]
        bias = bias if bias_gradient else jax.lax.stop_gradient(bias)
        return checkpoint_name(layers.project(x, kernel.reshape(kernel.shape[0], -1), bias.reshape(-1)), "qkv")

    def join(self, attended: jax.Array) -> jax.Array:
        """What all heads found, side by side, [B, L, D] -> [B, L, D]."""
        kernel = self.out.kernel[...]
        return layers.project(attended, kernel.reshape(-1, kernel.shape[-1]), self.out.bias[...])


def choose(spec: layers.TransformerSpec, length: int, dropping: bool) -> str:
    """What computes the attention over so many tokens, one of `config.ATTENTION` but `auto`.

    `auto` wants 16 bits and enough tokens to pay off: the causal text tower (77) and the temporal heads (8 to 32) stay
    on XLA. So does who drops probabilities, which the others cannot.
    """
    asked = spec.compute.attention
    if dropping and spec.dropout:
        return "xla"
    if asked == "pallas" and not short_attention.supports(length, spec.head_width):
        raise ValueError(
            f"attention pallas takes at most {short_attention.LONGEST} tokens in heads of 8, 16 ... 128 features, and "
            f"there are {length} in heads of {spec.head_width}: set compute.attention to auto"
        )
    if asked != "auto":
        return asked
    if spec.causal or spec.dtype.itemsize != 2 or length < LONG:
        return "xla"
    if xla.platform() == "gpu" and xla.has_flash_attention() and spec.head_width % 8 == 0 and spec.head_width <= 128:
        return "cudnn"
    if xla.platform() == "tpu" and short_attention.supports(length, spec.head_width):
        return "pallas"
    return "xla"


def padding(spec: layers.TransformerSpec, length: int, dropping: bool) -> int:
    """Tokens to be added to so many, once for a whole stack of blocks.

    cuDNN takes no odd length in training, and on a TPU whole tiles of 8 rows spare copies into other layouts.
    """
    return 0 if choose(spec, length, dropping) == "xla" else -length % 8


def split_heads(x: jax.Array, heads: int) -> jax.Array:
    """[B, L, D] -> [B, L, H, K]."""
    return x.reshape(*x.shape[:2], heads, -1)


def attend_cudnn(q: jax.Array, k: jax.Array, v: jax.Array, heads: int, *, length: int, causal: bool) -> jax.Array:
    """The same as `attend_xla` over the first `length` tokens, an even number in all, by cuDNN's flash attention.

    It is told the lengths: a mask would cost a full [B, H, L, L] bias.
    """
    lengths = jnp.full(q.shape[0], length, jnp.int32)
    attended = jax.nn.dot_product_attention(
        *(split_heads(x, heads) for x in (q, k, v)),
        is_causal=causal,
        query_seq_lengths=lengths,
        key_value_seq_lengths=lengths,
        implementation="cudnn",
    )
    return attended.reshape(q.shape)


def attend_xla(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    heads: int,
    *,
    causal: bool,
    dropout_rate: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """softmax(q k^T / sqrt(K)) v of each head with a float32 softmax: three [B, L, D] -> [B, L, D].

    Heads go before tokens so that the products are plain batched matrix products: jax.nn.dot_product_attention leaves
    them strided, which costs 1.6 times as long on a CPU. A key drops probabilities, as PyTorch's encoder does.
    """
    scale = (q.shape[-1] // heads) ** -0.5
    shape, (q, k, v) = q.shape, (split_heads(x, heads).swapaxes(1, 2) for x in (q * scale, k, v))
    if key is None or not dropout_rate:
        return attend_heads(q, k, v, causal).swapaxes(1, 2).reshape(shape)
    scores = score(q, k, causal)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    attended = multiply("bhlm,bhmk->bhlk", layers.dropout(weights, dropout_rate, key), v)
    return (attended / weights.sum(axis=-1, keepdims=True)).astype(v.dtype).swapaxes(1, 2).reshape(shape)


def attend_one(q: jax.Array, k: jax.Array, v: jax.Array, heads: int, *, last: int | jax.Array) -> jax.Array:
    """The same for one query a row, which sees the tokens up to `last`, in all rows or of each [B].

    [B, 1, D] and two [B, L, D] -> [B, 1, D].
    """
    shape, (q, k, v) = q.shape, (split_heads(x, heads) for x in (q * (q.shape[-1] // heads) ** -0.5, k, v))
    seen = jnp.arange(k.shape[1]) <= jnp.reshape(last, (-1, 1))
    scores = jnp.where(seen[:, None, None], multiply("bqhk,bmhk->bhqm", q, k), -jnp.inf)
    return multiply("bhqm,bmhk->bqhk", jax.nn.softmax(scores), v).astype(v.dtype).reshape(shape)


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
