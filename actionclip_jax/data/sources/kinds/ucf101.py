"""UCF101 with its official lists: trainlist01.txt (`Class/file.avi number`), testlist01.txt and classInd.txt."""

import pathlib

from actionclip_jax import config, files
from actionclip_jax.data import readers
from actionclip_jax.data.sources import classes, listing, problems, splits


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """The class is the folder a file is listed in; training lists give its number too, which has to agree."""
    patterns = {split: (f"{split}list{source.fold:02d}.txt",) for split in ("train", "test")}
    path = splits.find_list(source, patterns, errors)
    known = classes.read_classes(path.parent / "classInd.txt", errors)
    numbers = {} if known.first is None else {name: str(n) for n, name in enumerate(known.names, known.first)}
    entries = []
    for line, text in errors.read(files.read_numbered_lines, path):
        place, _, number = text.partition(" ")
        folder, slash, name = place.rpartition("/")
        if not slash or (number and not number.isdecimal()):
            errors.add(
                "malformed lines (expected: Class/file, in training lists also its number)", f"line {line}: {text}"
            )
            continue
        if number and numbers.get(folder, number) != number:
            errors.add("label numbers that are not those of the folder", f"line {line}: {text}")
        entries.append(listing.Entry(f"line {line}", (place, name), (folder,)))
    return listing.Listing(entries, pathlib.Path(source.videos or path.parent), [path], readers.VideoFiles(), known)
