"""Lists of clips that are text lines `path label`."""

import pathlib
import re
from collections.abc import Iterator

from actionclip_jax import files
from actionclip_jax.data import numbers, video
from actionclip_jax.data.sources import listing, problems

AFTER_VIDEO = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, video.SUFFIXES))}))\s+(\S.*)", re.IGNORECASE)
NUMBERS_BESIDE = re.compile(r"[\d.]+\s+\S.*|.*\S\s+[\d.]+")


def read(path: pathlib.Path, errors: problems.Problems) -> list[listing.Entry]:
    """The clips; a label that may be several things ends the search for problems."""
    entries = list(_split_lines(path, errors))
    texts = [str(entry.labels[0]) for entry in entries]
    if texts and all(map(NUMBERS_BESIDE.fullmatch, texts)):
        errors.fail(
            "lines with numbers beside the label (a CSV with headings, path,label,start,end say, tells what they are)",
            f"{entries[0].where}: {entries[0].places[0]} {texts[0]}",
        )
    return entries


def _split_lines(path: pathlib.Path, errors: problems.Problems) -> Iterator[listing.Entry]:
    for line, text in errors.read(files.read_numbered_lines, path):
        place, _, label = text.rpartition(" ")
        if not numbers.is_number(label) and (match := AFTER_VIDEO.fullmatch(text)):
            place, label = match.groups()
        if place:
            yield listing.Entry(f"line {line}", (place.strip(),), (label,))
        else:
            errors.add("malformed lines (expected: path label)", f"line {line}: {text}")
