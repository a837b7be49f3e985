"""Everything wrong with a data set, gathered and told at once."""

import itertools
import pathlib
from collections.abc import Callable
from typing import NoReturn, TypeVar

EXAMPLES = 5  # named of every kind of problem
LONGEST = 1000  # characters of an example: a line may have millions
WRONG = "settings that are wrong"
MISSING = "settings that are missing"
UNUSED = "settings without use"
NOT_THERE = "paths that are not there"
UNREADABLE = "files that cannot be read"
Content = TypeVar("Content")


class SourceError(ValueError):
    """A data set that cannot be used; the message counts every kind of problem and gives the first examples."""


class Problems:
    """Examples by kind of problem."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Notes one case of a kind of problem."""
        self.examples.setdefault(kind, []).append(example)

    def check(self) -> None:
        """Raises SourceError if anything was noted."""
        if not self.examples:
            return
        lines = [f"{self.what} cannot be used:"]
        for kind, examples in self.examples.items():
            lines.append(f"  {kind}: {len(examples)}")
            shown = (example if len(example) <= LONGEST else f"{example[:LONGEST]} ..." for example in examples)
            lines += [f"    {example}" for example in itertools.islice(shown, EXAMPLES)]
            if len(examples) > EXAMPLES:
                lines.append(f"    and {len(examples) - EXAMPLES} more")
        # names that are not UTF-8 could not be printed
        raise SourceError("\n".join(lines).encode("utf-8", "backslashreplace").decode())

    def fail(self, kind: str, example: str) -> NoReturn:
        """Raises with this last problem, without which nothing more can be found out."""
        self.add(kind, example)
        self.check()
        raise AssertionError("a problem was just noted")

    def read(self, reader: Callable[[pathlib.Path], Content], path: pathlib.Path) -> Content:
        """What the reader makes of the file; a file that is not there or not such text ends the search."""
        try:
            return reader(path)
        except OSError as error:
            self.fail(UNREADABLE, f"{error.filename or path}: {error.strerror}")
        except ValueError as error:
            self.fail(UNREADABLE, str(error))
