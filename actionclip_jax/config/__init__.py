"""What can be chosen, with its only defaults. `problems()` lists everything wrong at once, before anything compiles."""

import dataclasses
import sys
import typing
from collections.abc import Mapping
from typing import Any

from actionclip_jax import paths

ACTIVATIONS = ("quick_gelu", "gelu")
HEADS = ("meanP", "Conv_1D", "LSTM", "Transf", "Transf_cls")
DTYPES = ("float32", "bfloat16")
REMAT = ("none", "products", "projections", "attention", "full")
LAYERS = ("auto", "scan", "unroll")
ATTENTION = ("auto", "xla", "cudnn")
SOURCES = ("auto", "folders", "csv", "frames", "ucf101", "hmdb51", "kinetics", "something", "charades", "tfds")
SOURCES += ("records", "sample")
CLASSES = ("all", "base", "novel")
SOURCE_PATHS = ("path", "videos", "labels", "base_classes")  # of a SourceConfig, the settings that are paths
STORAGES = ("jpeg", "video")
FLIPS = ("auto", "always", "never", "swap")


class ConfigError(ValueError):
    """A configuration that cannot work; the message lists every problem found."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["the configuration has problems:", *(f"  {problem}" for problem in problems)]))


# of CLIP's training images, RGB in 0..1
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    """The image tower of CLIP ViT-B/16."""

    size: int = 224
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mean: tuple[float, float, float] = CLIP_MEAN  # taken out of RGB in 0..1; some open_clip models have 0.5
    std: tuple[float, float, float] = CLIP_STD  # and what is left is divided by this

    @property
    def tokens(self) -> int:
        """Patches of a frame plus the class token."""
        return (self.size // self.patch) ** 2 + 1


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """The text tower of CLIP ViT-B/16."""

    vocabulary: int = 49408
    context: int = 77
    width: int = 512
    depth: int = 12
    heads: int = 8


@dataclasses.dataclass(frozen=True)
class TemporalConfig:
    """How frame features become a clip feature. `Transf` is what every released ActionCLIP uses."""

    head: str = "meanP"
    depth: int = 6
    heads: int = 8
    positions: int = 77  # rows of the frame position table: the source keeps 77, the mmaction2 port one a frame
    norm_eps: float = 1e-12  # of Transf: the source's value, the mmaction2 port has 1e-5
    legacy_layout: bool = False  # of Conv_1D: the source convolves over channels, not time


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the model is: everything that decides the parameters' shapes and the function they compute."""

    image: ImageConfig = ImageConfig()
    text: TextConfig = TextConfig()
    temporal: TemporalConfig = TemporalConfig()
    embed_width: int = 512
    activation: str = "quick_gelu"
    norm_eps: float = 1e-5
    frames: int = 8  # frames sampled from a clip unless the caller says otherwise
    shift: bool = False  # "in-network prompt": patch tokens shift over time before every image block
    joint: bool = False  # "pre-network prompt": the patches of all frames attend together
    drop_path: float = 0.0  # stochastic depth of the last block, growing linearly from 0 at the first
    embedding_dropout: float = 0.0
    patch_dropout: float = 0.0  # share of a frame's patches that training leaves out (FLIP, arXiv 2212.00794)

    @property
    def kept_patches(self) -> int:
        """Patches of a frame that are left in training."""
        return max(1, round((self.image.tokens - 1) * (1 - self.patch_dropout)))


@dataclasses.dataclass(frozen=True)
class ComputeConfig:
    """How the model is computed: may differ between two runs of the same weights. Parameters are float32 always."""

    dtype: str = "float32"
    remat: str = "none"  # what the backward pass recomputes, see models/layers.py
    layers: str = "auto"  # scan on CPUs; unroll on accelerators: slower to compile, less memory, quicker
    attention: str = "auto"
    interpolate_positions: bool = False  # stretch the frame positions when a clip has more frames than they have rows


