"""Finds the files of a list. Every directory is listed once: asking for each clip takes minutes on network disks."""

import errno
import os
import pathlib

from actionclip_jax.data import video
from actionclip_jax.data.video import find

# what the system says of a folder that is not there, also because of a name too long or links that go round
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Files:
    """The files below a folder."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.listed: dict[str, _Folder] = {}

    def find(self, places: tuple[str, ...]) -> tuple[str | None, bool]:
        """The path of the first place that is there, and whether it was found only by leading `-` put back.

        A place may leave out the suffix of a video and be of another Unicode normal form. Tools that take `-abc` for an
        option lose the `-` of its name; a name that several files could have had is not there.
        """
        split = [place.rpartition("/")[::2] for place in places]
        for folder, name in split:
            if file := self.open(folder).find(name):
                return file, False
        for folder, name in split:
            if file := self.open(folder).find_dashed(name):
                return file, True
        return None, False

    def open(self, folder: str) -> "_Folder":
        """A folder's names, listed once."""
        if folder not in self.listed:
            self.listed[folder] = _Folder(find.find_spelling(self.root / folder))
        return self.listed[folder]


class _Folder:
    """The names in a folder by themselves and, of videos, without the suffix too; links to nothing are left out."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.names: dict[str, str] = {}
        for name in _list_names(path):
            stem, _, suffix = name.rpartition(".")
            if f".{suffix.lower()}" in video.SUFFIXES:
                self.names.setdefault(stem, name)
            self.names[name] = name
        for key, name in list(self.names.items()):  # those spelt as asked for go before those that only mean the same
            self.names.setdefault(find.normalize(key), name)
        self.dashed: dict[str, set[str]] = {}  # names with leading dashes, by what is left without any
        for key in self.names:
            if key.startswith("-"):
                self.dashed.setdefault(key.lstrip("-"), set()).add(key)

    def find(self, name: str) -> str | None:
        file = self.names.get(name) or self.names.get(find.normalize(name))
        return file and str(self.path / file)

    def find_dashed(self, name: str) -> str | None:
        name = find.normalize(name)
        longer = [key for key in self.dashed.get(name.lstrip("-"), ()) if len(key) > len(name)]
        files = {self.names[key] for key in longer}
        return str(self.path / files.pop()) if len(files) == 1 else None


def _list_names(path: pathlib.Path) -> list[str]:
    try:
        with os.scandir(path) as items:
            return sorted(item.name for item in items if not _is_broken(item))
    except ValueError:  # no file has such a name: it holds a zero byte
        return []
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise
        return []


def _is_broken(item: os.DirEntry) -> bool:
    """Whether it is a link to nothing; only links are asked for one by one."""
    return item.is_symlink() and not os.path.exists(item.path)  # noqa: PTH110
