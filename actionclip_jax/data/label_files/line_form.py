"""Label files that are lines of text."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from actionclip_jax import files
from actionclip_jax.data import headings
from actionclip_jax.data.label_files import columns

# a number, perhaps in brackets, before a name (Charades numbers c000, c001 ...), and behind it
NUMBERED = re.compile(r"[(\[#]?c?(\d{1,9})[)\]]?(?:\s*(?:->|=>?|[,;:.)|_\-])\s*|\s+)(\S.*)")
NUMBERED_BEHIND = re.compile(r"(.*?\S)(?:\s*(?:[,;:|]|->|=>?)\s*|\s+)(\d{1,9})")
QUOTED = re.compile(r"""(["']).*\1,?|.*\S,""")  # lines that were part of a program
OTHER_TEXT = re.compile(r"(#|//|[-*\u2022]\s).*|.*\s#\s.*|.*[|\t].*|\S+:")  # comments, bullets, tables, YAML


def read(path: pathlib.Path) -> columns.Columns:
    """A name a line, perhaps numbered, below a heading or none. Raises ValueError."""
    raw = files.read_lines(path)
    if not raw:
        return columns.Columns([])
    words = [files.normalise_heading(word) for word in raw[0].split()]
    id_and_name = len(words) == 2 and words[0] in headings.ID and words[1] in headings.NAME
    if id_and_name or _split_header(raw[0])[0] in headings.NAME:
        rows = from_lines(path, raw[1:])
        return dataclasses.replace(rows, notes=[*rows.notes, f"its first line {raw[0]!r} is taken for a heading"])
    return from_lines(path, raw)


def holds_table(path: pathlib.Path) -> bool:
    """Whether the first line is the headings of a table."""
    header = _split_header(next(iter(files.read_lines(path)), ""))
    return len(header) > 1 and any(heading in (*headings.NAME, *headings.OF_CLIPS) for heading in header)


def _split_header(line: str) -> list[str]:
    return [files.normalise_heading(cell) for cell in re.split(r"[,;\t]", line)]


def from_lines(path: pathlib.Path, raw: Sequence[str]) -> columns.Columns:
    """A name a line, or all with a number before or behind it. Raises ValueError for other text."""
    lines = [columns.tidy(line) for line in raw]
    before = [match for line in lines if (match := NUMBERED.fullmatch(line))]
    behind = [match for line in lines if (match := NUMBERED_BEHIND.fullmatch(line))]
    rows = columns.Columns(lines)
    if lines and len(before) == len(lines):
        rows = _numbered([match[1] for match in before], [match[2] for match in before], lines[0])
    elif len(behind) == len(lines) > 1:
        numbers, names = [match[2] for match in behind], [match[1] for match in behind]
        if columns.count_up(list(map(int, numbers))) and len(set(names)) == len(names):  # no part of the names
            rows = _numbered(numbers, names, lines[0])
    if wrong := _describe_other_text(raw, rows):
        raise ValueError(f"{path}: {wrong}; expected {columns.KNOWN}")
    return rows


def _numbered(numbers: list[str], names: list[str], line: str) -> columns.Columns:
    note = f"reads {line!r} as the number {int(numbers[0])} and the name {names[0]!r}, and all its lines alike"
    return columns.Columns(names, list(map(int, numbers)), notes=[note])


def _describe_other_text(raw: Sequence[str], rows: columns.Columns) -> str | None:
    """What a text is that holds no label a line."""
    if len(raw) > 1 and all(map(QUOTED.fullmatch, raw)):
        return "its lines are in quotes or end in commas"
    if len(raw) == 1 and "," in raw[0] and not rows.numbers:
        return f"its only line holds commas, {files.shorten(raw[0])}"
    if rows.numbers and len(raw) > 1 and all(map(NUMBERED_BEHIND.fullmatch, rows.names)):
        return f"numbers on both sides of the names, {files.shorten(raw[0])}"
    rest = [name if rows.numbers else line for line, name in zip(raw, rows.names, strict=True)]
    if other := [line for line in rest if OTHER_TEXT.fullmatch(line)]:
        return f"comments, bullets, tabs or the like are no part of a label, {files.shorten(other[0])}"
    if tabs := [line for line in raw if line.count("\t") > bool(rows.numbers)]:
        return f"tabs in a line, {files.shorten(tabs[0])}"
    return None
