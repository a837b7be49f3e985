"""Reads thousands of clips, some of them broken, and fails if memory or open files grow: `python benchmarks/soak.py`.

Short videos made here are read from every storage (videos, frame folders, JPEG records, video records), with all
augmentation: first by one process, then by a Grain pipeline with one worker process. The C library keeps freed memory,
tens of MB, as it pleases; what is judged is the memory held once that is given back (Linux, glibc).
"""

import argparse
import ctypes
import dataclasses
import json
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import rich.console
import rich.table

from actionclip_jax import config
from actionclip_jax.data import examples, pipeline, readers, table, video
from actionclip_jax.data.records import layout, reader, writer
from actionclip_jax.data.shapes import drawing
from actionclip_jax.data.video import pictures

VIDEOS, FRAMES, SIZE = 8, 24, (128, 96)
BATCH = 16
REPORTS = 10  # readings in a run
READS_BETWEEN = 40  # reads from one reading to the next
SETTLED = 2  # readings after which nothing may grow any more
MOST_GROWTH, MOST_BYTES = 0.02, 20e6  # memory may grow by, whichever is less
SAMPLE = config.SampleConfig(size=64)
AUGMENT = config.AugmentConfig(flip="always")
CONSOLE = rich.console.Console(width=110)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a process holds."""

    resident: int  # bytes
    kept: int  # bytes after the C library has given freed memory back
    files: int  # open

    @classmethod
    def take(cls) -> "Reading":
        """This process as it is now."""
        before = resident_bytes()
        ctypes.CDLL(None).malloc_trim(0)
        return cls(before, resident_bytes(), sum(1 for _ in pathlib.Path("/proc/self/fd").iterdir()))

    @classmethod
    def join(cls, readings: list["Reading"]) -> "Reading":
        """The most memory, and what is left when nothing is on its way: batches come and go, each with open files."""
        kept, files = (min(getattr(reading, name) for reading in readings) for name in ("kept", "files"))
        return cls(max(reading.resident for reading in readings), kept, files)


def resident_bytes() -> int:
    """Physical memory of this process."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class Mixed:
    """Reads clips of several storages: a clip's id and path are `storage|` and what they are there.

    Every so often the process that reads takes a reading of itself and adds it to the file `notes`.
    """

    def __init__(self, stored: dict[str, table.Reader], notes: pathlib.Path) -> None:
        self.readers, self.notes, self.reads = stored, notes, 0

    def read(
        self,
        clip: table.Clip,
        choose: Callable[[int], np.ndarray],
        transform: Callable[[np.ndarray], Any],
        short_side: int | None = None,
    ) -> video.Frames:
        """See `table.Reader`."""
        self.reads += 1
        if self.reads % READS_BETWEEN == 0:
            with self.notes.open("a") as file:
                file.write(json.dumps(dataclasses.asdict(Reading.take())) + "\n")
        storage, _, path = clip.path.partition("|")
        stored = dataclasses.replace(clip, id=clip.id.removeprefix(f"{storage}|"), path=path)
        return self.readers[storage].read(stored, choose, transform, short_side)

    def take_notes(self) -> list[Reading]:
        """The readings since the last call."""
        lines = self.notes.read_text().splitlines()
        self.notes.write_text("")
        return [Reading(**json.loads(line)) for line in lines]


Step = tuple[int, dict[str, list[Reading]]]  # clips read so far, and the readings of each process since the last step


def make_clips(folder: pathlib.Path) -> table.ClipTable:
    """Good and broken clips in all storages, one table."""
    good = [folder / f"{number}.mp4" for number in range(VIDEOS)]
    for seed, path in enumerate(good):
        direction = list(drawing.DIRECTIONS)[seed % len(drawing.DIRECTIONS)]
        drawing.write_moving_shape(path, direction=direction, size=SIZE, frames=FRAMES, seed=seed)
    clips = [table.Clip(path.stem, str(path), (0,)) for path in good]
    tables = {"records": table.make_table(clips, ["shape"], readers.VideoFiles())}
    stored = {
        kind: prepare_records(tables["records"], folder / kind, config.RecordConfig(storage=kind, frames=12))
        for kind in config.STORAGES
    }
    stored["folders"] = make_folders(clips, folder / "folders")
    broken = [table.Clip(path.stem, str(path), (0,)) for path in break_videos(good[0], folder / "broken")]
    stored["videos"] = table.make_table(clips + broken, ["shape"], readers.VideoFiles())
    mixed = [
        dataclasses.replace(clip, id=f"{kind}|{clip.id}", path=f"{kind}|{clip.path}")
        for kind, part in stored.items()
        for clip in (part[row] for row in range(len(part)))
    ]
    return table.make_table(
        mixed, ["shape"], Mixed({kind: part.reader for kind, part in stored.items()}, folder / "notes")
    )