@dataclasses.dataclass(frozen=True)
class TimelineConfig:
    """How windows slide over a long video, and what makes a segment of it."""

    window: float = 10.0  # seconds: the length of Kinetics' clips
    hop: float | None = None  # seconds from window to window; by default a quarter of the window
    threshold: float = 0.5  # probability that the best label needs


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """A data set: where its list and its files are, and which part of it to take."""

    path: str = ""  # list or annotation file, directory, or name of a TFDS data set
    kind: str = "auto"
    videos: str = ""  # where the files named by a list are; by default beside the list
    labels: str = ""  # file of the label texts, where the source does not bring them or others are wanted
    split: str = ""  # of sources that hold several: train, validation, test
    depth: int = 1  # of folders: how many levels below the path the classes lie; 0: a video's own folder is its class
    fold: int = 1  # of UCF101 and HMDB51: which of the three official splits
    split_names: bool = True  # ApplyEyeMakeup -> apply eye makeup
    ignore_columns: str = ""  # of a list: headings, separated by commas, of columns that say nothing of a clip
    skip_missing: bool = False  # leave out clips whose file is not there; an error otherwise
    frame_template: str = "img_{:05d}.jpg"  # of frame folders
    first_frame: int = 1  # the number of a folder's first frame: the source's index bias
    intervals: bool = False  # Charades: a clip for each annotated action, not for each video
    shots: int = 0  # clips kept of every class; 0 keeps all
    classes: str = "all"  # base: those of `base_classes`, or half of them drawn by `seed`; novel: the others
    base_classes: str = ""  # file with the names of the base classes
    seed: int = 0  # of the shots and of the half drawn


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """Which frames and which part of them the model sees."""

    frames: int = 8
    size: int = 224
    views_time: int = 1  # testing: clips spread over time
    views_space: int = 1  # testing: crops along the longer side


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Training augmentation, with the source's values."""

    rand_operations: int = 2  # RandAugment's N; 0 turns it off
    rand_magnitude: float = 9.0  # RandAugment's M, 0..30
    per_frame: bool = False  # RandAugment and colours drawn for every frame anew, as the source does
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)  # of the multi-scale crop
    flip: str = "auto"  # never where labels speak of left and right; swap: exchange those labels
    jitter: float = 0.8  # probability of the colour jitter; its strengths follow
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    grey: float = 0.2  # probability


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """How `prepare` stores clips."""

    storage: str = "jpeg"  # evenly spread pictures; or video: all frames, each decodable alone
    frames: int = 32  # pictures kept of a clip
    short_side: int = 256  # larger clips are shrunk to this; 0 never
    quality: int = 90  # of JPEG, 1..100
    crf: int = 20  # of the video, 0 (exact) .. 51 (coarse)
    shard_clips: int = 1024  # clips in a file


@dataclasses.dataclass(frozen=True)
class SampleSetConfig:
    """The embedded sample data set of moving shapes."""

    train_clips: int = 45  # of every class, as the other counts
    test_clips: int = 6
    unseen_clips: int = 12
    still_clips: int = 20
    size: int = 64  # pixels of a side
    frames: int = 16
    fps: int = 16
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class LoaderConfig:
    """How clips are read."""

    batch_size: int = 128  # clips of a global batch, over all hosts
    workers: int = -1  # worker processes on each host: -1 one a CPU core, 0 none but threads
    read_ahead: int = 2  # batches a host holds ready
    short_side: int = 0  # training: larger videos are shrunk to this while they are decoded; 0: 256 for a size of 224
    max_bad_fraction: float = 0.01  # clips of an epoch that may fail to decode before the run stops
    seed: int = 0


# Beyond any model there is, and small enough that a mistyped number asks for no memory before it is refused.
MODEL_LIMITS = {
    **dict.fromkeys(("size", "patch", "context", "frames"), 4096),
    **dict.fromkeys(("width", "embed_width"), 16384),
    **dict.fromkeys(("depth", "heads"), 1024),
    "vocabulary": 1 << 20,
    "positions": 1 << 16,
}
CLIP_BYTES = 1 << 33  # of all views of a clip: the published 10 x 3 views of 32 frames of 336 pixels have 0.3 GB

NO_AUGMENTATION = AugmentConfig(rand_operations=0, scales=(1.0,), flip="never", jitter=0.0, grey=0.0)

