"""Clips/s a CPU core of reading training clips (8 frames of each) from every storage, against PyTorch's DataLoader.

    python benchmarks/data.py [VIDEOS_DIR]

The peer, torch_loader.py, does the same work on the same frames with PyAV and PIL. Without a directory the videos are
made here: 10 s of a photograph in motion, 340x256, 30 frames/s, x264's defaults but for the distance of keyframes
(12 and 250 frames). All are read on one thread in turns within one run; a figure "a core" is CPU time, not wall time.
Files come from the page cache, so what a slow disk adds is not in here.
"""

import argparse
import functools
import importlib.metadata
import itertools
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import av
import cv2
import numpy as np
import rich.console
import rich.table
import stored_clips
import torch
import torch_loader

from actionclip_jax import config, files
from actionclip_jax.data import examples, pipeline, readers, sampling, table
from actionclip_jax.data.video import frame_index
from actionclip_jax.models import flops

BATCH, WORKERS = 8, 2
WARM_BATCHES = 6  # more than both sides hold ready
DEVICES = {"one H200": (790e12, 1), "v5e host, 8 chips": (197e12, 8)}  # bfloat16 FLOP/s of a chip; H200's is measured
UTILISATION = 0.45  # of those, by a good training step
ROWS = 10_000  # of the tables read, which repeat the few videos: Grain takes milliseconds to shuffle very few rows
CONSOLE = rich.console.Console(width=120)  # the tables also go into files


class Floor:
    """Decodes the same frames by PyAV and does nothing else: no index, no crop; by default out of packets in memory."""

    def __init__(self, load: examples.TrainingExamples) -> None:
        self.load = load
        self.opened = {path: read_packets(path) for path in set(load.data.paths.tolist())}
        self.groups = {}
        for path in self.opened:
            with av.open(path) as container:
                index = frame_index.read_index(container, container.streams.video[0])
            self.groups[path] = index.groups.tolist() if index.exact else [0, index.packets]

    def decode(self, count: int, *, rgb: bool = False, files: bool = False, sequential: bool = False) -> None:
        """The frames of the first `count` samples, whole groups of pictures up to the last wanted one.

        `rgb` converts the wanted ones, `files` opens and demuxes the file anew, `sequential` decodes from the start.
        """
        for number in range(count):
            path = self.load.data.paths[self.load.epochs.row(number)]
            container, packets = read_packets(path) if files else self.opened[path]
            rng, frames = self.load.epochs.rng(number), self.load.sample.frames
            wanted = set(sampling.random_in_segments(len(packets), frames, rng).tolist())
            codec = container.streams.video[0].codec_context
            for start, stop in itertools.pairwise([0, len(packets)] if sequential else self.groups[path]):
                self._decode_group(codec, packets[start:stop], {n - start for n in wanted if start <= n < stop}, rgb)
            if files:
                container.close()

    def _decode_group(self, codec: av.VideoCodecContext, packets: list[av.Packet], wanted: set[int], rgb: bool) -> None:
        if not wanted:
            return
        number, last = 0, max(wanted)
        for packet in (*packets, None):
            for frame in codec.decode(packet):
                if rgb and number in wanted:
                    frame.reformat(format="rgb24", threads=1).to_ndarray()
                number += 1
            if number > last:
                break
        codec.flush_buffers()


def read_packets(path: str) -> tuple[av.container.InputContainer, list[av.Packet]]:
    """An open video, with one codec thread, and all its packets, which belong to it."""
    container = av.open(path)
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    return container, [packet for packet in container.demux(stream) if packet.size]


def sample_loader(storage: stored_clips.Storage) -> examples.TrainingExamples:
    """What makes this project's training samples of a storage."""
    return examples.TrainingExamples.build(
        repeat_rows(storage.clips), config.SampleConfig(), storage.augment, config.LoaderConfig()
    )


def repeat_rows(clips: table.ClipTable) -> table.ClipTable:
    """The clips again and again."""
    return clips.take(np.arange(ROWS) % len(clips))


