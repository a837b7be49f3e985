"""What a label file says, before and while it is checked."""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence

from actionclip_jax import files
from actionclip_jax.data import video

KNOWN = "one name a line, `number name`, a CSV or TSV with the columns id,name, or JSON"


@dataclasses.dataclass
class Columns:
    """A row a class; numbers and texts may be empty."""

    names: Sequence[str]
    numbers: Sequence[int] = ()
    texts: Sequence[str] = ()
    notes: Sequence[str] = ()  # what was made of the file, where that is not plain

    def find_problems(self) -> list[str]:
        """Everything wrong with it."""
        problems = [] if self.names else ["holds no label"]
        if films := [name for name in self.names if pathlib.PurePath(name).suffix.lower() in video.SUFFIXES]:
            problems.append(f"is a list of clips, such as {files.shorten(films[0])}, not of labels")
        for what, texts in (("name", self.names), ("text", self.texts)):
            if empty := [row + 1 for row, text in enumerate(texts) if not text]:
                problems.append(f"the {what} is empty at position {', '.join(map(str, empty[:5]))}")
            long = [text for text in texts if len(text) > files.LONGEST_LABEL]
            most = files.LONGEST_LABEL
            problems += [f"more than {most} characters: {files.shorten(text)}" for text in long[:5]]
        for what, values in (("the name", self.names), ("the number", self.numbers)):
            twice = [value for value, count in collections.Counter(values).items() if count > 1]
            hint = " (are the numbers part of the names? Then: a CSV with the one column name)" if self.numbers else ""
            problems += [f"{what} {value!r} is given twice{hint}" for value in twice[:5]]
        if self.numbers and not count_up(self.numbers):
            first, last = min(self.numbers), max(self.numbers)
            problems.append(
                f"{len(set(self.numbers))} numbers from {first} to {last}: expected 0, 1, 2 ... or 1, 2, 3 ... "
                "(where they are part of the names: a CSV with the one column name)"
            )
        return problems


def count_up(numbers: Sequence[int]) -> bool:
    """Whether these are 0, 1, 2 ... or 1, 2, 3 ..., in any order."""
    return min(numbers) in (0, 1) and len(set(numbers)) == max(numbers) - min(numbers) + 1


def tidy(text: str) -> str:
    """One space between words, none around them."""
    return " ".join(text.split())
