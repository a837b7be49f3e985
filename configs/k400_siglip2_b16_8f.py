"""Kinetics-400, SigLIP 2 B/16, 8 frames, with SigLIP's own loss. Nothing is published, and nobody has run it.

The learning rates are those of ActionCLIP's recipe for CLIP, which have not been tested with these towers.
"""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    return recipes.kinetics400("SigLIP2-B/16", frames=8)
