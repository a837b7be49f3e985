"""Reads thousands of clips and trains for minutes, and fails if memory, threads or open files grow (Linux, glibc).

ACTIONCLIP_SOAK_MINUTES says for how long. The C library keeps freed memory, tens of MB, as it pleases: what is judged
of reading is the memory held once that is given back.
"""

import contextlib
import ctypes
import dataclasses
import json
import pathlib
import signal
import time

import command
import cv2
import numpy as np
import pytest

from actionclip_jax import config
from actionclip_jax.data import examples, pipeline, readers, table
from actionclip_jax.data.records import layout, reader, writer
from actionclip_jax.data.shapes import drawing
from actionclip_jax.data.video import pictures

pytestmark = [pytest.mark.faults, pytest.mark.slow]

VIDEOS, FRAMES, SIZE = 8, 24, (128, 96)
BATCH = 16
REPORTS = 10  # readings in a run
READS_BETWEEN = 40  # reads from one reading to the next
SETTLED = 2  # readings after which nothing may grow any more
MOST_GROWTH, MOST_BYTES = 0.02, 20e6  # memory of reading may grow by, whichever is less
SETTLED_PART, MOST_TRAINING_GROWTH = 0.3, 0.03  # the same of a training run, seen from outside
SAMPLE = config.SampleConfig(size=64)
AUGMENT = config.AugmentConfig(flip="always")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a process holds, or a run with its loader workers."""

    memory: int  # bytes
    threads: int
    files: int  # open


def look_at(pid):
    """Another process as it is now."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    files = sum(1 for _ in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    return Reading(1024 * int(status["VmRSS"].split()[0]), int(status["Threads"]), files)


def look_at_this_process():
    """This one, after the C library has given freed memory back."""
    ctypes.CDLL(None).malloc_trim(0)
    return look_at("self")


def least(readings):
    """What is left when nothing is on its way: batches come and go, each with open files."""
    return Reading(*(min(values) for values in zip(*map(dataclasses.astuple, readings), strict=True)))


class Mixed:
    """Reads clips of several storages: a clip's id and path are `storage|` and what they are there.

    Every so often the process that reads takes a reading of itself and adds it to the file `notes`.
    """

    def __init__(self, stored, notes):
        self.readers, self.notes, self.reads = stored, notes, 0

    def read(self, clip, choose, transform, short_side=None):
        self.reads += 1
        if self.reads % READS_BETWEEN == 0:
            with self.notes.open("a") as file:
                file.write(json.dumps(dataclasses.astuple(look_at_this_process())) + "\n")
        storage, _, path = clip.path.partition("|")
        stored = dataclasses.replace(clip, id=clip.id.removeprefix(f"{storage}|"), path=path)
        return self.readers[storage].read(stored, choose, transform, short_side)

    def take_notes(self):
        """The least since the last call."""
        lines = self.notes.read_text().splitlines()
        self.notes.write_text("")
        return least([Reading(*json.loads(line)) for line in lines])


@pytest.fixture
def clips(folder):
    """Good and broken clips in all storages, one table."""
    good = [folder / f"{number}.mp4" for number in range(VIDEOS)]
    for seed, path in enumerate(good):
        direction = list(drawing.DIRECTIONS)[seed % len(drawing.DIRECTIONS)]
        drawing.write_moving_shape(path, direction=direction, size=SIZE, frames=FRAMES, seed=seed)
    rows = [table.Clip(path.stem, str(path), (0,)) for path in good]
    whole = table.make_table(rows, ["shape"], readers.VideoFiles())
    stored = {
        kind: prepare_records(whole, folder / kind, config.RecordConfig(storage=kind, frames=12))
        for kind in config.STORAGES
    }
    stored["folders"] = make_folders(rows, folder / "folders")
    broken = [table.Clip(path.stem, str(path), (0,)) for path in break_videos(good[0], folder / "broken")]
    stored["videos"] = table.make_table(rows + broken, ["shape"], readers.VideoFiles())
    mixed = [
        dataclasses.replace(clip, id=f"{kind}|{clip.id}", path=f"{kind}|{clip.path}")
        for kind, part in stored.items()
        for clip in (part[row] for row in range(len(part)))
    ]
    return table.make_table(
        mixed, ["shape"], Mixed({kind: part.reader for kind, part in stored.items()}, folder / "notes")
    )


