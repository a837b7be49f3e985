"""Writes a data set as ArrayRecord shards (see layout.py): in parallel, and going on after a kill where it stopped.

`prepare` makes them all here. On many machines each calls `prepare_part`, and one of them `merge` in the end.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any

import filelock

from actionclip_jax import config, files, paths, progress
from actionclip_jax.data import table, workers
from actionclip_jax.data.records import check, layout, plan, shards


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a directory holds once `prepare` is done, or a part of it."""

    clips: int
    bad: int
    notes: dict[str, str]  # what is wrong with clips that could be used, by their ids
    bytes: int
    shards: int
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
    job = plan_job(clips, directory, settings, retry_bad, overwrite)
    with alone(job.directory):
        plan.begin(job.directory, job.planned, overwrite)
        return complete(job, *write_shards(job, range(job.planned["shards"]), processes))


def prepare_part(
    clips: table.ClipTable,
    directory: str | os.PathLike,
    settings: config.RecordConfig,
    part: tuple[int, int],
    *,
    processes: int,
    retry_bad: bool = False,
) -> tuple[Outcome, int, int]:
    """Writes the shards whose number is `part[0]` modulo `part[1]`; returns what they hold, and how many of how many
    shards of the directory are there.

    Others may write theirs, or the same ones, to the directory at the same time: nobody waits for anybody, and the
    files are those that `prepare` writes.
    """
    job = plan_job(clips, directory, settings, retry_bad)
    numbers = range(job.planned["shards"])
    lists, kept = write_shards(job, numbers[part[0] :: part[1]], processes)
    there = {file.stem for file in job.directory.glob("shards/*.json")}
    return sum_up(lists, kept), sum(f"{number:05d}" in there for number in numbers), len(numbers)


def merge(clips: table.ClipTable, directory: str | os.PathLike, settings: config.RecordConfig) -> Outcome:
    """Completes a directory of which all parts are there. Raises ValueError that names what is missing or foreign."""
    job = plan_job(clips, directory, settings)
    layout.read_json(job.directory / layout.DATASET)
    with alone(job.directory):
        lists = read_lists(job)
        return complete(job, lists, len(lists))


def plan_job(
    clips: table.ClipTable,
    directory: str | os.PathLike,
    settings: config.RecordConfig,
    retry_bad: bool = False,
    overwrite: bool = False,
) -> shards.Job:
    """What is to be done. Raises ValueError where the settings are impossible, or the directory is of another plan."""
    config.check_data(settings)
    paths.check_directory("OUT", directory)
    directory = paths.expand_home(directory)
    planned = plan.describe(clips, settings)
    plan.check_directory(directory, planned, overwrite)
    return shards.Job(clips, directory, settings, planned, retry_bad)


@contextlib.contextmanager
def alone(directory: pathlib.Path) -> Generator[None]:
    """Within, nobody else writes the whole directory. Raises ValueError if somebody does."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(directory / ".lock", blocking=False):
            yield
    except filelock.Timeout:
        raise ValueError(f"another `actionclip prepare` is writing {directory}: wait for it") from None


def write_shards(job: shards.Job, numbers: Sequence[int], processes: int) -> tuple[list[dict[str, Any]], int]:
    """The lists of these shards, written now or finished before, and how many were finished."""
    done = progress.Progress("preparing", sum(len(plan.rows(job.planned, number)) for number in numbers))
    encoder, ahead = job.encoder(), 2 * (processes or workers.count_cores())
    lists, kept = [], 0
    with workers.open_pool(processes) as pool:

        def encode_all(clips: Iterable[table.Clip]) -> Iterator[shards.Encoded]:
            for future in workers.map_ahead(pool, encoder, clips, ahead):
                yield future.result()
                done.advance()

        try:
            for number in numbers:
                shard, was_there = shards.make_shard(job, number, encode_all)
                lists.append(shard)
                kept += was_there
                if was_there:
                    done.advance(len(plan.rows(job.planned, number)))
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, futures.process.BrokenProcessPool):
                raise ValueError(
                    "a worker process was killed, often for lack of memory: try fewer workers; "
                    "the same command goes on where it stopped"
                ) from None
            raise
    return lists, kept


def read_lists(job: shards.Job) -> list[dict[str, Any]]:
    """The lists of all shards. Raises ValueError that names each that is missing, foreign or different."""
    if problems := check.find_problems(job.directory, job.planned, job.clips, hashed=False):
        head = f"{job.directory} is not complete: once every part is done, --merge finishes it"
        raise ValueError("\n  ".join([head, *problems]))
    return [layout.read_list(job.directory, number) for number in range(job.planned["shards"])]


def complete(job: shards.Job, lists: list[dict[str, Any]], kept: int) -> Outcome:
    """Writes what is about all shards, marks the directory as complete, and clears away what killed workers left."""
    files.write_text(job.directory / layout.BAD, layout.bad_lines(lists))
    files.write_text(job.directory / layout.DATASET, layout.to_json({**job.planned, "complete": True}, indent=1))
    for partial in job.directory.rglob("*.partial"):
        partial.unlink(missing_ok=True)
    return sum_up(lists, kept)


def sum_up(lists: list[dict[str, Any]], kept: int) -> Outcome:
    """What shards hold, by their lists."""
    entries = [clip for shard in lists for clip in shard["clips"]]
    notes = {clip["id"]: clip["note"] for clip in entries if "note" in clip}
    bad, size = sum(len(shard["bad"]) for shard in lists), sum(shard["bytes"] for shard in lists)
    return Outcome(len(entries), bad, notes, size, len(lists), kept)
