"""Options of the commands that encode videos and texts: how the model computes."""

import argparse

from actionclip_jax import config


def add_options(parser: argparse.ArgumentParser) -> None:
    """--dtype, --attention and --interpolate-positions."""
    add = parser.add_argument
    add("--dtype", choices=config.DTYPES, default="float32", help="of the computation (default: float32)")
    add("--attention", choices=config.ATTENTION, default="auto", help="attention kernel (default: auto)")
    add("--interpolate-positions", action="store_true", help="allow more frames than the model learned positions for")


def read(options: argparse.Namespace) -> config.ComputeConfig:
    """What the options say."""
    return config.ComputeConfig(
        dtype=options.dtype, attention=options.attention, interpolate_positions=options.interpolate_positions
    )
