"""What train_step.py and inference.py have alike: their options, their cases, how peers are compared, and the table.

A case is a size, a number of frames and a dtype; in each all peers take turns. Peers of this project differ in how they
compute the same: layers, attention, and what the backward pass recomputes.
"""

import argparse
import dataclasses
import functools
import itertools
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import rich.box
import rich.table
import rivals
import torch
import torch_model

from actionclip_jax import config
from actionclip_jax.checkpoints import formats, verify

SIZES = (*config.CLIP_SIZES, "small")
# PyTorch's peers, with the mode of torch.compile. Those without graphs: calls of this size hide their own launches.
TORCH = {"torch": None, "torch.compile": "default", "torch.max-autotune": "max-autotune-no-cudagraphs"}
USUAL_PEERS = ("torch", "torch.compile", "jax")  # tuning takes minutes
LAYERS = ("scan", "unroll")  # auto is one of the two, as it is of attention
USUAL = {"layers": LAYERS, "attention": ("auto",), "remat": ("everything",)}
EVERY = {"layers": LAYERS, "attention": ("xla", "cudnn"), "remat": config.REMAT}
CHOICES = {"layers": ("auto", *LAYERS), "attention": config.ATTENTION, "remat": config.REMAT}
# FLOPs of a call that tell a batch size: enough to fill an accelerator (32 clips of 8 frames in a training step of
# ViT-B/16, of which both sides fit into one H100), and no more than seconds of a CPU
WORK = {"cpu": 2e12, "accelerator": 3e13}
BATCHES = {"cpu": (2, 8), "accelerator": (2, 64)}  # at least two clips: the loss of one is zero


@dataclasses.dataclass(frozen=True)
class Case:
    """What all peers of a comparison compute."""

    size: str
    frames: int
    batch: int
    dtype: config.Dtype
    model: config.ModelConfig
    work: float  # FLOPs a clip

    def described(self) -> dict[str, str | int | float]:
        """For a row: all but the model, which its size names."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "model"}


@dataclasses.dataclass(frozen=True)
class Peer:
    """One way to compute a case."""

    call: Callable | None  # see `rivals.waiting`
    first: np.ndarray  # what the first call gave: all peers give the same
    memory: int | None  # bytes at the peak of a call; not every compiler says, nor PyTorch on a CPU


@dataclasses.dataclass(frozen=True)
class Weights:
    """The same for both sides."""

    params: dict[str, np.ndarray]
    source: formats.Recognised


@dataclasses.dataclass(frozen=True)
class Sides:
    """What makes the peers of a case."""

    torch: Callable[[str | None], Callable]  # the mode of torch.compile, or None for eager -> the call
    jax: Callable[[config.ComputeConfig], Peer]

    def makers(self, case: Case, options: argparse.Namespace) -> dict[str, Callable[[], Peer]]:
        """Those that were asked for."""
        makers: dict[str, Callable[[], Peer]] = {
            name: functools.partial(torch_peer, functools.partial(self.torch, mode))
            for name, mode in TORCH.items()
            if name in options.peers
        }
        if "jax" in options.peers:
            ways = ways_to_compute(options, case.dtype)
            makers.update({name: functools.partial(self.jax, compute) for name, compute in ways.items()})
        return makers


def make_parser(description: str, ways: Sequence[str]) -> argparse.ArgumentParser:
    """The options; `ways` are those of USUAL that matter."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sizes", nargs="+", default=["ViT-B/16"], choices=SIZES)
    parser.add_argument("--frames", nargs="+", type=int, default=[8])
    parser.add_argument("--batch", type=int, help="clips at once; by default what suits the case and the device")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtypes", nargs="+", default=list(config.DTYPES), choices=config.DTYPES)
    parser.add_argument("--peers", nargs="+", default=USUAL_PEERS, choices=[*TORCH, "jax"])
    for name in ways:
        usual = " ".join(USUAL[name])
        parser.add_argument(f"--{name}", nargs="+", choices=CHOICES[name], help=f"default: {usual}")
    parser.add_argument(
        "--every", action="store_true", help=f"every combination of {', '.join(ways)} that is not given"
    )
    parser.add_argument("--prepare", type=float, help="seconds a case; who would not be ready by then is left out")
    parser.add_argument("--json", type=pathlib.Path, help="write the measurements here too, after every case")
    return parser


