"""Lists people write themselves: a CSV with a column for each field, or text lines `path label`."""

import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from actionclip_jax import config, textfile
from actionclip_jax.data import readers, video
from actionclip_jax.data.sources import columns, listing, problems, splits

AFTER_VIDEO = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, video.SUFFIXES))}))\s+(\S.*)", re.IGNORECASE)
NUMBER = re.compile(r"(-?\d+)(?:\.0*)?")  # tables with gaps in a column turn 3 into 3.0
SEVERAL = re.compile(r"\[.*\]|.*[;|].*|\d+(\s*[,/]\s*\d+)+")  # labels in one cell: [0, 2], run;jump, 0,2
NUMBERS_BESIDE = re.compile(r"[\d.]+\s+\S.*|.*\S\s+[\d.]+")
WITHOUT_HEADER = {"path": 0, "label": 1}
Rows = Sequence[tuple[int, list[str]]]


def read(source: config.SourceConfig, found: problems.Problems) -> listing.Listing:
    """Labels are texts, or numbers where all are and there is a label file."""
    path = pathlib.Path(source.path)
    rows = found.read(textfile.read_rows, path) if path.suffix.lower() in (".csv", ".tsv") else []
    fields = None
    if rows and not holds_lines(rows):
        fields = columns.find_fields([row for _, row in rows], columns.split_names(source.ignore_columns), found)
        entries = list(_read_table(source, rows, fields, found))
    else:
        entries = _read_lines(path, found)
    if not (fields and "split" in fields) and source.split:
        found.add(problems.UNUSED, f"split is {source.split!r}: {path} has no column split")
    if not entries and not found.examples:
        found.fail(
            "lists without a clip",
            f"{path}: holds no line with a clip; expected path,label, or in a text file path label",
        )
    _check_several(entries, found)
    numbers = [NUMBER.fullmatch(entry.labels[0]) for entry in entries]
    if entries and all(numbers):
        for entry, number in zip(entries, numbers, strict=True):
            if not listing.is_number(number[1]):
                found.fail("labels that are no numbers of classes", f"{entry.where}: {entry.labels[0]}")
            entry.labels = (int(number[1]),)
    by_frame = bool(fields) and bool({"start_frame", "end_frame"} & fields.keys())
    reader = readers.VideoFiles(unit="frames" if by_frame else "seconds")
    others = set()
    if fields and "split" in fields and not all(numbers):
        others = {row[fields["label"]] for _, row in rows[1:] if len(row) == len(rows[0][1])}
    videos = pathlib.Path(source.videos or path.parent)
    return listing.Listing(entries, videos, [path], reader, other_labels=others)


def _check_several(entries: Sequence[listing.Entry], found: problems.Problems) -> None:
    for entry in entries:
        if SEVERAL.fullmatch(entry.labels[0]):
            found.add(
                "clips with several labels (only Charades' own lists have them)", f"{entry.where}: {entry.labels[0]}"
            )


def holds_lines(rows: Rows) -> bool:
    """Whether a file called .csv holds lines `path label`, as VideoMAE's and SlowFast's do."""
    return all(len(row) == 1 and len(row[0].split()) > 1 for _, row in rows)


def _read_table(
    source: config.SourceConfig, rows: Rows, fields: Mapping[str, int] | None, found: problems.Problems
) -> Iterator[listing.Entry]:
    if fields is None:
        _check_first_rows(pathlib.Path(source.path), [row for _, row in rows[:2]], found)
        width, expected = 2, " (expected: path,label)"
    else:
        width, expected = len(rows[0][1]), ""
        rows = rows[1:]
    wanted = _find_split(source, rows, fields, found) if fields and "split" in fields else None
    for line, row in rows:
        cells = {field: row[column] for field, column in (fields or WITHOUT_HEADER).items() if column < len(row)}
        try:
            if len(row) != width or not (cells["path"] and cells["label"] and cells.get("split", "-")):
                raise ValueError
            start, end, frames = _read_numbers(cells)
        except ValueError as error:
            why = f" ({error})" if str(error) else ""
            found.add(f"malformed lines{expected}", f"line {line}: {','.join(row)}{why}")
            continue
        if wanted is None or splits.split_of(cells["split"].lower()) == wanted:
            yield listing.Entry(
                f"line {line}", (cells["path"],), (cells["label"],), start, end, frames, cells.get("id", "")
            )


def _read_numbers(cells: Mapping[str, str]) -> tuple[float | None, float | None, int | None]:
    """Start and end, in seconds or frames, and the number of frames. Raises ValueError."""
    start, end = (
        columns.read_seconds(cells.get(field, ""))
        if f"{field}_frame" not in cells
        else columns.read_frame(cells[f"{field}_frame"])
        for field in ("start", "end")
    )
    frames = columns.read_frame(cells.get("frames", ""))
    return start, end, None if frames is None else int(frames)


def _find_split(source: config.SourceConfig, rows: Rows, fields: Mapping[str, int], found: problems.Problems) -> str:
    """The split asked for; an error unless the list holds it."""
    spelt = {row[fields["split"]].lower() for _, row in rows if fields["split"] < len(row)}
    there = sorted({splits.split_of(name) for name in spelt if name})
    wanted = splits.split_of(source.split.lower())
    if wanted not in there:
        splits.reject(source, f"one of {', '.join(there[:20])}, the list's", found)
    return wanted


def _check_first_rows(path: pathlib.Path, rows: list[list[str]], found: problems.Problems) -> None:
    """Without known headings every row has to be `path,label`; what else the list may have been meant as is told."""
    first = rows[0] if rows else []
    holds_video = [any(pathlib.PurePath(cell).suffix.lower() in video.SUFFIXES for cell in row) for row in rows]
    if len(first) == 1 and "|" in first[0]:
        found.fail("lists that are no CSV", f"{path}: separated by '|'; expected path,label")
    if len(first) > 2 or holds_video == [False, True]:
        expected = " and ".join(f"one of {', '.join(columns.HEADINGS[field])}" for field in ("path", "label"))
        found.fail(
            "lists whose headings are not known", f"{path}: the headings are {', '.join(first)}: expected {expected}"
        )


def _read_lines(path: pathlib.Path, found: problems.Problems) -> list[listing.Entry]:
    entries = list(_split_lines(path, found))
    texts = [entry.labels[0] for entry in entries]
    if texts and all(map(NUMBERS_BESIDE.fullmatch, texts)):
        found.fail(
            "lines with numbers beside the label (a CSV with headings, path,label,start,end say, tells what they are)",
            f"{entries[0].where}: {entries[0].places[0]} {texts[0]}",
        )
    return entries


def _split_lines(path: pathlib.Path, found: problems.Problems) -> Iterator[listing.Entry]:
    for line, text in found.read(textfile.read_numbered_lines, path):
        place, _, label = text.rpartition(" ")
        if not listing.is_number(label) and (match := AFTER_VIDEO.fullmatch(text)):
            place, label = match.groups()
        if place:
            yield listing.Entry(f"line {line}", (place.strip(),), (label,))
        else:
            found.add("malformed lines (expected: path label)", f"line {line}: {text}")
