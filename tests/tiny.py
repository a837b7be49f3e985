"""A tiny model of every kind."""

import dataclasses
import functools

import jax
from flax import nnx

from actionclip_jax import config, text
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.models import action_clip

FRAMES = 4


def model_config(head="meanP", **changes):
    """Towers of 128 channels: two heads of 64, the width every format assumes."""
    heads = 8 if head == "Transf_cls" else 2
    model = config.ModelConfig(
        image=config.ImageConfig(size=32, patch=8, width=128, depth=2, heads=2),
        text=config.TextConfig(width=128, depth=2, heads=2),
        temporal=config.TemporalConfig(head=head, depth=2, heads=heads, positions=8),
        embed_width=64,
        frames=FRAMES,
    )
    return config.checked_model(dataclasses.replace(model, **changes))


def source_config(head="meanP", **changes):
    """The same with the temporal head that ActionCLIP builds whatever the widths: six layers, 77 positions."""
    model = model_config(head, **changes)
    positions = model.frames if head == "Transf_cls" else 77
    return dataclasses.replace(model, temporal=dataclasses.replace(model.temporal, depth=6, positions=positions))


def random_params(model, seed=0):
    """Random weights by path, drawn by one compiled function: eagerly it takes ten times as long."""
    return dict(draw_params(model, seed))


@functools.cache
def draw_params(model, seed):
    return jax.jit(lambda: action_clip.named_params(action_clip.ActionClip(model, rngs=nnx.Rngs(seed))))()


def save_model(directory, model, seed=0):
    """Writes a model directory with random weights; returns where."""
    params, provenance = random_params(model, seed), {"source": "test"}
    model_directory.save(directory, model_directory.Weights(model, params, text.default_tokenizer(), provenance, {}))
    return str(directory)
