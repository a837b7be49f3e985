"""Charades, several actions a video, ViT-B/16, 32 frames. Published (arXiv 2109.08472): mAP 44.3 with 10x3 views."""

from actionclip_jax.config import recipes


def get_config():
    run = recipes.action_clip("ViT-B/16", frames=32)
    for part in ("train", "test"):
        run.data[part].update(path="data/charades/lists", kind="charades", videos="data/charades/videos", split=part)
    run.objective.loss = "multi_label"
    run.data.loader.batch_size = 64
    run.init_from = "outputs/k400_vit_b16_32f/model"
    run.workdir = "outputs/charades"
    return run
