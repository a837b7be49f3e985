"""A small model from nothing, on a CPU too: --config videos_from_scratch:DIR

DIR holds `train` and `test`, each with a folder of videos for every class, or made by `actionclip prepare`. Few videos
make no CLIP: such a model knows its own classes, more or less, and no others.
"""

from actionclip_jax import config


def get_config(directory: str = "videos") -> config.TrainConfig:
    run = config.draft(config.TrainConfig())
    run.workdir = "outputs/videos_from_scratch"
    run.model.image = config.ImageConfig(size=64, patch=16, width=192, depth=4, heads=3)
    run.model.text = config.TextConfig(width=128, depth=2, heads=2)
    run.model.temporal = config.TemporalConfig(head="Transf", depth=2, heads=2)
    run.model.embed_width = 128
    run.data.train.path = f"{directory}/train"
    run.data.test.path = f"{directory}/test"
    run.data.sample.size = 64
    run.data.augment.rand_operations = 0
    run.data.loader.batch_size = 32
    run.objective.loss = "normalized"
    run.optim = config.OptimConfig(lr=5e-4, epochs=60.0, warmup_epochs=5.0, clip_norm=1.0, multipliers=((r".*", 1.0),))
    run.eval_every_epochs = 10.0
    run.checkpoint.every_epochs = 20.0
    return run
