"""Which file of an annotation directory holds a split."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NoReturn

from actionclip_jax import config
from actionclip_jax.data.sources import problems

SPELLINGS = {
    "train": ("train", "training"),
    "validation": ("validation", "validate", "valid", "val"),
    "test": ("test", "testing"),
}


def split_of(name: str) -> str:
    """The split meant by one of its spellings (val: validation); other names stay as they are."""
    return next((split for split, spellings in SPELLINGS.items() if name in spellings), name)


def spelt(suffixes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Patterns of files called train.csv, kinetics-400_val.csv and so on."""
    return {
        split: tuple(f"{before}{name}{suffix}" for suffix in suffixes for name in names for before in ("", "*[-_]"))
        for split, names in SPELLINGS.items()
    }


def reject(source: config.SourceConfig, expected: str, errors: problems.Problems) -> NoReturn:
    """Raises because the split is none of those there are, or was not said."""
    if source.split:
        errors.fail(problems.WRONG, f"split is {source.split!r}: expected {expected}")
    errors.fail(problems.MISSING, f"split (--split): expected {expected}")


def find_list(
    source: config.SourceConfig, patterns: Mapping[str, Sequence[str]], errors: problems.Problems
) -> pathlib.Path:
    """The list file: the path itself, or that of the split in the directory it names."""
    path = pathlib.Path(source.path)
    if path.is_file():
        if source.split:
            errors.fail(problems.UNUSED, f"split is {source.split!r}, but the path already is one list: {path}")
        return path
    if not path.is_dir():
        errors.fail(problems.UNREADABLE, f"{path}: no such file or directory")
    split = split_of(source.split)
    if split not in patterns:
        reject(source, f"one of {', '.join(patterns)}", errors)
    files = sorted({file for pattern in patterns[split] for file in path.glob(pattern)})
    if len(files) != 1:
        there = ", ".join(file.name for file in files or sorted(path.iterdir())[:20])
        errors.fail(
            f"directories without just one list of the split {split!r} (name the file itself as path, SOURCE)",
            f"{path}: expected {' or '.join(patterns[split])}, found {there or 'nothing'}",
        )
    return files[0]
