"""Finds the files of a list. Every directory is listed once: asking for each clip takes minutes on network disks."""

import os
import pathlib

from actionclip_jax.data import video


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
        """The names in a folder by themselves and, of videos, also without the suffix."""
        if folder not in self.listed:
            names: dict[str, str] = {}
            try:
                with os.scandir(self.root / folder) as items:
                    for name in sorted(item.name for item in items):
                        stem, _, suffix = name.rpartition(".")
                        if f".{suffix.lower()}" in video.SUFFIXES:
                            names.setdefault(stem, name)
                        names[name] = name
            except (FileNotFoundError, NotADirectoryError):
                pass
            self.listed[folder] = names
        return self.listed[folder]
