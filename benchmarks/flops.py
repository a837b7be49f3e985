"""Forward FLOPs of the video path, counted by hand; run as a script it compares them with XLA's count.

A multiplication and an addition are two; norms, softmax and activations (below 1%) are left out.
"""

import jax
import jax.numpy as jnp
import rich.console
import rich.table

from actionclip_jax import config
from actionclip_jax.models import action_clip


def blocks(tokens: int, width: int, depth: int) -> int:
    """Transformer blocks over one sequence: 12 D^2 products a token, and every token with every other, twice."""
    return depth * (2 * tokens * 12 * width**2 + 2 * 2 * tokens**2 * width)


def image_tower(model: config.ModelConfig) -> int:
    """One frame: patches, blocks, projection of the class token. Neither Shift nor Joint."""
    image = model.image
    patches = 2 * (image.tokens - 1) * image.patch**2 * 3 * image.width
    return patches + blocks(image.tokens, image.width, image.depth) + 2 * image.width * model.embed_width


def temporal_head(model: config.ModelConfig, frames: int) -> int:
    """One clip through the Transf head; meanP costs nothing."""
    return blocks(frames, model.embed_width, model.temporal.depth) if model.temporal.head == "Transf" else 0


def encode_video(model: config.ModelConfig, frames: int) -> int:
    """One clip from pixels to its feature."""
    return frames * image_tower(model) + temporal_head(model, frames)


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
            ours, theirs = encode_video(model, frames), counted_by_xla(model, frames)
            ratios.append(theirs / ours)
            counts = (image_tower(model), temporal_head(model, frames), ours, theirs)
            table.add_row(size, str(frames), *(f"{count / 1e9:.3f}" for count in counts), f"{ratios[-1]:.4f}")
    rich.console.Console().print(table)
    assert all(abs(ratio - 1) < 0.01 for ratio in ratios), "the counts differ by more than 1%"


if __name__ == "__main__":
    main()