def break_videos(good, folder):
    """Files that fail in different places: opening, indexing, decoding; some still give frames."""
    data = good.read_bytes()
    start = data.index(b"mdat") + 4
    damaged = bytearray(data)
    damaged[start + 200 : start + 1200] = np.random.default_rng(0).bytes(1000)
    contents = {
        "empty": b"",
        "text": b"not a video " * 100,
        "cut": data[: len(data) // 2],
        "damaged": bytes(damaged),
        "headless": data[100:],
    }
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.mp4").write_bytes(content)
    return [folder / f"{name}.mp4" for name in (*contents, "missing")]


def make_folders(clips, folder):
    """Folders of JPEGs; of two more, one lacks a picture and one holds half of one."""
    stored = []
    for clip in (*clips, dataclasses.replace(clips[0], id="gap"), dataclasses.replace(clips[0], id="half")):
        encoder = pictures.JpegEncoder(90)
        readers.VideoFiles().read(clip, np.arange, encoder.add)
        place = folder / clip.id
        place.mkdir(parents=True)
        for number, picture in enumerate(encoder.finish(), 1):
            (place / f"img_{number:05d}.jpg").write_bytes(picture)
        stored.append(table.Clip(clip.id, str(place), (0,), frames=len(encoder.pictures)))
    for number in range(4, FRAMES):
        (folder / "gap" / f"img_{number:05d}.jpg").unlink()
        (folder / "half" / f"img_{number:05d}.jpg").write_bytes(b"\xff\xd8 half a picture")
    return table.make_table(stored, ["shape"], readers.FrameFolders())


def prepare_records(clips, directory, settings):
    """Records of the clips, one of which is then damaged; each clip is a shard of its own."""
    writer.prepare(clips, directory, dataclasses.replace(settings, shard_clips=1), processes=1)
    file = layout.shard_file(directory, len(clips) - 1, "array_record")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    return reader.open_records(directory)


@pytest.fixture
def count(soak_minutes):
    """Clips to read: enough for `REPORTS` readings of each process."""
    cv2.setNumThreads(1)
    return max(int(2500 * soak_minutes), 5 * READS_BETWEEN * REPORTS)


def expect_no_growth(readings, name):
    """Since they settled."""
    base, later = readings[SETTLED - 1], readings[SETTLED:]
    growth = max(reading.memory for reading in later) - base.memory
    files = max(reading.files for reading in later) - base.files
    assert growth <= min(MOST_GROWTH * base.memory, MOST_BYTES), f"{name}: memory grew by {growth / 1e6:.1f} MB"
    assert files <= 0, f"{name}: open files grew by {files}"
    return f"{name}: {base.memory / 1e6:.0f} to {later[-1].memory / 1e6:.0f} MB"


def test_reading_in_one_process_holds_no_more_and_more(clips, count, happened):
    load = examples.TrainingExamples.build(clips, SAMPLE, AUGMENT, config.LoaderConfig(max_bad_fraction=1))
    readings = []
    for report in range(REPORTS):
        for number in range(report * count // REPORTS, (report + 1) * count // REPORTS):
            load(number)
        readings.append(clips.reader.take_notes())
    happened(f"{count} clips; {expect_no_growth(readings, 'process')}")


def test_reading_by_a_worker_holds_no_more_and_more(clips, count, happened):
    loader = config.LoaderConfig(batch_size=BATCH, workers=1, max_bad_fraction=1)
    batches = pipeline.train_batches(clips, SAMPLE, AUGMENT, loader)
    read, ours, theirs = 0, [], []
    for report in range(REPORTS):
        readings = []
        while read < (report + 1) * count // REPORTS:
            read += len(next(batches)["clip"])
            readings.append(look_at_this_process())
        ours.append(least(readings))
        theirs.append(clips.reader.take_notes())
    bad = f"{batches.bad.count} of {read} samples were replaced, of {len(batches.bad.reasons)} broken clips"
    batches.close()
    happened(f"{bad}; {expect_no_growth(ours, 'main process')}; {expect_no_growth(theirs, 'worker')}")


def test_training_holds_no_more_and_more(new_run, soak_minutes, happened):
    """With a loader worker, checkpoints and evaluations all the time."""
    changes = {"checkpoint__every_epochs": 20.0, "eval_every_epochs": 80.0}
    run = new_run(data__loader__workers=1, optim__steps=10**8, **changes)
    (process,) = started = run.start()
    readings = []
    with command.no_leftovers(started):
        run.wait_for_step(1, started)
        end = time.monotonic() + 60 * soak_minutes
        while time.monotonic() < end:
            time.sleep(min(5, soak_minutes))
            assert process.poll() is None, f"the run ended: {process.communicate()[0][-1500:]}"
            readings.append(look_at_run(process.pid))
        process.send_signal(signal.SIGTERM)
        ((code, _),) = command.wait(started)
    assert code == 75, f"exit code {code}"
    later = readings[int(SETTLED_PART * len(readings)) :]
    before, after = least(later[: len(later) // 2]), least(later[len(later) // 2 :])
    assert after.memory - before.memory <= MOST_TRAINING_GROWTH * before.memory, f"from {before} to {after}"
    assert after.threads <= before.threads and after.files <= before.files, f"from {before} to {after}"
    happened(f"{max(run.losses())} steps: {before.memory / 1e6:.0f} to {after.memory / 1e6:.0f} MB")


def look_at_run(pid):
    """A run with its workers; open files are those of the run alone: those of workers come and go with every video."""
    own, workers = look_at(pid), []
    for child in command.children(pid):
        with contextlib.suppress(FileNotFoundError):  # gone since
            workers.append(look_at(child))
    memory, threads = (sum(getattr(each, name) for each in (own, *workers)) for name in ("memory", "threads"))
    return Reading(memory, threads, own.files)
