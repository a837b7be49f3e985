"""Options of the commands that read PyTorch checkpoints."""

import argparse

from actionclip_jax import config


def model_name(value: str) -> str:
    """A name that is not empty: an empty one would be the current directory."""
    if not value.strip():
        raise argparse.ArgumentTypeError("is empty: expected a model directory, a checkpoint or a hub name")
    return value


def add_options(parser: argparse.ArgumentParser) -> None:
    """What a PyTorch checkpoint does not say of itself."""
    parser.add_argument("--activation", choices=config.ACTIVATIONS, help="of open_clip weights that do not say it")
