"""Clips/s of encoding videos (uint8 frames -> clip feature, Transf head) against PyTorch, on this machine.

PyTorch is transformers' image tower with sdpa attention and the Transf head from torch.nn. All peers have the same
random weights, checked in float32, and take turns within one run, so that other load hits them alike.

    python benchmarks/inference.py --sizes ViT-B/32 ViT-B/16 ViT-L/14 --frames 8 16 32
    python benchmarks/inference.py --batch 1
"""

import functools
from collections.abc import Callable

import cases
import jax
import jax.numpy as jnp
import numpy as np
import rivals
import torch
import torch_model
from flax import nnx

from actionclip_jax import config, xla
from actionclip_jax.checkpoints import formats
from actionclip_jax.models import action_clip, flops

LIMITS = {"float32": 1e-3}  # of the features' difference, relative to the largest


def torch_call(source: formats.Recognised, frames: np.ndarray, dtype: str, mode: str | None) -> Callable:
    """`call(times)` encodes the frames so often and returns the features; compiled in that mode, if any."""
    module = torch_model.TorchVideo(source, getattr(torch, dtype)).to(rivals.torch_device())
    encode = torch.compile(module, mode=mode) if mode else module
    pixels = torch.from_numpy(frames).to(rivals.torch_device())
    return rivals.waiting(torch.inference_mode()(lambda: encode(pixels)), rivals.wait_for_torch)


def jax_peer(
    model: config.ModelConfig, params: dict[str, np.ndarray], frames: np.ndarray, compute: config.ComputeConfig
) -> cases.Peer:
    """The same for this project's model."""
    config.checked_model(model, compute)
    graph, state = nnx.split(action_clip.from_params(model, compute, params))
    encode = jax.jit(
        lambda state, frames: nnx.merge(graph, state).encode_video(frames),
        compiler_options=xla.options(compute.dtype),
    )
    arguments = (state, jnp.asarray(frames))
    compiled = encode.lower(*arguments).compile()
    call = rivals.waiting(functools.partial(compiled, *arguments), jax.block_until_ready)
    return cases.Peer(call, np.asarray(call()), sum(xla.memory_by_kind(compiled).values()) or None)


def make_peers(case: cases.Case, weights: cases.Weights) -> cases.Sides:
    """What makes a peer of either side."""
    shape = (case.batch, case.frames, case.model.image.size, case.model.image.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    theirs = functools.partial(torch_call, weights.source, frames, case.dtype)
    return cases.Sides(theirs, functools.partial(jax_peer, case.model, weights.params, frames))


def main() -> None:
    """Reads the command line, measures, prints the table."""
    parser = cases.make_parser(__doc__.splitlines()[0], ("layers", "attention"))
    cases.run(parser.parse_args(), flops.encode_video, make_peers, LIMITS)


if __name__ == "__main__":
    main()
