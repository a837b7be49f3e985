"""A folder for each class, with videos anywhere below it."""

import pathlib

from actionclip_jax import config
from actionclip_jax.data import readers, video
from actionclip_jax.data.sources import listing, problems, splits


def read(source: config.SourceConfig, found: problems.Problems) -> listing.Listing:
    """The videos below each class folder of the root, or of its sub-folder named by the split."""
    root = pathlib.Path(source.path)
    folders = _sub_folders(root, found)
    if source.split:
        if source.split not in folders:
            splits.reject(source, _folders_of(root, folders), found)
        root /= source.split
        folders = _sub_folders(root, found)
    elif _is_split(folders):
        splits.reject(source, _folders_of(root, folders), found)
    entries = []
    for folder in folders:
        files = found.read(video.find_below, root / folder)
        if not files:
            found.add("class folders without a video", str(root / folder))
        for file in files:
            place = file.relative_to(root).as_posix()
            entries.append(listing.Entry(place, (place,), (folder,)))
    for file in sorted(root.iterdir()):
        if video.looks_like_video(file) and not file.is_dir() and not file.name.startswith("."):
            what = "videos that lie" if file.suffix else "links to nothing"
            found.add(f"{what} beside the class folders", str(file))
    return listing.Listing(entries, root, [], readers.VideoFiles())


def _sub_folders(root: pathlib.Path, found: problems.Problems) -> list[str]:
    """Sorted names, without the hidden ones."""
    if not root.is_dir():
        found.fail("folders of videos that are not there", str(root))
    return sorted(item.name for item in root.iterdir() if item.is_dir() and not item.name.startswith("."))


def _folders_of(root: pathlib.Path, folders: list[str]) -> str:
    return f"a folder of {root}: {', '.join(folders[:20]) or 'it has none'}"


def _is_split(folders: list[str]) -> bool:
    """Whether the folders are those of a data set's splits, not of classes."""
    return bool(folders) and all(splits.split_of(folder.lower()) in splits.SPELLINGS for folder in folders)
