"""Kinetics-400 with 8 frames and other towers than CLIP's: --config configs/k400_towers_8f.py:SigLIP2-L/16@256.

Nothing is published, and nobody has run it. The learning rates are those of ActionCLIP's recipe for CLIP, which have
not been tested with these towers.
"""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config(towers: str = "SigLIP2-So400m/14@384") -> config.TrainConfig:
    return recipes.kinetics400(towers, frames=8)
