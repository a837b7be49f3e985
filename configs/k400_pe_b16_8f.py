"""Kinetics-400, Perception Encoder's Core B/16, 8 frames. Nothing is published, and nobody has run it.

The learning rates are those of ActionCLIP's recipe for CLIP, which have not been tested with these towers.
"""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    return recipes.kinetics400("PE-Core-B/16", frames=8)
