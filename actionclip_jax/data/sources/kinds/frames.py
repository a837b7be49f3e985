"""Folders of frames and the ActionCLIP source's lists of them: lines `folder frames label`."""

import pathlib

from actionclip_jax import config, files
from actionclip_jax.data import numbers, readers
from actionclip_jax.data.sources import listing, problems


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """The label is a number of the label file; folders may hold spaces."""
    path, entries = pathlib.Path(source.path), []
    for line, text in errors.read(files.read_numbered_lines, path):
        fields = text.rsplit(None, 2)
        if len(fields) == 3 and numbers.is_number(fields[1]) and numbers.is_number(fields[2]):
            place, count, label = fields
            entries.append(listing.Entry(f"line {line}", (place.rstrip("/"),), (int(label),), frames=int(count)))
        else:
            errors.add("malformed lines (expected: folder frames label)", f"line {line}: {text}")
    reader = readers.FrameFolders(source.frame_template, source.first_frame)
    return listing.Listing(entries, pathlib.Path(source.videos or path.parent), [path], reader)
