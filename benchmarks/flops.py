"""Compares the FLOPs counted by hand in `actionclip_jax/models/flops.py` with XLA's count."""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import rich.table
import rivals

from actionclip_jax import config
from actionclip_jax.models import action_clip, flops


def counted_by_xla(model: config.ModelConfig, frames: int) -> float:
    """The same from XLA, before optimisation and with the layers unrolled: it counts the body of a loop once."""
    video = action_clip.abstract(model, config.ComputeConfig(layers="unroll", attention="xla"))
    size = model.image.size
    pixels = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.uint8)
    lowered = jax.jit(action_clip.ActionClip.encode_video).lower(video, pixels)
    analysis = lowered.cost_analysis()
    if analysis is None:
        raise RuntimeError(f"XLA counts no FLOPs on {jax.default_backend()}")
    return analysis["flops"]


def main() -> None:
    """Reads the command line, prints the table and fails where the two counts differ by more than 1%."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=list(config.CLIP_SIZES), choices=config.CLIP_SIZES)
    parser.add_argument("--json", type=pathlib.Path, help="write the counts here as well")
    options = parser.parse_args()
    columns = ("size", "frames", "GFLOP a frame", "GFLOP temporal", "GFLOP a clip", "by XLA", "XLA / ours")
    table, rows = rich.table.Table(*columns, title="forward pass, Transf head"), []
    for size in options.sizes:
        for frames in (8, 32):
            model = config.clip_model(size, "Transf")
            ours, theirs = flops.encode_video(model, frames), counted_by_xla(model, frames)
            rows.append({"size": size, "frames": frames, "ours": ours, "XLA": theirs})
            counts = (flops.image_tower(model), flops.temporal_head(model, frames), ours, theirs)
            table.add_row(size, str(frames), *(f"{count / 1e9:.3f}" for count in counts), f"{theirs / ours:.4f}")
    rivals.CONSOLE.print(table)
    rivals.write_json(options, rows)
    assert all(abs(row["XLA"] / row["ours"] - 1) < 0.01 for row in rows), "the counts differ by more than 1%"


if __name__ == "__main__":
    main()
