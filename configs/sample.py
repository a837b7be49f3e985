"""The embedded default: coloured shapes that move, made on the spot, and a model small enough for a laptop.

The paper's steps: image-text pre-training on stills ("a red square on the left"), then video training with prompts and
the temporal transformer ("a red square moving left") on 48 of 72 classes. The other 24 show shapes in colours that no
training video has: the zero-shot test.
"""

from actionclip_jax.config import config_file

DATA = "outputs/sample/data"  # made by the first run


def get_config():
    run = config_file.default()
    run.workdir = "outputs/sample"
    run.model.image.update(size=32, patch=16, width=64, depth=3, heads=1)
    run.model.text.update(width=64, depth=2, heads=1)
    run.model.temporal.update(head="Transf", depth=2, heads=2)
    run.model.update(embed_width=128, frames=4)
    run.compute.layers = "unroll"  # a third faster than scanning so few of them

    for part, split in (("train", "train"), ("test", "test"), ("zero_shot", "unseen")):
        run.data[part].update(path=DATA, kind="sample", split=split)
    run.data.sample.update(frames=4, size=32)
    # colours and directions are what the labels say: neither may change
    run.data.augment.update(rand_operations=0, scales=(1.0,), flip="never", jitter=0.0, grayscale=0.0)
    run.data.loader.update(batch_size=128, workers=0)  # so small that threads do, which start at once

    run.pretrain.source.update(path=DATA, kind="sample", split="stills")
    run.pretrain.update(epochs=60.0, warmup_epochs=6.0, lr=2e-3, batch_size=256)
    # positions start small beside what they are added to, and here they are half of what there is to learn
    run.pretrain.multipliers = ((r"image/position", 30.0), (r".*", 1.0))
    run.objective.loss = "normalized"
    run.optim.update(lr=1e-3, epochs=30.0, warmup_epochs=3.0, clip_norm=1.0)
    run.optim.multipliers = ((r"temporal/position", 20.0), (r"temporal/.*", 2.0), (r".*", 1.0))
    run.eval_every_epochs = 15.0
    run.checkpoint.every_epochs = 15.0
    return run
