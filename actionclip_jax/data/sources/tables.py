"""Lists of clips with a column for each field."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

from actionclip_jax import config
from actionclip_jax.data import video
from actionclip_jax.data.sources import columns, listing, problems, splits

WITHOUT_HEADER = {"path": 0, "label": 1}
Rows = Sequence[tuple[int, list[str]]]  # each with its line


def holds_lines(rows: Rows) -> bool:
    """Whether a file called .csv holds lines `path label`, as VideoMAE's and SlowFast's do."""
    return all(len(row) == 1 and len(row[0].split()) > 1 for _, row in rows)


def read(
    source: config.SourceConfig, rows: Rows, fields: Mapping[str, int] | None, errors: problems.Problems
) -> Iterator[listing.Entry]:
    """The clips of the split asked for; `fields` says in which column each field stands, None without a header."""
    if fields is None:
        _check_first_rows(pathlib.Path(source.path), [row for _, row in rows[:2]], errors)
        width, expected = 2, " (expected: path,label)"
    else:
        width, expected = len(rows[0][1]), ""
        rows = rows[1:]
    wanted = _find_split(source, rows, fields, errors) if fields and "split" in fields else None
    for line, row in rows:
        cells = {field: row[column] for field, column in (fields or WITHOUT_HEADER).items() if column < len(row)}
        try:
            if len(row) != width or not (cells["path"] and cells["label"] and cells.get("split", "-")):
                raise ValueError
            start, end, frames = _read_numbers(cells)
        except ValueError as error:
            why = f" ({error})" if str(error) else ""
            errors.add(f"malformed lines{expected}", f"line {line}: {','.join(row)}{why}")
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


def _find_split(source: config.SourceConfig, rows: Rows, fields: Mapping[str, int], errors: problems.Problems) -> str:
    """The split asked for; an error unless the list holds it."""
    spelt = {row[fields["split"]].lower() for _, row in rows if fields["split"] < len(row)}
    there = sorted({splits.split_of(name) for name in spelt if name})
    wanted = splits.split_of(source.split.lower())
    if wanted not in there:
        splits.reject(source, f"one of {', '.join(there[:20])}, the list's", errors)
    return wanted


def _check_first_rows(path: pathlib.Path, rows: list[list[str]], errors: problems.Problems) -> None:
    """Without known headings every row has to be `path,label`; what else the list may have been meant as is told."""
    first = rows[0] if rows else []
    holds_video = [any(pathlib.PurePath(cell).suffix.lower() in video.SUFFIXES for cell in row) for row in rows]
    if len(first) == 1 and "|" in first[0]:
        errors.fail("lists that are no CSV", f"{path}: separated by '|'; expected path,label")
    if len(first) > 2 or holds_video == [False, True]:
        expected = " and ".join(f"one of {', '.join(columns.HEADINGS[field])}" for field in ("path", "label"))
        errors.fail(
            "lists whose headings are not known", f"{path}: the headings are {', '.join(first)}: expected {expected}"
        )
