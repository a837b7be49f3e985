"""Which clips, which of their frames, and what is done to them."""

import operator
import typing
from typing import Any, Literal

from actionclip_jax import paths
from actionclip_jax.config import checks, settings
from actionclip_jax.config.model import Filter, ModelConfig, Resize

Published = Literal["ucf101", "hmdb51", "kinetics", "something", "charades", "tfds"]
SourceKind = Literal["auto", "folders", "csv", "frames", Published, "records", "sample"]
Classes = Literal["all", "base", "novel"]
Storage = Literal["jpeg", "video"]
Flip = Literal["auto", "always", "never", "swap"]
SOURCES, CLASSES, STORAGES = (typing.get_args(choices) for choices in (SourceKind, Classes, Storage))
SOURCE_PATHS = ("path", "videos", "labels", "base_classes", "only")  # of a SourceConfig, the settings that are paths


@settings.dataclass
class SourceConfig:
    """A data set: where its list and its files are, and which part of it to take."""

    path: str = ""  # list or annotation file, directory, or name of a TFDS data set
    kind: SourceKind | str = "auto"  # how the data set is kept; auto: recognised from what lies at the path
    videos: str = ""  # where the files named by a list are; by default beside the list
    labels: str = ""  # file of the label texts, where the source does not bring them or others are wanted
    split: str = ""  # of sources that hold several: train, validation, test
    depth: int = 1  # of folders: how many levels below the path the classes lie; 0: a video's own folder is its class
    fold: int = 1  # of UCF101 and HMDB51: which of the three official splits
    split_names: bool = True  # class names are split into words: ApplyEyeMakeup -> apply eye makeup
    ignore_columns: str = ""  # of a list: headings, separated by commas, of columns that say nothing of a clip
    skip_missing: bool = False  # leave out clips whose file is not there; an error otherwise
    frame_template: str = "img_{:05d}.jpg"  # of frame folders: how the files of a clip are called
    first_frame: int = 1  # of frame folders: the number of the first frame, the source's index bias
    intervals: bool = False  # Charades: a clip for each annotated action, not for each video
    only: str = ""  # file that names the clips to keep by their ids, one a line or in a column `id`
    shots: int = 0  # clips kept of every class; 0 keeps all
    classes: Classes = "all"  # base: those of `base_classes`, or half of them drawn by `seed`; novel: the others
    base_classes: str = ""  # file with the names of the base classes
    seed: int = 0  # draws the shots, and the half of the classes


@settings.dataclass
class SampleConfig:
    """Which frames and which part of them the model sees."""

    frames: int = 8  # of a clip; those the model samples
    size: int = 224  # pixels of a frame's side, which the model takes
    views_time: int = 1  # testing: clips spread over time
    views_space: int = 1  # testing: crops along the longer side
    resize: Resize = "shortest"  # testing: how a frame becomes square, as the model takes it
    filter: Filter = "bicubic"  # testing: of that resizing, as the model takes it


@settings.dataclass
class AugmentConfig:
    """Training augmentation, with the source's values."""

    rand_operations: int = 2  # RandAugment's N; 0 turns it off
    rand_magnitude: float = 9.0  # RandAugment's M, 0..30
    per_frame: bool = False  # RandAugment and colours are drawn for every frame anew, as the source does
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)  # of the multi-scale crop: shares of the short side
    flip: Flip = "auto"  # left to right; auto: not where labels speak of left and right; swap: exchange those labels
    jitter: float = 0.8  # probability of the colour jitter
    brightness: float = 0.4  # strength of the colour jitter: factors of 1 - this to 1 + this
    contrast: float = 0.4  # strength of the colour jitter, as that of the brightness
    saturation: float = 0.2  # strength of the colour jitter, as that of the brightness
    hue: float = 0.1  # strength of the colour jitter: turns of at most this share of the colour circle
    grayscale: float = 0.2  # probability that a clip loses its colours


@settings.dataclass
class RecordConfig:
    """How `prepare` stores clips."""

    storage: Storage = "jpeg"  # evenly spread pictures; or video: all frames, each decodable alone
    frames: int = 32  # pictures kept of a clip
    short_side: int = 256  # larger clips are shrunk to this; 0 never
    quality: int = 90  # of JPEG pictures, 1..100
    crf: int = 20  # of stored videos, 0 (exact) .. 51 (coarse)
    shard_clips: int = 1024  # clips in a file


