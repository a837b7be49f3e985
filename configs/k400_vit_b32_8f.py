"""Kinetics-400, ViT-B/32, 8 frames. Published (arXiv 2109.08472): top-1 and top-5 78.36 and 94.25."""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    return recipes.kinetics400("ViT-B/32", frames=8)
