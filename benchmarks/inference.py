"""Clips/s of encoding videos (uint8 frames -> clip feature, Transf head) against PyTorch, on this machine.

PyTorch is transformers' image tower with sdpa attention and the Transf head from torch.nn. All peers have the same
random weights, checked in float32, and take turns within one run, so that other load hits them alike.

    python benchmarks/inference.py --size ViT-B/16 --batch 1
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import flops
import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
import torch
import transformers
from flax import nnx

from actionclip_jax import checkpoint, config, text
from actionclip_jax.convert import files, formats, run, verify
from actionclip_jax.models import action_clip, clip

PEERS = ("torch", "torch.compile", "jax scan", "jax unroll")
SAMPLE_SECONDS = 0.2  # a timed sample is as many calls as fill this
CONSOLE = rich.console.Console()


class TorchVideo(torch.nn.Module):
    """uint8 [B, T, S, S, 3] -> [B, E] of unit norm, with the weights of an ActionCLIP checkpoint."""

    def __init__(self, source: formats.Recognised) -> None:
        super().__init__()
        vision = run.huggingface_config(source.model).vision_config
        towers = verify.torch_towers(source).state_dict()
        self.image = transformers.CLIPVisionModelWithProjection._from_config(vision, attn_implementation="sdpa")
        self.image.load_state_dict({name: towers[name] for name in self.image.state_dict()})
        self.head = verify.TorchHead(source)
        self.register_buffer("mean", torch.tensor(clip.MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(clip.STD), persistent=False)
        self.eval()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalises as the JAX model does: in the dtype the weights have, from [0, 1]."""
        pixels = (frames.flatten(0, 1).to(self.mean.dtype) / 255 - self.mean) / self.std
        features = self.image(pixel_values=pixels.movedim(-1, 1)).image_embeds
        return verify.unit(self.head(features.unflatten(0, frames.shape[:2])))


def same_weights(model: config.ModelConfig) -> tuple[dict[str, jax.Array], formats.Recognised]:
    """Random parameters, and what the conversion makes of them as a PyTorch checkpoint."""
    params = action_clip.named_params(action_clip.ActionClip(model, rngs=nnx.Rngs(0)))
    weights = checkpoint.Weights(model, params, text.default_tokenizer(), {}, {})
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model.pt"
        run.export(weights, path, "actionclip", towers_only=False, overwrite=False)
        return params, formats.recognise(files.read(path), frames=model.frames)


def torch_peer(source: formats.Recognised, frames: np.ndarray, dtype: str, compiled: bool) -> Callable:
    """A call that encodes the frames and waits for the result."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = TorchVideo(source).to(device, getattr(torch, dtype))
    encode = torch.compile(module) if compiled else module
    pixels = torch.from_numpy(frames).to(device)
    return torch_call(lambda: encode(pixels))


def torch_call(function: Callable) -> Callable:
    """`call(times)` runs the function that often without gradients, waits for the device, returns the last result."""

    @torch.inference_mode()
    def call(times: int = 1) -> torch.Tensor:
        for _ in range(times):
            result = function()
        if result.is_cuda:
            torch.cuda.synchronize()
        return result

    return call


def jax_peer(model: config.ModelConfig, params: dict, frames: np.ndarray, dtype: str, layers: str) -> Callable:
    """The same for this project's model."""
    graph, state = nnx.split(action_clip.from_params(model, config.ComputeConfig(dtype=dtype, layers=layers), params))
    encode = jax.jit(lambda state, frames: nnx.merge(graph, state).encode_video(frames))
    return jax_call(functools.partial(encode, state, jnp.asarray(frames)))


def jax_call(function: Callable) -> Callable:
    """`torch_call` for JAX."""

    def call(times: int = 1) -> jax.Array:
        for _ in range(times):
            result = function()
        return jax.block_until_ready(result)

    return call


def matmuls(dtype: str) -> tuple[int, dict[str, Callable]]:
    """A square product by both libraries, for the device's peak: its FLOPs and the calls."""
    size = 8192 if torch.cuda.is_available() else 2048
    ours = jnp.ones((size, size), dtype)
    theirs = torch.ones(
        (size, size), dtype=getattr(torch, dtype), device="cuda" if torch.cuda.is_available() else "cpu"
    )
    product = jax.jit(functools.partial(jnp.matmul, precision="highest" if dtype == "float32" else None))
    return 2 * size**3, {
        "jax matmul": jax_call(lambda: product(ours, ours)),
        "torch matmul": torch_call(lambda: theirs @ theirs),
    }


