"""Files written so that they are there whole or not at all."""

import contextlib
import json
import pathlib
from collections.abc import Generator
from typing import Any


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


def write_text(path: pathlib.Path, content: str) -> None:
    """Writes a text file, UTF-8, at one stroke."""
    with written_whole(path) as partial:
        partial.write_text(content, encoding="utf-8")


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file at one stroke; letters of all scripts stay as they are."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
