"""HMDB51 with K clips a class: --config configs/hmdb51_few_shot.py:K.

Published for K = 2, 4, 8, 16 (arXiv 2109.08472): top-1 47.5 57.9 57.3 59.1.
"""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config(shots: str = "16") -> config.TrainConfig:
    return recipes.few_shot("hmdb51", shots)
