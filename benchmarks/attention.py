"""What attention costs a TPU by XLA, by the kernel of this project, and by those of JAX, without a TPU.

Compiles forward and backward passes for TPUs that are not here. Of XLA's operations the table has what its compiler
estimates. Of kernels it estimates nothing: theirs are the instructions that it scheduled, without waiting for memory.

    python benchmarks/attention.py --kinds v5e v6e --lengths 197 257
"""

import argparse
import dataclasses
import functools
import itertools
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import rich.table
import rivals
from jax.experimental.pallas.ops.tpu import flash_attention, splash_attention

from actionclip_jax import files, sharding
from actionclip_jax.aot import hlo, schedule, topologies
from actionclip_jax.models import attention, short_attention

IMAGES = {50: 64, 77: 64, 197: 64, 257: 64, 577: 64, 1569: 8}  # 8 clips of 8 frames, which joint attention takes as one
LARGEST = 1024  # tokens of a block of JAX's kernels


def split_heads(x: jax.Array, heads: int) -> jax.Array:
    """[B, L, H x K] -> [B, H, L or more, K] with zeros behind the tokens."""
    x = x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)
    return jnp.pad(x, ((0, 0), (0, 0), (0, padded(x.shape[2]) - x.shape[2]), (0, 0)))


def join_heads(x: jax.Array, length: int) -> jax.Array:
    """[B, H, L or more, K] -> [B, L, H x K]."""
    return x[:, :, :length].swapaxes(1, 2).reshape(x.shape[0], length, -1)


def padded(length: int) -> int:
    """Tokens that JAX's kernels can divide into blocks."""
    return length + -length % (128 if length <= LARGEST else 256)


def block_size(length: int) -> int:
    """The largest blocks of 128 tokens and more that divide a padded length."""
    return max(size for size in range(128, LARGEST + 1, 128) if length % size == 0)


def segments(batch: int, length: int) -> jax.Array:
    """[B, padded L]: tokens attend to those of the same number."""
    return jnp.broadcast_to((jnp.arange(padded(length)) >= length).astype(jnp.int32), (batch, padded(length)))


def by_xla(q: jax.Array, k: jax.Array, v: jax.Array, heads: int) -> jax.Array:
    """The project's path through XLA."""
    return attention.attend_xla(q, k, v, heads, causal=False)


def by_kernel(q: jax.Array, k: jax.Array, v: jax.Array, heads: int) -> jax.Array:
    """The project's kernel."""
    bias = jnp.zeros((q.shape[0], 3, q.shape[2]))
    return short_attention.attend(q, k, v, bias, short_attention.Form(heads, q.shape[1]))


