"""How the commands read their arguments, and the options that several of them have."""

import argparse
import logging
import math
import os
import pathlib
from collections.abc import Callable, Sequence

from actionclip_jax import config, entry_points
from actionclip_jax.checkpoints import released
from actionclip_jax.cli import terminal

logger = logging.getLogger(__name__)


def path(value: str) -> pathlib.Path:
    """A path that is not empty, which `pathlib` takes for the current directory."""
    if not value.strip():
        raise argparse.ArgumentTypeError("it is empty: expected a path")
    return pathlib.Path(value)


def positive(value: str) -> int:
    """A whole number from 1 on."""
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of at least 1")
    return int(value)


def above_zero(value: str) -> float:
    """A finite number above 0."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number above 0")
    return number


def share(value: str) -> float:
    """A number above 0, at most 1."""
    if (number := above_zero(value)) > 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a share: above 0, at most 1")
    return number


def natural(value: str) -> int:
    """A whole number from 0 on."""
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of at least 0")
    return int(value)


def part(value: str) -> tuple[int, int]:
    """`3/100` -> (3, 100): one of so many parts, counted from 0."""
    index, slash, count = value.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"{value!r} is not of the form I/N, such as 0/8, the first of 8")
    if int(index) >= int(count):
        raise argparse.ArgumentTypeError(f"{value!r}: I counts from 0 and must be below N, which is at least 1")
    return int(index), int(count)


def views(value: str) -> tuple[int, int]:
    """`10x3` -> (10, 3)."""
    try:
        return config.read_views(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_model(parser: argparse.ArgumentParser, metavar: str = "MODEL", more: str = "") -> None:
    """MODEL, by whatever name; a command that takes it calls `make_ready` before it is read."""
    known = f"model directory, PyTorch checkpoint, hub name, or a name that `actionclip models` lists{more}"
    parser.add_argument(metavar.lower(), metavar=metavar, help=known)


def make_ready(*models: str | None) -> None:
    """Makes the sample model, with a progress line, if it is among these and not there yet; others are ready."""
    if released.SAMPLE not in models:  # no more is imported for others
        return
    from actionclip_jax import loading
    from actionclip_jax.training import loop

    terminal.set_up_jax()
    with terminal.progress_line():
        try:
            loading.make_ready(released.SAMPLE)
        except loop.Interrupted as interrupted:  # by SIGTERM
            terminal.say(f"{interrupted}; the same command goes on from there")
            raise SystemExit(terminal.EXIT_STOPPED) from None


def choice_or_own(choices: Sequence[str]) -> Callable[[str], str]:
    """Reads one of the choices, or the name of a user's own code."""

    def read(value: str) -> str:
        if value not in choices and not entry_points.is_name(value):
            known = ", ".join(choices)
            raise argparse.ArgumentTypeError(f"invalid choice: {value!r} (choose from {known}, or {entry_points.FORM})")
        return value

    return read


def add_trust(parser: argparse.ArgumentParser) -> None:
    """--trust-code, without which a model that came from somewhere runs no code."""
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="import the code that MODEL names as its temporal head: do so only if you know whose it is",
    )


def add_activation(parser: argparse.ArgumentParser) -> None:
    """--activation, which a PyTorch checkpoint may not say of itself."""
    parser.add_argument("--activation", choices=config.ACTIVATIONS, help="of open_clip weights that do not say it")


def add_computation(parser: argparse.ArgumentParser) -> None:
    """--dtype, --attention and --interpolate-positions: how the model computes."""
    add = parser.add_argument
    faster = "auto: bfloat16 where this device multiplies it much faster"
    add("--dtype", choices=("auto", *config.DTYPES), default="float32", help=f"(default: float32); {faster}")
    add("--attention", choices=config.ATTENTION, default="auto", help="attention kernel (default: auto)")
    add("--interpolate-positions", action="store_true", help="allow more frames than the model learned positions for")


def read_computation(options: argparse.Namespace) -> config.ComputeConfig:
    """What these options say; measures for a moment what `auto` is here, and tells it.

    Raises ValueError for `auto` in several processes, which might find different answers.
    """
    if options.dtype == "auto":
        import jax

        from actionclip_jax import xla

        if jax.process_count() > 1:
            raise ValueError("--dtype auto is for one process: choose float32 or bfloat16")
        options.dtype = xla.faster_dtype()
        logger.info(f"--dtype auto: {options.dtype} here")
    names = ("dtype", "attention", "interpolate_positions")
    return config.ComputeConfig(**{name: getattr(options, name) for name in names})


def check_picture(path: pathlib.Path, option: str) -> None:
    """Raises ValueError for a picture that cannot be written there."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"{option} {path}: expected a name ending in .png")
    check_output(path, option)


def check_output(path: pathlib.Path, option: str) -> None:
    """Raises ValueError for a file that cannot be written, before hours of work rather than after; leaves none."""
    new = not os.path.lexists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise ValueError(f"{option} {path}: cannot be written ({error.strerror}): give another name") from None
    finally:
        if new:
            path.unlink(missing_ok=True)
