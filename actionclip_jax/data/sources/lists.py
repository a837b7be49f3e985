"""Lists people write themselves: a CSV with a column for each field, or text lines `path label`."""

import pathlib
import re
from collections.abc import Iterator

from actionclip_jax import config, textfile
from actionclip_jax.data import readers, video
from actionclip_jax.data.sources import classes, listing, problems

COLUMNS = {  # the headings under which each field is known; without a header they are path, label
    "path": ("path", "video", "file", "filename"),
    "label": ("label", "class", "name"),
    "start": ("start",),
    "end": ("end",),
    "frames": ("frames",),
    "id": ("id",),
}
AFTER_VIDEO = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, video.SUFFIXES))}))\s+(\S.*)", re.IGNORECASE)


def read(source: config.SourceConfig, found: problems.Problems) -> listing.Listing:
    """Labels are texts, or numbers where all are and there is a label file."""
    path = pathlib.Path(source.path)
    rows = _read_csv if path.suffix.lower() == ".csv" else _read_lines
    entries = list(rows(path, found))
    if not entries and not found.examples:
        found.fail(
            "lists without a clip",
            f"{path}: holds no line with a clip; expected path,label, or in a text file path label",
        )
    known = None
    if entries and all(entry.labels[0].removeprefix("-").isdecimal() for entry in entries):
        known = None if source.labels else classes.find_beside(path.parent, found)
        for entry in entries:
            if not listing.is_number(entry.labels[0]):
                found.fail("labels that are no numbers of classes", f"{entry.where}: {entry.labels[0]}")
            entry.labels = (int(entry.labels[0]),)
    return listing.Listing(entries, pathlib.Path(source.videos or path.parent), [path], readers.VideoFiles(), known)


def find_columns(header: list[str]) -> dict[str, int] | None:
    """Where each field stands, if the row is a header."""
    cells = [cell.lower() for cell in header]
    columns = {
        field: next((cells.index(name) for name in names if name in cells), None) for field, names in COLUMNS.items()
    }
    if columns["path"] is None or columns["label"] is None:
        return None
    return {field: column for field, column in columns.items() if column is not None}


def _read_csv(path: pathlib.Path, found: problems.Problems) -> Iterator[listing.Entry]:
    rows = found.read(textfile.read_rows, path)
    columns = find_columns(rows[0][1]) if rows else None
    if columns is None:
        _check_first_rows(path, [row for _, row in rows[:2]], found)
    else:
        rows = rows[1:]
    expected = "" if columns else " (expected: path,label)"
    for line, row in rows:
        names = columns or {"path": 0, "label": 1}
        cells = {field: row[column] for field, column in names.items() if column < len(row)}
        try:
            if len(row) < 2 or (columns is None and len(row) > 2) or not (cells["path"] and cells["label"]):
                raise ValueError
            start, end = (float(cells[field]) if cells.get(field) else None for field in ("start", "end"))
            if cells.get("frames") and not listing.is_number(cells["frames"]):
                raise ValueError
            frames = int(cells["frames"]) if cells.get("frames") else None
        except (KeyError, ValueError):
            found.add(f"malformed lines{expected}", f"line {line}: {','.join(row)}")
            continue
        yield listing.Entry(
            f"line {line}", (cells["path"],), (cells["label"],), start, end, frames, cells.get("id", "")
        )


def _check_first_rows(path: pathlib.Path, rows: list[list[str]], found: problems.Problems) -> None:
    """Without known headings every row has to be `path,label`; what else the list may have been meant as is told."""
    first = rows[0] if rows else []
    holds_video = [any(pathlib.PurePath(cell).suffix.lower() in video.SUFFIXES for cell in row) for row in rows]
    if len(first) == 1 and (separator := next((mark for mark in ";\t|" if mark in first[0]), None)):
        found.fail("lists that are no CSV with commas", f"{path}: separated by {separator!r}; expected path,label")
    if len(first) > 2 or holds_video == [False, True]:
        expected = " and ".join(f"one of {', '.join(COLUMNS[field])}" for field in ("path", "label"))
        found.fail(
            "lists whose headings are not known", f"{path}: the headings are {', '.join(first)}: expected {expected}"
        )


def _read_lines(path: pathlib.Path, found: problems.Problems) -> Iterator[listing.Entry]:
    for line, text in found.read(textfile.read_numbered_lines, path):
        place, _, label = text.rpartition(" ")
        if not listing.is_number(label) and (match := AFTER_VIDEO.fullmatch(text)):
            place, label = match.groups()
        if place:
            yield listing.Entry(f"line {line}", (place.strip(),), (label,))
        else:
            found.add("malformed lines (expected: path label)", f"line {line}: {text}")
