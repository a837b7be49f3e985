"""Makes one shard: the same bytes in whichever process and on whichever machine, whoever else makes it too."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable
from concurrent import futures
from typing import Any

from array_record.python import array_record_module  # ty: ignore[missing-module-member]  # compiled, without a stub

from actionclip_jax import config, files
from actionclip_jax.data import table
from actionclip_jax.data.records import check, encode, layout, plan

Encoded = tuple[str, dict[str, Any], list[bytes]]  # see encode.encode_clip


@dataclasses.dataclass(frozen=True)
class Job:
    """All that making a shard takes. It travels to workers, so it must pickle."""

    clips: table.ClipTable
    directory: pathlib.Path
    settings: config.RecordConfig
    planned: dict[str, Any]  # see plan.describe
    retry_bad: bool = False

    def encoder(self) -> Callable[[table.Clip], Encoded]:
        """What encodes a clip. It travels with every clip, so it does not hold the table."""
        return functools.partial(encode.encode_clip, self.clips.reader, self.settings)


def make_shard(
    job: Job, number: int, encode_all: Callable[[Iterable[table.Clip]], Iterable[Encoded]]
) -> tuple[dict[str, Any], bool]:
    """The list of a shard, and whether it was finished before; otherwise it is written.

    `encode_all` applies `job.encoder()` to clips, here or in a pool. No lock is taken: whoever makes the same shard at
    the same time writes the same bytes to files of other names, and each takes its place at one stroke.
    """
    shard = finished_shard(job, number)
    if shard and not (job.retry_bad and shard["bad"]):
        return shard, True
    plan.join(job.directory, job.planned)
    clips = map(job.clips.__getitem__, plan.rows(job.planned, number))
    try:
        return write_shard(job, number, encode_all(clips)), False
    except FileNotFoundError:  # whoever was quicker has completed the directory and cleared unfinished files away
        if (shard := finished_shard(job, number)) is None:
            raise
        return shard, True


def finished_shard(job: Job, number: int) -> dict[str, Any] | None:
    """The list of a shard that was written completely: its list is written last."""
    try:
        return check.read_shard(job.directory, job.planned, number, job.clips)
    except ValueError:
        return None


def write_shard(job: Job, number: int, encoded: Iterable[Encoded]) -> dict[str, Any]:
    """Writes one shard and its list."""
    path, mark = layout.shard_file(job.directory, number, "array_record"), plan.unique_mark()
    content: dict[str, list] = {"clips": [], "bad": []}
    written = 0
    try:
        with files.written_whole(path, mark) as partial:
            # a record a group, for random access; JPEG and H.264 do not get smaller by compressing them again
            writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
            for kind, entry, records in encoded:
                content[kind].append({**entry, "record": written} if kind == "clips" else entry)
                for record in records:
                    writer.write(record)
                written += len(records)
            writer.close()
            shard = {"bytes": partial.stat().st_size, "sha256": layout.file_digest(partial), **content}
    except RuntimeError as error:  # array_record's only kind; a broken pool is one too
        if isinstance(error, futures.BrokenExecutor):
            raise
        raise OSError(f"{error}; the same command goes on where it stopped") from None
    shard["seal"] = check.seal(job.planned, number, shard)
    files.write_text(layout.shard_file(job.directory, number, "json"), layout.to_json(shard, indent=1), mark)
    return shard