def peer_clips(
    storage: stored_clips.Storage, peer: str, load: examples.TrainingExamples, count: int
) -> torch_loader.Clips:
    """The DataLoader's data set of the same samples, of which `count` have rows of their own."""
    rows = [load.epochs.row(number) % len(storage.clips) for number in range(count)]
    return torch_loader.Clips(load, storage.peers[peer], rows)


def check_pictures(storage: stored_clips.Storage, count: int = 3) -> float:
    """The least peak signal-to-noise ratio (dB) of a peer's samples to ours, which shows that all do the same work."""
    load, decibels = sample_loader(storage), []
    for peer in storage.peers:
        clips = peer_clips(storage, peer, load, count)
        for number in range(count):
            difference = load(number)["video"].astype(np.float64) - clips[number]["video"].numpy()
            decibels.append(20 * np.log10(255 / max(0.01, np.sqrt(np.mean(difference**2)))))
            assert decibels[-1] > 25, f"{storage.name}: {peer} makes other pictures than ours ({decibels[-1]:.1f} dB)"
    return float(min(decibels))


def one_thread_calls(storage: stored_clips.Storage, count: int) -> dict[str, Callable[[int], None]]:
    """`calls[reader](count)` reads the first `count` samples in batches; floors of videos only decode."""
    load = sample_loader(storage)
    calls: dict[str, Callable[[int], None]] = {"ours": functools.partial(read_ours, load)}
    for peer in storage.peers:
        calls[peer] = functools.partial(read_theirs, peer_clips(storage, peer, load, count))
    if isinstance(storage.clips.reader, readers.VideoFiles):
        floor = Floor(load)
        calls["floor: decode"] = floor.decode
        calls["floor: decode + RGB"] = functools.partial(floor.decode, rgb=True)
        calls["floor: open + decode + RGB"] = functools.partial(floor.decode, rgb=True, files=True)
        calls["floor: sequential"] = functools.partial(floor.decode, sequential=True)
    return calls


def read_ours(load: examples.TrainingExamples, count: int) -> None:
    """The first `count` samples in batches."""
    for start in range(0, count, BATCH):
        pipeline.join(np.stack, [load(number) for number in range(start, min(start + BATCH, count))])


def read_theirs(clips: torch_loader.Clips, count: int) -> None:
    """The same by a DataLoader."""
    for _ in torch_loader.batches(clips, BATCH, 0, count):
        pass


def measure_one_thread(storages: list[stored_clips.Storage], count: int, repeats: int) -> list[dict[str, Any]]:
    """A row for each storage and reader, which take turns: milliseconds of CPU time a clip, sample by sample."""
    calls = {storage.name: one_thread_calls(storage, count) for storage in storages}
    taken: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats + 1):
        for name, readings in calls.items():
            for reader, call in readings.items():
                if repeat == 0:  # warms up
                    call(min(count, 2))
                    continue
                start = time.process_time()
                call(count)
                taken.setdefault((name, reader), []).append(1e3 * (time.process_time() - start) / count)
    return [
        {"storage": name, "reader": reader, "CPU ms": samples, "clips/s/core": 1e3 / statistics.median(samples)}
        for (name, reader), samples in taken.items()
    ]


