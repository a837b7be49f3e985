"""How the commands speak to people."""

import contextlib
import logging
import re
from collections.abc import Callable, Generator

import rich.cells
import rich.console
import rich.markup
import rich.progress

from actionclip_jax import paths, progress
from actionclip_jax.cli import interrupts, progress_lines

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


def print_remark(remark: str | None) -> None:
    """What is to be said beside probabilities, if anything."""
    if remark:
        CONSOLE.print(f"  {escape(remark)}", style="dim")


class Messages(logging.Handler):
    """Shows what the library logs as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one record."""
        say(record.getMessage())


@contextlib.contextmanager
def messages_shown() -> Generator[None]:
    """Within, people are told what the library logs: once, also where a command calls another, as `demo` does."""
    logger, handler = logging.getLogger("actionclip_jax"), Messages()
    before = logger.handlers, logger.level, logger.propagate
    logger.handlers = [*(other for other in before[0] if not isinstance(other, Messages)), handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False  # libraries give the root handlers of their own, which would tell it again
    try:
        yield
    finally:
        logger.handlers, level, logger.propagate = before
        logger.setLevel(level)


@contextlib.contextmanager
def progress_drawn(check: Callable[[], None] = lambda: None) -> Generator[None]:
    """Within, a bar shows how far each task of several steps is, or a line every minute where no bar can be drawn.

    `check` is called at every step.
    """
    if not ERRORS.is_terminal:
        with progress_lines.ProgressLines(say, check) as lines, progress.shown_by(lines.show):
            yield
        return
    bar = rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.MofNCompleteColumn(),
        "{task.fields[comment]}",
        console=ERRORS,
        transient=True,
    )
    tasks: dict[str, rich.progress.TaskID] = {}

    def show(task: str, done: float, total: float | None, comment: str) -> None:
        check()
        if total == 1:
            return
        if task not in tasks:
            tasks[task] = bar.add_task(escape(task), total=None, comment=comment)
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


def set_up_jax() -> None:
    """Keeps compiled programs between runs: compiling a large model takes longer than one prediction."""
    import jax  # takes seconds, which not every command has to pay

    if not jax.config.jax_compilation_cache_dir:  # ty: ignore[missing-attribute] - made at run time
        jax.config.update("jax_compilation_cache_dir", str(paths.cache_directory() / "compiled"))
