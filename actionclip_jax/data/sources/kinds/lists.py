"""Lists people write themselves: a CSV with a column for each field, or text lines `path label`."""

import pathlib
import re
from collections.abc import Sequence

from actionclip_jax import config, files
from actionclip_jax.data import numbers, readers
from actionclip_jax.data.sources import columns, lines, listing, problems, tables

SEVERAL = re.compile(r"\[.*\]|.*[;|].*|\d+(\s*[,/]\s*\d+)+")  # labels in one cell: [0, 2], run;jump, 0,2


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """Labels are texts, or numbers where all are and there is a label file."""
    path = pathlib.Path(source.path)
    rows = errors.read(files.read_rows, path) if path.suffix.lower() in (".csv", ".tsv") else []
    fields = None
    if rows and not tables.holds_lines(rows):
        fields = columns.find_fields([row for _, row in rows], columns.split_names(source.ignore_columns), errors)
        entries = list(tables.read(source, rows, fields, errors))
    else:
        entries = lines.read(path, errors)
    fields = fields or {}
    if "split" not in fields and source.split:
        errors.add(problems.UNUSED, f"split is {source.split!r}: {path} has no column split")
    if not entries and not errors.examples:
        errors.fail(
            "lists without a clip",
            f"{path}: holds no line with a clip; expected path,label, or in a text file path label",
        )
    numbered = _read_numbers(entries, errors)
    reader = readers.VideoFiles(unit="frames" if {"start_frame", "end_frame"} & fields.keys() else "seconds")
    others = set()
    if "split" in fields and not numbered:
        others = {row[fields["label"]] for _, row in rows[1:] if len(row) == len(rows[0][1])}
    videos = pathlib.Path(source.videos or path.parent)
    return listing.Listing(entries, videos, [path], reader, other_labels=others)


def _read_numbers(entries: Sequence[listing.Entry], errors: problems.Problems) -> bool:
    """Makes the labels numbers if all of them are; whether they were."""
    texts = [str(entry.labels[0]) for entry in entries]
    for entry, text in zip(entries, texts, strict=True):
        if SEVERAL.fullmatch(text):
            errors.add("clips with several labels (only Charades' own lists have them)", f"{entry.where}: {text}")
    if not all(map(numbers.is_whole, texts)):
        return False
    for entry, text in zip(entries, texts, strict=True):
        if (number := numbers.read_whole(text)) is None:
            errors.fail("labels that are no numbers of classes", f"{entry.where}: {text}")
        entry.labels = (number,)
    return True
