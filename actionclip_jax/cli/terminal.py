"""What the commands share: speaking to people, and reading arguments."""

import argparse
import contextlib
import logging
import math
import os
import pathlib
import re
from collections.abc import Callable, Generator

import rich.cells
import rich.console
import rich.markup
import rich.progress

from actionclip_jax import progress
from actionclip_jax.cli import interrupts

CONSOLE = rich.console.Console(emoji=False, highlight=False, soft_wrap=True)  # results
ERRORS = rich.console.Console(emoji=False, highlight=False, soft_wrap=True, stderr=True)  # progress and messages
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
EXIT_FAILED = 1  # something of the work asked for could not be done
EXIT_USAGE = 2  # nothing was done: wrong arguments or unusable input
EXIT_STUCK = 3  # a run stopped where somebody has to look; starting it again would not help
EXIT_STOPPED = 75  # a run was asked to stop and saved its state; the same command goes on (sysexits.h: EX_TEMPFAIL)
EXIT_INTERRUPTED = interrupts.EXIT_CODE  # by Ctrl-C


def tell(message: str) -> None:
    """A message for people, with rich markup."""
    ERRORS.print(message)


def escape(message: object) -> str:
    """Text that rich shows as it is."""
    return rich.markup.escape(visible(str(message)))


def visible(text: str) -> str:
    """The text with control characters spelt out: labels and file names come from anywhere, and a terminal obeys."""
    return CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def say(line: str) -> None:
    """A plain message."""
    tell(escape(line))


def bar(label: str, width: int, probability: float) -> str:
    """Markup of a label in `width` columns with its probability as a bar."""
    cell = escape(rich.cells.set_cell_size(visible(label), width))
    return f"{cell}  {probability:7.2%}  [cyan]{'━' * round(30 * probability)}[/]"


class Messages(logging.Handler):
    """Shows what the library logs as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one record."""
        say(record.getMessage())


@contextlib.contextmanager
def messages_shown() -> Generator[None]:
    """Within, people are told what the library logs."""
    logger, handler = logging.getLogger("actionclip_jax"), Messages()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # libraries give the root handlers of their own, which would tell it again
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


@contextlib.contextmanager
def progress_drawn(check: Callable[[], None] = lambda: None) -> Generator[None]:
    """Within, a line shows how far each task of several steps is; `check` is called at every step."""
    bar = rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.MofNCompleteColumn(),
        "{task.fields[comment]}",
        console=ERRORS,
        transient=True,
        disable=not ERRORS.is_terminal,
    )
    tasks: dict[str, rich.progress.TaskID] = {}

    def show(task: str, done: float, total: float | None, comment: str) -> None:
        check()
        if total == 1:
            return
        if task not in tasks:
            tasks[task] = bar.add_task(escape(task), comment=comment)
        rounded = total and round(total)
        bar.update(tasks[task], completed=round(done), total=rounded, comment=comment, visible=done != total)

    with bar, progress.shown_by(show):
        yield


@contextlib.contextmanager
def progress_line() -> Generator[None]:
    """The same for commands that several processes may run. Between the steps of tasks Ctrl-C does not come."""
    if not logging.getLogger("actionclip_jax").isEnabledFor(logging.INFO):  # another process speaks for all
        yield
        return
    with interrupts.stoppable() as check, progress_drawn(check):
        yield


def cache_directory() -> pathlib.Path:
    """Where caches go: $XDG_CACHE_HOME/actionclip-jax, by default below ~/.cache."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "actionclip-jax"


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


def views(value: str) -> tuple[int, int]:
    """`10x3` -> (10, 3)."""
    parts = value.lower().split("x")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"{value!r} is not of the form 10x3: clips over time x crops")
    return positive(parts[0]), positive(parts[1])


def set_up_jax() -> None:
    """Keeps compiled programs between runs: compiling a large model takes longer than one prediction."""
    import jax  # takes seconds, which not every command has to pay

    if not jax.config.jax_compilation_cache_dir:  # ty: ignore[missing-attribute] - made at run time
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))


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