# of the fields above by name: the least and the greatest value, and what can be chosen
DATA_LIMITS = {
    **dict.fromkeys(("frames", "size"), (1, 1 << 16)),
    **dict.fromkeys(("views_time", "views_space", "batch_size", "shard_clips"), (1, None)),
    **dict.fromkeys(("seed", "shots", "first_frame", "rand_operations", "short_side"), (0, None)),
    **dict.fromkeys(("jitter", "grey", "brightness", "contrast", "saturation", "max_bad_fraction"), (0, 1)),
    "hue": (0, 0.5),
    "depth": (0, 16),
    "fold": (1, 3),
    "rand_magnitude": (0, 30),
    "workers": (-1, 1024),
    "read_ahead": (0, 1024),
    "quality": (1, 100),
    "crf": (0, 51),
}
DATA_CHOICES = {"kind": SOURCES, "classes": CLASSES, "flip": FLIPS, "storage": STORAGES}

CLIP_SIZES = {
    "ViT-B/32": ModelConfig(image=ImageConfig(patch=32)),
    "ViT-B/16": ModelConfig(),
    "ViT-L/14": ModelConfig(
        image=ImageConfig(patch=14, width=1024, depth=24, heads=16),
        text=TextConfig(width=768, heads=12),
        embed_width=768,
    ),
    "ViT-L/14@336": ModelConfig(
        image=ImageConfig(size=336, patch=14, width=1024, depth=24, heads=16),
        text=TextConfig(width=768, heads=12),
        embed_width=768,
    ),
}


def clip_model(size: str, head: str = "meanP", **changes: Any) -> ModelConfig:
    """The model of a published CLIP size (a key of CLIP_SIZES) with a temporal head; `changes` replace other fields."""
    if size not in CLIP_SIZES:
        raise ConfigError([f"model size {size!r}: expected one of {', '.join(CLIP_SIZES)}"])
    base = CLIP_SIZES[size]
    temporal = TemporalConfig(head=head, heads=8 if head == "Transf_cls" else base.text.heads)
    return checked(dataclasses.replace(base, **{"temporal": temporal, **changes}))


def size_name(model: ModelConfig) -> str:
    """The published name of the model's towers, or a description of their shapes."""
    image, text = dataclasses.replace(model.image, mean=CLIP_MEAN, std=CLIP_STD), model.text
    for name, known in CLIP_SIZES.items():
        if (image, text, model.embed_width) == (known.image, known.text, known.embed_width):
            return name
    return f"ViT {image.width}x{image.depth}/{image.patch}@{image.size}, text {text.width}x{text.depth}"


def problems(model: ModelConfig, compute: ComputeConfig | None = None) -> list[str]:
    """Everything that makes the configuration impossible, as sentences."""
    compute = compute or ComputeConfig()
    temporal = model.temporal
    choices = (
        ("activation", model.activation, ACTIVATIONS),
        ("temporal.head", temporal.head, HEADS),
        ("dtype", compute.dtype, DTYPES),
        ("remat", compute.remat, REMAT),
        ("layers", compute.layers, LAYERS),
        ("attention", compute.attention, ATTENTION),
    )
    found = [
        f"{name} is {value!r}: expected one of {', '.join(known)}"
        for name, value, known in choices
        if value not in known
    ]
    for part in (model, model.image, model.text, temporal):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if type(value) is int and not 1 <= value <= MODEL_LIMITS[field.name]:
                expected = "at least 1" if value < 1 else f"at most {MODEL_LIMITS[field.name]}"
                found.append(f"{type(part).__name__}.{field.name} is {value}: expected {expected}")
    found += pixel_problems(model.image.mean, model.image.std)
    if found:
        return found
    if model.image.size % model.image.patch:
        found.append(f"image.size {model.image.size} is not a multiple of image.patch {model.image.patch}")
    widths = [("image", model.image.width, model.image.heads), ("text", model.text.width, model.text.heads)]
    if temporal.head in ("Transf", "Transf_cls"):
        widths.append(("temporal", model.embed_width, temporal.heads))
    for name, width, heads in widths:
        if width % heads:
            found.append(f"{name} width {width} is not a multiple of its {heads} heads")
    if model.shift and model.joint:
        found.append("shift and joint exclude each other: joint attention already mixes the frames")
    for name in ("drop_path", "embedding_dropout", "patch_dropout"):
        if not 0 <= getattr(model, name) < 1:
            found.append(f"{name} is {getattr(model, name)}: expected at least 0 and below 1")
    if compute.attention == "cudnn" and compute.dtype == "float32":
        found.append("attention cudnn computes in bfloat16 only: set dtype to bfloat16, or attention to xla")
    return found


