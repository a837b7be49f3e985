"""What the benchmarks against PyTorch share: peers that take turns within one run, and the device's own peak."""

import argparse
import functools
import json
import math
import os
import pathlib
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import rich.console
import torch

from actionclip_jax import config

PEERS = ("torch", "torch.compile", "jax scan", "jax unroll")
SAMPLE_SECONDS = 0.2  # a timed sample is as many calls as fill this
LOAD = os.getloadavg()[0]  # other processes slow PyTorch, whose threads wait for each other, more than JAX
CONSOLE = rich.console.Console(width=100)  # the table also goes into files


def add_options(
    parser: argparse.ArgumentParser, sizes: tuple[str, ...] = (), batch: int = 1, repeats: int = 7
) -> argparse.ArgumentParser:
    """What is compared; `sizes` come beside CLIP's."""
    parser.add_argument("--size", default="ViT-B/16", choices=[*config.CLIP_SIZES, *sizes])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=batch, help="clips at once")
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--dtypes", nargs="+", default=list(config.DTYPES), choices=config.DTYPES)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--json", type=pathlib.Path, help="write the measurements here as well")
    return parser


def set_up() -> None:
    """Gives both libraries the whole machine."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # both live on one GPU
    torch.set_num_threads(os.cpu_count())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 means float32, as in JAX


def device_name() -> str:
    """Where both compute."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"


def versions() -> str:
    """Of both libraries."""
    return f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}"


def describe(options: argparse.Namespace) -> str:
    """The title of a table."""
    what = f"{options.size}, {options.frames} frames, batch {options.batch}"
    return f"{what}, {device_name()}, load {LOAD:.1f} at the start\n{versions()}"


def write_json(options: argparse.Namespace, rows: list[dict]) -> None:
    """The measurements with all that was asked for, if a file was."""
    if options.json:
        described = {name: str(value) for name, value in vars(options).items()}
        described |= {"device": device_name(), "versions": versions(), "load": LOAD}
        options.json.write_text(json.dumps(described | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def matmuls(dtype: str) -> tuple[int, dict[str, Callable]]:
    """A square product by both libraries, for the device's peak: its FLOPs and the calls."""
    size = 8192 if torch.cuda.is_available() else 2048
    ours, theirs = jnp.ones((size, size), dtype), torch.ones(size, size, dtype=getattr(torch, dtype)).to(torch_device())
    product = jax.jit(functools.partial(jnp.matmul, precision="highest" if dtype == "float32" else None))
    return 2 * size**3, {
        "jax matmul": waiting(lambda: product(ours, ours), jax.block_until_ready),
        "torch matmul": waiting(lambda: theirs @ theirs, wait_for_torch),
    }


def torch_device() -> str:
    """Where PyTorch computes."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def wait_for_torch(result: torch.Tensor) -> None:
    """Returns when a GPU has finished."""
    if result.is_cuda:
        torch.cuda.synchronize()


def waiting(function: Callable, wait: Callable) -> Callable:
    """`call(times)` runs the function that often, waits for the device once and returns the last result."""

    def call(times: int = 1) -> torch.Tensor | jax.Array:
        for _ in range(times):
            result = function()
        wait(result)
        return result

    return call


def take_turns(calls: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """Seconds a call of each, `repeats` times in turns."""
    for call in calls.values():
        call()
    times = {name: math.ceil(SAMPLE_SECONDS / seconds(call, 1)) for name, call in calls.items()}
    measured: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            measured[name].append(seconds(call, times[name]))
    return measured


def seconds(call: Callable, times: int) -> float:
    """Wall seconds a run, of `times` in one go."""
    start = time.perf_counter()
    call(times)
    return (time.perf_counter() - start) / times
