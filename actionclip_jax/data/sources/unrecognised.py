"""Says what a path holds that is no data set as it is, and what was probably meant."""

import pathlib
from collections.abc import Sequence

from actionclip_jax import files
from actionclip_jax.data import video
from actionclip_jax.data.sources.kinds import charades

LABEL_FILES = {  # lists of classes, and what the lists of clips beside them are called
    "classInd.txt": "trainlist01.txt or testlist01.txt",
    charades.CLASSES: "Charades_v1_train.csv or Charades_v1_test.csv",
}
LABEL_COLUMNS = ["id", "name"]
FOLDERS = "a directory with a folder of videos for each class"
JSON = "{id: {annotations, subset}} (kinetics) or [{id, template}] (something)"
LINES = "lines `path label` (csv) or `folder frames label` (frames), path,label in a .csv"
SAY = "kind, --kind, says which is meant where names do not"


def describe(path: pathlib.Path, known: str) -> str:
    """What it holds, then what was expected; `known` are the names of files by which a kind is recognised."""
    holds, expected = _describe_directory(path, known) if path.is_dir() else _describe_file(path, known)
    return f"{holds}; expected {expected}"


def _describe_directory(path: pathlib.Path, known: str) -> tuple[str, str]:
    items = [item for item in sorted(path.iterdir()) if not item.name.startswith(".")]
    videos = sum(item.suffix.lower() in video.SUFFIXES for item in items)
    folders = [item.name for item in items if item.is_dir()]
    lists = [item.name for item in items if item.suffix.lower() in (".csv", ".json", ".txt")]
    a_list = f"the list itself, if it is one of {_name_some(lists)}" if lists else "a list"
    if not items:
        return "holds no file", f"{FOLDERS}, or a list"
    if videos:
        return (
            f"{videos} video{'s' * (videos > 1)}, but not in a folder for each class",
            f"{path}/CLASS/VIDEO, or {a_list}",
        )
    if folders:
        holds = f"no video in its folders ({_name_some(folders)}) or in theirs"
    else:
        holds = f"no video among its files ({_name_some([item.name for item in items])})"
    return holds, f"{FOLDERS}, or {a_list}, or a directory that holds one of: {known}; {SAY}"


def _describe_file(path: pathlib.Path, known: str) -> tuple[str, str]:
    suffix = path.suffix.lower()
    if suffix in video.SUFFIXES:
        return "is a video", f"{FOLDERS}, or a list of videos with their labels"
    if path.name in LABEL_FILES:
        return "is the list of classes", f"its directory with split (--split), or {LABEL_FILES[path.name]}"
    if suffix == ".csv":
        return f"its columns are {', '.join(LABEL_COLUMNS)}: labels, which go with labels (--labels)", "a list of clips"
    if suffix == ".json":
        return "is JSON of no known form", JSON
    first = files.read_lines(path)[0]
    separator = next((mark for mark in ";,|" if mark in first), None)
    holds = f"its lines are separated by {separator!r}" if separator else f"its first line is {first[:80]!r}"
    return holds, f"{LINES}, or one of the names {known}; {SAY}"


def _name_some(names: Sequence[str]) -> str:
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])
