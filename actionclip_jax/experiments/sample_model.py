"""The sample model, made on first use: what the demo trains, without its control."""

import contextlib
import logging
import pathlib
import shutil
import signal
from collections.abc import Generator

import filelock

from actionclip_jax import config
from actionclip_jax.checkpoints import sample
from actionclip_jax.data import sources
from actionclip_jax.data.records import writer
from actionclip_jax.data.shapes import inventory, sample_set
from actionclip_jax.experiments import demo
from actionclip_jax.training import loop

logger = logging.getLogger(__name__)

EXPECTED = "two to four minutes on two CPU cores"
SPLIT = "unseen"  # the videos that stand for it: of classes that the model never saw


def make() -> pathlib.Path:
    """The model directory of the sample model, which is trained first where it is not there yet.

    Only this process is used, so that a script or a notebook may call it. A call that was stopped goes on; while
    another process makes the model, it is waited for.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the state saved.
        loop.Interrupted: SIGTERM, likewise.
    """
    if sample.is_made():
        return sample.model()
    directory = sample.directory()
    directory.mkdir(parents=True, exist_ok=True)
    with alone(directory / ".lock"):
        if not sample.is_made():
            begun = (directory / "run").exists()
            logger.warning(
                f"the sample model {'was begun and is finished' if begun else 'is made'} now, which takes "
                f"{'up to ' if begun else ''}{EXPECTED}; it is kept in {directory}"
            )
            with told_briefly():
                unseen = train(directory / "run")
            (directory / "run" / "model").rename(sample.model())
            logger.warning(f"the sample model is made: {unseen:.1%} right on {SPLIT} classes")
    shutil.rmtree(directory / "run", ignore_errors=True)  # videos, records and checkpoints
    return sample.model()


@contextlib.contextmanager
def alone(lock: pathlib.Path) -> Generator[None]:
    """Within, no other process makes the model. One that dies lets go of the lock."""
    held = filelock.FileLock(lock)
    try:
        held.acquire(blocking=False)
    except filelock.Timeout:
        logger.warning("another process makes the sample model: waiting for it")
        held.acquire()
    try:
        yield
    finally:
        held.release()


@contextlib.contextmanager
def told_briefly() -> Generator[None]:
    """Within, people are told what is wrong, and no more of a training that nobody asked for."""
    rooms = [logging.getLogger(f"actionclip_jax.{room}") for room in ("training", "checkpoints")]
    before = [room.level for room in rooms]
    try:
        for room in rooms:
            room.setLevel(logging.WARNING)
        yield
    finally:
        for room, level in zip(rooms, before, strict=True):
            room.setLevel(level)


def train(workdir: pathlib.Path) -> float:
    """Leaves the model in workdir/model; returns its accuracy on classes it never saw."""
    run = demo.sample_run(sample.recipe(), workdir)
    sample_set.make_sample_set(workdir / "data", config.SampleSetConfig(), processes=0)
    for split in demo.PREPARED.values():
        clips = sources.open_source(config.SourceConfig(str(workdir / "data"), kind="sample", split=split))
        writer.prepare(clips, demo.records(workdir, split), config.RecordConfig(), processes=0)
    try:
        return loop.train_whole(run).scores["zero_shot"].metrics["top1"]
    except loop.Interrupted as interrupted:
        if interrupted.outcome.signal == signal.SIGINT:
            raise KeyboardInterrupt(f"{interrupted}; the next call goes on from there") from None
        raise


def example_videos() -> list[pathlib.Path]:
    """Six videos of classes that the model never saw; written where they are not there yet."""
    return sample_set.make_examples(sample.directory() / "examples", SPLIT)


def class_names() -> tuple[str, ...]:
    """The names of all the classes that the model never saw."""
    files = inventory.list_files(SPLIT, config.SampleSetConfig())
    return tuple(sorted({file.label for file in files}))
