"""Fine-tunes a model on your own videos, then measures it on others.

python examples/train_on_folders.py MODEL DATA WORKDIR

DATA holds two folders, `train` and `test`; each holds a folder of videos for every class, whose name is the label.
MODEL is a model directory, a PyTorch checkpoint or a hub name such as openai/clip-vit-base-patch16.
"""

import dataclasses
import logging
import sys

import actionclip_jax
from actionclip_jax import config, training


def configure(start: str, data: str, workdir: str) -> config.TrainConfig:
    """ActionCLIP's recipe, for a short training. Every other setting keeps its default: see config.TrainConfig."""
    model = actionclip_jax.load(start).config
    if model.temporal.head == "meanP":  # a plain CLIP: it gets the temporal transformer of ActionCLIP
        model = dataclasses.replace(model, temporal=config.TemporalConfig(head="Transf", heads=model.text.heads))
    return config.TrainConfig(
        model=model,
        data=config.DataConfig(
            train=config.SourceConfig(path=f"{data}/train"),
            test=config.SourceConfig(path=f"{data}/test"),
            sample=config.SampleConfig(frames=model.frames, size=model.image.size),
            loader=config.LoaderConfig(batch_size=32),
        ),
        optim=config.OptimConfig(epochs=10, warmup_epochs=1),
        init_from=start,
        workdir=workdir,
    )


def train_and_test(run: config.TrainConfig) -> None:
    """Trains, and prints the accuracy on the test videos. The same call goes on with a run that was stopped."""
    outcome = training.train(run)
    if outcome.model is None:
        sys.exit("stopped; the same command goes on")
    scores = outcome.scores["test"].summary()
    print(f"model: {outcome.model}")
    print(f"top-1 accuracy {scores['top1']:.1%} on {scores['scored']} videos of {scores['classes']} classes")


if __name__ == "__main__":  # worker processes import this file too
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train_and_test(configure(*sys.argv[1:]))
