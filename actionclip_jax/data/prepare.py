"""Writes a data set as ArrayRecord shards (see records.py): in parallel, and going on after a kill where it stopped."""

import collections
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
from array_record.python import array_record_module

from actionclip_jax import config
from actionclip_jax.data import pictures, records, sampling, table, video, views, workers

ENCODERS = {
    "jpeg": lambda settings: pictures.JpegEncoder(settings.quality),
    "video": lambda settings: pictures.IntraEncoder(settings.crf),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a directory holds once `prepare` is done."""

    clips: int
    bad: int
    bytes: int
    kept_shards: int  # found finished from an earlier run


def prepare(
    clips: table.ClipTable,
    directory: str | os.PathLike,
    settings: config.RecordConfig,
    *,
    processes: int,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda clips: None,
) -> Outcome:
    """Writes all clips to `directory`; finished shards of an earlier, interrupted run are kept.

    The files are the same, byte for byte, whatever the number of processes and interruptions. `progress` is told of
    each step by how many clips it went on. Raises ValueError where the directory holds something else.
    """
    config.check_data(settings)
    directory = pathlib.Path(directory).expanduser()
    count = -(-len(clips) // settings.shard_clips)
    plan = describe(clips, settings, count)
    begin(directory, plan, overwrite)
    lists, kept = [], 0
    with workers.process_pool(processes) as pool:
        try:
            for number in range(count):
                rows = range(number * settings.shard_clips, min(len(clips), (number + 1) * settings.shard_clips))
                shard = finished_shard(directory, number)
                if shard:
                    kept += 1
                    progress(len(rows))
                else:
                    encode = functools.partial(encode_clip, clips.reader, settings)
                    encoded = workers.map_ahead(pool, encode, (clips[row] for row in rows), 2 * processes)
                    shard = write_shard(directory, number, encoded, progress)
                lists.append(shard)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for partial in directory.rglob("*.partial"):  # of runs that were killed
        partial.unlink()
    bad = [entry for shard in lists for entry in shard["bad"]]
    write_lines(directory / "bad_clips.jsonl", bad)
    write_json(directory / "dataset.json", {**plan, "complete": True})
    written = sum(len(shard["clips"]) for shard in lists)
    return Outcome(written, len(bad), sum(shard["bytes"] for shard in lists), kept)


def describe(clips: table.ClipTable, settings: config.RecordConfig, shards: int) -> dict[str, Any]:
    """The content of dataset.json: what decides the bytes of every shard."""
    digest = hashlib.sha256()
    for column in (clips.ids, clips.paths, clips.label_ids.tolist(), clips.starts, clips.ends):
        digest.update("\n".join(map(str, column)).encode())
    return {
        "version": records.VERSION,
        "complete": False,
        "shards": shards,
        "settings": config.to_dict(settings),
        "clips_sha256": digest.hexdigest(),
        "labels": list(clips.labels),
        "names": list(clips.names),
        "multi_label": clips.multi_label,
        "origin": clips.origin,
    }


def begin(directory: pathlib.Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Makes the directory ready for this plan, or raises ValueError where it belongs to another."""
    file = directory / "dataset.json"
    if overwrite and file.exists():
        shutil.rmtree(directory / "shards", ignore_errors=True)
    elif file.exists():
        found = records.read_json(file)
        if changed := [name for name in plan if name != "complete" and found.get(name) != plan[name]]:
            raise ValueError(
                f"{directory} was prepared otherwise (different: {', '.join(changed)}): "
                "choose another directory, or replace it with --overwrite"
            )
        if found["complete"]:
            return
    elif directory.is_dir() and any(directory.iterdir()):
        raise ValueError(f"{directory} exists and was not made by `actionclip prepare`: choose another directory")
    (directory / "shards").mkdir(parents=True, exist_ok=True)
    write_json(file, plan)


def finished_shard(directory: pathlib.Path, number: int) -> dict[str, Any] | None:
    """The list of a shard that was written completely: its list is written last."""
    file = records.shard_file(directory, number, "json")
    data = records.shard_file(directory, number, "array_record")
    if not file.exists() or not data.exists():
        return None
    shard = records.read_json(file)
    return shard if data.stat().st_size == shard["bytes"] else None


def write_shard(directory: pathlib.Path, number: int, encoded: Any, progress: Callable[[int], None]) -> dict[str, Any]:
    """Writes one shard and its list from futures of `encode_clip`."""
    path = records.shard_file(directory, number, "array_record")
    partial = path.with_suffix(f".{os.getpid()}.partial")
    content: dict[str, list] = collections.defaultdict(list, clips=[], bad=[])
    # a record a group, for random access; JPEG and H.264 do not get smaller by compressing them again
    writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
    try:
        for future in encoded:
            kind, entry, data = future.result()
            content[kind].append(entry)
            if kind == "clips":
                writer.write(data)
            progress(1)
    finally:
        writer.close()
    size = partial.stat().st_size
    partial.replace(path)
    shard = {"bytes": size, "sha256": records.file_digest(path), **content}
    write_json(records.shard_file(directory, number, "json"), shard)
    return shard


def encode_clip(
    reader: table.Reader, settings: config.RecordConfig, clip: table.Clip
) -> tuple[str, dict[str, Any], bytes]:
    """("clips", its entry in the shard's list, its record), or ("bad", which and why, nothing)."""
    encoder = None

    def choose(length: int) -> np.ndarray:
        nonlocal encoder
        encoder = ENCODERS[settings.storage](settings)  # anew: the reader may find that it has to start again
        keep_all = settings.storage == "video" or length <= settings.frames
        return np.arange(length) if keep_all else sampling.segment_middles(length, settings.frames)

    def add(image: np.ndarray) -> None:
        large = settings.short_side and min(image.shape[:2]) > settings.short_side
        encoder.add(views.resize_short_side(image, settings.short_side) if large else image)

    try:
        frames = reader.read(clip, choose, add)
    except video.VideoError as error:
        return "bad", {"id": clip.id, "path": error.path, "reason": error.reason}, b""
    entry = {"id": clip.id, "labels": list(clip.labels), "frames": len(frames.indices)}
    if frames.note:
        entry["note"] = frames.note
    record = {
        "id": clip.id,
        "labels": list(clip.labels),
        "times": frames.timestamps.tobytes(),
        "codec": settings.storage,
        "frames": encoder.finish(),
    }
    return "clips", entry, msgpack.packb(record)


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes the whole file or nothing."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_lines(path: pathlib.Path, entries: list[dict[str, Any]]) -> None:
    """One JSON object a line; the whole file or nothing."""
    write_text(path, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))


def write_text(path: pathlib.Path, content: str) -> None:
    """Replaces the file at one stroke."""
    partial = path.with_suffix(f"{path.suffix}.{os.getpid()}.partial")
    partial.write_text(content, encoding="utf-8")
    partial.replace(path)
