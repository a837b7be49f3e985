"""Grain pipelines from a table of clips to batches of uint8 frames, the same for any number of hosts and workers.

Batch `b` of G clips consists of the samples `b * G .. (b + 1) * G - 1` of one endless sequence, of which host h of H
makes its G / H consecutive rows. A sample's number decides everything random about it. So nothing but the number of the
next batch has to be remembered to go on, on as many hosts and workers as there then are.
"""

import dataclasses
import functools
import hashlib
import math
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import grain
import numpy as np
from absl import flags

from actionclip_jax import config
from actionclip_jax.data import augment, bad_clips, clips, sampling, table, video, views, workers

CHUNK_CLIPS = 16  # at most so many clips travel from a worker at once: the less, the sooner and the less memory
MAX_ATTEMPTS = 20  # to find a clip that decodes


@dataclasses.dataclass(frozen=True)
class Host:
    """One of several hosts (processes of a run) which share every batch."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"host index is {self.index}: expected 0..{self.count - 1} for {self.count} hosts")


class Batches(Iterator[dict[str, np.ndarray]]):
    """An iterator over this host's rows of the batches, which knows its position and can be closed.

    Memory: at most `read_ahead` + 2 batches of this host, and four chunks (of 16 clips at most) for each worker.
    """

    def __init__(self, make: Any, fingerprint: dict[str, Any], report: bad_clips.Report, length: int | None) -> None:
        self._make = make
        self._iterator: Any = None
        self._fingerprint = fingerprint
        self.bad = report
        self.length = length  # batches there are; None: without end
        self.position = 0  # number of the next batch

    def __next__(self) -> dict[str, np.ndarray]:
        if self.length is not None and self.position >= self.length:
            self.close()
            raise StopIteration
        if self._iterator is None:
            self._iterator = iter(self._make(self.position))
        batch = next(self._iterator)
        self.position += 1
        self.bad.add(batch.pop("bad"))
        return batch

    def state(self) -> dict[str, Any]:
        """What to save with a checkpoint; JSON."""
        return {"position": self.position, **self._fingerprint}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken. Raises ValueError if that was another data set, batch size or seed."""
        changed = [
            f"  {name}: {state.get(name)!r} then, {value!r} now"
            for name, value in self._fingerprint.items()
            if state.get(name) != value
        ]
        if changed:
            raise ValueError("\n".join(["the saved position belongs to other data:", *changed]))
        self.close()
        self.position = state["position"]

    def close(self) -> None:
        """Stops the workers; the iterator starts them again when it is used."""
        if hasattr(self._iterator, "close"):
            self._iterator.close()
        self._iterator = None


def train_batches(
    data: table.ClipTable,
    sample: config.SampleConfig,
    augmentation: config.AugmentConfig,
    loader: config.LoaderConfig,
    *,
    host: Host = Host(),
    report: pathlib.Path | None = None,
) -> Batches:
    """Endless shuffled, augmented batches; every epoch holds every clip once, and runs into the next one.

    A batch is {"video": uint8 [B, T, S, S, 3], "label": int32 [B] or, multi-label, uint8 [B, C], "clip": int32 [B]}
    with B = batch_size / hosts; "clip" is the row of the table. A clip that fails to decode is replaced by another one
    of its epoch and written to the file `report`; too many of them raise `bad_clips.TooManyBadClips`.
    """
    config.check_data(sample, augmentation, loader)
    rows = check(data, loader, host)
    if not data.multi_label and (unlabelled := int((data.label_ids[:, 0] < 0).sum())):
        raise ValueError(f"{unlabelled} clips have no label: they can be predicted, not trained with")
    load = training_samples(data, sample, augmentation, loader)
    fingerprint = {**describe(data, loader), "purpose": "training", "seed": loader.seed}
    limit = bad_clips.allowance(loader.max_bad_fraction * len(data), host.count)
    make = functools.partial(build, load, rows, loader, host)
    return Batches(make, fingerprint, bad_clips.Report(report, limit), None)