def measure_pipelines(storage: stored_clips.Storage, repeats: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each side with worker processes, taking turns in the steady state."""
    load, loader = sample_loader(storage), config.LoaderConfig(batch_size=BATCH, workers=WORKERS)
    ours = pipeline.train_batches(repeat_rows(storage.clips), config.SampleConfig(), storage.augment, loader)
    clips = peer_clips(storage, "torch", load, 1000)
    sides = {"ours": ours, "torch": iter(torch_loader.batches(clips, BATCH, WORKERS, 2**31))}
    for side in sides.values():
        next(side)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            wait_until_idle()  # the other side fills its buffers
            rates[name].append(measure_window(side, seconds))
    ours.close()
    return [
        {
            "storage": storage.name,
            "reader": name,
            "clips/s": [rate for rate, _ in windows],
            "CPU ms": [ms for _, ms in windows],
        }
        for name, windows in rates.items()
    ]


def measure_window(batches: Iterator[dict[str, Any]], seconds: float) -> tuple[float, float]:
    """(clips/s, CPU milliseconds a clip of this process and its workers), once what was ready has been used up."""
    for _ in range(WARM_BATCHES):
        next(batches)
    count, start, cpu = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - start < seconds:
        count += sum(len(next(batches)["video"]) for _ in range(WORKERS))  # one of each worker, so none is half done
    return count / (time.perf_counter() - start), 1e3 * (cpu_seconds() - cpu) / count


def wait_until_idle() -> None:
    """Returns once this process and its workers use less than a twentieth of a core."""
    before = cpu_seconds()
    while True:
        time.sleep(0.4)
        if (now := cpu_seconds()) - before < 0.02:
            return
        before = now


def cpu_seconds() -> float:
    """CPU time of this process and everything it started, ended or not (Linux)."""
    ticks, parents = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)], ticks[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {os.getpid()}
    while children := {child for child, parent in parents.items() if parent in family} - family:
        family |= children
    return sum(ticks[member] for member in family) / os.sysconf("SC_CLK_TCK")


def clips_wanted() -> dict[str, float]:
    """Clips/s that training ViT-B/16 with 8 frames takes on each of the devices."""
    model = config.clip_model("ViT-B/16", "Transf")
    work = 3 * (flops.encode_video(model, 8) + flops.text_tower(model))  # the backward pass costs two forward passes
    return {name: UTILISATION * peak * chips / work for name, (peak, chips) in DEVICES.items()}


def print_table(title: str, columns: list[str], rows: list[list[str]], texts: int = 2) -> None:
    """A table whose first `texts` columns are text and whose others are numbers."""
    shown = rich.table.Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        shown.add_column(column, justify="left" if number < texts else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    CONSOLE.print(shown)


def compare(samples: list[float], base: list[float]) -> float:
    """How many times `base` the samples are: the median of those taken next to each other."""
    return statistics.median(mine / other for mine, other in zip(samples, base, strict=True))


def print_one_thread(rows: list[dict[str, Any]]) -> None:
    """Clips/s a core, and what our reading of videos adds to decoding them."""
    taken = {(row["storage"], row["reader"]): row["CPU ms"] for row in rows}
    readings, floors = [], []
    for (storage, reader), taken_ms in taken.items():
        rate = f"{1e3 / statistics.median(taken_ms):.1f}"
        cells = [storage, reader, rate, f"{1e3 / max(taken_ms):.1f}-{1e3 / min(taken_ms):.1f}"]
        cells.append(f"{statistics.median(taken_ms):.1f}")
        if reader.startswith("floor"):
            floors.append([*cells, f"{compare(taken[storage, 'ours'], taken_ms) - 1:+.0%}"])
        else:
            readings.append([*cells, f"{compare(taken[storage, 'torch'], taken_ms):.2f}x"])
    columns = ["storage", "reader", "clips/s/core", "spread", "CPU ms a clip"]
    print_table("one thread: frames -> crop -> batch of uint8", [*columns, "to torch"], readings)
    if floors:
        title = "the decoder's own floor: PyAV decodes the groups of pictures that hold the same frames, and no more"
        print_table(title, [*columns, "ours takes"], floors)


def print_pipelines(rows: list[dict[str, Any]]) -> None:
    """Clips/s of whole pipelines."""
    torch_cpu = {row["storage"]: row["CPU ms"] for row in rows if row["reader"] == "torch"}
    cells = [
        [
            row["storage"],
            row["reader"],
            f"{statistics.median(row['clips/s']):.1f}",
            f"{min(row['clips/s']):.1f}-{max(row['clips/s']):.1f}",
            f"{statistics.median(row['CPU ms']):.1f}",
            f"{1 / compare(row['CPU ms'], torch_cpu[row['storage']]):.2f}x",
        ]
        for row in rows
    ]
    columns = ["storage", "reader", "clips/s", "spread", "CPU ms a clip", "to torch, by CPU"]
    print_table(f"{WORKERS} worker processes, batches of {BATCH}, all processes counted", columns, cells)


def print_needs(rows: list[dict[str, Any]], storages: list[stored_clips.Storage]) -> None:
    """CPU cores that feed accelerators, from the CPU time of whole pipelines, and what is read from disk."""
    wanted, read = clips_wanted(), {storage.name: storage.bytes_read for storage in storages}
    cells = []
    for row in rows:
        seconds = statistics.median(row["CPU ms"]) / 1e3
        cores = [f"{rate * seconds:.1f}" for rate in wanted.values()]
        megabytes = " / ".join(f"{rate * read[row['storage']] / 1e6:.0f}" for rate in wanted.values())
        cells.append([row["storage"], row["reader"], *cores, megabytes])
    columns = ["storage", "reader", *(f"{name}: {rate:.0f} clips/s" for name, rate in wanted.items()), "MB/s read"]
    title = f"CPU cores that feed ViT-B/16 training, 8 frames, if it reaches {UTILISATION:.0%} of the peak FLOP/s"
    print_table(title, columns, cells)


def print_sizes(storages: list[stored_clips.Storage]) -> None:
    """Bytes of a clip in each storage."""
    cells = [
        [storage.name, f"{storage.bytes / 1e3:,.0f}", f"{storage.bytes_read / 1e3:,.0f}"]
        for storage in storages
        if storage.augment == stored_clips.OFF
    ]
    print_table("kB a clip", ["storage", "stored", "read for a sample"], cells, texts=1)


def describe_machine() -> dict[str, Any]:
    """What the figures depend on."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown CPU")
    packages = ("av", "pillow", "opencv-python-headless", "grain", "array_record", "torch")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"CPU": model, "cores": os.cpu_count(), "load": os.getloadavg()[0], "versions": versions}


