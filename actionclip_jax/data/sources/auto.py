"""Recognises what kind of data set a path is. Only this file knows."""

import itertools
import pathlib

from actionclip_jax import config, files
from actionclip_jax.data import numbers, video
from actionclip_jax.data.shapes import sample_set
from actionclip_jax.data.sources import problems, tables, unrecognised
from actionclip_jax.data.sources.kinds import kinetics, tfds

DIRECTORIES = (  # (kind, pattern of a file that such a directory holds); the first that matches
    ("records", "dataset.json"),
    ("tfds", "features.json"),
    ("ucf101", "trainlist0?.txt"),
    ("ucf101", "testlist0?.txt"),
    ("hmdb51", "*_test_split?.txt"),
    ("hmdb51", "trainlist_split?.txt"),
    ("hmdb51", "vallist_split?.txt"),
    ("charades", "Charades_v1_*.csv"),
    ("sample", sample_set.MADE_BY),
)
FILES = (
    ("ucf101", "trainlist0?.txt"),
    ("ucf101", "testlist0?.txt"),
    ("hmdb51", "trainlist_split?.txt"),
    ("hmdb51", "vallist_split?.txt"),
    ("hmdb51", "testlist_split?.txt"),
)


def recognise(source: config.SourceConfig, errors: problems.Problems) -> str:
    """The kind of the path; one of several forms is an error that says what it holds and what was looked for."""
    path = pathlib.Path(source.path)
    if not path.is_dir() and not path.is_file():
        if not tfds.NAME.fullmatch(source.path):
            errors.fail(problems.NOT_THERE, f"{path}: no such file or directory")
        tfds.find_directory(source, errors)
        return "tfds"
    kind = _of_directory(path, source.depth, errors) if path.is_dir() else _of_file(path, errors)
    if kind is None:
        known = "; ".join(f"{pattern} ({kind})" for kind, pattern in (DIRECTORIES if path.is_dir() else FILES))
        errors.fail("paths whose kind is not recognised", f"{path}: {unrecognised.describe(path, known)}")
    return kind


def _of_directory(path: pathlib.Path, depth: int, errors: problems.Problems) -> str | None:
    for kind, pattern in DIRECTORIES:
        if next(path.glob(pattern), None):
            return kind
    for file in sorted([*path.glob("*.csv"), *path.glob("*.json")]):
        if "label" not in file.stem and (kind := _of_file(file, errors)) in ("kinetics", "something"):
            return kind
    if next(path.glob("*/features.json"), None):
        return "tfds"
    # below a folder of classes, or of splits; a look is enough, there may be millions of frames
    patterns = ("*/" * level + "*" for level in range(1, depth + 2))
    some = itertools.chain.from_iterable(itertools.islice(path.glob(deep), 10_000) for deep in patterns)
    return "folders" if any(file.suffix.lower() in video.SUFFIXES for file in some) else None


def _of_file(path: pathlib.Path, errors: problems.Problems) -> str | None:
    for kind, pattern in FILES:
        if path.match(pattern):
            return kind
    suffix = path.suffix.lower()
    if suffix in video.SUFFIXES or path.name in unrecognised.LABEL_FILES:
        return None
    if suffix == ".json":
        return _of_json(errors.read(files.read_json, path))
    if suffix in (".csv", ".tsv"):
        rows = errors.read(files.read_rows, path)
        if not rows or not tables.holds_lines(rows):
            return _of_table([row for _, row in rows])
    return _of_lines(errors.read(files.read_lines, path))


def _of_json(content: object) -> str | None:
    if isinstance(content, list):
        return "something" if content and isinstance(content[0], dict) and "id" in content[0] else None
    first = next(iter(content.values()), None) if isinstance(content, dict) else None
    return "kinetics" if isinstance(first, dict) and "annotations" in first else None


def _of_table(rows: list[list[str]]) -> str | None:
    """A list unless it is known to be something else: reading it says best what is wrong with it."""
    header = [cell.lower() for cell in rows[0]] if rows else []
    if set(kinetics.COLUMNS) <= set(header):
        return "kinetics"
    if {"id", "actions", "length"} <= set(header):
        return "charades"
    return None if header == unrecognised.LABEL_COLUMNS else "csv"


def _of_lines(lines: list[str]) -> str | None:
    """By what most lines look like: the others will be reported as malformed."""
    fields = [line.rsplit(None, 2) for line in lines]
    numbered = sum(len(parts) == 3 and all(map(numbers.is_number, parts[1:])) for parts in fields)
    if 2 * numbered > len(lines):
        return "frames"
    return "csv" if not lines or 2 * sum(len(parts) > 1 for parts in fields) > len(lines) else None
