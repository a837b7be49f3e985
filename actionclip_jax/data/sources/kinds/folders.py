"""A folder for each class, with videos anywhere below it."""

import pathlib
from typing import Any

from actionclip_jax import config
from actionclip_jax.data import readers
from actionclip_jax.data.sources import listing, problems, splits
from actionclip_jax.data.video import find

MANY = 3  # folders of videos in one class folder that are named


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """The videos below each class folder of the root, or of its sub-folder named by the split."""
    root = pathlib.Path(source.path)
    folders = _sub_folders(root, errors)
    if source.split:
        if source.split not in folders:
            splits.reject(source, _folders_of(root, folders), errors)
        root /= source.split
    elif _is_split(folders):
        splits.reject(source, _folders_of(root, folders), errors)
    entries, passed_over, nested = [], [], {}
    for folder in _class_folders(root, max(source.depth, 1), errors):
        below = find.find_below(root / folder)
        for error in below.unreadable:
            errors.add(problems.UNREADABLE, f"{error.filename}: {error.strerror}")
        if not below.videos and not below.unreadable:
            hint = f" ({find.describe_passed_over(below.passed_over, 0)})" if below.passed_over else ""
            errors.add("class folders without a video", f"{root / folder}{hint}")
        for place in (file.relative_to(root) for file in below.videos):
            label = place.parent.name if source.depth == 0 else pathlib.PurePath(folder).name
            entries.append(listing.Entry(place.as_posix(), (place.as_posix(),), (label,)))
            if label != place.parent.name:
                nested.setdefault(folder, {})[place.relative_to(folder).parts[0]] = None
        passed_over += below.passed_over
    notes = _note_passed_over(passed_over, len(entries)) | _note_nested(nested, source.depth)
    return listing.Listing(entries, root, [], readers.VideoFiles(), notes=notes)


def _class_folders(root: pathlib.Path, depth: int, errors: problems.Problems) -> list[str]:
    """Where they are below the root: `depth` levels down, 1 for those in it."""
    folders = _sub_folders(root, errors)
    _report_strays(root, errors)
    for _ in range(depth - 1):
        above, folders = folders, []
        for folder in above:
            folders += [f"{folder}/{name}" for name in _sub_folders(root / folder, errors)]
            _report_strays(root / folder, errors)
    if not folders:
        errors.add("directories without a class folder", f"{root} (depth, --depth: {depth})")
    return folders


def _note_passed_over(files: list[pathlib.Path], videos: int) -> dict[str, Any]:
    """For the table's origin: files below the class folders that are no videos by their suffix."""
    if not files:
        return {}
    names = [file.name for file in files[: problems.EXAMPLES]]
    return {"passed_over": {"count": len(files), "of": len(files) + videos, "first": names}}


def _note_nested(nested: dict[str, dict[str, None]], depth: int) -> dict[str, Any]:
    """For the table's origin: class folders whose videos lie in folders, which may be the classes meant."""
    if not nested:
        return {}
    some = list(nested.items())[: problems.EXAMPLES]
    first = [f"{folder}: {', '.join(list(inner)[:MANY])}{' ...' * (len(inner) > MANY)}" for folder, inner in some]
    advice = f"each is one class; if those in them are: depth (--depth) {depth + 1}, or 0 for every video's own folder"
    return {"nested_classes": {"count": len(nested), "first": first, "advice": advice}}


def _report_strays(folder: pathlib.Path, errors: problems.Problems) -> None:
    for file in sorted(folder.iterdir()):
        if find.looks_like_video(file) and not file.is_dir() and not find.is_litter(file.name):
            what = "videos that lie" if file.suffix else "links to nothing"
            errors.add(f"{what} beside the class folders", str(file))


def _sub_folders(root: pathlib.Path, errors: problems.Problems) -> list[str]:
    """Sorted names, without those that are hidden or left behind by a system."""
    if not root.is_dir():
        errors.fail("folders of videos that are not there", str(root))
    return sorted(item.name for item in root.iterdir() if item.is_dir() and not find.is_litter(item.name))


def _folders_of(root: pathlib.Path, folders: list[str]) -> str:
    return f"a folder of {root}: {', '.join(folders[:20]) or 'it has none'}"


def _is_split(folders: list[str]) -> bool:
    """Whether the folders are those of a data set's splits, not of classes."""
    return bool(folders) and all(splits.split_of(folder.lower()) in splits.SPELLINGS for folder in folders)
