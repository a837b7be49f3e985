"""Label files of all kinds people have: the names of the classes, their numbers, other words for them."""

import collections
import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from actionclip_jax import textfile
from actionclip_jax.data import video

NUMBER = re.compile(r"(\d{1,9})(?:\.0*)?")  # tables with gaps in a column turn 3 into 3.0
# headings by which columns are known, spelt as `textfile.normalise_heading` does
NAME = ("name", "label", "class", "class_name", "label_name", "category", "action")
NAME += ("names", "labels", "classes", "categories", "actions")
ID = ("id", "index", "idx", "number", "class_id", "label_id", "class_index", "label_index", "class_idx", "label_idx")
TEXT = ("text",)
PATH = ("path", "video", "file", "filename", "file_name", "filepath", "file_path", "video_path", "clip")
OF_CLIPS = (*PATH, "youtube_id")  # headings that only a list of clips has
# a number, perhaps in brackets, before a name (Charades numbers c000, c001 ...), and behind it
NUMBERED = re.compile(r"[(\[#]?c?(\d{1,9})[)\]]?(?:\s*(?:->|=>?|[,;:.)|_\-])\s*|\s+)(\S.*)")
NUMBERED_BEHIND = re.compile(r"(.*?\S)(?:\s*(?:[,;:|]|->|=>?)\s*|\s+)(\d{1,9})")
QUOTED = re.compile(r"""(["']).*\1,?|.*\S,""")  # lines that were part of a program
OTHER_TEXT = re.compile(r"(#|//|[-*\u2022]\s).*|.*\s#\s.*|.*[|\t].*|\S+:")  # comments, bullets, tables, YAML
KNOWN = "one name a line, `number name`, a CSV or TSV with the columns id,name, or JSON"
FORMS = "[name, ...], {name: number}, {number: name}, {name: text} or [{id, name}, ...]"
WRAPPERS = ("id2label", "label2id", "labels", "label", "classes", "class_names", "names")  # a JSON object's only name


@dataclasses.dataclass(frozen=True)
class Classes:
    """Names in the order of their numbers."""

    names: tuple[str, ...]
    first: int | None = None  # the number of the first one, 0 or 1; None where nothing numbers them
    file: pathlib.Path | None = None
    texts: tuple[str, ...] = ()  # the words of the prompts, where a file gives others than the names
    notes: tuple[str, ...] = ()  # what was made of the file, where that is not plain


@dataclasses.dataclass
class _Columns:
    """What a file says, before it is checked; numbers and texts may be empty."""

    names: Sequence[str]
    numbers: Sequence[int] = ()
    texts: Sequence[str] = ()
    notes: Sequence[str] = ()


def read(path: pathlib.Path) -> Classes:
    """A label file: text, CSV, TSV or JSON.

    Raises:
        OSError: a file that cannot be read.
        ValueError: one that is no label file, or everything that is wrong with it.
    """
    readers: dict[str, Callable[[pathlib.Path], _Columns]] = {
        **dict.fromkeys((".csv", ".tsv"), _read_table),
        **dict.fromkeys((".txt", ".lst", ".list", ".labels", ".names", ""), _read_lines),
        ".json": _read_json,
    }
    if (suffix := path.suffix.lower()) not in readers:
        raise ValueError(f"{path}: a label file ends in {', '.join(filter(None, readers))}, not in {suffix}")
    found = readers[suffix](path)
    problems = _find_problems(found)
    if problems:
        raise ValueError(f"{path}: {'; '.join(problems)}")
    order = sorted(range(len(found.names)), key=found.numbers.__getitem__) if found.numbers else range(len(found.names))
    return Classes(
        tuple(found.names[row] for row in order),
        min(found.numbers) if found.numbers else None,
        path,
        tuple(found.texts[row] for row in order) if found.texts else (),
        tuple(f"{path}: {note}" for note in found.notes),
    )


def read_names(path: pathlib.Path) -> list[str]:
    """The names of a label file."""
    return list(read(path).names)


