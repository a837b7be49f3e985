"""What a model consists of, and how it is spread and trained: a table for people."""

import logging
import math
import pathlib
from collections.abc import Iterable, Mapping

import jax

from actionclip_jax import files

logger = logging.getLogger(__name__)

HEAD = ("path", "shape", "dtype", "sharding", "multiplier")


def write(workdir: pathlib.Path, params: Mapping[str, jax.Array], multipliers: Mapping[str, float]) -> None:
    """Writes the table to WORKDIR/parameters.txt and logs its last line. Only the first process writes."""
    file = workdir / "parameters.txt"
    if not jax.process_index():
        files.write_text(file, table(params, multipliers))
    logger.info(f"{totals(params, multipliers)}; {file} lists them")


def table(params: Mapping[str, jax.Array], multipliers: Mapping[str, float]) -> str:
    """A line for each parameter (of all layers of a stack), with its learning-rate multiplier; totals below."""
    rows = [
        (path, str(param.shape), str(param.dtype), describe_sharding(param), f"{multipliers[path]:g}")
        for path, param in sorted(params.items())
    ]
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (HEAD, *rows)]
    lines.append("")
    for part in sorted({path.split("/")[0] for path in params}):
        lines.append(f"{part}: {count(param for path, param in params.items() if path.split('/')[0] == part)}")
    lines.append(totals(params, multipliers))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def describe_sharding(param: jax.Array) -> str:
    """The mesh axis that each dimension is spread over: `P('fsdp', None)`."""
    spec = getattr(param.sharding, "spec", ())
    return f"P({', '.join(map(repr, spec))})"


def totals(params: Mapping[str, jax.Array], multipliers: Mapping[str, float]) -> str:
    """How many numbers a model has, how many of them are trained, and the memory they need on every device."""
    trained = count(param for path, param in params.items() if multipliers[path])
    kept = sum(math.prod(param.sharding.shard_shape(param.shape)) * param.dtype.itemsize for param in params.values())
    return f"{count(params.values())} parameters, {trained} of them trained; {kept / 2**20:.1f} MiB on each device"


def count(params: Iterable[jax.Array]) -> str:
    """How many numbers arrays hold: `149,620,737`."""
    return f"{sum(param.size for param in params):,}"
