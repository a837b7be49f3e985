"""HMDB51: lists `class/file.avi number` with a label file, or the official <class>_test_split1.txt of every class."""

import pathlib
from collections.abc import Iterator

from actionclip_jax import config, files
from actionclip_jax.data import class_names, label_files, numbers, readers
from actionclip_jax.data.sources import classes, listing, problems, splits

MARKS = {"train": "1", "test": "2"}  # in the official lists; 0 is for clips that are in neither


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """Either form, by what the directory holds; the class of a clip is its folder or its list's name."""
    path = pathlib.Path(source.path)
    official = sorted(path.glob(f"*_test_split{source.fold}.txt"))
    if official:
        entries = list(_read_official(source, official, errors))
        return listing.Listing(entries, pathlib.Path(source.videos or path), official, readers.VideoFiles())
    spellings = {"train": ("train",), "test": ("test", "val")}  # the lists in circulation call the test split val
    patterns = {x: tuple(f"{name}list_split{source.fold}.txt" for name in spellings[x]) for x in spellings}
    path = splits.find_list(source, patterns, errors)
    file = path.parent / "labels.csv"
    known = classes.read_classes(file, errors) if file.is_file() else None
    return _read_list(path, pathlib.Path(source.videos or path.parent), known, errors)


def _read_official(
    source: config.SourceConfig, split_files: list[pathlib.Path], errors: problems.Problems
) -> Iterator[listing.Entry]:
    split = splits.split_of(source.split)
    if split not in MARKS:
        splits.reject(source, f"one of {', '.join(MARKS)}", errors)
    for file in split_files:
        label = file.name.removesuffix(f"_test_split{source.fold}.txt")
        for line, text in errors.read(files.read_numbered_lines, file):
            name, _, mark = text.rpartition(" ")
            if name and mark in ("0", "1", "2"):
                if mark == MARKS[split]:
                    name = name.strip()
                    yield listing.Entry(f"{file.name}, line {line}", (f"{label}/{name}", name), (label,))
            else:
                errors.add("malformed lines (expected: file 0, 1 or 2)", f"{file.name}, line {line}: {text}")


def _read_list(
    path: pathlib.Path, videos: pathlib.Path, known: label_files.Classes | None, errors: problems.Problems
) -> listing.Listing:
    """The folder decides: in circulation are lists that number kick and kick_ball otherwise than their label file."""
    entries, contradicting = [], []
    for line, text in errors.read(files.read_numbered_lines, path):
        place, _, number = text.rpartition(" ")
        folder, slash, name = place.strip().rpartition("/")
        if not slash or not numbers.is_number(number):
            errors.add("malformed lines (expected: class/file number)", f"line {line}: {text}")
            continue
        entries.append(listing.Entry(f"line {line}", (f"{folder}/{name}", name), (folder,)))
        contradicting.append((folder, int(number)))
    if known:
        folders = list({folder for folder, _ in contradicting})
        places = dict(zip(folders, class_names.match_names(folders, known.names), strict=True))
        contradicting = [pair for pair in contradicting if places[pair[0]] != pair[1] - (known.first or 0)]
    notes = {"numbers_contradicting_folders": len(contradicting) if known else None}
    return listing.Listing(entries, videos, [path], readers.VideoFiles(), known, notes=notes)