def _find_problems(found: _Columns) -> list[str]:
    problems = [] if found.names else ["holds no label"]
    if films := [name for name in found.names if pathlib.PurePath(name).suffix.lower() in video.SUFFIXES]:
        problems.append(f"is a list of clips, such as {textfile.shorten(films[0])}, not of labels")
    for what, texts in (("name", found.names), ("text", found.texts)):
        if empty := [row + 1 for row, text in enumerate(texts) if not text]:
            problems.append(f"the {what} is empty at position {', '.join(map(str, empty[:5]))}")
        long = [text for text in texts if len(text) > textfile.LONGEST_LABEL]
        problems += [f"more than {textfile.LONGEST_LABEL} characters: {textfile.shorten(text)}" for text in long[:5]]
    for what, values in (("the name", found.names), ("the number", found.numbers)):
        twice = [value for value, count in collections.Counter(values).items() if count > 1]
        hint = " (are the numbers part of the names? Then: a CSV with the one column name)" if found.numbers else ""
        problems += [f"{what} {value!r} is given twice{hint}" for value in twice[:5]]
    if found.numbers and not count_up(found.numbers):
        first, last = min(found.numbers), max(found.numbers)
        problems.append(
            f"{len(set(found.numbers))} numbers from {first} to {last}: expected 0, 1, 2 ... or 1, 2, 3 ... "
            "(where they are part of the names: a CSV with the one column name)"
        )
    return problems


def count_up(numbers: Sequence[int]) -> bool:
    """Whether these are 0, 1, 2 ... or 1, 2, 3 ..., in any order."""
    return min(numbers) in (0, 1) and len(set(numbers)) == max(numbers) - min(numbers) + 1


def _read_json(path: pathlib.Path) -> _Columns:
    content = textfile.read_json(path)
    if isinstance(content, dict) and len(content) == 1 and next(iter(content)) in WRAPPERS:
        [inner] = content.values()
        content = inner if isinstance(inner, dict | list) else content
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        names, numbers = (_field_of_all(content, headings) for headings in (NAME, ID))
        if names and all(isinstance(name, str) for name in names) and all(map(_is_number, numbers)):
            return _Columns(list(map(_tidy, names)), list(map(int, numbers)))
    elif isinstance(content, list) and all(isinstance(name, str) for name in content):
        return _Columns([_tidy(name) for name in content])
    elif isinstance(content, dict):
        keys, values = list(content), list(content.values())
        numbers = [all(map(_is_number, side)) for side in (keys, values)]
        words = all(isinstance(value, str) for value in values)
        if numbers == [False, True]:
            return _Columns([_tidy(name) for name in keys], [int(number) for number in values])
        if numbers == [True, False] and words:
            return _Columns([_tidy(name) for name in values], [int(number) for number in keys])
        if numbers == [False, False] and words:
            return _Columns([_tidy(name) for name in keys], texts=[_tidy(text) for text in values])
    raise ValueError(f"{path}: expected JSON of the form {FORMS}")


def _field_of_all(items: list[dict[str, Any]], headings: Sequence[str]) -> list[Any]:
    """What all items have under one of the headings; [] where there is none."""
    heading = next((heading for heading in headings if all(heading in item for item in items)), None)
    return [item[heading] for item in items] if heading else []


def _is_number(value: Any) -> bool:
    return type(value) in (int, str) and str(value).isdecimal() and len(str(value)) < 10


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _read_table(path: pathlib.Path) -> _Columns:
    rows = textfile.read_rows(path)
    if not rows:
        return _Columns([])
    header = [textfile.normalise_heading(cell) for cell in rows[0][1]]
    if wrong := [f"line {line} has {len(row)}" for line, row in rows if len(row) != len(header)]:
        raise ValueError(f"{path}: the first row has {len(header)} cells, but {'; '.join(wrong[:5])}")
    if any(cell in OF_CLIPS for cell in header):
        raise ValueError(f"{path}: is a list of clips by its headings, {', '.join(rows[0][1])}; expected {KNOWN}")
    headed = any(cell in (*NAME, *ID, *TEXT) for cell in header)
    if len(header) == 1 and not headed:
        return _from_lines(path, [row[0] for _, row in rows])
    cells = [row for _, row in rows[headed:]]
    columns = [[_tidy(row[column]) for row in cells] for column in range(len(header))]
    places = _headed_columns(path, header, columns) if headed else _bare_columns(path, columns)
    unused = [
        rows[0][1][column] or "without a heading" for column in range(len(header)) if column not in places.values()
    ]
    picked = {field: columns[column] for field, column in places.items()}
    if "id" in picked and not all(map(NUMBER.fullmatch, picked["id"])):
        raise ValueError(f"{path}: not every {rows[0][1][places['id']] if headed else 'id'} is a number")
    notes = [f"the columns {', '.join(unused)} are not used"] if unused else []
    numbers = [int(NUMBER.fullmatch(cell)[1]) for cell in picked.get("id", [])]
    return _Columns(picked["name"], numbers, picked.get("text", []), notes)


