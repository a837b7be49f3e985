"""Self-attention over short sequences on TPUs by a Pallas kernel that keeps a whole sequence in fast memory (VMEM).

Nothing of size [L, L] leaves that memory: the backward pass computes the probabilities anew. Features stay flat, [B, L,
H x K], as an array [.., H, 64] would be padded to 128 lanes wherever it is laid out.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import PartitionSpec as P

from actionclip_jax import sharding
from actionclip_jax.models import short_attention_kernel

LANES = short_attention_kernel.LANES
LONGEST = 13 * LANES  # of 8 frames of 14 x 14 and a class token: what the compilers of all chips were seen to take
SCORES = 2**21  # how many a program works through: its heads are unrolled
VMEM_BYTES = 24 * 2**20  # may be asked for; larger chips leave the rest to other arrays of XLA


def supports(length: int, width: int) -> bool:
    """Whether the kernel can attend over so many tokens, in heads of this width."""
    return length <= LONGEST and width % 8 == 0 and width <= LANES


@dataclasses.dataclass(frozen=True)
class Form:
    """What is attended to."""

    heads: int
    length: int  # of a sequence: further tokens are padding that nobody sees
    causal: bool = False
    interpret: bool = False  # anywhere, slowly: for tests


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def attend(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array, form: Form) -> jax.Array:
    """softmax(q k^T / sqrt(K)) v with a float32 softmax: three [B, L, H x K] -> [B, L, H x K].

    `bias`, float32 [B, 3, H x K], is what was added to q, k and v of every row. It is an argument for the sake of its
    gradient: the kernel has the sums over tokens at hand, while it would have to read q, k and v once more to add it,
    which the products that result in them do for nothing.

    On the mesh that is set rows are spread like clips and heads over `model`, as far as these divide them.
    """
    return attend_and_keep(q, k, v, bias, form)[0]


def attend_and_keep(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array, form: Form
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """The forward pass, with what the backward pass needs."""
    return run_spread(short_attention_kernel.forward, (q, k, v), form)[0], (q, k, v)


def attend_backward(form: Form, kept: tuple[jax.Array, ...], gradient: jax.Array) -> tuple[jax.Array, ...]:
    """Gradients of q, k, v and the bias."""
    return run_spread(short_attention_kernel.backward, (*kept, gradient), form)


attend.defvjp(attend_and_keep, attend_backward)


def run_spread(body: Callable[..., None], arrays: tuple[jax.Array, ...], form: Form) -> tuple[jax.Array, ...]:
    """`run` of each device's rows and heads: XLA itself cannot divide a kernel."""
    batch, _, features = arrays[0].shape
    run_local = functools.partial(run, body, width=features // form.heads, form=form)
    mesh = jax.sharding.get_abstract_mesh()
    if not (free := sharding.free_axes(mesh)):
        return run_local(*arrays)
    rows = None if batch % sharding.batch_shards(mesh) else sharding.clip_axes(mesh)
    over_heads = "model" if "model" in free and form.heads % mesh.shape["model"] == 0 else None
    place = P(rows, None, over_heads)
    # `check_vma` would have the kernel's results say over which axes they vary
    spread = jax.shard_map(run_local, in_specs=place, out_specs=place, axis_names=free, check_vma=False)
    return spread(*arrays)


def run(body: Callable[..., None], *arrays: jax.Array, width: int, form: Form) -> tuple[jax.Array, ...]:
    """Runs a kernel over [B, L, features] arrays: a program for a sequence's heads, or for some of many."""
    batch, length, features = arrays[0].shape
    block = width * heads_together(features // width, width, length)
    results, name = [jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)], "attention_forward"
    if body is short_attention_kernel.backward:
        name = "attention_backward"
        results = [*results * 3, jax.ShapeDtypeStruct((batch, 3, features), jnp.float32)]

    def blocks(of: Sequence[jax.Array | jax.ShapeDtypeStruct]) -> list[pl.BlockSpec]:
        return [pl.BlockSpec((None, array.shape[1], block), lambda row, part: (row, 0, part)) for array in of]

    return tuple(
        pl.pallas_call(
            functools.partial(body, width=width, causal=form.causal, length=form.length),
            grid=(batch, features // block),
            in_specs=blocks(arrays),
            out_specs=blocks(results),
            out_shape=results,
            interpret=form.interpret,
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel", "parallel"), vmem_limit_bytes=VMEM_BYTES
            ),
            name=name,
        )(*arrays)
    )


def heads_together(heads: int, width: int, length: int) -> int:
    """How many heads a program works through: as many as its size allows, in whole vectors of lanes."""
    possible = [count for count in range(1, heads + 1) if heads % count == 0 and count * width % LANES == 0] or [heads]
    lanes = -(-length // LANES) * LANES
    return max((count for count in possible if count * length * lanes <= SCORES), default=possible[0])
