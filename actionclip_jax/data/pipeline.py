"""Grain pipelines from a table of clips to batches of uint8 frames, the same for any number of hosts and workers."""

import concurrent.futures
import functools
import hashlib
import math
import pathlib
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from actionclip_jax import config
from actionclip_jax.data import bad_clips, clip_log, examples, order, table, workers

LISTS = ("bad", "notes")  # of an example: what is no array
CHUNK_CLIPS = 16  # at most so many clips travel from a worker at once: the less, the sooner and the less memory
Load = examples.TrainingExamples | examples.TestExamples  # the example of a number


class Batches(Iterator[dict[str, np.ndarray]]):
    """An iterator over this host's rows of the batches, which knows its position and can be closed.

    It is closed with the last batch, by leaving its `with`, when nobody holds it any more and when the program ends.
    Memory: at most `read_ahead` + 2 batches of this host, and four chunks (of 16 clips at most) for each worker.
    """

    def __init__(
        self,
        make: Callable[[int], grain.IterDataset],
        fingerprint: dict[str, Any],
        report: bad_clips.Report,
        length: int | None,
    ) -> None:
        self._make = make
        self._stream: Stream | None = None
        self._close: Callable[[], None] = lambda: None
        self._fingerprint = fingerprint
        self.bad = report
        self.notes = clip_log.ClipLog(report.path and clip_log.notes_file(report.path))
        self.length = length  # batches there are; None: without end
        self.position = 0  # number of the next batch

    def __next__(self) -> dict[str, np.ndarray]:
        if self.length is not None and self.position >= self.length:
            self.close()
            raise StopIteration
        batch = next(self.start())
        self.position += 1
        for entry in batch.pop("notes"):
            self.notes.add(entry)
        self.bad.add(batch.pop("bad"))
        return batch

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> "Stream":
        """Starts the workers and makes the next batch, all of it beside what the caller does meanwhile."""
        if self._stream is None:
            self._stream = Stream(self._make(self.position))
            self._close = weakref.finalize(self, self._stream.close)
        return self._stream

    def state(self) -> dict[str, Any]:
        """What to save with a checkpoint; JSON."""
        return {"position": self.position, **self._fingerprint}

    def check(self, state: dict[str, Any]) -> None:
        """Raises ValueError if `state` was taken of another data set, batch size or seed."""
        changed = [
            f"  {name}: {state.get(name)!r} then, {value!r} now"
            for name, value in self._fingerprint.items()
            if state.get(name) != value
        ]
        if changed:
            raise ValueError("\n".join(["the saved position belongs to other data:", *changed]))

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken. Raises ValueError like `check`."""
        self.check(state)
        self.seek(state["position"])

    def seek(self, batch: int) -> None:
        """Makes the batch of that number, counted from 0, the next one."""
        self.close()
        self.position = batch

    def close(self) -> None:
        """Stops the workers; the iterator starts them again when it is used."""
        self._close()
        self._stream = None


class Stream(Iterator[dict[str, Any]]):
    """Batches of a Grain pipeline, of which the first is made at once."""

    def __init__(self, pipeline: grain.IterDataset) -> None:
        self._iterator: Any = iter(pipeline)
        thread = concurrent.futures.ThreadPoolExecutor(1)
        self.first: concurrent.futures.Future | None = thread.submit(self._start)
        thread.shutdown(wait=False)

    def _start(self) -> dict[str, Any]:
        with workers.deaf_to_interrupts():
            return next(self._iterator)

    def __next__(self) -> dict[str, Any]:
        batch = self.first.result() if self.first else next(self._iterator)
        self.first = None
        return batch

    def close(self) -> None:
        """Stops the workers."""
        if self.first:
            concurrent.futures.wait([self.first])  # Grain cannot be closed while it makes a batch
        if hasattr(self._iterator, "close"):
            self._iterator.close()
        self._iterator = self.first = None  # at the end of the program Grain's own destructors would come too late


def train_batches(
    data: table.ClipTable,
    sample: config.SampleConfig,
    augmentation: config.AugmentConfig,
    loader: config.LoaderConfig,
    *,
    host: order.Host = order.SINGLE_HOST,
    report: pathlib.Path | None = None,
) -> Batches:
    """Endless shuffled, augmented batches; every epoch holds every clip once, and runs into the next one.

    A batch is {"video": uint8 [B, T, S, S, 3], "label": int32 [B] or, multi-label, uint8 [B, C], "clip": int32 [B]}
    with B = batch_size / hosts; "clip" is the row of the table. A clip that fails to decode is replaced by another one
    of its epoch and written to the file `report`; too many of them raise `bad_clips.TooManyBadClips`. What is wrong
    with videos that could be used is written to `clip_log.notes_file(report)`.
    """
    config.check_data(sample, augmentation, loader)
    rows = check(data, loader, host)
    if not data.multi_label and (unlabelled := int((data.label_ids[:, 0] < 0).sum())):
        raise ValueError(f"{unlabelled} clips have no label: they can be predicted, not trained with")
    load = examples.TrainingExamples.build(data, sample, augmentation, loader)
    fingerprint = {**describe(data, loader), "purpose": "training", "seed": loader.seed}
    limit = bad_clips.allowance(loader.max_bad_fraction * len(data), host.count)
    make = functools.partial(build, load, rows, loader, host)
    return Batches(make, fingerprint, bad_clips.Report(report, limit), None)


def eval_batches(
    data: table.ClipTable,
    sample: config.SampleConfig,
    loader: config.LoaderConfig,
    *,
    host: order.Host = order.SINGLE_HOST,
    report: pathlib.Path | None = None,
) -> Batches:
    """Every clip once, in order, as its test views; the last batch is filled up with masked rows.

    A batch is {"video": uint8 [B, V, T, S, S, 3], "label" and "clip" as in `train_batches`, "mask": bool [B]}. Filling
    has "clip" -1, and a clip that fails to decode its row of the table; "mask" is False for both.
    """
    config.check_data(sample, loader)
    rows = check(data, loader, host)
    load = examples.TestExamples(data, sample)
    make = functools.partial(build, load, rows, loader, host)
    length = -(-len(data) // loader.batch_size)
    fingerprint = {**describe(data, loader), "purpose": "testing"}
    return Batches(make, fingerprint, bad_clips.Report(report, math.inf), length)


def check(data: table.ClipTable, loader: config.LoaderConfig, host: order.Host) -> int:
    """Rows of a batch that this host makes. Raises ValueError."""
    if not len(data):
        raise ValueError("there are no clips")
    if loader.batch_size % host.count:
        raise ValueError(f"batch_size is {loader.batch_size}: expected a multiple of the {host.count} hosts")
    return loader.batch_size // host.count


def describe(data: table.ClipTable, loader: config.LoaderConfig) -> dict[str, Any]:
    """What a saved position is only good for."""
    digest = hashlib.sha256("\n".join(data.ids).encode()).hexdigest()
    return {"clips": len(data), "clip_ids_sha256": digest, "batch_size": loader.batch_size}


def build(load: Load, rows: int, loader: config.LoaderConfig, host: order.Host, position: int) -> grain.IterDataset:
    """This host's batches from number `position` on."""
    chunk = max(size for size in range(1, min(rows, CHUNK_CLIPS) + 1) if rows % size == 0)
    chunks = rows // chunk
    processes = workers.count_cores() if loader.workers < 0 else loader.workers
    sequence = grain.MapDataset.source(order.HostExamples(rows, loader.batch_size, host)).map(load)
    pieces = sequence.batch(chunk, batch_fn=functools.partial(join, np.stack))[position * chunks :]
    ahead = max(1, loader.read_ahead * chunks)
    if processes:
        # Grain keeps this many in each worker and as many again for it here, besides one in work and one in between
        buffered = -(-ahead // (2 * processes))
        check_shared_memory(processes * (2 * buffered + 2) * chunk * load.clip_bytes)
        options = grain.multiprocessing.MultiprocessingOptions(processes, per_worker_buffer_size=buffered)
        stream = pieces.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
        if not flags.FLAGS.is_parsed():  # Grain asks for absl's flags, which only absl's own main() would parse
            flags.FLAGS.mark_as_parsed()
        stream = stream.mp_prefetch(options, worker_init_fn=start_worker)
    else:
        stream = pieces.to_iter_dataset(grain.ReadOptions(min(ahead, workers.count_cores()), ahead))
    return stream.batch(chunks, batch_fn=functools.partial(join, np.concatenate))


def check_shared_memory(needed: int) -> None:
    """Raises ValueError where batches on their way from the workers do not fit: Linux would kill the workers."""
    memory = pathlib.Path("/dev/shm")
    if memory.is_dir() and (free := shutil.disk_usage(memory).free) < needed:
        raise ValueError(
            f"{memory} has {free / 2**20:.0f} MiB free and the workers need {needed / 2**20:.0f} MiB: enlarge it "
            "(docker run --shm-size), or set a smaller read_ahead, fewer workers, or workers=0"
        )


def start_worker(index: int, count: int) -> None:
    """Grain's hook."""
    workers.set_up_worker()
    workers.outlast_sigterm()


def join(arrays: Callable[[list], np.ndarray], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Examples or stacks of examples -> one stack, by `np.stack` or `np.concatenate`."""
    joined = {name: arrays([part[name] for part in parts]) for name in parts[0] if name not in LISTS}
    return {**joined, **{name: [entry for part in parts for entry in part[name]] for name in LISTS}}
