"""A label file, whatever its form -> the classes."""

import dataclasses
import pathlib
from collections.abc import Callable

from actionclip_jax.data.label_files import columns, json_form, line_form, table_form


@dataclasses.dataclass(frozen=True)
class Classes:
    """Names in the order of their numbers."""

    names: tuple[str, ...]
    first: int | None = None  # the number of the first one, 0 or 1; None where nothing numbers them
    file: pathlib.Path | None = None
    texts: tuple[str, ...] = ()  # the words of the prompts, where a file gives others than the names
    notes: tuple[str, ...] = ()  # what was made of the file, where that is not plain


def read(path: pathlib.Path) -> Classes:
    """A label file: text, CSV, TSV or JSON.

    Raises:
        OSError: a file that cannot be read.
        ValueError: one that is no label file, or everything that is wrong with it.
    """
    readers: dict[str, Callable[[pathlib.Path], columns.Columns]] = {
        **dict.fromkeys((".csv", ".tsv"), table_form.read),
        **dict.fromkeys((".txt", ".lst", ".list", ".labels", ".names", ""), _read_text),
        ".json": json_form.read,
    }
    if (suffix := path.suffix.lower()) not in readers:
        raise ValueError(f"{path}: a label file ends in {', '.join(filter(None, readers))}, not in {suffix}")
    rows = readers[suffix](path)
    if problems := rows.find_problems():
        raise ValueError(f"{path}: {'; '.join(problems)}")
    order = sorted(range(len(rows.names)), key=rows.numbers.__getitem__) if rows.numbers else range(len(rows.names))
    return Classes(
        tuple(rows.names[row] for row in order),
        min(rows.numbers) if rows.numbers else None,
        path,
        tuple(rows.texts[row] for row in order) if rows.texts else (),
        tuple(f"{path}: {note}" for note in rows.notes),
    )


def _read_text(path: pathlib.Path) -> columns.Columns:
    return table_form.read(path) if line_form.holds_table(path) else line_form.read(path)
