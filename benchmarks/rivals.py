"""What the benchmarks against PyTorch share: peers that take turns within one run, and the device's own peak."""

import argparse
import functools
import gc
import math
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import rich.console
import torch

from actionclip_jax import files

SAMPLE_SECONDS = 0.2  # a timed sample is as many calls as fill this
REASON = 300  # characters of an error: XLA's end with pages of what is in memory
LOAD = os.getloadavg()[0]  # other processes slow PyTorch, whose threads wait for each other, more than JAX
CONSOLE = rich.console.Console(width=132)  # the table also goes into files


def set_up() -> None:
    """Gives both libraries the whole machine."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # both live on one GPU
    torch.set_num_threads(os.cpu_count() or 1)
    torch.backends.cudnn.benchmark = True  # of the patches: the quickest convolution for their shape
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 means float32, as in JAX


def device_name() -> str:
    """Where both compute."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"


def versions() -> str:
    """Of both libraries."""
    return f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}"


def describe(options: argparse.Namespace) -> str:
    """The title of a table about one size."""
    return f"{options.size}, {options.frames} frames, batch {options.batch}, {describe_machine()}"


def describe_machine() -> str:
    """What a measurement depends on beside its settings."""
    return f"{device_name()}, load {LOAD:.1f} at the start\n{versions()}"


def write_json(options: argparse.Namespace, rows: list[dict]) -> None:
    """The measurements with all that was asked for, if a file was."""
    if options.json:
        chosen = {name: str(value) for name, value in vars(options).items()}
        machine = {"device": device_name(), "versions": versions(), "load": LOAD}
        files.write_json(options.json, {**chosen, **machine, "rows": rows})


def matmuls(dtype: str) -> tuple[int, dict[str, Callable]]:
    """A square product by both libraries, for the device's peak: its FLOPs and the calls.

    Of random numbers: a GPU at its power limit multiplies ones faster than anything a model has.
    """
    size = 8192 if torch.cuda.is_available() else 2048
    ours = jax.random.normal(jax.random.key(0), (size, size), dtype)
    theirs = torch.randn(size, size).to(torch_device(), getattr(torch, dtype))
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


def attempt(function: Callable[[], Any], name: str, failed: dict[str, str]) -> Any:
    """What the function returns; None, and the reason in `failed`, where it cannot."""
    result = None
    try:
        result = function()
    except Exception as error:
        failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:REASON]
    free_memory()  # after the handler: in it, the error still holds all that the failed call has made
    return result


def free_memory() -> None:
    """Gives back what nobody uses: XLA cannot use what PyTorch keeps of a GPU's memory for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def take_turns(calls: dict[str, Callable], repeats: int, failed: dict[str, str]) -> dict[str, list[float]]:
    """Seconds a call of each, `repeats` times in turns. Who cannot go on leaves `calls`, the reason in `failed`."""
    measured: dict[str, list[float]] = {name: [] for name in calls}
    times = dict.fromkeys(calls, 1)
    for turn in range(-1, repeats):  # the first finds how many calls fill a sample
        for name in list(measured):
            taken = attempt(functools.partial(sample, calls[name], times[name]), name, failed)
            if taken is None:
                del measured[name], calls[name]
                free_memory()
            elif turn < 0:
                times[name] = math.ceil(SAMPLE_SECONDS / taken)
            else:
                measured[name].append(taken)
    return measured


def sample(call: Callable, times: int) -> float:
    """Wall seconds a call. On a GPU one goes before, since PyTorch has given back its memory."""
    if torch.cuda.is_available():
        call()
    return seconds(call, times)


def seconds(call: Callable, times: int) -> float:
    """Wall seconds a run, of `times` in one go."""
    start = time.perf_counter()
    call(times)
    return (time.perf_counter() - start) / times
