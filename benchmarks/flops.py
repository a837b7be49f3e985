"""Compares the FLOPs counted by hand in `actionclip_jax/flops.py` with XLA's count."""

import jax
import jax.numpy as jnp
import rich.console
import rich.table

from actionclip_jax import config
from actionclip_jax.models import action_clip, flops


def counted_by_xla(model: config.ModelConfig, frames: int) -> float:
    """The same from XLA, before optimisation and with the layers unrolled: it counts the body of a loop once."""
    video = action_clip.abstract(model, config.ComputeConfig(layers="unroll", attention="xla"))
    size = model.image.size
    pixels = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.uint8)
    return jax.jit(action_clip.ActionClip.encode_video).lower(video, pixels).cost_analysis()["flops"]


def main() -> None:
    """Prints the table and fails where the two counts differ by more than 1%."""
    columns = ("size", "frames", "GFLOP a frame", "GFLOP temporal", "GFLOP a clip", "by XLA", "XLA / ours")
    table, ratios = rich.table.Table(*columns, title="forward pass, Transf head"), []
    for size in config.CLIP_SIZES:
        for frames in (8, 32):
            model = config.clip_model(size, "Transf")
            ours, theirs = flops.encode_video(model, frames), counted_by_xla(model, frames)
            ratios.append(theirs / ours)
            counts = (flops.image_tower(model), flops.temporal_head(model, frames), ours, theirs)
            table.add_row(size, str(frames), *(f"{count / 1e9:.3f}" for count in counts), f"{ratios[-1]:.4f}")
    rich.console.Console().print(table)
    assert all(abs(ratio - 1) < 0.01 for ratio in ratios), "the counts differ by more than 1%"


if __name__ == "__main__":
    main()
