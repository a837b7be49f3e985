"""A model by name, path or hub name, ready to be asked. The one that is made here is made first."""

import os
import pathlib
from typing import Any

from actionclip_jax import checkpoints, config, paths, progress, xla
from actionclip_jax.checkpoints import released
from actionclip_jax.inference import predict


def load(
    model: str | os.PathLike[str],
    *,
    frames: int | None = None,
    activation: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    trust_code: bool = False,
    **compute: Any,
) -> predict.Predictor:
    """Loads a model directory, a PyTorch checkpoint, a hub name, or a name that `actionclip models` lists.

    `sample` is made on first use, in minutes.

    Args:
        model: where the weights are, or what they are called.
        frames: frames sampled from a clip, if not the model's own number.
        activation: quick_gelu or gelu, for PyTorch checkpoints that do not say it.
        cache: directory that keeps text embeddings between runs.
        trust_code: import the temporal head of a model directory that is somebody's own code.
        **compute: fields of `config.ComputeConfig`: dtype, attention, interpolate_positions ...

    Raises:
        ValueError: nothing there, or not a model that is read; it says what to do.
    """
    how = config.ComputeConfig(**compute)
    xla.check_attention(how.attention)
    with progress.drawn():
        make_ready(model)
    weights = checkpoints.read_any(model, activation=activation, frames=frames, trust_code=trust_code)
    return predict.Predictor(weights, how, None if cache is None else pathlib.Path(cache))


def make_ready(model: str | os.PathLike[str]) -> None:
    """Makes the sample model if this is its name, and nothing here has it; whatever reads models then finds it."""
    if os.fspath(model) != released.SAMPLE or paths.expand_home(model).exists():
        return
    from actionclip_jax.experiments import sample_model  # takes seconds, which other models need not pay

    sample_model.make()
