"""Training clips for torch.utils.data.DataLoader as a careful user writes them with PyAV and PIL, to measure against.

Which frames, which crop and whether to flip are drawn by this project's functions from the same random numbers, so both
sides read the same frames of the same clips and must come to the same pictures.
"""

import dataclasses
import io
import pathlib
from collections.abc import Callable, Sequence
from typing import TypedDict

import av
import msgpack
import numpy as np
import torch
from array_record.python import array_record_data_source
from PIL import Image

from actionclip_jax import config
from actionclip_jax.data import augment, examples, rand_augment, sampling, table
from actionclip_jax.data.records import reader
from actionclip_jax.data.video import views

Choose = Callable[[int], np.ndarray]  # number of frames of a clip -> the wanted ones, rising
ReadImages = Callable[[int, Choose], list[Image.Image]]  # the wanted frames of a row


class Example(TypedDict):
    """What the loader batches."""

    video: torch.Tensor  # uint8 [T, S, S, 3]
    label: int


class Clips(torch.utils.data.Dataset[Example]):
    """Example n is of row `rows[n % len(rows)]`."""

    def __init__(self, load: examples.TrainingExamples, read: ReadImages, rows: list[int]) -> None:
        self.read, self.rows = read, rows
        self.labels = load.data.label_ids[:, 0].tolist()
        self.sample, self.augment, self.seed = load.sample, load.augmenter.augment, load.loader.seed
        self.flip = load.augmenter.flip

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: int) -> Example:
        row, rng = self.rows[index % len(self.rows)], np.random.default_rng((self.seed, index))
        images = self.read(row, lambda length: sampling.random_in_segments(length, self.sample.frames, rng))
        images = [shrink(image, views.default_short_side(self.sample.size)) for image in images]
        video = transform(images, self.augment, self.sample.size, self.flip, rng)
        return {"video": torch.from_numpy(video), "label": self.labels[row]}


def transform(
    images: list[Image.Image], augment_config: config.AugmentConfig, size: int, flip: float, rng: np.random.Generator
) -> np.ndarray:
    """T pictures -> [T, size, size, 3] uint8: RandAugment, crop, bilinear resize and flip, all by PIL."""
    if augment_config.rand_operations:
        draws = rand_augment.draw(rng, augment_config.rand_operations, augment_config.rand_magnitude)
        for drawn in draws:
            images = [rand_augment.OPERATIONS[drawn.operation][0](image, drawn) for image in images]
    top, left, height, width = augment.draw_crop(*images[0].size[::-1], size, augment_config.scales, rng)
    images = [image.crop((left, top, left + width, top + height)) for image in images]
    images = [image.resize((size, size), Image.Resampling.BILINEAR) for image in images]
    if rng.random() < flip:
        images = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
    return np.stack([np.asarray(image) for image in images])


def shrink(image: Image.Image, short_side: int) -> Image.Image:
    """Resizes larger pictures so that their short side is `short_side`."""
    if min(image.size) <= short_side:
        return image
    height, width = views.short_side_shape(image.height, image.width, short_side)
    return image.resize((width, height), Image.Resampling.BILINEAR)


@dataclasses.dataclass(frozen=True)
class VideoFiles:
    """Decodes a video from its beginning to the last wanted frame."""

    paths: Sequence[str]

    def __call__(self, row: int, choose: Choose) -> list[Image.Image]:
        """The wanted frames of a row."""
        with av.open(self.paths[row]) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            wanted = choose(count_frames(container, stream)).tolist()
            images = {}
            for number, frame in enumerate(container.decode(stream)):
                if number in wanted:
                    images[number] = frame.to_image()
                if number == wanted[-1]:
                    break
        return [images[number] for number in wanted]


@dataclasses.dataclass(frozen=True)
class SeekingVideoFiles:
    """Seeks to the keyframe before every wanted frame and decodes from there. For videos of constant frame rate."""

    paths: Sequence[str]

    def __call__(self, row: int, choose: Choose) -> list[Image.Image]:
        """The wanted frames of a row."""
        images = []
        with av.open(self.paths[row]) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            rate, time_base = stream.average_rate, stream.time_base
            assert rate and time_base, f"{self.paths[row]} says neither its rate nor its time base"
            tick = rate * time_base
            for number in choose(count_frames(container, stream)).tolist():
                time = int(number / tick) + (stream.start_time or 0)
                container.seek(time, stream=stream)
                images.append(next(frame for frame in container.decode(stream) if (frame.pts or 0) >= time).to_image())
        return images


def count_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Frames of a video by its header, or by its packets where that does not say."""
    if stream.frames:
        return stream.frames
    count = sum(packet.size > 0 for packet in container.demux(stream))
    container.seek(0)
    return count


@dataclasses.dataclass(frozen=True)
class FrameFolders:
    """Opens the wanted pictures of a folder of `counts[row]` pictures."""

    paths: Sequence[str]
    counts: Sequence[int]
    template: str = "img_{:05d}.jpg"

    def __call__(self, row: int, choose: Choose) -> list[Image.Image]:
        """The wanted frames of a row."""
        files = [pathlib.Path(self.paths[row], self.template.format(1 + n)) for n in choose(self.counts[row]).tolist()]
        return [Image.open(file).convert("RGB") for file in files]


class Records:
    """Reads ArrayRecord shards of a prepared directory; `decode` makes pictures of encoded frames."""

    def __init__(self, clips: table.ClipTable, decode: Callable[[list[bytes]], list[Image.Image]]) -> None:
        assert isinstance(clips.reader, reader.Records)
        [shard] = (pathlib.Path(clips.reader.directory) / "shards").glob("*.array_record")
        self.source = array_record_data_source.ArrayRecordDataSource([str(shard)])
        self.starts = [int(path.rpartition(":")[2]) for path in clips.paths]
        self.counts = clips.frame_counts.tolist()
        self.decode = decode

    def __call__(self, row: int, choose: Choose) -> list[Image.Image]:
        """The wanted frames of a row."""
        start = self.starts[row]
        group = msgpack.unpackb(self.source[start])["group"]
        wanted = choose(self.counts[row]).tolist()
        groups = {number: msgpack.unpackb(self.source[start + 1 + number]) for number in {n // group for n in wanted}}
        return self.decode([groups[number // group][number % group] for number in wanted])


def decode_jpegs(frames: list[bytes]) -> list[Image.Image]:
    """JPEG pictures."""
    return [Image.open(io.BytesIO(frame)).convert("RGB") for frame in frames]


def decode_packets(frames: list[bytes]) -> list[Image.Image]:
    """H.264 packets that each decode alone."""
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    packets = [av.Packet(frame) for frame in frames]
    return [frame.to_image() for packet in (*packets, None) for frame in codec.decode(packet)]


def batches(clips: Clips, batch_size: int, workers: int, count: int) -> torch.utils.data.DataLoader:
    """The first `count` samples in order, batched; fresh processes, since forks of a process with threads may hang."""
    return torch.utils.data.DataLoader(
        clips,
        batch_size=batch_size,
        sampler=range(count),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
