"""A file of JSON lines that names each clip once, and goes on where an earlier run stopped."""

import contextlib
import json
import pathlib

from actionclip_jax import files


class ClipLog:
    """Clips by their id, in memory and, unless `path` is None, in a file."""

    def __init__(self, path: pathlib.Path | None) -> None:
        self.path = path
        self.entries = read(path) if path else {}

    def add(self, entry: dict[str, str]) -> None:
        """Writes a clip down, unless it is there already."""
        if entry["id"] in self.entries:
            return
        self.entries[entry["id"]] = entry
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """The entries of a file by the ids of their clips; none where there is no file."""
    entries = {}
    for line in files.read_text(path).split("\n") if path.exists() else ():
        with contextlib.suppress(ValueError, TypeError, KeyError):  # the last line, of a run that was killed or empty
            entry = json.loads(line)
            entries[entry["id"]] = entry
    return entries


def notes_file(bad_clips: pathlib.Path) -> pathlib.Path:
    """Where the notes stand of the videos whose bad ones that file names: `notes_train.jsonl` beside it."""
    return bad_clips.with_name(f"notes{bad_clips.name.removeprefix('bad_clips')}")


def read_notes(directory: pathlib.Path, part: str) -> dict[str, str]:
    """What is wrong with videos of a part of the data that were used nevertheless, by clip, as all hosts wrote it."""
    logs = sorted([*directory.glob(f"notes_{part}.jsonl"), *directory.glob(f"notes_{part}-*.jsonl")])
    return {name: entry["note"] for file in logs for name, entry in read(file).items()}


def describe_notes(notes: dict[str, str], total: int, where: str) -> str:
    """A line for people about such clips, of which there is at least one among so many."""
    name, note = next(iter(notes.items()))
    return f"{len(notes)} of {total} videos have notes: {name}: {note}{' ...' if len(notes) > 1 else ''}; see {where}"
