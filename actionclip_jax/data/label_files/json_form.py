"""Label files that are JSON."""

import pathlib
from collections.abc import Sequence
from typing import Any

from actionclip_jax import files
from actionclip_jax.data import headings, numbers
from actionclip_jax.data.label_files import columns

FORMS = "[name, ...], {name: number}, {number: name}, {name: text} or [{id, name}, ...]"
WRAPPERS = ("id2label", "label2id", "labels", "label", "classes", "class_names", "names")  # a JSON object's only name


def read(path: pathlib.Path) -> columns.Columns:
    """Any of the forms. Raises ValueError for another."""
    content = files.read_json(path)
    if isinstance(content, dict) and len(content) == 1 and next(iter(content)) in WRAPPERS:
        [inner] = content.values()
        content = inner if isinstance(inner, dict | list) else content
    rows = _from_list(content) if isinstance(content, list) else None
    rows = _from_object(content) if isinstance(content, dict) else rows
    if rows is None:
        raise ValueError(f"{path}: expected JSON of the form {FORMS}")
    return rows


def _from_list(content: list[Any]) -> columns.Columns | None:
    if all(isinstance(name, str) for name in content):
        return columns.Columns([columns.tidy(name) for name in content])
    if not all(isinstance(item, dict) for item in content):
        return None
    names, ids = (_field_of_all(content, known) for known in (headings.NAME, headings.ID))
    if not names or not all(isinstance(name, str) for name in names) or not all(map(_is_number, ids)):
        return None
    return columns.Columns([columns.tidy(name) for name in names], [int(number) for number in ids])


def _from_object(content: dict[str, Any]) -> columns.Columns | None:
    keys, values = list(content), list(content.values())
    numbered = [all(map(_is_number, side)) for side in (keys, values)]
    words = all(isinstance(value, str) for value in values)
    if numbered == [False, True]:
        return columns.Columns([columns.tidy(name) for name in keys], [int(number) for number in values])
    if numbered == [True, False] and words:
        return columns.Columns([columns.tidy(name) for name in values], [int(number) for number in keys])
    if numbered == [False, False] and words:
        return columns.Columns([columns.tidy(name) for name in keys], texts=[columns.tidy(text) for text in values])
    return None


def _field_of_all(items: list[dict[str, Any]], known: Sequence[str]) -> list[Any]:
    """What all items have under one of the headings; [] where there is none."""
    heading = next((heading for heading in known if all(heading in item for item in items)), None)
    return [item[heading] for item in items] if heading else []


def _is_number(value: object) -> bool:
    return type(value) in (int, str) and str(value).isdecimal() and len(str(value)) <= numbers.DIGITS
