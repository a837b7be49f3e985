"""Text files people bring: lines, tables and lists of labels, in UTF-8 with or without a byte order mark."""

import codecs
import csv
import io
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

MAX_BYTES = 1 << 28  # the largest lists in circulation, Kinetics-700 as JSON, have half as many
MAX_LINES = 1 << 22  # a clip of a list takes 1 kB of memory; HowTo100M has 1.2 million videos
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # control characters that no text has
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")  # those, and what a terminal takes for orders
LONGEST_LABEL = 1000  # characters: more never fit CLIP's 77 tokens, and messages and charts show whole labels
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # a text after all, though with zero bytes


def read_text(path: pathlib.Path) -> str:
    """A UTF-8 text file; a byte order mark is dropped. Raises ValueError for one that is too large, or no such text."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
        raise ValueError(f"{path}: not a file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, and a text file may have {MAX_BYTES}")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if BINARY.search(data[:8192]) and not data.startswith(UTF16):
            raise ValueError(f"{path}: not a text file but a binary one") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    if text.count("\n") > MAX_LINES:
        raise ValueError(f"{path}: {text.count(chr(10))} lines, and a text file may have {MAX_LINES}")
    return text


def read_plain_text(path: pathlib.Path) -> str:
    """The same without control characters, which JSON alone can spell."""
    text = read_text(path)
    if control := CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        raise ValueError(f"{path}, line {line}: holds {control[0]!r}, which no text has")
    return text


def shorten(text: str) -> str:
    """The text as a message quotes it: it may have millions of characters."""
    return repr(text) if len(text) <= LONGEST_LABEL else f"{text[:100]!r} ..."


def read_lines(path: pathlib.Path) -> list[str]:
    """The non-empty lines of a UTF-8 text file (CRLF allowed), stripped."""
    return [line for _, line in read_numbered_lines(path)]


def read_numbered_lines(path: pathlib.Path) -> list[tuple[int, str]]:
    """The non-empty lines, stripped, each with its number from 1 on."""
    return [(number, line.strip()) for number, line in enumerate(read_plain_text(path).split("\n"), 1) if line.strip()]


def read_rows(path: pathlib.Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, each with the number of its last line; cells are stripped."""
    reader = csv.reader(io.StringIO(read_plain_text(path), newline=""), strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from None


def read_json(path: pathlib.Path) -> Any:
    """What a JSON file holds."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None


def read_labels(path: pathlib.Path, say: Callable[[str], None] = lambda line: None) -> list[str]:
    """Labels of a text file, one a line, or of a CSV: its column `name` or `label`, else its only or second column."""
    if path.suffix.lower() != ".csv":
        return read_lines(path)
    rows = [row for _, row in read_rows(path)]
    header = [cell.lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in ("name", "label") if name in header), None)
    if column is not None:
        rows = rows[1:]
    else:
        column = min(1, len(header) - 1)
        say(f"{path}: no column is named name or label, so column {column + 1} of every row is taken, the first too")
    if short := [number for number, row in enumerate(rows, 1) if len(row) <= column]:
        raise ValueError(f"{path}: rows {short[:5]} have no column {column + 1}, where the labels are")
    return [" ".join(row[column].split()) for row in rows]
