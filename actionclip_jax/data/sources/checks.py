"""What may be wrong with the clips of a list, beside files that are missing."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from actionclip_jax.data import readers
from actionclip_jax.data.sources import listing, problems
from actionclip_jax.data.video import limits

Present = Sequence[tuple[listing.Entry, str]]  # entries, each with the path of its file


def check_names(present: Present, errors: problems.Problems) -> None:
    """Adds files that cannot be told to people."""
    for _, path in present:
        try:
            path.encode()
        except UnicodeEncodeError:
            errors.add("file names that are not UTF-8 (rename the files)", repr(path))


def check_intervals(listed: listing.Listing, errors: problems.Problems) -> None:
    """Adds clips that last no time."""
    for entry in listed.entries:
        start, end = entry.start or 0.0, entry.end
        # written so that NaN, too, is a problem
        if not start >= 0 or (end is not None and not end > start):
            errors.add("intervals that begin before 0 or do not end later", f"{entry.where}: {entry.start} to {end}")


def check_repetition(present: Present, ids: list[str], repeats: bool, errors: problems.Problems) -> None:
    """Adds clips that stand there twice, and ids that two of them have."""
    seen: dict[Any, str] = {}
    for name, (entry, path) in zip(ids, present, strict=True):
        clip = (os.path.normpath(path), entry.start or 0.0, entry.end)
        if not repeats and clip in seen:
            errors.add("clips listed twice, and not alike", f"{entry.where}: {entry.places[0]}, as {seen[clip]}")
        elif name in seen:
            errors.add("ids given to two clips", f"{entry.where}: {name}, as {seen[name]}")
        seen[clip] = seen[name] = entry.where


def check_frames(present: Present, reader: readers.FrameFolders, errors: problems.Problems, check_files: bool) -> None:
    """Adds folders with no frame, too many or fewer than the list says."""
    for entry, path in present:
        frames = entry.frames or 0
        last = reader.template.format(reader.first + frames - 1)
        if frames < 1:
            errors.add("folders without a frame", f"{entry.where}: {entry.places[0]} {entry.frames}")
        elif frames > limits.MAX_FRAMES:
            errors.add(f"folders of more than {limits.MAX_FRAMES} frames", f"{entry.where}: {entry.places[0]}")
        elif check_files and not pathlib.Path(path, last).is_file():
            errors.add("folders without their last frame", f"{entry.where}: {entry.places[0]}/{last}")


def count_larger_folders(present: Present, reader: readers.FrameFolders) -> dict[str, Any]:
    """How many folders hold a frame before the first or behind the last that their list says, and the first of them."""
    larger = []
    for entry, path in present:
        for number in (reader.first - 1, reader.first + (entry.frames or 0)):
            name = reader.template.format(number)
            if number >= 0 and pathlib.Path(path, name).is_file():
                larger.append(f"{entry.places[0]}/{name}")
                break
    return {"larger_folders": len(larger), "first_larger_folders": larger[: problems.EXAMPLES]} if larger else {}
