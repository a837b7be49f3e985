"""Kinetics-400, ViT-B/16, 32 frames.

Published (arXiv 2109.08472): top-1 and top-5 82.32 and 96.20; with 10x3 views 83.8 and 97.1.
"""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    return recipes.kinetics400("ViT-B/16", frames=32)
