"""Finds the files of the clips listed."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from actionclip_jax.data.sources import files, listing, problems


def locate(
    listed: listing.Listing, errors: problems.Problems, *, check_files: bool, skip_missing: bool
) -> tuple[list[str | None], dict[str, Any]]:
    """The paths of the files, None where one is missing, and for the table's origin how many are, or were repaired."""
    entries, root = listed.entries, listed.videos
    missing: list[listing.Entry] = []
    repaired: list[listing.Entry] = []
    paths: list[str | None]
    if root is None:
        paths = [entry.places[0] for entry in entries]
    elif not check_files:
        paths = [str(root / entry.places[0]) for entry in entries]
    else:
        paths, missing, repaired = _look_up(entries, root, errors)
        if missing and (not skip_missing or len(missing) == len(entries)):
            advice = "skip_missing, --skip-missing, leaves such clips out"
            if len(missing) == len(entries):  # class folders are where they are; a list may speak of another place
                advice = "all of them" + (": say with videos, --videos, where they are" if listed.files else "")
            for entry in missing:
                errors.add(f"files missing below {root} ({advice})", _describe_missing(entry, root))
    counts: dict[str, Any] = {"listed": len(entries)}
    for name, some in (("missing", missing), ("repaired", repaired)):
        counts[name] = len(some)
        counts[f"first_{name}"] = [entry.places[0] for entry in some[: problems.EXAMPLES]]
    return paths, counts


def _look_up(
    entries: Sequence[listing.Entry], root: pathlib.Path, errors: problems.Problems
) -> tuple[list[str | None], list[listing.Entry], list[listing.Entry]]:
    """The paths, and the entries whose files are missing and whose names had to be repaired."""
    if not root.is_dir():
        errors.fail("folders of videos that are not there", str(root))
    there = files.Files(root)
    paths: list[str | None] = []
    missing, repaired = [], []
    for entry in entries:
        path, was_repaired = there.find(entry.places)
        paths.append(path)
        if path is None:
            missing.append(entry)
        elif was_repaired:
            repaired.append(entry)
    return paths, missing, repaired


def _describe_missing(entry: listing.Entry, root: pathlib.Path) -> str:
    place = entry.places[0]
    example = place if entry.where == place else f"{entry.where}: {place}"  # folders have no line to name
    if os.path.islink(root / place):  # noqa: PTH114
        return f"{example} (a link to nothing)"
    if "://" in place:
        return f"{example} (an address: only files are read)"
    return f"{example} (a path of Windows: folders are separated by / here)" if "\\" in place else example
