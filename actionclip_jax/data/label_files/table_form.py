"""Label files that are tables: CSV and TSV."""

import pathlib

from actionclip_jax import files
from actionclip_jax.data import headings, numbers
from actionclip_jax.data.label_files import columns, line_form

FIELDS = {"name": headings.NAME, "id": headings.ID, "text": headings.TEXT}


def read(path: pathlib.Path) -> columns.Columns:
    """Columns by their headings, or two without headings of which one is all numbers. Raises ValueError."""
    rows = files.read_rows(path)
    if not rows:
        return columns.Columns([])
    first = rows[0][1]
    header = [files.normalise_heading(cell) for cell in first]
    if wrong := [f"line {line} has {len(row)}" for line, row in rows if len(row) != len(header)]:
        raise ValueError(f"{path}: the first row has {len(header)} cells, but {'; '.join(wrong[:5])}")
    if any(cell in headings.OF_CLIPS for cell in header):
        raise ValueError(f"{path}: is a list of clips by its headings, {', '.join(first)}; expected {columns.KNOWN}")
    headed = any(cell in known for cell in header for known in FIELDS.values())
    if len(header) == 1 and not headed:
        return line_form.from_lines(path, [row[0] for _, row in rows])
    cells = [[columns.tidy(row[column]) for _, row in rows[headed:]] for column in range(len(header))]
    places = _headed_columns(path, header, cells) if headed else _bare_columns(path, cells)
    unused = [cell or "without a heading" for column, cell in enumerate(first) if column not in places.values()]
    ids = _read_ids(path, first[places["id"]] if headed else "id", cells[places["id"]]) if "id" in places else []
    texts = cells[places["text"]] if "text" in places else []
    notes = [f"the columns {', '.join(unused)} are not used"] if unused else []
    return columns.Columns(cells[places["name"]], ids, texts, notes)


def _headed_columns(path: pathlib.Path, header: list[str], cells: list[list[str]]) -> dict[str, int]:
    """Where name, id and text stand. A column called label or class may hold the numbers beside one of names."""
    candidates = {
        field: [column for column, cell in enumerate(header) if cell in known] for field, known in FIELDS.items()
    }
    named = candidates["name"]
    numbered = [column for column in named if cells[column] and _are_numbers(cells[column])]
    candidates["name"] = [column for column in named if column not in numbered] or numbered
    candidates["id"] += [column for column in numbered if column not in candidates["name"]]
    for field, places in candidates.items():
        if len(places) > 1 or (field == "name" and not places):
            raise ValueError(
                f"{path}: {len(places)} columns say the {field} ({', '.join(header)}): expected one, called "
                f"{' or '.join(FIELDS[field])}"
            )
    return {field: places[0] for field, places in candidates.items() if places}


def _bare_columns(path: pathlib.Path, cells: list[list[str]]) -> dict[str, int]:
    """Where name and id stand in a table without headings."""
    numbered = [_are_numbers(column) for column in cells]
    if len(cells) == 2 and sum(numbered) == 1:
        return {"id": numbered.index(True), "name": numbered.index(False)}
    raise ValueError(
        f"{path}: which of its {len(cells)} columns holds the names? Expected a first row of headings: id,name"
    )


def _read_ids(path: pathlib.Path, heading: str, cells: list[str]) -> list[int]:
    ids = [number for cell in cells if (number := numbers.read_natural(cell)) is not None]
    if len(ids) < len(cells):
        raise ValueError(f"{path}: not every {heading} is a number")
    return ids


def _are_numbers(cells: list[str]) -> bool:
    return all(numbers.read_natural(cell) is not None for cell in cells)