def break_videos(good: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
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


def make_folders(clips: list[table.Clip], folder: pathlib.Path) -> table.ClipTable:
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


def prepare_records(clips: table.ClipTable, directory: pathlib.Path, settings: config.RecordConfig) -> table.ClipTable:
    """Records of the clips, one of which is then damaged; each clip is a shard of its own."""
    settings = dataclasses.replace(settings, shard_clips=1)
    writer.prepare(clips, directory, settings, processes=1)
    file = layout.shard_file(directory, len(clips) - 1, "array_record")
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 255
    file.write_bytes(data)
    return reader.open_records(directory)


def soak_process(clips: table.ClipTable, count: int) -> Iterator[Step]:
    """`REPORTS` steps of a single process."""
    load = examples.TrainingExamples.build(clips, SAMPLE, AUGMENT, config.LoaderConfig(max_bad_fraction=1))
    for report in range(REPORTS):
        for number in range(report * count // REPORTS, (report + 1) * count // REPORTS):
            load(number)
        yield (report + 1) * count // REPORTS, {"process": clips.reader.take_notes()}


def soak_pipeline(clips: table.ClipTable, count: int) -> Iterator[Step]:
    """The same of a pipeline and its worker."""
    loader = config.LoaderConfig(batch_size=BATCH, workers=1, max_bad_fraction=1)
    batches = pipeline.train_batches(clips, SAMPLE, AUGMENT, loader)
    read = 0
    for report in range(REPORTS):
        readings = []
        while read < (report + 1) * count // REPORTS:
            read += len(next(batches)["clip"])
            readings.append(Reading.take())
        yield read, {"main process": readings, "worker": clips.reader.take_notes()}
    CONSOLE.print(f"{batches.bad.count} of {read} samples were replaced, of {len(batches.bad.reasons)} broken clips:")
    for clip, reason in sorted(batches.bad.reasons.items()):
        CONSOLE.print(f"  {clip}: {reason[:80]}", highlight=False, markup=False)
    batches.close()


def judge(name: str, readings: list[Reading]) -> list[str]:
    """What has grown since the readings settled."""
    base, later = readings[SETTLED - 1], readings[SETTLED:]
    growth = max(reading.kept for reading in later) - base.kept
    files = max(reading.files for reading in later) - base.files
    found = []
    if growth > min(MOST_GROWTH * base.kept, MOST_BYTES):
        found.append(f"{name}: memory grew by {growth / 1e6:.1f} MB, {growth / base.kept:.1%}")
    if files > 0:
        found.append(f"{name}: open files grew by {files}")
    return found


def soak(title: str, run: Iterator[Step]) -> tuple[list[dict[str, Any]], list[str]]:
    """The readings of a run as rows, and what has grown; prints the rows."""
    shown = rich.table.Table("clips", "process", title=title, title_justify="left")
    for column in ("RSS, MB", "of it not freed, MB", "open files"):
        shown.add_column(column, justify="right")
    rows, series = [], {}
    start = time.perf_counter()
    for count, processes in run:
        for name, readings in processes.items():
            reading = Reading.join(readings)
            shown.add_row(
                str(count), name, f"{reading.resident / 1e6:.1f}", f"{reading.kept / 1e6:.1f}", str(reading.files)
            )
            rows.append({"run": title, "clips": count, "process": name, **dataclasses.asdict(reading)})
            series.setdefault(name, []).append(reading)
    CONSOLE.print(shown)
    CONSOLE.print(f"{time.perf_counter() - start:.0f} s")
    return rows, [line for name, readings in series.items() for line in judge(f"{title}, {name}", readings)]


def main() -> None:
    """Reads the command line, soaks, prints PASS or what grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=10_000, help="of each of the two runs")
    parser.add_argument("--json", type=pathlib.Path, help="write the readings here as well")
    options = parser.parse_args()
    if options.clips < (least := 5 * READS_BETWEEN * REPORTS):
        parser.error(f"--clips is {options.clips}: expected at least {least}")
    cv2.setNumThreads(1)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="actionclip-soak-"))
    try:
        clips = make_clips(folder)
        rows, grown = soak("one process", soak_process(clips, options.clips))
        more, also = soak("a pipeline of one worker", soak_pipeline(clips, options.clips))
    finally:
        shutil.rmtree(folder)
    if options.json:
        content = {"clips": options.clips, "grown": grown + also, "readings": rows + more}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    CONSOLE.print("\n".join(grown + also) or "PASS: neither memory nor open files grow")
    sys.exit(bool(grown + also))


if __name__ == "__main__":
    main()
