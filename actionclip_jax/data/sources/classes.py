"""The classes of a data set: label files of all kinds, and labels by name or number made into indices."""

import dataclasses
import pathlib
import re
from collections.abc import Collection, Iterable

from actionclip_jax import textfile
from actionclip_jax.data import labels
from actionclip_jax.data.sources import problems

# what label files beside a list are called; the first pattern found decides
BESIDE = ("labels.csv", "labels.json", "labels.txt", "*_labels.csv", "*-labels.json", "*_labels.txt", "label_map*.txt")
BESIDE += ("classInd.txt",)
NUMBER = re.compile(r"\d{1,9}")


@dataclasses.dataclass(frozen=True)
class Classes:
    """Names in the order of their numbers, which begin with 0 or 1."""

    names: tuple[str, ...]
    first: int = 0
    file: pathlib.Path | None = None

    def find_all(self, wanted: Collection[int | str]) -> dict[int | str, int | None]:
        """The index of each label given by number or name; None where it is none of these."""
        numbers = {number: index for index, number in enumerate(range(self.first, self.first + len(self.names)))}
        names = [label for label in wanted if isinstance(label, str)]
        by_name = dict(zip(names, labels.match_names(names, self.names), strict=True))
        return {label: by_name[label] if label in by_name else numbers.get(label) for label in wanted}


def read_classes(path: pathlib.Path, found: problems.Problems) -> Classes:
    """A label file: JSON {name: number}, CSV `id,name`, text lines `number name`, or just one name a line."""
    read = {".json": _read_json, ".csv": _read_csv}.get(path.suffix.lower(), _read_text)
    numbers, names = found.read(read, path)
    if not names:
        found.fail("label files without a label", str(path))
    for name in names:
        if len(name) > textfile.LONGEST_LABEL:
            found.add(f"labels of more than {textfile.LONGEST_LABEL} characters", f"{path}: {textfile.shorten(name)}")
    for name in _repeated(names):
        found.add("labels that a label file holds twice", f"{path}: {name!r}")
    if not numbers:
        return Classes(tuple(names), 0, path)
    first, last = min(numbers), max(numbers)
    for number in _repeated(numbers):
        found.add("numbers that a label file gives twice", f"{path}: {number}")
    if first not in (0, 1) or last - first != len(set(numbers)) - 1:
        found.add(
            "label files whose numbers are not 0, 1, 2 ... or 1, 2, 3 ...",
            f"{path}: {len(set(numbers))} numbers from {first} to {last}",
        )
    return Classes(tuple(name for _, name in sorted(zip(numbers, names, strict=True))), first, path)


def _read_json(path: pathlib.Path) -> tuple[list[int], list[str]]:
    content = textfile.read_json(path)
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return [], content
    if isinstance(content, dict) and all(NUMBER.fullmatch(str(number)) for number in content.values()):
        return [int(number) for number in content.values()], list(content)
    raise ValueError(f"{path}: expected JSON of the form {{name: number}} or [name, name ...]")


def _read_csv(path: pathlib.Path) -> tuple[list[int], list[str]]:
    names = textfile.read_labels(path)
    rows = [row for _, row in textfile.read_rows(path)]
    header = [cell.lower() for cell in rows[0]] if rows else []
    numbers = [row[header.index("id") if "id" in header else 0] for row in rows[len(rows) - len(names) :]]
    if all(map(NUMBER.fullmatch, numbers)):
        return [int(number) for number in numbers], names
    if "id" in header:
        raise ValueError(f"{path}: not every id is a number")
    return [], names


def _read_text(path: pathlib.Path) -> tuple[list[int], list[str]]:
    lines = textfile.read_lines(path)
    matches = [re.fullmatch(r"c?(\d{1,9})\s+(.+)", line) for line in lines]  # Charades numbers c000, c001 ...
    if all(matches):
        return [int(match[1]) for match in matches], [match[2] for match in matches]
    return [], lines


def _repeated(values: Iterable) -> list:
    seen = set()
    return [value for value in values if value in seen or seen.add(value)]


def find_beside(folder: pathlib.Path, found: problems.Problems) -> Classes | None:
    """The classes of the label file in a folder, if there is just one."""
    for pattern in BESIDE:
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            found.add(
                "lists with several label files beside them (name one with labels, --labels)", f"{folder}: {names}"
            )
        if files:
            return read_classes(files[0], found)
    return None
