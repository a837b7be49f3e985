"""Options of the commands that read PyTorch checkpoints."""

import argparse

from actionclip_jax import config


def add_options(parser: argparse.ArgumentParser) -> None:
    """What a PyTorch checkpoint does not say of itself."""
    parser.add_argument("--activation", choices=config.ACTIVATIONS, help="of open_clip weights that do not say it")