def ways_to_compute(options: argparse.Namespace, dtype: config.Dtype) -> dict[str, config.ComputeConfig]:
    """The peers of this project by name: all combinations of what was asked for."""
    chosen = {name: getattr(options, name) for name in USUAL if hasattr(options, name)}
    default = EVERY if options.every else USUAL
    combinations = itertools.product(*(reversed([given or default[name] for name, given in chosen.items()])))
    named = [dict(zip(chosen, reversed(values), strict=True)) for values in combinations]
    compute = config.ComputeConfig(dtype=dtype)
    return {" ".join(["jax", *way.values()]): dataclasses.replace(compute, **way) for way in named}


def model_of(size: str) -> config.ModelConfig:
    """CLIP's with the Transf head; `small` is one that a CPU trains in seconds."""
    if size != "small":
        return config.clip_model(size, "Transf")
    return config.checked_model(
        config.ModelConfig(
            image=config.ImageConfig(size=96, patch=16, width=256, depth=6, heads=4),
            text=config.TextConfig(width=256, depth=4, heads=4),
            temporal=config.TemporalConfig(head="Transf", heads=4),
            embed_width=256,
        )
    )


def choose_batch(work: float) -> int:
    """Clips at once, of so many FLOPs each: a power of two."""
    device = "cpu" if jax.default_backend() == "cpu" else "accelerator"
    least, most = BATCHES[device]
    batch = most
    while batch > least and batch * work > WORK[device]:
        batch //= 2
    return batch


def run(
    options: argparse.Namespace,
    count_work: Callable[[config.ModelConfig, int], float],
    make_peers: Callable[[Case, Weights], Sides],
    limits: Mapping[str, float],
) -> list[dict]:
    """A row for every peer of every case. Exits with 1 where results differ by more than the dtype's limit."""
    rivals.set_up()
    rows = []
    for size in options.sizes:
        model = model_of(size)
        params, source = torch_model.same_weights(model)
        weights = Weights(jax.tree.map(np.asarray, params), source)
        del params  # which are on the device
        for frames, dtype in itertools.product(options.frames, options.dtypes):
            work = count_work(model, frames)
            case = Case(size, frames, options.batch or choose_batch(work), dtype, model, work)
            print(f"{size}, {frames} frames, batch {case.batch}, {dtype}", file=sys.stderr)
            rows += measure(case, make_peers(case, weights).makers(case, options), options)
            rivals.write_json(options, rows)
    print_table(rows)
    wrong = [row for row in rows if row.get("error", 0) > limits.get(row["dtype"], np.inf)]
    if wrong:
        sys.exit("\n".join(["these do not compute what PyTorch does:", *(f"  {name_row(row)}" for row in wrong)]))
    return rows


def measure(case: Case, makers: Mapping[str, Callable[[], Peer]], options: argparse.Namespace) -> list[dict]:
    """The rows of a case."""
    calls, results, failed = prepare(makers, options.prepare)
    work, products = rivals.matmuls(case.dtype)
    calls |= products
    measured = rivals.take_turns(calls, options.repeats, failed)
    peak = work / min(min(measured[name]) for name in products if name in measured)
    best_torch = min((min(measured[name]) for name in TORCH if name in measured), default=None)
    reference = next((results[name].first for name in TORCH if name in results), None)
    rows = []
    for name in makers:
        row: dict[str, Any] = {**case.described(), "peak": peak, "peer": name}
        if name in failed:
            rows.append(row | {"failed": failed[name]})
            continue
        rates = sorted(case.batch / taken for taken in measured[name])
        row |= {"clips/s": statistics.median(rates), "samples": rates, "memory": results[name].memory}
        row["utilisation"] = row["clips/s"] * case.work / peak
        if best_torch:
            row["to best torch"] = best_torch / min(measured[name])
        if reference is not None:
            row["error"] = verify.compare(name, results[name].first, reference).relative
        if results[name].first.ndim == 0:
            row["loss"] = float(results[name].first)
        rows.append(row)
    return rows


