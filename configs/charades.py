"""Charades, several actions a video, ViT-B/16, 32 frames. Published (arXiv 2109.08472): mAP 44.3 with 10x3 views."""

from actionclip_jax import config
from actionclip_jax.config import recipes


def get_config() -> config.TrainConfig:
    run = recipes.action_clip("ViT-B/16", frames=32)
    for source, split in ((run.data.train, "train"), (run.data.test, "test")):
        source.kind = "charades"
        source.path = "data/charades/lists"
        source.videos = "data/charades/videos"
        source.split = split
    run.objective.loss = "multi_label"
    run.data.loader.batch_size = 64
    run.init_from = "outputs/k400_vit_b16_32f/model"
    run.workdir = "outputs/charades"
    return run
