"""The clips that `data.py` reads: videos, some made here, in every storage there is, and how each side reads them."""

import argparse
import dataclasses
import hashlib
import pathlib
import statistics
from collections.abc import Iterator, Mapping

import av
import cv2
import matplotlib
import msgpack
import numpy as np
import torch_loader
from PIL import Image

from actionclip_jax import config, files
from actionclip_jax.data import readers, table
from actionclip_jax.data.records import encode, writer
from actionclip_jax.data.records import reader as records_reader
from actionclip_jax.data.video import find

PROCESSES = 2  # that prepare records
GAPS = (12, 250)  # frames between keyframes of the videos made here
WIDTH, HEIGHT, FRAMES, RATE = 340, 256, 300, 30
ALL_FRAMES = 2**31
OFF, RAND_AUGMENT = config.AugmentConfig(rand_operations=0, flip="always"), config.AugmentConfig(flip="always")


@dataclasses.dataclass(frozen=True)
class Storage:
    """Clips in one kind of storage, and how the DataLoader's side reads them: `peers[name](row, choose)`."""

    name: str
    clips: table.ClipTable
    bytes: float  # a clip
    bytes_read: float  # of a clip for a sample
    peers: Mapping[str, torch_loader.ReadImages]
    augment: config.AugmentConfig = OFF


def film(seed: int) -> Iterator[np.ndarray]:
    """[H, W, 3] uint8 frames: a camera pans, zooms and tilts over a photograph, part of which moves; with its noise."""
    with Image.open(pathlib.Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")) as image:
        photograph = np.asarray(image.convert("RGB"))  # 512 x 600
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 4, (4, HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32)
    middle, reach, phase = rng.uniform((200, 240), (310, 360)), rng.uniform(20, 80, 2), rng.uniform(0, 2 * np.pi, 6)
    piece = photograph[180:300, 190:290]
    for angle in np.linspace(0, 2 * np.pi, FRAMES):
        zoom, tilt = 1 + 0.35 * np.sin(angle + phase[0]), 0.06 * np.sin(3 * angle + phase[1])
        x, y = middle + reach * np.sin(angle * np.array([2, 3]) + phase[2:4]) + rng.normal(0, 1, 2)
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]) / zoom
        shift = np.array([x, y]) - turn @ [WIDTH / 2, HEIGHT / 2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = np.column_stack([turn, shift])
        frame = cv2.warpAffine(photograph, moved, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT)
        left, top = (np.sin(4 * angle + phase[4:]) / 2 + 0.5) * (WIDTH - 100, HEIGHT - 120)
        frame[int(top) :, int(left) :][:120, :100] = piece
        down, across = rng.integers(64, size=2)
        grain = noise[rng.integers(4), down : down + HEIGHT, across : across + WIDTH]
        yield np.clip(frame + grain, 0, 255).astype(np.uint8)


def write_video(path: pathlib.Path, seed: int, gap: int) -> None:
    """An .mp4 of the film, with at most `gap` frames from keyframe to keyframe."""
    with files.written_whole(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "23", "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = gap
        stream.codec_context.thread_count = 1  # more would change the bits from machine to machine
        for frame in film(seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def make_videos(folder: pathlib.Path, count: int) -> dict[str, table.ClipTable]:
    """The videos of the module's docstring, kept from run to run."""
    tables = {}
    for gap in GAPS:
        paths = [folder / f"film-{gap}-{seed}.mp4" for seed in range(count)]
        for seed, path in enumerate(paths):
            if not path.exists():
                write_video(path, seed, gap)
        tables[f"video, GOP {gap}"] = list_videos(paths)
    return tables


def list_videos(paths: list[pathlib.Path]) -> table.ClipTable:
    """A table of videos, all of one class."""
    clips = [table.Clip(f"{number}-{path.stem}", str(path), (0,)) for number, path in enumerate(paths)]
    return table.make_table(clips, ["moving photograph"], readers.VideoFiles())


def make_storages(folder: pathlib.Path, videos: dict[str, table.ClipTable]) -> list[Storage]:
    """The videos as they are, and the first table of them in all other storages."""
    storages = []
    for name, clips in videos.items():
        paths = clips.paths.tolist()
        size = statistics.mean(pathlib.Path(path).stat().st_size for path in paths)
        peers = {"torch": torch_loader.VideoFiles(paths), "torch, seeking": torch_loader.SeekingVideoFiles(paths)}
        storages.append(Storage(name, clips, size, size, peers))
    clips = next(iter(videos.values()))
    storages.append(store_frames(clips, folder / "frames"))
    for name, kind, decode in (
        ("JPEG records", "jpeg", torch_loader.decode_jpegs),
        ("video records", "video", torch_loader.decode_packets),
    ):
        settings = config.RecordConfig(storage=kind)
        outcome = writer.prepare(clips, folder / kind, settings, processes=PROCESSES)
        assert not outcome.bad, f"{outcome.bad} videos do not decode: {folder / kind / 'bad_clips.jsonl'}"
        stored, size = records_reader.open_records(folder / kind), outcome.bytes / outcome.clips
        read = size * min(1, config.SampleConfig.frames * encode.GROUPS[kind] / stored.frame_counts.mean())
        storages.append(Storage(name, stored, size, read, {"torch": torch_loader.Records(stored, decode)}))
    jpeg = storages[-2]
    storages.append(dataclasses.replace(jpeg, name=f"{jpeg.name}, RandAugment", augment=RAND_AUGMENT))
    return storages


def store_frames(clips: table.ClipTable, directory: pathlib.Path) -> Storage:
    """All frames of every video as JPEGs of quality 90 and a short side of at most 256, a folder a video."""
    settings = config.RecordConfig(frames=ALL_FRAMES)
    stored, sizes = [], []
    for clip in (clips[row] for row in range(len(clips))):
        folder = directory / clip.id
        if not folder.exists():
            kind, entry, (_, *pictures) = encode.encode_clip(clips.reader, settings, clip)
            assert kind == "clips", f"a video does not decode: {entry}"
            partial = folder.with_suffix(".partial")
            partial.mkdir(parents=True, exist_ok=True)
            for number, [picture] in enumerate(map(msgpack.unpackb, pictures)):
                (partial / f"img_{number + 1:05d}.jpg").write_bytes(picture)
            partial.rename(folder)
        pictures = [file.stat().st_size for file in folder.iterdir()]
        sizes.append((sum(pictures), config.SampleConfig.frames * statistics.mean(pictures)))
        stored.append(table.Clip(clip.id, str(folder), clip.labels, frames=len(pictures)))
    folders = table.make_table(stored, clips.labels, readers.FrameFolders())
    read = torch_loader.FrameFolders(folders.paths.tolist(), folders.frame_counts.tolist())
    size, size_read = (statistics.mean(values) for values in zip(*sizes, strict=True))
    return Storage("frame folders", folders, size, size_read, {"torch": read})


def prepare(options: argparse.Namespace) -> list[Storage]:
    """All storages of the given videos or of those made here."""
    if options.videos is None:
        folder = options.cache / f"film-{options.count}"
        folder.mkdir(parents=True, exist_ok=True)
        return make_storages(folder, make_videos(folder, options.count))
    paths = find.find_below(options.videos).videos
    chosen = np.sort(np.random.default_rng(0).permutation(len(paths))[: options.count])
    paths = [paths[number].absolute() for number in chosen]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    folder = options.cache / hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return make_storages(folder, {"video": list_videos(paths)})