def main() -> None:
    """Reads the command line, measures, prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="?", type=pathlib.Path, help="directory of videos; by default some are made")
    parser.add_argument("--count", type=int, default=6, help="videos to make, or to take from the directory")
    parser.add_argument("--clips", type=int, default=32, help="clips of a sample that is timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of a sample with worker processes; 0 leaves them out")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir(), "actionclip-data"))
    parser.add_argument("--json", type=pathlib.Path, help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    machine = describe_machine()
    CONSOLE.print(f"{machine['CPU']}, {machine['cores']} cores, load {machine['load']:.1f} at the start")
    CONSOLE.print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
    storages = stored_clips.prepare(options)
    print_sizes(storages)
    likeness = {storage.name: check_pictures(storage) for storage in storages}
    CONSOLE.print(f"both sides make the same pictures: {min(likeness.values()):.0f} dB or nearer")
    rows = measure_one_thread(storages, options.clips, options.repeats)
    print_one_thread(rows)
    CONSOLE.print("torch of records: the same ArrayRecord files; JPEGs by PIL, all-intra H.264 packets by PyAV")
    pipelines = []
    if options.seconds:
        pipelines = [
            row for storage in storages for row in measure_pipelines(storage, options.repeats, options.seconds)
        ]
        print_pipelines(pipelines)
        print_needs(pipelines, storages)
    if options.json:
        described = {name: str(value) for name, value in vars(options).items()} | machine
        sizes = [{"storage": each.name, "bytes": each.bytes, "bytes read": each.bytes_read} for each in storages]
        described |= {"dB": likeness, "sizes": sizes, "one thread": rows, "pipelines": pipelines}
        described |= {"utilisation": UTILISATION, "clips/s wanted": clips_wanted()}
        files.write_json(options.json, described)


if __name__ == "__main__":
    main()