def eval_batches(
    data: table.ClipTable,
    sample: config.SampleConfig,
    loader: config.LoaderConfig,
    *,
    host: Host = Host(),
    report: pathlib.Path | None = None,
) -> Batches:
    """Every clip once, in order, as its test views; the last batch is filled up with masked rows.

    A batch is {"video": uint8 [B, V, T, S, S, 3], "label" and "clip" as in `train_batches`, "mask": bool [B]}. Filling
    has "clip" -1, and a clip that fails to decode its row of the table; "mask" is False for both.
    """
    config.check_data(sample, loader)
    rows = check(data, loader, host)
    load = LoadTesting(data, sample)
    make = functools.partial(build, load, rows, loader, host)
    length = -(-len(data) // loader.batch_size)
    fingerprint = {**describe(data, loader), "purpose": "testing"}
    return Batches(make, fingerprint, bad_clips.Report(report, math.inf), length)


def check(data: table.ClipTable, loader: config.LoaderConfig, host: Host) -> int:
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


def build(load: Any, rows: int, loader: config.LoaderConfig, host: Host, position: int) -> grain.IterDataset:
    """This host's batches from number `position` on; `load(sample)` makes the sample of a number."""
    chunk = max(size for size in range(1, min(rows, CHUNK_CLIPS) + 1) if rows % size == 0)
    chunks = rows // chunk
    processes = workers.count_cores() if loader.workers < 0 else loader.workers
    samples = grain.MapDataset.source(Share(rows, loader.batch_size, host)).map(load)
    pieces = samples.batch(chunk, batch_fn=functools.partial(join, np.stack))[position * chunks :]
    ahead = max(1, loader.read_ahead * chunks)
    if processes:
        # Grain keeps this many in each worker and as many again for it here, besides one in work and one in between
        share = -(-ahead // (2 * processes))
        check_shared_memory(processes * (2 * share + 2) * chunk * load.clip_bytes)
        options = grain.multiprocessing.MultiprocessingOptions(processes, per_worker_buffer_size=share)
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


class Share:
    """The samples of one host, in order: a Grain data source."""

    def __init__(self, rows: int, batch_size: int, host: Host) -> None:
        self.rows, self.batch_size, self.host = rows, batch_size, host

    def __len__(self) -> int:
        return 2**40 * self.rows  # endless

    def __getitem__(self, number: int) -> int:
        batch, row = divmod(int(number), self.rows)
        return batch * self.batch_size + self.host.index * self.rows + row


class Epochs:
    """The endless sequence of training samples: a new shuffle of all clips each epoch."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips, self.seed = clips, seed
        self.order = grain.MapDataset.range(clips).seed(seed).shuffle().repeat()

    def row(self, sample: int, attempt: int = 0) -> int:
        """The clip of a sample; further attempts give others of the same epoch."""
        if attempt:
            epoch = sample // self.clips
            sample = epoch * self.clips + int(self.rng(sample, attempt).integers(self.clips))
        return int(self.order[sample])

    def rng(self, sample: int, *purpose: int) -> np.random.Generator:
        """The random numbers of a sample."""
        return np.random.default_rng((self.seed, sample, *purpose))


@dataclasses.dataclass(frozen=True)
class LoadTraining:
    """A sample's number -> random frames of a clip, augmented."""

    data: table.ClipTable
    epochs: Epochs
    sample: config.SampleConfig
    loader: config.LoaderConfig
    augmenter: augment.Augmenter

    @property
    def clip_bytes(self) -> int:
        """Bytes of a sample's video."""
        return 3 * self.sample.frames * self.sample.size**2

    def __call__(self, sample: int) -> dict[str, Any]:
        """The sample of that number."""
        bad = []
        short_side = self.loader.short_side or views.default_short_side(self.sample.size)
        for attempt in range(MAX_ATTEMPTS):
            row = self.epochs.row(sample, attempt)
            clip = self.data[row]
            rng = self.epochs.rng(sample)
            choose = functools.partial(sampling.random_in_segments, frames=self.sample.frames, rng=rng)
            try:
                images = self.data.reader.read(clip, choose, np.asarray, short_side).images
                if len({image.shape for image in images}) > 1:
                    raise video.VideoError(clip.path, "the size of the picture changes")
            except video.VideoError as error:
                bad.append((sample // len(self.data), clip.id, error.path, error.reason))
                continue
            images, labels = self.augmenter(images, clip.labels, rng)
            return {"video": images, "label": target(self.data, labels), "clip": np.int32(row), "bad": bad}
        _, clip, _, reason = bad[-1]
        raise bad_clips.TooManyBadClips(f"{MAX_ATTEMPTS} clips in a row cannot be decoded; the last: {clip}: {reason}")


@dataclasses.dataclass(frozen=True)
class LoadTesting:
    """A row of the table -> its test views; any number behind the table -> filling."""

    data: table.ClipTable
    sample: config.SampleConfig

    @property
    def clip_bytes(self) -> int:
        """Bytes of a sample's video."""
        return math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """[V, T, S, S, 3]."""
        sample = self.sample
        return (sample.views_time * sample.views_space, sample.frames, sample.size, sample.size, 3)

    def __call__(self, row: int) -> dict[str, Any]:
        """The sample of that number."""
        sample, bad = self.sample, []
        count = (sample.views_time, sample.views_space)
        clip = self.data[row] if row < len(self.data) else None
        images = None
        if clip:
            read = functools.partial(self.data.reader.read, clip)
            try:
                images = clips.read_clips(read, size=sample.size, frames=sample.frames, views=count).clips
            except video.VideoError as error:
                bad.append((0, clip.id, error.path, error.reason))
        return {
            "video": np.zeros(self.shape, np.uint8) if images is None else images,
            "label": target(self.data, clip.labels if clip else ()),
            "clip": np.int32(row if clip else -1),
            "mask": np.bool_(images is not None),
            "bad": bad,
        }


def training_samples(
    data: table.ClipTable,
    sample: config.SampleConfig,
    augmentation: config.AugmentConfig,
    loader: config.LoaderConfig,
) -> LoadTraining:
    """The function behind `train_batches` that makes single samples."""
    augmenter = augment.Augmenter.build(augmentation, sample.size, data.labels)
    return LoadTraining(data, Epochs(len(data), loader.seed), sample, loader, augmenter)


def target(data: table.ClipTable, labels: tuple[int, ...]) -> np.ndarray:
    """The label as int32, -1 if there is none; multi-label: uint8 [C] of ones and zeros."""
    if not data.multi_label:
        return np.int32(labels[0] if labels else -1)
    ones = np.zeros(len(data.labels), np.uint8)
    ones[list(labels)] = 1
    return ones


def join(arrays: Callable[[list], np.ndarray], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Samples or stacks of samples -> one stack, by `np.stack` or `np.concatenate`."""
    joined = {name: arrays([part[name] for part in parts]) for name in parts[0] if name != "bad"}
    return {**joined, "bad": [entry for part in parts for entry in part["bad"]]}
