"""Parts of a data set that protocols ask for: a few clips of every class, and half of the classes."""

import dataclasses
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np

from actionclip_jax.data import class_names, label_files, table


def few_shot(clips: table.ClipTable, shots: int, seed: int) -> table.ClipTable:
    """`shots` clips of every class, ordered by class and id.

    Which clips of a class is decided by the seed and by their ids alone: not by the order of the list, nor by
    what other classes there are; 2 shots are among the 4 of the same seed.

    Raises:
        ValueError: clips with several labels, or classes with fewer clips, which are named.
    """
    if clips.multi_label:
        raise ValueError(f"{shots} shots of a class: clips with several labels belong to no one class")
    chosen, short = [], []
    for label, name in enumerate(clips.names):
        rows = np.flatnonzero(clips.label_ids[:, 0] == label)
        rows = rows[np.argsort(clips.ids[rows])]
        if len(rows) < shots:
            short.append(f"  {name!r} has {len(rows)}")
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        kept = generator.permutation(len(rows))[:shots]
        chosen.append(rows[np.sort(kept)])
    if short:
        raise ValueError("\n".join([f"too few clips for {shots} shots of every class:", *short]))
    return clips.take(np.concatenate(chosen))


def base_or_novel(clips: table.ClipTable, part: str, file: str, seed: int) -> table.ClipTable:
    """The clips of the `base` classes, named in a file or else half of all drawn by the seed, or of the others."""
    names = named_classes(clips, pathlib.Path(file)) if file else draw_half(len(clips.labels), seed)
    classes = names if part == "base" else np.setdiff1d(np.arange(len(clips.labels)), names)
    if not len(classes):
        if not file:
            raise ValueError(
                f"{len(clips.labels)} class cannot be halved, so there is no {part} class: name the base classes "
                "with base_classes, --base-classes, or take classes 'all' or 'novel'"
            )
        raise ValueError(f"{file}: names {'every' if part == 'novel' else 'no'} class, so there is no {part} class")
    return take_classes(clips, classes)


def draw_half(count: int, seed: int) -> np.ndarray:
    """Half of the classes [count // 2], sorted, drawn as the published `half` protocol does."""
    return np.sort(np.random.RandomState(seed).permutation(count)[: count // 2])


def named_classes(clips: table.ClipTable, file: pathlib.Path) -> np.ndarray:
    """The classes, sorted, that a text file or CSV names as the source or as the prompts spell them."""
    wanted = label_files.read(file).names
    indices = find_classes(clips, wanted)
    if unknown := [name for name, index in zip(wanted, indices, strict=True) if index is None]:
        raise ValueError(
            f"{file}: {len(unknown)} of {len(wanted)} names are none of the {len(clips.labels)} classes: "
            + ", ".join(map(repr, unknown))
        )
    return np.unique(np.array(indices, np.int64))


def known_classes(clips: table.ClipTable, file: pathlib.Path) -> np.ndarray:
    """The classes, sorted, that a file names, which may name others as well."""
    indices = find_classes(clips, label_files.read(file).names)
    return np.unique(np.array([index for index in indices if index is not None], np.int64))


def find_classes(clips: table.ClipTable, wanted: Sequence[str]) -> list[int | None]:
    """The class that each name means, spelt as the source or as the prompts do; None if there is none."""
    spellings = zip(
        class_names.match_names(wanted, clips.names), class_names.match_names(wanted, clips.labels), strict=True
    )
    return [by_label if by_name is None else by_name for by_name, by_label in spellings]


def unite(tables: Sequence[table.ClipTable]) -> table.ClipTable:
    """All clips of tables that read alike, each once, in the order of their first appearance and without labels."""
    columns = {
        name: np.concatenate([getattr(clips, name) for clips in tables])
        for name in table.COLUMNS
        if name != "label_ids"
    }
    first = np.sort(np.unique(np.array(columns["ids"].tolist()), return_index=True)[1])
    columns = {name: column[first] for name, column in columns.items()}
    unlabelled = np.full((len(first), 1), -1, np.int32)
    return dataclasses.replace(tables[0], **columns, label_ids=unlabelled, labels=(), names=(), multi_label=False)


def take_classes(clips: table.ClipTable, classes: np.ndarray) -> table.ClipTable:
    """The clips of these classes, which are numbered anew in the order given; other labels and clips are dropped."""
    numbers = np.full(len(clips.labels) + 1, -1, np.int32)  # the last one stays -1: it stands for "no label"
    numbers[classes] = np.arange(len(classes))
    label_ids = numbers[clips.label_ids]
    rows = np.flatnonzero((label_ids >= 0).any(axis=1))
    return dataclasses.replace(
        clips.take(rows),
        label_ids=label_ids[rows],
        labels=tuple(clips.labels[label] for label in classes),
        names=tuple(clips.names[label] for label in classes),
    )
