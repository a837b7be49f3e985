"""Kinetics-400, -600 and -700: the official CSV (label,youtube_id,time_start,time_end,split) or JSON."""

import pathlib
from collections.abc import Iterator

from actionclip_jax import config, files
from actionclip_jax.data import readers, table
from actionclip_jax.data.sources import columns, listing, problems, splits

COLUMNS = ("youtube_id", "time_start", "time_end")
OTHERS = ("label", "split", "is_cc")  # the last says how a video is licensed


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """Clips are cut already, each a file named by id and seconds, or by id alone; test lists have no labels."""
    path = pathlib.Path(source.path)
    if not path.is_file():
        path = splits.find_list(source, splits.spelt((".csv", ".json")), errors)
    rows = list(_read_json(path, errors) if path.suffix.lower() == ".json" else _read_csv(path, source, errors))
    splits_there = {splits.split_of(split.lower()) for _, _, split in rows if split}
    wanted = splits.split_of(source.split.lower())
    if (splits_there and wanted not in splits_there) if wanted else len(splits_there) > 1:
        splits.reject(source, f"one of {', '.join(sorted(splits_there))}, which {path} holds", errors)
    entries = [
        listing.Entry(where, _places(name, label), (label,) if label else (), id=name)
        for where, (label, name), split in rows
        if not (wanted and split) or splits.split_of(split.lower()) == wanted
    ]
    videos, labels = pathlib.Path(source.videos or path.parent), {label for _, (label, _), _ in rows if label}
    return listing.Listing(entries, videos, [path], readers.VideoFiles(), other_labels=labels)


def _places(name: str, label: str) -> tuple[str, ...]:
    folders = dict.fromkeys((f"{label}/", f"{label.replace(' ', '_')}/", "")) if label else ("",)
    stems = (f"{name}.mp4", name, name.rsplit("_", 2)[0])  # the last is the video's id alone
    return tuple(f"{folder}{stem}" for stem in stems for folder in folders)


def count_bare_names(clips: table.ClipTable) -> dict[str, int]:
    """How many files are named by the video's id alone, as whole videos often are; they are not opened."""
    names = (pathlib.PurePath(path).stem.lstrip("-") for path in clips.paths.tolist())
    videos = (name.rsplit("_", 2)[0].lstrip("-") for name in clips.ids.tolist())
    bare = sum(name == video for name, video in zip(names, videos, strict=True))
    return {"named_by_video": bare} if bare else {}


def _clip_name(video_id: str, start: str | float, end: str | float) -> str:
    return f"{video_id}_{int(float(start)):06d}_{int(float(end)):06d}"


def _read_csv(
    path: pathlib.Path, source: config.SourceConfig, errors: problems.Problems
) -> Iterator[tuple[str, tuple[str, str], str]]:
    """Where, (label, name) and split of each row."""
    rows = errors.read(files.read_rows, path)
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    if missing := [column for column in COLUMNS if column not in header]:
        errors.fail("lists without the columns they need", f"{path}: {', '.join(missing)}")
    known = {*COLUMNS, *OTHERS, *columns.split_names(source.ignore_columns)}
    if unknown := [column for column in header if files.normalise_heading(column) not in known]:
        errors.fail(
            f"columns that are not known {columns.ADVICE}",
            f"{path}: {', '.join(unknown)}; a list of Kinetics has {', '.join((*COLUMNS, *OTHERS))}",
        )
    for line, row in rows[1:]:
        cells = dict(zip(header, row, strict=False))
        try:
            if not cells["youtube_id"] or cells.get("label", "-") == "":
                raise ValueError
            name = _clip_name(*(cells[column] for column in COLUMNS))
        except (KeyError, ValueError, OverflowError):
            errors.add("malformed lines", f"line {line}: {','.join(row)}")
            continue
        yield f"line {line}", (cells.get("label", ""), name), cells.get("split", "")


def _read_json(path: pathlib.Path, errors: problems.Problems) -> Iterator[tuple[str, tuple[str, str], str]]:
    content = errors.read(files.read_json, path)
    if not isinstance(content, dict):
        errors.fail(problems.UNREADABLE, f"{path}: expected JSON of the form {{id: {{annotations, subset}}}}")
    for video_id, item in content.items():
        try:
            annotations = item["annotations"]
            name = _clip_name(video_id, *annotations["segment"])
            label, split = annotations.get("label", ""), item.get("subset", "")
            if not (isinstance(label, str) and isinstance(split, str)):
                raise TypeError
        except (KeyError, TypeError, ValueError, OverflowError):
            errors.add("malformed entries", f"{video_id}: {item}")
            continue
        yield f"entry {video_id}", (label, name), split
