"""What a prepared directory is to hold, and whether it may be written."""

import hashlib
import pathlib
import secrets
import shutil
from typing import Any

from actionclip_jax import config, files
from actionclip_jax.data import table
from actionclip_jax.data.records import layout

NOT_COMPARED = ("complete", "origin")  # the same clips may lie elsewhere by now


def describe(clips: table.ClipTable, settings: config.RecordConfig) -> dict[str, Any]:
    """The content of dataset.json: what decides the bytes of every shard, and where the clips come from."""
    shards = -(-len(clips) // settings.shard_clips)
    if shards > layout.MAX_SHARDS:
        raise ValueError(f"shard_clips is {settings.shard_clips}: {shards} shards, at most {layout.MAX_SHARDS} may be")
    digest = hashlib.sha256()
    for column in (clips.ids, clips.label_ids.tolist(), clips.starts, clips.ends):
        digest.update("\n".join(map(str, column)).encode())
    return {
        "version": layout.VERSION,
        "complete": False,
        "clips": len(clips),
        "clips_sha256": digest.hexdigest(),
        "shards": shards,
        "settings": config.to_dict(settings),
        "labels": list(clips.labels),
        "names": list(clips.names),
        "multi_label": clips.multi_label,
        "origin": clips.origin,
    }


def rows(plan: dict[str, Any], number: int) -> range:
    """The rows of the table whose clips a shard holds."""
    size = plan["settings"]["shard_clips"]
    return range(number * size, min(plan["clips"], (number + 1) * size))


def unique_mark() -> str:
    """What tells the unfinished files of this writer from those of all others, on whatever machine."""
    return f".{secrets.token_hex(8)}"


def check_directory(directory: pathlib.Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Raises ValueError for a directory of something else, or prepared from other clips or in another way."""
    file = directory / layout.DATASET
    if not file.exists():
        ours = not directory.exists() or (directory.is_dir() and all(map(_is_first, directory.iterdir())))
        if not ours and not file.exists():  # by now: another worker may have begun meanwhile
            raise ValueError(f"{directory} exists and was not made by `actionclip prepare`: choose another directory")
        return
    if overwrite:
        return
    before, changed = layout.read_json(file), []
    for name, value in plan.items():
        if name not in NOT_COMPARED and before.get(name) != value:
            short = isinstance(value, int | dict)
            changed.append(f"  {name}: {before.get(name)} then, {value} now" if short else f"  {name} differ")
    if changed:
        advice = "choose another directory, or replace it with --overwrite"
        raise ValueError(
            "\n".join([f"{directory} was prepared from other clips or in another way: {advice}", *changed])
        )


def _is_first(path: pathlib.Path) -> bool:
    """Whether it is of the first files that are written: the lock, or dataset.json while it is not whole."""
    return path.name == ".lock" or (path.name.startswith(layout.DATASET) and path.suffix == ".partial")


def begin(directory: pathlib.Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Marks the directory as unfinished, then clears away what killed runs left or is to be replaced."""
    files.write_text(directory / layout.DATASET, layout.to_json(plan, indent=1))
    if overwrite:
        shutil.rmtree(directory / "shards", ignore_errors=True)
    for partial in directory.rglob("*.partial"):
        partial.unlink()
    (directory / "shards").mkdir(exist_ok=True)


def join(directory: pathlib.Path, plan: dict[str, Any]) -> None:
    """Marks the directory as unfinished, whoever else works on it. Raises ValueError if it is of another plan."""
    check_directory(directory, plan, overwrite=False)
    file = directory / layout.DATASET
    if not file.exists() or layout.read_json(file).get("complete"):
        files.write_text(file, layout.to_json(plan, indent=1), unique_mark())
