"""What a TPU core does in `short_attention`: all heads of a block of one sequence, whose tokens are all in VMEM.

A core's vectors and products are 128 lanes wide, so two heads of 64 features share them. A product over the features of
one head has zeros in place of the other's; a product that results in features is right in the head's own lanes only.
The products of the next head are issued before the softmax of this one, so that the matrix unit works through both.
"""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp

LANES = 128
WHOLE = 640  # tokens whose scores fit into VMEM; of longer sequences
QUERIES = 256  # are worked through at a time, which takes 1% more of the instructions
ALL = slice(None)
Ref = jax.Array  # what a kernel reads and writes: an array in VMEM


@dataclasses.dataclass(frozen=True)
class Head:
    """Where the features of a head lie."""

    start: int
    stop: int
    features: int  # of the block

    @property
    def window(self) -> slice:
        """The whole vectors that hold the head."""
        return slice(self.start // LANES * LANES, min(-(-self.stop // LANES) * LANES, self.features))

    @property
    def scale(self) -> float:
        """Of the scores, as a power of two has it: 2^(x log2(e)) is e^x."""
        return (self.stop - self.start) ** -0.5 * math.log2(math.e)

    def keep(self, values: jax.Array, others: jax.Array) -> jax.Array:
        """Two [L, window] -> the values in the head's own lanes, the others elsewhere."""
        window = self.window
        if (window.start, window.stop) == (self.start, self.stop):
            return values
        lane = window.start + jax.lax.broadcasted_iota(jnp.int32, values.shape, 1)
        return jnp.where((lane >= self.start) & (lane < self.stop), values, others)

    def read(self, ref: Ref, rows: slice = ALL) -> jax.Array:
        """[rows, window]: the head's features, with zeros in the lanes of others."""
        values = ref[rows, self.window]
        return self.keep(values, jnp.zeros_like(values))

    def write(self, ref: Ref, values: jax.Array, rows: slice = ALL) -> None:
        """Writes [rows, window]; lanes beyond the head are garbage until the heads that they belong to follow."""
        values = values.astype(ref.dtype)
        if self.start > self.window.start:
            values = self.keep(values, ref[rows, self.window])
        ref[rows, self.window] = values


def units_of(ref: Ref, width: int) -> list[tuple[Head, slice]]:
    """What is done at a time of a block [L, features]: of each head, in order, the queries in these rows."""
    length, features = ref.shape
    heads = [Head(start, start + width, features) for start in range(0, features, width)]
    count = length if length <= WHOLE else QUERIES
    rows = [slice(start, min(start + count, length)) for start in range(0, length, count)]
    return list(itertools.product(heads, rows))


def multiply(a: jax.Array, b: jax.Array, over: tuple[int, int]) -> jax.Array:
    """A product over one axis of each, summed in float32 and returned as that."""
    precision = "highest" if b.dtype == jnp.float32 else None
    contracted = (((over[0],), (over[1],)), ((), ()))
    return jax.lax.dot_general(a, b, contracted, precision=precision, preferred_element_type=jnp.float32)


def hide_later(scores: jax.Array, key_axis: int, first_query: int) -> jax.Array:
    """Scores of keys and queries with -inf for keys that come after their query."""
    keys = jax.lax.broadcasted_iota(jnp.int32, scores.shape, key_axis)
    queries = first_query + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1 - key_axis)
    return jnp.where(keys <= queries, scores, -jnp.inf)


def forward(q_ref: Ref, k_ref: Ref, v_ref: Ref, out_ref: Ref, *, width: int, causal: bool) -> None:
    """softmax(q k^T / sqrt(K)) v of every head: blocks [L, features]."""
    units = units_of(q_ref, width)

    def score(head: Head, rows: slice) -> jax.Array:
        return multiply(head.read(q_ref, rows), k_ref[:, head.window], (1, 1))  # [queries, keys]

    following = score(*units[0])
    for (head, rows), after in zip(units, [*units[1:], None], strict=True):
        scores, following = following, score(*after) if after else following
        if causal:
            scores = hide_later(scores, 1, rows.start)
        weights = jnp.exp2((scores - scores.max(axis=1, keepdims=True)) * head.scale)
        totals = weights.sum(axis=1, keepdims=True)
        attended = multiply(weights.astype(v_ref.dtype), v_ref[:, head.window], (1, 0))
        head.write(out_ref, attended * (1 / totals), rows)


def backward(
    q_ref: Ref,
    k_ref: Ref,
    v_ref: Ref,
    gradient_ref: Ref,
    q_gradient_ref: Ref,
    k_gradient_ref: Ref,
    v_gradient_ref: Ref,
    bias_gradient_ref: Ref,
    *,
    width: int,
    causal: bool,
) -> None:
    """Gradients of q, k, v [L, features], and of biases added to them [3, features]: their sums over the tokens.

    Scores are [keys, queries] here: sums over keys are then sums of whole vectors, and two of three products of the
    gradients need no transposition.
    """
    units = units_of(q_ref, width)

    def products(head: Head, rows: slice) -> tuple[jax.Array, jax.Array]:
        scores = multiply(head.read(k_ref), q_ref[rows, head.window], (1, 1))
        return scores, multiply(head.read(v_ref), gradient_ref[rows, head.window], (1, 1))

    following, sums = products(*units[0]), None
    for (head, rows), after in zip(units, [*units[1:], None], strict=True):
        (scores, of_probabilities), following = following, products(*after) if after else following
        if causal:
            scores = hide_later(scores, 0, rows.start)
        weights = jnp.exp2((scores - scores.max(axis=0, keepdims=True)) * head.scale)
        probabilities = weights * (1 / weights.sum(axis=0, keepdims=True))
        shared = (probabilities * of_probabilities).sum(axis=0, keepdims=True)
        of_scores = (probabilities * (of_probabilities - shared)).astype(q_ref.dtype)
        of_q = multiply(of_scores, k_ref[:, head.window], (0, 0)) * width**-0.5
        head.write(q_gradient_ref, of_q, rows)
        parts = (
            of_q.sum(axis=0, keepdims=True),
            multiply(of_scores, q_ref[rows, head.window], (1, 0)) * width**-0.5,
            multiply(probabilities.astype(q_ref.dtype), gradient_ref[rows, head.window], (1, 0)),
        )
        sums = parts if rows.start == 0 else jax.tree.map(jnp.add, sums, parts)
        if rows.stop == q_ref.shape[0]:
            bias_of_q, of_k, of_v = sums
            head.write(k_gradient_ref, of_k)
            head.write(v_gradient_ref, of_v)
            biases = (bias_of_q, of_k.sum(axis=0, keepdims=True), of_v.sum(axis=0, keepdims=True))
            head.write(bias_gradient_ref, jnp.concatenate(biases))
