"""HMDB51, ViT-B/16, 32 frames, from Kinetics-400. Published (arXiv 2109.08472): top-1 76.2 over the three splits.

The other splits: --config.data.train.fold=2 --config.data.test.fold=2
"""

from actionclip_jax import recipes


def get_config():
    run = recipes.fine_tuning("hmdb51", "ViT-B/16", frames=32, batch_size=64)
    run.init_from = "outputs/k400_vit_b16_32f/model"
    run.workdir = "outputs/hmdb51"
    return run
