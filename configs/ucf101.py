"""UCF101, ViT-B/16, 32 frames, from Kinetics-400. Published (arXiv 2109.08472): top-1 97.1 over the three splits.

The other splits: --config.data.train.fold=2 --config.data.test.fold=2
"""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    return recipes.fine_tuning("ucf101", frames=32, batch_size=32)
