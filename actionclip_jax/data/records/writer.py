"""Writes a data set as ArrayRecord shards (see layout.py): in parallel, and going on after a kill where it stopped."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import filelock
from array_record.python import array_record_module  # ty: ignore[missing-module-member]  # compiled, without a stub

from actionclip_jax import config, files, paths, progress
from actionclip_jax.data import table, workers
from actionclip_jax.data.records import encode, layout, plan


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a directory holds once `prepare` is done."""

    clips: int
    bad: int
    notes: dict[str, str]  # what is wrong with clips that could be used, by their ids
    bytes: int
    kept_shards: int  # finished by an earlier run


def prepare(
    clips: table.ClipTable,
    directory: str | os.PathLike,
    settings: config.RecordConfig,
    *,
    processes: int,
    overwrite: bool = False,
    retry_bad: bool = False,
) -> Outcome:
    """Writes all clips to `directory`; finished shards of an earlier, interrupted run are kept.

    The files are the same, byte for byte, whatever the number of processes (0: threads) and interruptions. `retry_bad`
    makes the shards again of which clips could not be used.

    Raises:
        ValueError: the directory holds something else or is being written, or a worker was killed.
        OSError: the disk is full, say; the same call goes on from there.
    """
    config.check_data(settings)
    paths.check_directory("OUT", directory)
    directory = paths.expand_home(directory)
    planned = plan.describe(clips, settings)
    plan.check_directory(directory, planned, overwrite)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(directory / ".lock", blocking=False):
            plan.begin(directory, planned, overwrite)
            encoder = functools.partial(encode.encode_clip, clips.reader, settings)
            lists, kept = write_shards(clips, directory, planned, encoder, processes, retry_bad)
            bad = [entry for shard in lists for entry in shard["bad"]]
            files.write_text(directory / "bad_clips.jsonl", "".join(f"{layout.to_json(entry)}\n" for entry in bad))
            files.write_text(directory / layout.DATASET, layout.to_json({**planned, "complete": True}, indent=1))
    except filelock.Timeout:
        raise ValueError(f"another `actionclip prepare` is writing {directory}: wait for it") from None
    except futures.process.BrokenProcessPool:
        raise ValueError(
            "a worker process was killed, often for lack of memory: try fewer workers; "
            "the same command goes on where it stopped"
        ) from None
    entries = [clip for shard in lists for clip in shard["clips"]]
    notes = {clip["id"]: clip["note"] for clip in entries if "note" in clip}
    return Outcome(len(entries), len(bad), notes, sum(shard["bytes"] for shard in lists), kept)


def write_shards(
    clips: table.ClipTable,
    directory: pathlib.Path,
    planned: dict[str, Any],
    encoder: Callable[[table.Clip], tuple[str, dict[str, Any], list[bytes]]],
    processes: int,
    retry_bad: bool,
) -> tuple[list[dict[str, Any]], int]:
    """The lists of all shards, written now or finished before, and how many were finished."""
    done = progress.Progress("preparing", len(clips))
    lists: list[dict[str, Any]] = []
    kept, size = 0, planned["settings"]["shard_clips"]
    ahead = 2 * (processes or workers.count_cores())
    with workers.open_pool(processes) as pool:
        try:
            for number in range(planned["shards"]):
                rows = range(number * size, min(len(clips), (number + 1) * size))
                shard = finished_shard(directory, number)
                if shard and not (retry_bad and shard["bad"]):
                    kept += 1
                    done.advance(len(rows))
                else:
                    encoded = workers.map_ahead(pool, encoder, map(clips.__getitem__, rows), ahead)
                    shard = write_shard(directory, number, encoded, done)
                lists.append(shard)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return lists, kept


def finished_shard(directory: pathlib.Path, number: int) -> dict[str, Any] | None:
    """The list of a shard that was written completely: its list is written last."""
    try:
        return layout.read_list(directory, number)
    except ValueError:
        return None


def write_shard(
    directory: pathlib.Path, number: int, encoded: Iterator[futures.Future], done: progress.Progress
) -> dict[str, Any]:
    """Writes one shard and its list from futures of `encode.encode_clip`."""
    path = layout.shard_file(directory, number, "array_record")
    content: dict[str, list] = {"clips": [], "bad": []}
    written = 0
    try:
        with files.written_whole(path) as partial:
            # a record a group, for random access; JPEG and H.264 do not get smaller by compressing them again
            writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
            for future in encoded:
                kind, entry, encoded_records = future.result()
                content[kind].append({**entry, "record": written} if kind == "clips" else entry)
                for record in encoded_records:
                    writer.write(record)
                written += len(encoded_records)
                done.advance()
            writer.close()
    except RuntimeError as error:  # array_record's only kind; a broken pool is one too
        if isinstance(error, futures.BrokenExecutor):
            raise
        raise OSError(f"{error}; the same command goes on where it stopped") from None
    shard = {"bytes": path.stat().st_size, "sha256": layout.file_digest(path), **content}
    files.write_text(layout.shard_file(directory, number, "json"), layout.to_json(shard, indent=1))
    return shard
