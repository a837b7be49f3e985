"""Fine-tunes a model on your own videos, and measures it before and after on some that it holds out.

python examples/train_on_folders.py MODEL VIDEOS DIR

VIDEOS holds a folder of videos for every class, whose name is the label; lists are read too. MODEL is a model
directory, a PyTorch checkpoint or a hub name such as openai/clip-vit-base-patch16. DIR then holds the new model, a
report and the whole configuration. `actionclip finetune` does the same.
"""

import logging
import sys

from actionclip_jax import config
from actionclip_jax.experiments.finetuning import run


def main(model: str, videos: str, out: str, **options: object) -> None:
    """Trains, and prints the accuracy. The same call goes on with a run that was stopped."""
    request = config.FinetuneConfig(model=model, data=config.SourceConfig(videos), out=out, **options)
    report = run.finetune(request)
    for when in ("before", "after"):
        if measured := report[when]:  # nothing is, where every class has a single video
            print(f"{when}: top-1 accuracy {measured['scores']['top1']:.1%} of {measured['scored']} videos")


if __name__ == "__main__":  # worker processes import this file too
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(*sys.argv[1:])