def prepare(
    makers: Mapping[str, Callable[[], Peer]], limit: float | None
) -> tuple[dict[str, Callable], dict[str, Peer], dict[str, str]]:
    """The calls, what else is known of the peers, and why others failed.

    A peer is left out if, taking as long as the slowest of its library before it, it would not be ready within `limit`
    seconds.
    """
    calls, results, failed, start = {}, {}, {}, time.monotonic()
    slowest = {"jax": 0.0, "torch": 0.0}
    for name, make in makers.items():
        begun, library = time.monotonic(), "jax" if name.startswith("jax") else "torch"
        if limit and begun - start + slowest[library] > limit:
            failed[name] = f"left out: it would hardly be ready within {limit:g} s"
        elif peer := rivals.attempt(make, name, failed):
            # the call apart from the rest, so that a peer that fails later is really gone
            calls[name], results[name] = peer.call, dataclasses.replace(peer, call=None)
        slowest[library] = max(slowest[library], time.monotonic() - begun)
        print(f"  {name}: {failed.get(name, 'ready')}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return calls, results, failed


def torch_peer(make: Callable[[], Callable]) -> Peer:
    """A peer from its call; what others hold on the GPU does not count."""
    torch._dynamo.reset()  # or it would count the peers before as recompilations, of which it allows eight
    if not torch.cuda.is_available():
        call = make()
        return Peer(call, call().float().numpy(), None)
    before = torch.cuda.memory_allocated()
    call = make()
    first = call().float().cpu().numpy()
    torch.cuda.reset_peak_memory_stats()  # compiling may have needed more
    call()
    return Peer(call, first, torch.cuda.max_memory_allocated() - before)


def name_row(row: dict) -> str:
    """Which peer of which case."""
    return f"{row['size']}, {row['frames']} frames, {row['dtype']}, {row['peer']}"


def print_table(rows: list[dict]) -> None:
    """All rows, and below them why some failed."""
    peaks = {row["dtype"]: f"{row['peak'] / 1e12:.3g} TFLOP/s in {row['dtype']}" for row in rows}
    title = f"{rivals.describe_machine()}; large matrix products: {', '.join(peaks.values())}"
    table = rich.table.Table(title=title, box=rich.box.SIMPLE, pad_edge=False)
    columns = ("size", "frames", "batch", "dtype", "peer", "clips/s", "spread", "MFU", "GiB", "to torch", "error")
    for column in columns:
        table.add_column(column, justify="left" if column in ("size", "dtype", "peer") else "right", no_wrap=True)
    case = None
    for row in rows:
        cells = (row["size"], str(row["frames"]), str(row["batch"]), row["dtype"])
        if case not in (None, cells):
            table.add_section()
        case = cells
        table.add_row(*cells, row["peer"], *describe_row(row))
    rivals.CONSOLE.print(table)
    for row in rows:
        if "failed" in row:
            rivals.CONSOLE.print(f"{name_row(row)}: {row['failed']}", highlight=False, markup=False)


def describe_row(row: dict) -> tuple[str, ...]:
    """The figures of a row."""
    if "failed" in row:
        return ("failed",)
    return (
        f"{row['clips/s']:.3g}",
        f"{row['samples'][0]:.3g}-{row['samples'][-1]:.3g}",
        f"{row['utilisation']:.0%}",
        f"{row['memory'] / 2**30:.2f}" if row["memory"] else "",
        f"{row['to best torch']:.2f}x" if "to best torch" in row else "",
        f"{row['error']:.0e}" if "error" in row else "",
    )