def by_flash(q: jax.Array, k: jax.Array, v: jax.Array, heads: int) -> jax.Array:
    """JAX's flash attention, in the largest blocks that it takes."""
    (batch, length, _), scale = q.shape, (q.shape[2] // heads) ** -0.5
    numbers = segments(batch, length)
    block = block_size(numbers.shape[1])
    sizes = {field.name: block for field in dataclasses.fields(flash_attention.BlockSizes)} | {"block_b": 1}
    attended = flash_attention.flash_attention(
        *(split_heads(x, heads) for x in (q, k, v)),
        segment_ids=flash_attention.SegmentIds(numbers, numbers),
        sm_scale=scale,
        block_sizes=flash_attention.BlockSizes(**sizes),
    )
    return join_heads(attended, length)


def by_splash(q: jax.Array, k: jax.Array, v: jax.Array, heads: int) -> jax.Array:
    """JAX's splash attention, in the largest blocks that it takes, with its fused backward pass."""
    batch, length, _ = q.shape
    numbers = segments(batch, length)
    block = block_size(numbers.shape[1])
    sizes = splash_attention.BlockSizes(
        block_q=block,
        block_kv=block,
        block_kv_compute=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_kv_dkv_compute=block,
        use_fused_bwd_kernel=True,
    )
    mask = splash_attention.MultiHeadMask([splash_attention.FullMask((numbers.shape[1], numbers.shape[1]))] * heads)
    attend = splash_attention.make_splash_mha(mask, block_sizes=sizes, head_shards=1, q_seq_shards=1)
    q, k, v = (split_heads(x, heads) for x in (q * (q.shape[2] // heads) ** -0.5, k, v))
    attended = jax.vmap(lambda q, k, v, n: attend(q, k, v, segment_ids=splash_attention.SegmentIds(n, n)))(
        q, k, v, numbers
    )
    return join_heads(attended, length)


WAYS = {"xla": by_xla, "kernel": by_kernel, "flash": by_flash, "splash": by_splash}


def trace_way(topology: topologies.Topology, way: str, length: int, heads: int, width: int) -> jax.stages.Traced:
    """A forward and backward pass over as many images as a step of 8 clips has."""
    rows = jax.ShapeDtypeStruct((IMAGES[length], length, heads * width), jnp.bfloat16)

    def step(q: jax.Array, k: jax.Array, v: jax.Array, gradient: jax.Array) -> tuple:
        attended, backward = jax.vjp(functools.partial(WAYS[way], heads=heads), q, k, v)
        return attended, backward(gradient)

    with jax.set_mesh(sharding.make_mesh(topology.devices[:1])):
        return jax.jit(step).trace(rows, rows, rows, rows)


def measure(topology: topologies.Topology, way: str, length: int, options: argparse.Namespace) -> dict:
    """A row of the table; times in milliseconds."""
    row = {"kind": topology.name, "length": length, "way": way}
    try:
        compiled = trace_way(topology, way, length, options.heads, options.width).lower().compile()
    except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
        return row | {"failed": str(error).splitlines()[0][:200]}
    program, clock = hlo.Program(compiled.as_text()), topology.accelerator.clock / 1000
    program.bundles = schedule.take(options.schedules, program)
    if program.uncounted:
        return row | {"failed": f"the schedule of {program.uncounted} kernels is not known"}
    kernels = sum(times * program.cycles_of(one) for one, times, _ in program.walk(program.entry) if one.is_kernel)
    memory = compiled.memory_analysis().temp_size_in_bytes
    around = (program.cycles - kernels) / clock
    return row | {"xla ms": around, "kernels ms": kernels / clock, "temporaries": memory}


def print_table(rows: list[dict], options: argparse.Namespace) -> None:
    """All rows."""
    title = f"attention of {options.heads} heads of {options.width}, forward and backward, estimated, not measured"
    columns = ("TPU", "tokens", "way", "around it, ms", "kernels, ms", "together, ms", "temporaries, MiB")
    table = rich.table.Table(*columns, title=title)
    for row in rows:
        cells = ["failed: " + row["failed"]] if "failed" in row else []
        if not cells:
            times = (row["xla ms"], row["kernels ms"], row["xla ms"] + row["kernels ms"])
            cells = [*(f"{time:.3f}" for time in times), f"{row['temporaries'] / 2**20:.0f}"]
        table.add_row(row["kind"], str(row["length"]), row["way"], *cells)
    rivals.CONSOLE.print(table)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["v5e", "v6e"], help="of TPU chips")
    parser.add_argument("--lengths", nargs="+", type=int, default=list(IMAGES), choices=IMAGES)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--width", type=int, default=64, help="of a head")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the rows")
    return parser.parse_args()


def main() -> None:
    """Compiles every way for every kind and length, prints the table."""
    options, rows = parse(), []
    with tempfile.TemporaryDirectory() as folder:
        options.schedules = pathlib.Path(folder)
        with schedule.recorded(options.schedules):
            kinds = [topologies.describe(f"{kind}:1x1") for kind in options.kinds]
        for topology, length, way in itertools.product(kinds, options.lengths, options.ways):
            rows.append(measure(topology, way, length, options))
            print(rows[-1], flush=True)
    print_table(rows, options)
    if options.json:
        files.write_json(options.json, rows)


if __name__ == "__main__":
    main()
