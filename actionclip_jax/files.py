"""Files read and written: what people bring as lines, tables and JSON, and files that are there whole or not at all.

What is read may be UTF-8, or another Unicode form with a byte order mark.
"""

import codecs
import collections
import contextlib
import csv
import io
import json
import pathlib
import re
from collections.abc import Generator
from typing import Any

MAX_BYTES = 1 << 28  # the largest lists in circulation, Kinetics-700 as JSON, have half as many
MAX_LINES = 1 << 22  # a clip of a list takes 1 kB of memory; HowTo100M has 1.2 million videos
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # control characters that no text has
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")  # those, and what a terminal takes for orders
LONGEST_LABEL = 1000  # characters: more never fit CLIP's 77 tokens, and messages and charts show whole labels
UNICODE = {  # the byte order marks of what Windows calls Unicode; UTF-32's begins like UTF-16's, so it comes first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SEPARATORS = (",", "\t", ";")  # of the cells of a table


def read_text(path: pathlib.Path) -> str:
    """A text file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, which is dropped.

    Raises:
        ValueError: a file that is too large, or no such text.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
        raise ValueError(f"{path}: not a file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, and a text file may have {MAX_BYTES}")
    data = path.read_bytes()
    encoding = next((name for mark, name in UNICODE.items() if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if BINARY.search(data[:8192]) or encoding != "utf-8-sig":
            raise ValueError(f"{path}: not a text file but a binary one") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    if (lines := max(text.count("\n"), text.count("\r"))) > MAX_LINES:
        raise ValueError(f"{path}: {lines} lines, and a text file may have {MAX_LINES}")
    return text


def read_plain_text(path: pathlib.Path) -> str:
    """The same without control characters, which JSON alone can spell."""
    text = read_text(path)
    if control := CONTROL.search(text):
        line = len(text[: control.end()].splitlines())
        raise ValueError(f"{path}, line {line}: holds {control[0]!r}, which no text has")
    return text


def shorten(text: str) -> str:
    """The text as a message quotes it: it may have millions of characters."""
    return repr(text) if len(text) <= LONGEST_LABEL else f"{text[:100]!r} ..."


def read_lines(path: pathlib.Path) -> list[str]:
    """The non-empty lines of a text file, stripped."""
    return [line for _, line in read_numbered_lines(path)]


def read_numbered_lines(path: pathlib.Path) -> list[tuple[int, str]]:
    """The non-empty lines, stripped, each with its number from 1 on; they end as on Unix, Windows or old Macs."""
    lines = enumerate(read_plain_text(path).splitlines(), 1)
    return [(number, stripped) for number, line in lines if (stripped := line.strip())]


def read_rows(path: pathlib.Path) -> list[tuple[int, list[str]]]:
    """The rows of a table that are not empty, each with the number of its last line; cells are stripped.

    Cells are separated by commas; by tabs in a .tsv file; by the tabs or semicolons of a first line without commas; or
    as a first line `sep=;` says, which Excel writes.
    """
    text = read_plain_text(path)
    stated = re.match(r"sep=(.)[\r\n]+", text)
    separator = stated[1] if stated else find_separator(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from None
    return rows[bool(stated) :]


def normalise_heading(cell: str) -> str:
    """`Start Time`, `StartTime` and `start (time)` -> `start_time`: headings are compared like this."""
    cell = re.sub(r"(?<=[a-z\d])(?=[A-Z])", "_", cell)
    return re.sub(r"[\s\-_()\[\].]+", "_", cell.strip().lower()).strip("_")


def find_separator(path: pathlib.Path, text: str) -> str:
    """What separates the cells of a table."""
    first = next(iter(text.lstrip().splitlines()), "")
    if path.suffix.lower() == ".tsv" and "\t" in first:
        return "\t"
    return next((mark for mark in SEPARATORS if mark in first), ",")


def read_json(path: pathlib.Path) -> Any:
    """What a JSON file holds. One name twice in an object is an error: a reader would silently keep the last."""
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_read_object)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file. Raises OSError and ValueError."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected an object with names")
    return content


def read_if_whole(path: pathlib.Path) -> Any:
    """What a JSON file of this program's holds; None where there is none, or a damaged one."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        [(twice, _)] = collections.Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {shorten(twice)} stands twice in one object")
    return content


@contextlib.contextmanager
def written_whole(path: pathlib.Path, mark: str = "") -> Generator[pathlib.Path]:
    """Yields the name of a file to write, which then takes the place of `path`: a kill leaves the old one, or the new.

    `mark` tells the unfinished files of several writers apart. Directories above are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}{mark}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: pathlib.Path, content: str, mark: str = "") -> None:
    """Writes a text file, UTF-8, at one stroke; for `mark` see `written_whole`."""
    with written_whole(path, mark) as partial:
        partial.write_text(content, encoding="utf-8")


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file at one stroke; letters of all scripts stay as they are."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
