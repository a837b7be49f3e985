"""The label file of a data set."""

import pathlib
from collections.abc import Collection

from actionclip_jax.data import label_files
from actionclip_jax.data.sources import problems

# what label files beside a list are called; the first pattern found decides
BESIDE = ("labels.csv", "labels.tsv", "labels.json", "labels.txt")
BESIDE += ("*_labels.csv", "*-labels.json", "*_labels.txt", "label_map*.txt", "classInd.txt")


def read_classes(path: pathlib.Path, errors: problems.Problems) -> label_files.Classes:
    """What a label file holds; one that cannot be read ends the search for problems."""
    return errors.read(label_files.read, path)


def find_beside(
    folder: pathlib.Path, errors: problems.Problems, but: Collection[pathlib.Path] = ()
) -> label_files.Classes | None:
    """The classes of the label file in a folder, if there is just one `but` for these files."""
    for pattern in BESIDE:
        files = sorted(set(folder.glob(pattern)) - set(but))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            errors.add(
                "lists with several label files beside them (name one with labels, --labels)", f"{folder}: {names}"
            )
        if files:
            return read_classes(files[0], errors)
    return None