def pixel_problems(mean: tuple[float, ...], std: tuple[float, ...]) -> list[str]:
    """What makes constants of pixels impossible: they are of RGB in 0..1, and some files have them for 0..255."""
    found = []
    if not all(0 <= value <= 1 for value in mean):  # catches NaN too
        found.append(f"image.mean is {mean}: expected three means of RGB in 0..1")
    if not all(1e-3 <= value <= 1 for value in std):
        found.append(f"image.std is {std}: expected three deviations of RGB in 0..1, all above 0")
    return found


def checked(model: ModelConfig, compute: ComputeConfig | None = None) -> ModelConfig:
    """The model, or a ConfigError listing all its problems."""
    if found := problems(model, compute):
        raise ConfigError(found)
    return model


def check_data(*settings: Any) -> None:
    """Raises a ConfigError that lists all impossible values of data settings."""
    if found := [problem for part in settings for problem in data_problems(part)]:
        raise ConfigError(found)


def data_problems(part: Any) -> list[str]:
    """The impossible values of one of the data settings, as sentences."""
    found = []
    for name, value in to_dict(part).items():
        low, high = DATA_LIMITS.get(name, (None, None))
        if (low is not None and not low <= value) or (high is not None and not value <= high):  # catches NaN too
            found.append(f"{name} is {value}: expected {f'at least {low}' if high is None else f'{low} to {high}'}")
        if name in DATA_CHOICES and value not in DATA_CHOICES[name]:
            found.append(f"{name} is {value!r}: expected one of {', '.join(DATA_CHOICES[name])}")
    if isinstance(part, SourceConfig):
        given = {name: value for name in SOURCE_PATHS if (value := getattr(part, name))}
        found += [problem for name, value in given.items() if (problem := paths.problem(name, value))]
    if isinstance(part, SampleConfig) and not found and clip_bytes(part) > CLIP_BYTES:
        views = f"{part.views_time} x {part.views_space}"
        found.append(f"views_time x views_space is {views}: a clip of more than {CLIP_BYTES} bytes")
    if isinstance(part, AugmentConfig) and not (part.scales and all(0 < scale <= 1 for scale in part.scales)):
        found.append(f"scales is {part.scales}: expected fractions of the short side, above 0 and at most 1")
    return found


def clip_bytes(sample: SampleConfig) -> int:
    """Bytes of all views of a clip."""
    return 3 * sample.views_time * sample.views_space * sample.frames * sample.size**2


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain dicts, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(kind: type, values: Mapping[str, Any], where: str = "config") -> Any:
    """The inverse of `to_dict`; unknown names and wrong types are an error that lists all of them."""
    found: list[str] = []
    value = read_dict(kind, values, where, found)
    if found:
        raise ConfigError(found)
    return value


def read_dict(kind: type, values: Mapping[str, Any], where: str, found: list[str]) -> Any:
    """The same, but what is wrong is added to `found` and left at its default."""
    hints, fields = typing.get_type_hints(kind), {}
    for name, value in values.items():
        if name not in hints:
            found.append(f"{where}.{name} is unknown: expected one of {', '.join(hints)}")
        elif dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            fields[name] = read_dict(hints[name], value, f"{where}.{name}", found)
        else:
            try:
                fields[name] = convert(hints[name], value)
            except TypeError as error:
                expected = getattr(hints[name], "__name__", "") if not typing.get_args(hints[name]) else hints[name]
                expected = str(error) or expected
                found.append(f"{where}.{name} is {value!r}: expected {expected}")
    return kind(**fields)


def convert(kind: Any, value: Any) -> Any:
    """A value as the type of its field. Raises TypeError."""
    members = typing.get_args(kind)  # of tuple[float, ...] and tuple[str, float]
    if members and isinstance(value, list | tuple):
        members = members[:1] * len(value) if members[-1] is Ellipsis else members
        if len(members) == len(value):
            return tuple(convert(member, part) for member, part in zip(members, value, strict=True))
    elif not members and (type(value) is kind or (kind is float and type(value) is int)):
        if kind is float and not abs(value) <= sys.float_info.max:  # catches NaN too
            raise TypeError("a finite number")
        return kind(value)
    raise TypeError
