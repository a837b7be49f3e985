"""Kinetics-400, ViT-B/16, 8 frames. Published (arXiv 2109.08472): top-1 and top-5 81.09 and 95.49."""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    return recipes.kinetics400("ViT-B/16", frames=8)
