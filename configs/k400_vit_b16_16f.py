"""Kinetics-400, ViT-B/16, 16 frames.

Published (arXiv 2109.08472): top-1 and top-5 81.68 and 95.87; with 10x3 views 82.6 and 96.2.
"""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    return recipes.kinetics400("ViT-B/16", frames=16)
