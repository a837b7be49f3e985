"""The embedded default: coloured shapes that move, made on the spot, and a model small enough for a laptop.

The paper's steps: image-text pre-training on still pictures ("a red square"), then video training with prompts and the
temporal transformer ("a red square moving left") on 54 of 72 classes. The other 18 are the zero-shot test.
"""

from actionclip_jax import config_file

DATA = "outputs/sample/data"  # made by the first run


def get_config():
    run = config_file.default()
    run.workdir = "outputs/sample"
    run.model.image.update(size=32, patch=8, width=128, depth=3, heads=2)
    run.model.text.update(width=128, depth=2, heads=2)
    run.model.temporal.update(head="Transf", depth=2, heads=2)
    run.model.embed_width = 128

    for part, split in (("train", "train"), ("test", "test"), ("zero_shot", "unseen")):
        run.data[part].update(path=DATA, kind="sample", split=split)
    run.data.sample.size = 32
    # colours are labels here, and so are directions: neither may change
    run.data.augment.update(rand_operations=0, scales=(1.0,), flip="never", jitter=0.0, grey=0.0)
    run.data.loader.update(batch_size=64, workers=1)

    run.pretrain.source.update(path=DATA, kind="sample", split="stills")
    run.pretrain.update(epochs=20.0, lr=5e-4, batch_size=64)
    run.objective.loss = "normalized"
    run.optim.update(lr=2e-4, epochs=8.0, warmup_epochs=1.0, clip_norm=1.0, multipliers=((r"temporal/.*", 5.0), (r".*", 1.0)))
    run.eval_every_epochs = 2.0
    run.checkpoint.every_epochs = 4.0
    return run
