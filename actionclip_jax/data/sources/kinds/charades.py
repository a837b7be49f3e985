"""Charades: many actions a video, each with its interval."""

import pathlib
import re
from collections.abc import Iterator

from actionclip_jax import config, files
from actionclip_jax.data import readers
from actionclip_jax.data.sources import classes, listing, problems, splits

CLASSES = "Charades_v1_classes.txt"
ACTION = re.compile(r"c(\d{3}) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)")


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """A clip for each video, those without an action too, or with `intervals` one for each action."""
    path = splits.find_list(source, {split: (f"Charades_v1_{split}.csv",) for split in ("train", "test")}, errors)
    known = classes.read_classes(path.parent / CLASSES, errors)
    entries, empty = [], 0
    for where, name, actions in _read_rows(path, errors):
        if source.intervals:
            lasting = [action for action in actions if action[2] > action[1]]
            entries += _action_clips(where, name, lasting)
            empty += len(actions) - len(lasting)
        else:
            labels = tuple(sorted({label for label, _, _ in actions}))
            entries.append(listing.Entry(where, (f"{name}.mp4", name), labels, id=name))
    videos = pathlib.Path(source.videos or path.parent)
    return listing.Listing(
        entries,
        videos,
        [path],
        readers.VideoFiles(),
        known,
        multi_label=True,
        repeats=source.intervals,
        notes={"actions_without_duration": empty} if source.intervals else {},
    )


def _read_rows(
    path: pathlib.Path, errors: problems.Problems
) -> Iterator[tuple[str, str, list[tuple[int, float, float]]]]:
    rows = errors.read(files.read_rows, path)
    header = rows[0][1] if rows else []
    if missing := [column for column in ("id", "actions") if column not in header]:
        errors.fail("lists without the columns they need", f"{path}: {', '.join(missing)}")
    for line, row in rows[1:]:
        cells = dict(zip(header, row, strict=False))
        if len(row) != len(header):
            errors.add("malformed lines", f"line {line}: {len(row)} cells, expected {len(header)}")
            continue
        texts = cells["actions"].split(";") if cells["actions"] else []
        actions = [match for text in texts if (match := ACTION.fullmatch(text))]
        if len(actions) < len(texts) or not cells["id"]:
            errors.add("malformed lines", f"line {line}: {cells['id']} {cells['actions']}")
            continue
        yield f"line {line}", cells["id"], [(int(match[1]), float(match[2]), float(match[3])) for match in actions]


def _action_clips(where: str, name: str, actions: list[tuple[int, float, float]]) -> Iterator[listing.Entry]:
    """Each labelled with every action of which it shows a part."""
    for label, start, end in actions:
        overlapping = {other for other, begin, stop in actions if begin < end and start < stop}
        labels = tuple(sorted({label, *overlapping}))
        yield listing.Entry(
            where, (f"{name}.mp4", name), labels, start, end, id=f"{name}/c{label:03d}@{start:g}-{end:g}"
        )
