"""The embedded default: coloured shapes that move, made on the spot, and a model small enough for a laptop.

The paper's steps: image-text pre-training on stills ("a red square on the left"), then video training with prompts and
the temporal transformer ("a red square moving left") on 48 of 72 classes. The other 24 show shapes in colours that no
training video has: the zero-shot test.
"""

from actionclip_jax import config

DATA = "outputs/sample/data"  # made by the first run


def get_config() -> config.TrainConfig:
    run = config.draft(config.TrainConfig())
    run.workdir = "outputs/sample"
    run.model.image = config.ImageConfig(size=32, patch=16, width=64, depth=3, heads=1)
    run.model.text = config.TextConfig(width=64, depth=2, heads=1)
    run.model.temporal = config.TemporalConfig(head="Transf", depth=2, heads=2)
    run.model.embed_width = 128
    run.model.frames = 4
    run.compute.layers = "unroll"  # a third faster than scanning so few of them

    run.data.train = config.SourceConfig(DATA, kind="sample", split="train")
    run.data.test = config.SourceConfig(DATA, kind="sample", split="test")
    run.data.zero_shot = config.SourceConfig(DATA, kind="sample", split="unseen")
    run.data.sample = config.SampleConfig(frames=4, size=32)
    run.data.augment = config.NO_AUGMENTATION  # colours and directions are what the labels say: neither may change
    run.data.loader.workers = 0  # so small that threads do, which start at once

    stills = config.SourceConfig(DATA, kind="sample", split="stills")
    run.pretrain = config.PretrainConfig(stills, epochs=60.0, warmup_epochs=6.0, lr=2e-3, batch_size=256)
    # positions start small beside what they are added to, and here they are half of what there is to learn
    run.pretrain.multipliers = ((r"image/position", 30.0), (r".*", 1.0))
    run.objective.loss = "normalized"
    run.optim = config.OptimConfig(lr=1e-3, epochs=30.0, warmup_epochs=3.0, clip_norm=1.0)
    run.optim.multipliers = ((r"temporal/position", 20.0), (r"temporal/.*", 2.0), (r".*", 1.0))
    run.eval_every_epochs = 15.0
    run.checkpoint.every_epochs = 15.0
    return run
