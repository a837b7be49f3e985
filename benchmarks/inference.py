"""Clips/s of encoding videos (uint8 frames -> clip feature, Transf head) against PyTorch, on this machine.

PyTorch is transformers' image tower with sdpa attention and the Transf head from torch.nn. All peers have the same
random weights, checked in float32, and take turns within one run, so that other load hits them alike.

    python benchmarks/inference.py --size ViT-B/16 --batch 1
"""

import argparse
import dataclasses
import functools
import json
import math
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
import torch
import torch_video
from flax import nnx

from actionclip_jax import compiler, config, flops
from actionclip_jax.convert import formats, verify
from actionclip_jax.models import action_clip

PEERS = ("torch", "torch.compile", "jax scan", "jax unroll")
SAMPLE_SECONDS = 0.2  # a timed sample is as many calls as fill this
CONSOLE = rich.console.Console(width=100)  # the table also goes into files


def torch_peer(source: formats.Recognised, frames: np.ndarray, dtype: str, compiled: bool) -> Callable:
    """The call that encodes the frames."""
    module = torch_video.TorchVideo(source, getattr(torch, dtype)).to(torch_device())
    encode, pixels = torch.compile(module) if compiled else module, torch.from_numpy(frames).to(torch_device())
    return waiting(torch.inference_mode()(lambda: encode(pixels)), wait_for_torch)


def jax_peer(model: config.ModelConfig, params: dict, frames: np.ndarray, dtype: str, layers: str) -> Callable:
    """The same for this project's model."""
    graph, state = nnx.split(action_clip.from_params(model, config.ComputeConfig(dtype=dtype, layers=layers), params))
    encode = jax.jit(
        lambda state, frames: nnx.merge(graph, state).encode_video(frames), compiler_options=compiler.options(dtype)
    )
    return waiting(functools.partial(encode, state, jnp.asarray(frames)), jax.block_until_ready)


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


def prepare(
    dtype: str, model: config.ModelConfig, params: dict, source: formats.Recognised, options: argparse.Namespace
) -> tuple[dict[str, Callable], dict[str, np.ndarray], list[dict]]:
    """The peers' calls, their features, and rows that say why for those that cannot run here."""
    shape = (options.batch, options.frames, model.image.size, model.image.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    calls, features, failed = {}, {}, []
    for peer in options.peers:
        try:
            if peer.startswith("torch"):
                call = torch_peer(source, frames, dtype, compiled=peer == "torch.compile")
                features[peer] = call().float().cpu().numpy()
            else:
                call = jax_peer(model, params, frames, dtype, layers=peer.removeprefix("jax "))
                features[peer] = np.asarray(call())
            calls[peer] = call
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            failed.append({"peer": peer, "dtype": dtype, "failed": reason})
    return calls, features, failed


def benchmark(dtype: str, model: config.ModelConfig, *peers: Any, options: argparse.Namespace) -> list[dict]:
    """A row for every peer in one dtype."""
    calls, features, rows = prepare(dtype, model, *peers, options)
    work, products = matmuls(dtype)
    measured = take_turns(calls | products, options.repeats)
    peak = work / min(min(measured[name]) for name in products)
    for peer in calls:
        rates = sorted(options.batch / sample for sample in measured[peer])
        row = {"peer": peer, "dtype": dtype, "clips/s": statistics.median(rates), "samples": rates, "peak": peak}
        row["of floor"] = row["clips/s"] * flops.encode_video(model, options.frames) / peak
        if "torch" in calls:
            pairs = zip(measured["torch"], measured[peer], strict=True)  # samples taken next to each other
            row["ratio"] = statistics.median(theirs / ours for theirs, ours in pairs)
            row["of best"] = min(measured["torch"]) / min(measured[peer])
            row["error"] = verify.compare(peer, features[peer], features["torch"]).relative
            assert dtype != "float32" or row["error"] < 1e-3, f"{peer} does not compute what torch does: {row}"
        rows.append(row)
    return rows


def print_table(rows: list[dict], title: str) -> None:
    """All rows; those that failed say why."""
    table = rich.table.Table(title=title)
    for column in ("peer", "dtype", "clips/s", "spread", "of floor", "ratio", "of best", "error"):
        table.add_column(column, justify="left" if column in ("peer", "dtype") else "right", no_wrap=True)
    for row in rows:
        if "failed" in row:
            table.add_row(row["peer"], row["dtype"], row["failed"])
            continue
        spread = f"{row['samples'][0]:.3g}-{row['samples'][-1]:.3g}"
        compared = (
            (f"{row['ratio']:.2f}x", f"{row['of best']:.2f}x", f"{row['error']:.0e}") if "ratio" in row else [""] * 3
        )
        table.add_row(row["peer"], row["dtype"], f"{row['clips/s']:.3g}", spread, f"{row['of floor']:.0%}", *compared)
    CONSOLE.print(table)


def main() -> None:
    """Reads the command line, measures, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="ViT-B/16", choices=config.CLIP_SIZES)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=1, help="clips at once")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dtypes", nargs="+", default=list(config.DTYPES), choices=config.DTYPES)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--json", type=pathlib.Path, help="write the measurements here as well")
    options = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # both libraries live on one GPU
    torch.set_num_threads(os.cpu_count())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 means float32, as in JAX
    load = os.getloadavg()[0]  # other processes slow PyTorch, whose threads wait for each other, more than JAX
    model = dataclasses.replace(config.clip_model(options.size, "Transf"), frames=options.frames)
    params, source = torch_video.same_weights(model)
    rows = [row for dtype in options.dtypes for row in benchmark(dtype, model, params, source, options=options)]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    peaks = {row["dtype"]: f"{row['peak'] / 1e12:.3g} TFLOP/s {row['dtype']}" for row in rows if "peak" in row}
    versions = f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}"
    title = f"{options.size}, {options.frames} frames, batch {options.batch}, {device}, load {load:.1f} at the start"
    print_table(rows, f"{title}\n{versions}, {', '.join(peaks.values())}")
    if options.json:
        described = {name: str(value) for name, value in vars(options).items()}
        described |= {"device": device, "versions": versions, "load": load}
        options.json.write_text(json.dumps(described | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
