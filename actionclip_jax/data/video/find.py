"""Finds videos: files by name, directories, globs."""

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Sequence

from actionclip_jax import paths
from actionclip_jax.data.video import errors, formats

# What systems leave in people's folders, in lower case; hidden names (.DS_Store, ._a.mp4) are left out anyway.
LITTER = (
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
)
LITTER += ("desktop.ini", "icon\r")
WILDCARDS = "*?["


@dataclasses.dataclass
class Contents:
    """What lies below a directory, sorted."""

    videos: list[pathlib.Path] = dataclasses.field(default_factory=list)
    passed_over: list[pathlib.Path] = dataclasses.field(default_factory=list)  # files without the suffix of a video
    unreadable: list[OSError] = dataclasses.field(default_factory=list)  # directories that cannot be listed

    def extend(self, other: "Contents") -> None:
        """Takes what lies below another directory, too."""
        self.videos += other.videos
        self.passed_over += other.passed_over
        self.unreadable += other.unreadable


def find_videos(
    inputs: Sequence[str | os.PathLike[str]],
) -> tuple[list[pathlib.Path | errors.VideoError], list[pathlib.Path]]:
    """Files as given, videos below directories and what globs match (`**` too, but it enters no links), each once.

    An input without a video is a VideoError in its place. Hidden files and directories, and what systems leave behind,
    are left out unless they are named. The second list has the files below directories that were passed over.

    Raises:
        ValueError: an input is empty.
    """
    results: dict[str | pathlib.Path, pathlib.Path | errors.VideoError] = {}
    passed_over: dict[pathlib.Path, pathlib.Path] = {}
    for number, item in enumerate(inputs):
        item = os.fspath(item)
        if not item:
            raise ValueError(f"VIDEO {number + 1} is empty: expected a file, a directory or a glob")
        try:
            below = _expand(paths.expand_home(item))
        except (OSError, ValueError) as error:  # a name that is too long, a pattern that means nothing
            results[item] = errors.VideoError(item, errors.reason_of(error))
            continue
        for error in below.unreadable:
            results[error.filename] = errors.VideoError(error.filename, errors.reason_of(error))
        passed_over |= {path.absolute(): path for path in below.passed_over}
        for path in below.videos:
            results.setdefault(path.absolute(), path)
        if not below.videos and not below.unreadable:
            results[item] = _explain(item)
    return list(results.values()), [path for place, path in passed_over.items() if place not in results]


def find_below(directory: str | os.PathLike) -> Contents:
    """All videos below a directory; linked directories are entered, hidden ones are not.

    Every directory counts once: by its own place where it has one below here, else by the first link to it. A link to
    a directory that holds this one is not entered: it would make everything there a part of this one.
    """
    contents, seen = Contents(), {str(parent) for parent in pathlib.Path(directory).resolve().parents}
    starts = [pathlib.Path(directory)]
    for start in starts:  # which grows: links come after all that is reached without them
        for folder, names, files in os.walk(start, onerror=contents.unreadable.append):
            names[:] = sorted(name for name in names if not is_litter(name))
            real = os.path.realpath(folder)
            if real in seen:
                names.clear()
                continue
            seen.add(real)
            for path in (pathlib.Path(folder, name) for name in files if not is_litter(name)):
                (contents.videos if looks_like_video(path) else contents.passed_over).append(path)
            starts += [path for path in (pathlib.Path(folder, name) for name in names) if path.is_symlink()]
    return Contents(sorted(contents.videos), sorted(contents.passed_over), contents.unreadable)


def looks_like_video(path: pathlib.Path) -> bool:
    """By its suffix; a link to nothing that has none may have been a folder of videos: better told than left out."""
    return path.suffix.lower() in formats.SUFFIXES or not (path.suffix or not path.is_symlink() or path.exists())


def is_litter(name: str) -> bool:
    """Whether a file or directory is hidden or left behind by a system."""
    return name.startswith(".") or name.lower() in LITTER


def describe_passed_over(paths: Sequence[pathlib.Path], videos: int) -> str:
    """`14 of 16 files passed over by their suffix: a.srt, b.txt ...`"""
    names = ", ".join(path.name for path in paths[:5]) + " ..." * (len(paths) > 5)
    return f"{len(paths)} of {len(paths) + videos} files passed over by their suffix: {names}"


def find_spelling(path: pathlib.Path) -> pathlib.Path:
    """The path as the disk spells it where that differs in Unicode's normal form only (macOS takes letters apart)."""
    if str(path).isascii() or os.path.exists(path) or path == path.parent:  # noqa: PTH110
        return path
    parent = find_spelling(path.parent)
    wanted = normalize(path.name)
    same = [item for item in parent.iterdir() if normalize(item.name) == wanted] if os.path.isdir(parent) else []  # noqa: PTH112
    return same[0] if len(same) == 1 else parent / path.name


def normalize(name: str) -> str:
    """A name in the normal form in which equal texts are equal."""
    return unicodedata.normalize("NFC", name)


def _expand(path: pathlib.Path) -> Contents:
    path = find_spelling(path)
    if path.is_dir():
        return find_below(path)
    if path.exists():
        return Contents([path])
    contents = Contents()
    forms = {unicodedata.normalize(form, str(path.relative_to(path.anchor))) for form in ("NFC", "NFD")}
    matches = {match for form in forms for match in pathlib.Path(path.anchor).glob(form)}
    named = path.suffix and not set(WILDCARDS) & set(path.suffix)  # *.webp asks for just these files
    for match in sorted(matches):
        if any(is_litter(part) and part not in path.parts for part in match.parts):
            continue
        if match.is_dir():
            contents.extend(find_below(match))
        else:
            is_video = named or match.suffix.lower() in formats.SUFFIXES
            (contents.videos if is_video else contents.passed_over).append(match)
    return Contents(sorted(set(contents.videos)), sorted(set(contents.passed_over)), contents.unreadable)


def _explain(item: str) -> errors.VideoError:
    """Why an input gives no video."""
    if find_spelling(paths.expand_home(item)).is_dir():
        return errors.VideoError(item, "a directory without a file that is a video by its suffix")
    return errors.VideoError(item, "no video matches" if set(WILDCARDS) & set(item) else "no such file")