@settings.dataclass
class SampleSetConfig:
    """The embedded sample data set of moving shapes."""

    train_clips: int = 45  # of every class, as the other counts
    test_clips: int = 6  # to test with, of the same classes
    unseen_clips: int = 12  # of the classes that are never trained with
    still_clips: int = 20  # single pictures, for pre-training
    size: int = 64  # pixels of a side
    frames: int = 16  # of a video
    fps: int = 16  # frames a second
    seed: int = 0  # draws where shapes begin, and all else that is random


@settings.dataclass
class LoaderConfig:
    """How clips are read."""

    batch_size: int = 128  # clips of a global batch, over all hosts
    workers: int = -1  # worker processes on each host: -1 one a CPU core, 0 none but threads
    read_ahead: int = 2  # batches a host holds ready
    short_side: int = 0  # training: larger videos are shrunk to this while they are decoded; 0: 256 for a size of 224
    max_bad_fraction: float = 0.01  # clips of an epoch that may fail to decode before the run stops
    seed: int = 0  # of the order of the clips, their frames and their crops


CLIP_BYTES = 1 << 33  # of all views of a clip: the published 10 x 3 views of 32 frames of 336 pixels have 0.3 GB
NO_AUGMENTATION = AugmentConfig(rand_operations=0, scales=(1.0,), flip="never", jitter=0.0, grayscale=0.0)
# of the fields above by name: the least and the greatest value
DATA_LIMITS = {
    **dict.fromkeys(("frames", "size"), (1, 1 << 16)),
    **dict.fromkeys(("views_time", "views_space", "batch_size", "shard_clips"), (1, None)),
    **dict.fromkeys(("seed", "shots", "first_frame", "rand_operations", "short_side"), (0, None)),
    **dict.fromkeys(("jitter", "grayscale", "brightness", "contrast", "saturation", "max_bad_fraction"), (0, 1)),
    "hue": (0, 0.5),
    "depth": (0, 16),
    "fold": (1, 3),
    "rand_magnitude": (0, 30),
    "workers": (-1, 1024),
    "read_ahead": (0, 1024),
    "quality": (1, 100),
    "crf": (0, 51),
}


def read_views(value: Any) -> tuple[int, int]:
    """`10x3` or (10, 3): clips over time, and crops. Raises ValueError."""
    parts = value.lower().split("x") if isinstance(value, str) else value
    try:
        time, crops = (int(part) if isinstance(value, str) else operator.index(part) for part in parts)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not of the form 10x3 or (10, 3): clips over time x crops") from None
    if min(time, crops) < 1:
        raise ValueError(f"{value!r}: expected at least 1 of both")
    return time, crops


def sample_for(model: ModelConfig, frames: int | None = None, views: tuple[int, int] = (1, 1)) -> SampleConfig:
    """What a model sees of a clip: `frames` of it, by default the model's own number, in clips over time x crops.

    Raises:
        ConfigError: frames and views that cannot be.
    """
    image = model.image
    sample = SampleConfig(model.frames if frames is None else frames, image.size, *views, image.resize, image.filter)
    check_data(sample)
    return sample


def check_data(*parts: Any) -> None:
    """Raises a checks.ConfigError that lists all impossible values of data settings."""
    if problems := [problem for part in parts for problem in data_problems(part)]:
        raise checks.ConfigError(problems)


def data_problems(part: Any) -> list[str]:
    """The impossible values of one of the data settings, as sentences."""
    problems = []
    for name, value in checks.to_dict(part).items():
        low, high = DATA_LIMITS.get(name, (None, None))
        if (low is not None and not low <= value) or (high is not None and not value <= high):  # catches NaN too
            problems.append(f"{name} is {value}: expected {f'at least {low}' if high is None else f'{low} to {high}'}")
    problems += checks.choice_problems(part)
    if isinstance(part, SourceConfig):
        given = {name: value for name in SOURCE_PATHS if (value := getattr(part, name))}
        problems += [problem for name, value in given.items() if (problem := paths.problem(name, value))]
    if isinstance(part, SampleConfig) and not problems and clip_bytes(part) > CLIP_BYTES:
        views = f"{part.views_time} x {part.views_space}"
        problems.append(f"views_time x views_space is {views}: a clip of more than {CLIP_BYTES} bytes")
    if isinstance(part, SampleConfig) and part.resize == "squash" and part.views_space > 1:
        problems.append(f"views_space is {part.views_space}: expected 1, as squashed frames have no crops")
    if isinstance(part, AugmentConfig) and not (part.scales and all(0 < scale <= 1 for scale in part.scales)):
        problems.append(f"scales is {part.scales}: expected fractions of the short side, above 0 and at most 1")
    return problems


def clip_bytes(sample: SampleConfig) -> int:
    """Bytes of all views of a clip."""
    return 3 * sample.views_time * sample.views_space * sample.frames * sample.size**2