def take_turns(calls: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """Seconds a call of each, `repeats` times in turns; every call has run before."""
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


def benchmark(
    dtype: str, model: config.ModelConfig, params: dict, source: formats.Recognised, options: argparse.Namespace
) -> list[dict]:
    """A row for every peer in one dtype."""
    shape = (options.batch, options.frames, model.image.size, model.image.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    calls, failed, features = {}, {}, {}
    for peer in options.peers:
        CONSOLE.print(f"preparing {peer} in {dtype}", style="dim")
        try:
            library, _, kind = peer.replace(".", " ").partition(" ")
            if library == "torch":
                call = torch_peer(source, frames, dtype, compiled=kind == "compile")
            else:
                call = jax_peer(model, params, frames, dtype, kind)
            result = call()
        except Exception as error:  # a peer that cannot run here is a row that says why
            failed[peer] = {"peer": peer, "dtype": dtype, "failed": f"{type(error).__name__}: {error}".splitlines()[0]}
            continue
        calls[peer], features[peer] = call, np.asarray(result.float().cpu() if library == "torch" else result)
    work, products = matmuls(dtype)
    for product in products.values():
        product()
    measured = take_turns(calls | products, options.repeats)
    peak = work / min(min(measured[name]) for name in products)
    reference = measured.get("torch")
    rows = []
    for peer in calls:
        rates = sorted(options.batch / sample for sample in measured[peer])
        rows.append({"peer": peer, "dtype": dtype, "clips_per_second": statistics.median(rates), "samples": rates})
        rows[-1]["of_floor"] = rows[-1]["clips_per_second"] * flops.encode_video(model, options.frames) / peak
        rows[-1]["peak_tflops"] = peak / 1e12
        if reference:  # of samples taken next to each other
            ratios = [theirs / ours for theirs, ours in zip(reference, measured[peer], strict=True)]
            rows[-1]["ratio"], rows[-1]["ratio_of_best"] = (
                statistics.median(ratios),
                min(reference) / min(measured[peer]),
            )
        if "torch" in features:
            rows[-1]["error"] = verify.compare(peer, features[peer], features["torch"]).relative
            assert dtype != "float32" or rows[-1]["error"] < 1e-3, (
                f"{peer} does not compute what torch does: {rows[-1]}"
            )
    return rows + list(failed.values())


def print_table(rows: list[dict], title: str) -> None:
    """All rows; those that failed say why."""
    table = rich.table.Table("peer", "dtype", title=title)
    for column in ("clips/s", "spread", "ratio", "of best", "of floor", "error"):
        table.add_column(column, justify="right")
    for row in rows:
        if "failed" in row:
            table.add_row(row["peer"], row["dtype"], row["failed"])
            continue
        low, high = row["samples"][0], row["samples"][-1]
        ratios = (f"{row[name]:.2f}x" if name in row else "" for name in ("ratio", "ratio_of_best"))
        error = f"{row['error']:.0e}" if "error" in row else ""
        numbers = (f"{row['clips_per_second']:.3g}", f"{low:.3g}-{high:.3g}", *ratios, f"{row['of_floor']:.0%}", error)
        table.add_row(row["peer"], row["dtype"], *numbers)
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
    model = dataclasses.replace(config.clip_model(options.size, "Transf"), frames=options.frames)
    params, source = same_weights(model)
    rows = [row for dtype in options.dtypes for row in benchmark(dtype, model, params, source, options)]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    versions = f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}"
    peaks = ", ".join(
        f"{row['peak_tflops']:.3g} TFLOP/s {row['dtype']}"
        for row in rows
        if row["peer"] == "torch" and "failed" not in row
    )
    print_table(rows, f"{options.size}, {options.frames} frames, {options.batch} clips, {device} ({peaks})\n{versions}")
    if options.json:
        described = {name: str(value) for name, value in vars(options).items()}
        options.json.write_text(
            json.dumps({"device": device, "versions": versions, **described, "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
