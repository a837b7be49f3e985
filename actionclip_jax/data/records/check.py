"""Whether a prepared directory holds what its plan says: nothing missing, foreign, exchanged or changed.

The list of a shard ends with a seal, a digest of the plan, the shard's number and all else in the list. So a list tells
by itself if it was changed, belongs to another place, or was made from other clips or with other settings.
"""

import hashlib
import pathlib
from typing import Any

from actionclip_jax import progress
from actionclip_jax.data import table
from actionclip_jax.data.records import layout, plan


def seal(planned: dict[str, Any], number: int, shard: dict[str, Any]) -> str:
    """The seal of a shard's list."""
    decisive = {name: value for name, value in planned.items() if name not in plan.NOT_COMPARED}
    content = {name: value for name, value in shard.items() if name != "seal"}
    return hashlib.sha256(layout.to_json([decisive, number, content], sort_keys=True).encode()).hexdigest()


def read_shard(
    directory: pathlib.Path, planned: dict[str, Any], number: int, clips: table.ClipTable | None = None
) -> dict[str, Any]:
    """The list of a shard, as the plan has it. Raises ValueError; of the records, only their size is looked at."""
    shard = layout.read_list(directory, number)
    if "seal" in shard:
        fits = shard["seal"] == seal(planned, number, shard)
    else:  # made by version 0.1.0
        fits = clips is None or _lists(shard, [clips[row] for row in plan.rows(planned, number)])
    if not fits:
        file = layout.shard_file(directory, number, "json")
        raise ValueError(f"{file} is not the list of this shard: changed, exchanged, or of other clips or settings")
    return shard


def _lists(shard: dict[str, Any], clips: list[table.Clip]) -> bool:
    """Whether these clips are listed in their order, except those that could not be used."""
    bad = {entry.get("id") for entry in shard["bad"]}
    expected = [(clip.id, list(clip.labels)) for clip in clips if clip.id not in bad]
    found = [(entry["id"], entry["labels"]) for entry in shard["clips"]]
    return found == expected and len(found) + len(bad) == len(clips)


def find_problems(
    directory: pathlib.Path, planned: dict[str, Any], clips: table.ClipTable | None = None, *, hashed: bool
) -> list[str]:
    """A sentence for every shard that is not as planned, and for every file that belongs to none.

    `hashed` compares the records with their SHA-256, otherwise only their sizes are looked at.
    """
    problems, done = [], progress.Progress("checking", planned["shards"])
    for number in range(planned["shards"]):
        file = layout.shard_file(directory, number, "array_record")
        try:
            expected = read_shard(directory, planned, number, clips)["sha256"]
            if hashed and layout.file_digest(file) != expected:
                problems.append(f"{file} is damaged: its SHA-256 is not {expected}")
        except ValueError as error:
            problems.append(str(error))
        done.advance()
    return problems + _find_foreign(directory, planned["shards"])


def _find_foreign(directory: pathlib.Path, shards: int) -> list[str]:
    """A sentence for every file beside the shards, except hidden and unfinished ones."""
    folder, suffixes = directory / "shards", ("json", "array_record")
    ours = {layout.shard_file(directory, number, suffix).name for number in range(shards) for suffix in suffixes}
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    foreign = [file for file in there if file.name not in ours and file.suffix != ".partial" and file.name[0] != "."]
    return [f"{file} belongs to none of the {shards} shards: delete it" for file in foreign]


def verify(directory: pathlib.Path, clips: table.ClipTable | None = None) -> list[str]:
    """All that is wrong with a directory, also by the clips it was made from. Raises ValueError if it is unfinished."""
    dataset = layout.read_finished(directory)
    problems = find_problems(directory, dataset, clips, hashed=True)
    if not problems:
        lists = [layout.read_list(directory, number) for number in range(dataset["shards"])]
        file = directory / layout.BAD
        if not file.is_file() or file.read_text(encoding="utf-8") != layout.bad_lines(lists):
            problems.append(f"{file} is not what the lists of the shards say")
    return problems


def describe(problems: list[str]) -> str:
    """What people are told of them, or that there are none."""
    return "\n".join([*problems, layout.MEND]) if problems else "every shard is as it was written"
