"""Clips/s of encoding videos (uint8 frames -> clip feature, Transf head) against PyTorch, on this machine.

PyTorch is transformers' image tower with sdpa attention and the Transf head from torch.nn. All peers have the same
random weights, checked in float32, and take turns within one run, so that other load hits them alike.

    python benchmarks/inference.py --size ViT-B/16 --batch 1
"""

import argparse
import dataclasses
import functools
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
import rivals
import torch
import torch_video
from flax import nnx

from actionclip_jax import compiler, config, flops
from actionclip_jax.convert import formats, verify
from actionclip_jax.models import action_clip


def torch_peer(source: formats.Recognised, frames: np.ndarray, dtype: str, compiled: bool) -> Callable:
    """The call that encodes the frames."""
    module = torch_video.TorchVideo(source, getattr(torch, dtype)).to(rivals.torch_device())
    encode, pixels = torch.compile(module) if compiled else module, torch.from_numpy(frames).to(rivals.torch_device())
    return rivals.waiting(torch.inference_mode()(lambda: encode(pixels)), rivals.wait_for_torch)


def jax_peer(model: config.ModelConfig, params: dict, frames: np.ndarray, dtype: str, layers: str) -> Callable:
    """The same for this project's model."""
    graph, state = nnx.split(action_clip.from_params(model, config.ComputeConfig(dtype=dtype, layers=layers), params))
    encode = jax.jit(
        lambda state, frames: nnx.merge(graph, state).encode_video(frames), compiler_options=compiler.options(dtype)
    )
    return rivals.waiting(functools.partial(encode, state, jnp.asarray(frames)), jax.block_until_ready)


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
    work, products = rivals.matmuls(dtype)
    measured = rivals.take_turns(calls | products, options.repeats)
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
    rivals.CONSOLE.print(table)


def main() -> None:
    """Reads the command line, measures, prints the table."""
    options = rivals.add_options(argparse.ArgumentParser(description=__doc__.splitlines()[0])).parse_args()
    rivals.set_up()
    model = dataclasses.replace(config.clip_model(options.size, "Transf"), frames=options.frames)
    params, source = torch_video.same_weights(model)
    rows = [row for dtype in options.dtypes for row in benchmark(dtype, model, params, source, options=options)]
    peaks = {row["dtype"]: f"{row['peak'] / 1e12:.3g} TFLOP/s {row['dtype']}" for row in rows if "peak" in row}
    print_table(rows, f"{rivals.describe(options)}\npeak {', '.join(peaks.values())}")
    rivals.write_json(options, rows)


if __name__ == "__main__":
    main()
