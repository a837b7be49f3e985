"""What a prepared directory is to hold, and whether it may be written."""

import hashlib
import pathlib
import shutil
from typing import Any

from actionclip_jax import config, files
from actionclip_jax.data import table
from actionclip_jax.data.records import layout

NOT_COMPARED = ("complete", "origin")  # the same clips may lie elsewhere by now


def describe(clips: table.ClipTable, settings: config.RecordConfig) -> dict[str, Any]:
    """The content of dataset.json: what decides the bytes of every shard, and where the clips come from."""
    digest = hashlib.sha256()
    for column in (clips.ids, clips.label_ids.tolist(), clips.starts, clips.ends):
        digest.update("\n".join(map(str, column)).encode())
    return {
        "version": layout.VERSION,
        "complete": False,
        "clips": len(clips),
        "clips_sha256": digest.hexdigest(),
        "shards": -(-len(clips) // settings.shard_clips),
        "settings": config.to_dict(settings),
        "labels": list(clips.labels),
        "names": list(clips.names),
        "multi_label": clips.multi_label,
        "origin": clips.origin,
    }


def check_directory(directory: pathlib.Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Raises ValueError for a directory of something else, or prepared from other clips or in another way."""
    file = directory / layout.DATASET
    if not file.exists():
        if directory.exists() and not (directory.is_dir() and {item.name for item in directory.iterdir()} <= {".lock"}):
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


def begin(directory: pathlib.Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Marks the directory as unfinished, then clears away what killed runs left or is to be replaced."""
    files.write_text(directory / layout.DATASET, layout.to_json(plan, indent=1))
    if overwrite:
        shutil.rmtree(directory / "shards", ignore_errors=True)
    for partial in directory.rglob("*.partial"):
        partial.unlink()
    (directory / "shards").mkdir(exist_ok=True)
