"""Sample videos and a small random model, to try the commands without any download."""

import pathlib

from flax import nnx

from actionclip_jax import checkpoint, config, text
from actionclip_jax.data import synthetic
from actionclip_jax.models import action_clip

SAMPLES = (("square", "red", "left"), ("circle", "blue", "up"), ("triangle", "green", "right"))


def small_model() -> config.ModelConfig:
    """An ActionCLIP of the paper's shape, small enough for a laptop."""
    return config.checked(
        config.ModelConfig(
            image=config.ImageConfig(size=64, patch=16, width=192, depth=4, heads=3),
            text=config.TextConfig(width=128, depth=4, heads=2),
            temporal=config.TemporalConfig(head="Transf", depth=2, heads=2),
            embed_width=128,
        )
    )


def prepare(directory: pathlib.Path) -> list[str]:
    """Makes the videos and the model below `directory`; returns the arguments of the `actionclip predict` to run."""
    videos = directory / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    labels = []
    for seed, (shape, color, direction) in enumerate(SAMPLES):
        labels.append(f"a {color} {shape} moving {direction}")
        synthetic.write_moving_shape(
            videos / f"{color}_{shape}_{direction}.mp4", shape, color, direction, size=(320, 240), frames=48, seed=seed
        )
    model = small_model()
    params = action_clip.named_params(action_clip.ActionClip(model, rngs=nnx.Rngs(0)))
    provenance = {"source": "random initialisation", "seed": 0}
    weights = checkpoint.Weights(model, params, text.default_tokenizer(), provenance, {})
    checkpoint.save(directory / "model", weights, overwrite=True)
    arguments = ["predict", str(directory / "model"), str(videos), "--labels", ", ".join(labels)]
    return [*arguments, "--json", str(directory / "result.json"), "--sheet", str(directory / "sheet.png")]
