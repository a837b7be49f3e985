"""Compares a list with the files there are, and makes the table of clips."""

import os
import pathlib
from typing import Any

from actionclip_jax.data import readers, table
from actionclip_jax.data.sources import files, labelling, listing, problems
from actionclip_jax.data.video import limits


def collect(
    listed: listing.Listing,
    labels: labelling.Labelling,
    found: problems.Problems,
    *,
    check_files: bool,
    skip_missing: bool,
) -> table.ClipTable:
    """The table; its origin counts the clips listed, missing and repaired and names the first."""
    if not listed.entries and not found.examples:
        found.add("lists without a clip", ", ".join(map(str, listed.files)))
    paths, counts = _locate(listed, found, check_files, skip_missing)
    present = [(entry, path) for entry, path in zip(listed.entries, paths, strict=True) if path is not None]
    if not listed.repeats:
        present = _drop_repeated(present, counts)
    ids = [entry.id or _name_clip(entry) for entry, _ in present]
    _check_names(present, found)
    _check_intervals(listed, found)
    _check_repetition(present, ids, listed.repeats, found)
    if isinstance(listed.reader, readers.FrameFolders):
        _check_frames(present, listed.reader, found, check_files)
        if check_files and not found.examples:
            counts |= _count_larger_folders(present, listed.reader)
    found.check()
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


def _locate(
    listed: listing.Listing, found: problems.Problems, check_files: bool, skip_missing: bool
) -> tuple[list[str | None], dict[str, Any]]:
    """The paths of the files, None where one is missing."""
    entries, root = listed.entries, listed.videos
    missing, repaired = [], []
    if root is None:
        paths = [entry.places[0] for entry in entries]
    elif not check_files:
        paths = [str(root / entry.places[0]) for entry in entries]
    else:
        if not root.is_dir():
            found.fail("folders of videos that are not there", str(root))
        there, paths = files.Files(root), []
        for entry in entries:
            path, was_repaired = there.find(entry.places)
            paths.append(path)
            if path is None:
                missing.append(entry)
            elif was_repaired:
                repaired.append(entry)
    if missing and (not skip_missing or len(missing) == len(entries)):
        advice = "skip_missing, --skip-missing, leaves such clips out"
        if len(missing) == len(entries):  # class folders are where they are; a list may speak of another place
            advice = "all of them" + (": say with videos, --videos, where they are" if listed.files else "")
        for entry in missing:
            found.add(f"files missing below {root} ({advice})", _describe_missing(entry, root))
    counts = {"listed": len(entries)}
    for name, some in (("missing", missing), ("repaired", repaired)):
        counts[name] = len(some)
        counts[f"first_{name}"] = [entry.places[0] for entry in some[: problems.EXAMPLES]]
    return paths, counts


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


def _describe_missing(entry: listing.Entry, root: pathlib.Path) -> str:
    place = entry.places[0]
    example = place if entry.where == place else f"{entry.where}: {place}"  # folders have no line to name
    if os.path.islink(root / place):  # noqa: PTH114
        return f"{example} (a link to nothing)"
    if "://" in place:
        return f"{example} (an address: only files are read)"
    return f"{example} (a path of Windows: folders are separated by / here)" if "\\" in place else example


def _name_clip(entry: listing.Entry) -> str:
    if entry.start is None and entry.end is None:
        return entry.places[0]
    interval = ["" if second is None else str(second) for second in (entry.start, entry.end)]
    return f"{entry.places[0]}@{'-'.join(interval)}"


def _check_names(present: list[tuple[listing.Entry, str]], found: problems.Problems) -> None:
    for _, path in present:
        try:
            path.encode()
        except UnicodeEncodeError:
            found.add("file names that are not UTF-8 (rename the files)", repr(path))


def _check_intervals(listed: listing.Listing, found: problems.Problems) -> None:
    for entry in listed.entries:
        start, end = entry.start or 0.0, entry.end
        # written so that NaN, too, is a problem
        if not start >= 0 or (end is not None and not end > start):
            found.add("intervals that begin before 0 or do not end later", f"{entry.where}: {entry.start} to {end}")


def _check_repetition(
    present: list[tuple[listing.Entry, str]], ids: list[str], repeats: bool, found: problems.Problems
) -> None:
    seen: dict[Any, str] = {}
    for name, (entry, path) in zip(ids, present, strict=True):
        clip = (os.path.normpath(path), entry.start or 0.0, entry.end)
        if not repeats and clip in seen:
            found.add("clips listed twice, and not alike", f"{entry.where}: {entry.places[0]}, as {seen[clip]}")
        elif name in seen:
            found.add("ids given to two clips", f"{entry.where}: {name}, as {seen[name]}")
        seen[clip] = seen[name] = entry.where


def _check_frames(
    present: list[tuple[listing.Entry, str]],
    reader: readers.FrameFolders,
    found: problems.Problems,
    check_files: bool,
) -> None:
    for entry, path in present:
        last = reader.template.format(reader.first + entry.frames - 1)
        if entry.frames < 1:
            found.add("folders without a frame", f"{entry.where}: {entry.places[0]} {entry.frames}")
        elif entry.frames > limits.MAX_FRAMES:
            found.add(f"folders of more than {limits.MAX_FRAMES} frames", f"{entry.where}: {entry.places[0]}")
        elif check_files and not pathlib.Path(path, last).is_file():
            found.add("folders without their last frame", f"{entry.where}: {entry.places[0]}/{last}")


def _count_larger_folders(present: list[tuple[listing.Entry, str]], reader: readers.FrameFolders) -> dict[str, Any]:
    """How many folders hold a frame before the first or behind the last that their list says, and the first of them."""
    larger = []
    for entry, path in present:
        for number in (reader.first - 1, reader.first + entry.frames):
            name = reader.template.format(number)
            if number >= 0 and pathlib.Path(path, name).is_file():
                larger.append(f"{entry.places[0]}/{name}")
                break
    return {"larger_folders": len(larger), "first_larger_folders": larger[: problems.EXAMPLES]} if larger else {}
