"""Finds the files of a list. Every directory is listed once: asking for each clip takes minutes on network disks."""

import errno
import os
import pathlib

from actionclip_jax.data import video

# what the system says of a folder that is not there, also because of a name too long or links that go round
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Files:
    """The files below a folder."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.listed: dict[str, dict[str, str]] = {}

    def find(self, places: tuple[str, ...]) -> tuple[str | None, bool]:
        """The path of the first place that is there, and whether it was found only by a leading `-` put back.

        A place may leave out the suffix of a video. Tools that take `-abc` for an option lose the `-` of its name.
        """
        split = [place.rpartition("/") for place in places]
        for lost in ("", "-"):
            for folder, slash, name in split:
                file = self.names(folder).get(lost + name)
                if file is not None:
                    return str(self.root / f"{folder}{slash}{file}"), bool(lost)
        return None, False

    def names(self, folder: str) -> dict[str, str]:
        """The names in a folder by themselves and, of videos, without the suffix too; links to nothing are left out."""
        if folder not in self.listed:
            names: dict[str, str] = {}
            try:
                with os.scandir(self.root / folder) as items:
                    for name in sorted(item.name for item in items if not _is_broken(item)):
                        stem, _, suffix = name.rpartition(".")
                        if f".{suffix.lower()}" in video.SUFFIXES:
                            names.setdefault(stem, name)
                        names[name] = name
            except ValueError:  # no file has such a name: it holds a zero byte
                pass
            except OSError as error:
                if error.errno not in NOT_THERE:
                    raise
            self.listed[folder] = names
        return self.listed[folder]


def _is_broken(item: os.DirEntry) -> bool:
    """Whether it is a link to nothing; only links are asked for one by one."""
    return item.is_symlink() and not os.path.exists(item.path)  # noqa: PTH110
