"""The embedded sample data set: thousands of short real videos whose labels compose, made on the spot in seconds."""

import functools
import itertools
import json
import os
import pathlib
from collections.abc import Sequence
from concurrent import futures
from typing import Any

import filelock

from actionclip_jax import config, files, paths, progress
from actionclip_jax.data import workers
from actionclip_jax.data.shapes import drawing, inventory

MADE_BY = "sample.json"  # its settings, in a directory that holds all of it
UNFINISHED = "unfinished.json"  # the same until then
VERSION = 1  # of what the settings alone do not say
FILES_A_TASK = 32
LEAST = {"size": 32, "seed": 0}  # other settings: 1


def make_sample_set(directory: str | os.PathLike, settings: config.SampleSetConfig, *, processes: int) -> None:
    """Writes the videos, a list of each split (train.csv ...) and at last sample.json; files there already are kept.

    So it goes on where it was interrupted, and the files are the same, byte for byte, whatever the number of processes
    (0: threads). Another process that makes the set is waited for.

    Raises:
        ValueError: impossible settings, a directory of something else or made with others, or a worker was killed.
    """
    _check_settings(settings)
    directory = paths.expand_home(directory)
    plan = {"version": VERSION, **config.to_dict(settings)}
    if _is_made(directory / MADE_BY, plan):
        return
    _check_free(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(directory / ".lock"):
        if _is_made(directory / MADE_BY, plan):
            return
        if not _is_made(directory / UNFINISHED, plan):
            files.write_text(directory / UNFINISHED, json.dumps(plan, indent=1))
        lists = {split: inventory.list_files(split, settings) for split in inventory.SPLITS}
        for split, planned in lists.items():
            (directory / "videos" / split).mkdir(parents=True, exist_ok=True)
            rows = [("path", "label"), *((file.place, file.label) for file in planned)]
            (directory / f"{split}.csv").write_text("".join(f"{place},{label}\n" for place, label in rows))
        _write_all(directory, settings, [*itertools.chain(*lists.values())], processes)
        (directory / UNFINISHED).replace(directory / MADE_BY)


def read_list(directory: pathlib.Path, split: str) -> list[tuple[pathlib.Path, str]]:
    """(video, label) of a split that has been made."""
    return [(directory / place, label) for _, (place, label) in files.read_rows(directory / f"{split}.csv")[1:]]


def examples(directory: pathlib.Path, split: str, count: int = 6) -> list[pathlib.Path]:
    """So many videos of a split of a set that has been made, of classes that `spread` chooses."""
    by_label = {label: path for path, label in read_list(directory, split)}
    return [by_label[label] for label in spread(sorted(by_label), count)]


def make_examples(directory: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The same of the usual set, without the rest of it: those that are not there yet are written."""
    settings = config.SampleSetConfig()
    by_label = {file.label: file for file in inventory.list_files(split, settings)}
    chosen = [by_label[label] for label in spread(sorted(by_label))]
    (directory / "videos" / split).mkdir(parents=True, exist_ok=True)
    write_files(directory, settings, chosen)
    return [directory / file.place for file in chosen]


def spread(labels: Sequence[str], count: int = 6) -> list[str]:
    """So many of the sorted labels, far apart, with all directions among them."""
    return [labels[5 * number % len(labels)] for number in range(count)]


def write_files(directory: pathlib.Path, settings: config.SampleSetConfig, planned: Sequence[inventory.File]) -> None:
    """Writes those files that are not there; each gets its name once it is whole."""
    size = (settings.size, settings.size)
    for file in planned:
        path = directory / file.place
        if path.exists():
            continue
        color, shape, direction = file.words
        with files.written_whole(path) as partial:
            if file.moves:
                drawing.write_moving_shape(
                    partial, shape, color, direction,
                    size=size, frames=settings.frames, fps=settings.fps, seed=file.seed,
                )  # fmt: skip
            else:
                drawing.write_still_shape(partial, shape, color, direction, size=size, seed=file.seed)


def _write_all(
    directory: pathlib.Path, settings: config.SampleSetConfig, planned: Sequence[inventory.File], processes: int
) -> None:
    done = progress.Progress("drawing sample videos", len(planned))
    tasks = [planned[start : start + FILES_A_TASK] for start in range(0, len(planned), FILES_A_TASK)]
    ahead = 2 * (processes or workers.count_cores())
    with workers.open_pool(min(processes, len(tasks))) as pool:
        try:
            write = functools.partial(write_files, directory, settings)
            for task, future in zip(tasks, workers.map_ahead(pool, write, tasks, ahead), strict=True):
                future.result()
                done.advance(len(task))
        except futures.process.BrokenProcessPool:
            raise ValueError(f"a worker process was killed: the same call goes on with {directory}") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_settings(settings: config.SampleSetConfig) -> None:
    values = config.to_dict(settings).items()
    problems = [
        f"{name} is {value}: expected at least {LEAST.get(name, 1)}"
        for name, value in values
        if value < LEAST.get(name, 1)
    ]
    if settings.size % 2:
        problems.append(f"size is {settings.size}: expected an even number")
    if problems:
        raise config.ConfigError(problems)


def _is_made(file: pathlib.Path, plan: dict[str, Any]) -> bool:
    """Whether the file is there and holds these settings; raises ValueError if it holds others."""
    if not file.is_file():
        return False
    before = files.read_object(file)
    changed = [
        f"  {name}: {before.get(name)} then, {value} now" for name, value in plan.items() if before.get(name) != value
    ]
    if changed:
        advice = "choose another directory, or delete this one"
        raise ValueError(
            "\n".join([f"{file.parent} is a sample data set made with other settings: {advice}", *changed])
        )
    return True


def _check_free(directory: pathlib.Path) -> None:
    """Raises ValueError for a directory of something else."""
    there = {item.name for item in directory.iterdir()} if directory.is_dir() else set()
    begun = there & {MADE_BY, UNFINISHED} or there <= {".lock", f"{UNFINISHED}.partial"}
    if not begun or (directory.exists() and not directory.is_dir()):
        raise ValueError(f"{directory} exists and is no sample data set: choose another directory")