def _headed_columns(path: pathlib.Path, header: list[str], columns: list[list[str]]) -> dict[str, int]:
    """Where name, id and text stand. A column called label or class may hold the numbers beside one of names."""
    named = [column for column, cell in enumerate(header) if cell in NAME]
    numbers = [column for column in named if columns[column] and all(map(NUMBER.fullmatch, columns[column]))]
    found = {
        "name": [column for column in named if column not in numbers] or numbers,
        "id": [column for column, cell in enumerate(header) if cell in ID],
        "text": [column for column, cell in enumerate(header) if cell in TEXT],
    }
    found["id"] += [column for column in numbers if column not in found["name"]]
    for field, places in found.items():
        if len(places) > 1 or (field == "name" and not places):
            names = {"name": NAME, "id": ID, "text": TEXT}[field]
            raise ValueError(
                f"{path}: {len(places)} columns say the {field} ({', '.join(header)}): expected one, called "
                f"{' or '.join(names)}"
            )
    return {field: places[0] for field, places in found.items() if places}


def _bare_columns(path: pathlib.Path, columns: list[list[str]]) -> dict[str, int]:
    """Where name and id stand in a table without headings."""
    numbers = [all(map(NUMBER.fullmatch, column)) for column in columns]
    if len(columns) == 2 and sum(numbers) == 1:
        return {"id": numbers.index(True), "name": numbers.index(False)}
    raise ValueError(
        f"{path}: which of its {len(columns)} columns holds the names? Expected a first row of headings: id,name"
    )


def _read_lines(path: pathlib.Path) -> _Columns:
    raw = textfile.read_lines(path)
    if not raw:
        return _Columns([])
    headings = [textfile.normalise_heading(cell) for cell in re.split(r"[,;\t]", raw[0])]
    if len(headings) > 1 and any(heading in (*NAME, *OF_CLIPS) for heading in headings):
        return _read_table(path)
    words = [textfile.normalise_heading(word) for word in raw[0].split()]
    if headings[0] in NAME or (len(words) == 2 and words[0] in ID and words[1] in NAME):
        found = _from_lines(path, raw[1:])
        return dataclasses.replace(found, notes=[*found.notes, f"its first line {raw[0]!r} is taken for a heading"])
    return _from_lines(path, raw)


def _from_lines(path: pathlib.Path, raw: Sequence[str]) -> _Columns:
    """A name a line, or all with a number before or behind it."""
    lines = [_tidy(line) for line in raw]
    before, behind = ([pattern.fullmatch(line) for line in lines] for pattern in (NUMBERED, NUMBERED_BEHIND))
    if lines and all(before):
        found = _numbered([match[1] for match in before], [match[2] for match in before], lines[0])
    elif len(lines) > 1 and all(behind) and _tell_apart([match[2] for match in behind], [match[1] for match in behind]):
        found = _numbered([match[2] for match in behind], [match[1] for match in behind], lines[0])
    else:
        found = _Columns(lines)
    if wrong := _describe_other_text(raw, found):
        raise ValueError(f"{path}: {wrong}; expected {KNOWN}")
    return found


def _tell_apart(numbers: list[str], names: list[str]) -> bool:
    """Whether numbers behind names are those of classes, and no part of the names."""
    return count_up(list(map(int, numbers))) and len(set(names)) == len(names)


def _describe_other_text(raw: Sequence[str], found: _Columns) -> str | None:
    """What a text is that holds no label a line."""
    if len(raw) > 1 and all(map(QUOTED.fullmatch, raw)):
        return "its lines are in quotes or end in commas"
    if len(raw) == 1 and "," in raw[0] and not found.numbers:
        return f"its only line holds commas, {textfile.shorten(raw[0])}"
    if found.numbers and len(raw) > 1 and all(map(NUMBERED_BEHIND.fullmatch, found.names)):
        return f"numbers on both sides of the names, {textfile.shorten(raw[0])}"
    rest = [name if found.numbers else line for line, name in zip(raw, found.names, strict=True)]
    if other := [line for line in rest if OTHER_TEXT.fullmatch(line)]:
        return f"comments, bullets, tabs or the like are no part of a label, {textfile.shorten(other[0])}"
    if tabs := [line for line in raw if line.count("\t") > bool(found.numbers)]:
        return f"tabs in a line, {textfile.shorten(tabs[0])}"
    return None


def _numbered(numbers: list[str], names: list[str], line: str) -> _Columns:
    note = f"reads {line!r} as the number {int(numbers[0])} and the name {names[0]!r}, and all its lines alike"
    return _Columns(names, list(map(int, numbers)), notes=[note])
