"""Compares a list with the files there are, and makes the table of clips."""

import os
from typing import Any

from actionclip_jax.data import readers, table
from actionclip_jax.data.sources import checks, labelling, listing, locate, problems


def collect(
    listed: listing.Listing,
    labels: labelling.Labelling,
    errors: problems.Problems,
    *,
    check_files: bool,
    skip_missing: bool,
) -> table.ClipTable:
    """The table; its origin counts the clips listed, missing and repaired and names the first."""
    if not listed.entries and not errors.examples:
        errors.add("lists without a clip", ", ".join(map(str, listed.files)))
    paths, counts = locate.locate(listed, errors, check_files=check_files, skip_missing=skip_missing)
    present = [(entry, path) for entry, path in zip(listed.entries, paths, strict=True) if path is not None]
    if not listed.repeats:
        present = _drop_repeated(present, counts)
    ids = [entry.id or _name_clip(entry) for entry, _ in present]
    checks.check_names(present, errors)
    checks.check_intervals(listed, errors)
    checks.check_repetition(present, ids, listed.repeats, errors)
    if isinstance(listed.reader, readers.FrameFolders):
        checks.check_frames(present, listed.reader, errors, check_files)
        if check_files and not errors.examples:
            counts |= checks.count_larger_folders(present, listed.reader)
    errors.check()
    clips = [
        table.Clip(name, path, tuple(labels.indices[x] for x in entry.labels), entry.start, entry.end, entry.frames)
        for name, (entry, path) in zip(ids, present, strict=True)
    ]
    return table.make_table(
        clips,
        labels.texts,
        listed.reader,
        names=labels.names,
        multi_label=listed.multi_label,
        origin={**counts, "labels_read": labels.notes, **listed.notes},
    )


def _drop_repeated(present: list[tuple[listing.Entry, str]], counts: dict[str, Any]) -> list[tuple[listing.Entry, str]]:
    """Without the lines that say the same of the same clip as one before, which are counted."""
    kept: dict[Any, tuple[listing.Entry, str]] = {}
    repeated = []
    for entry, path in present:
        said = (os.path.normpath(path), entry.start or 0.0, entry.end, entry.frames, entry.labels, entry.id)
        if kept.setdefault(said, (entry, path))[0] is not entry:
            repeated.append(entry)
    counts |= {
        "repeated": len(repeated),
        "first_repeated": [entry.places[0] for entry in repeated[: problems.EXAMPLES]],
    }
    return list(kept.values())


def _name_clip(entry: listing.Entry) -> str:
    if entry.start is None and entry.end is None:
        return entry.places[0]
    interval = ["" if second is None else str(second) for second in (entry.start, entry.end)]
    return f"{entry.places[0]}@{'-'.join(interval)}"
