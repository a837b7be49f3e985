"""How a checkpoint wants its pixels, by the files beside its weights."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, open_clip, settings, torch_files
from actionclip_jax.data.video import views

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
# transformers' settings that must be as here ...
HUGGINGFACE = {
    "do_resize": True,
    "do_rescale": True,
    "do_pad": False,
    "default_to_square": False,
    "use_square_size": False,
}
# ... those that are followed ...
FOLLOWED = ("image_mean", "image_std", "do_normalize", "resample", "size", "do_center_crop", "crop_size")
FOLLOWED += ("rescale_factor", "image_processor_type", "feature_extractor_type")
# ... and those that change no number, frames being RGB
IGNORED = ("do_convert_rgb", "processor_class", "return_tensors", "data_format", "input_data_format", "device")
IGNORED += ("disable_grouping", "_valid_processor_keys", "transformers_version", "_name_or_path", "_commit_hash")
IGNORED += ("use_fast",)
YES_OR_NO = {True: True, False: False}
RESIZES: dict[str, config.Resize] = {"shortest": "shortest", "squash": "squash"}
FILTERS: dict[str, config.Filter] = {"bicubic": "bicubic", "bilinear": "bilinear"}
RESAMPLES: dict[int, config.Filter] = {3: "bicubic", 2: "bilinear"}  # Pillow's numbers

Colors = tuple[float, float, float]  # red, green, blue


@dataclasses.dataclass(frozen=True)
class Pixels:
    """How a frame becomes what an image tower takes, by the fields of `config.ImageConfig`."""

    mean: Colors
    std: Colors
    resize: config.Resize
    filter: config.Filter

    def __str__(self) -> str:
        shape = "squashed to a square" if self.resize == "squash" else "cropped from a resized short side"
        return f"mean {self.mean} and deviation {self.std}, {shape}, {self.filter}"


def of(image: config.ImageConfig) -> Pixels:
    """Those of an image tower."""
    return Pixels(image.mean, image.std, image.resize, image.filter)


# what the families have where no file says it
CLIP = Pixels(config.CLIP_MEAN, config.CLIP_STD, "shortest", "bicubic")
SIGLIP = Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "squash", "bicubic")
PE = Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "squash", "bilinear")
PROCESSORS = {"CLIPImageProcessor": CLIP, "CLIPFeatureExtractor": CLIP, "SiglipImageProcessor": SIGLIP}
CLIP_FORMATS = ("openai", "actionclip", "mmaction2")  # formats that mean CLIP's pixels


@dataclasses.dataclass(frozen=True)
class Stated:
    """What one file says."""

    file: str
    pixels: Pixels
    problems: list[str]  # what is not done here


def follow(
    source: torch_files.Source, kind: str, image: config.ImageConfig, family: Pixels
) -> tuple[config.ImageConfig, list[str]]:
    """The image tower with what is done to its pixels, and notes on that.

    Args:
        source: the checkpoint.
        kind: its format, whose own file counts where there are several.
        image: the image tower by the shapes of its weights.
        family: the pixels of such towers, which are taken for granted where no file says how they are made.

    Raises:
        CheckpointError: pixels are to be prepared in a way that is not this project's; every such setting is named.
    """
    stated = by_files(source, kind, image.size, family)
    if not stated:
        note = f"no file beside the weights says how pixels are made, so it is taken for granted: {family}"
        return dataclasses.replace(image, **vars(family)), [] if kind in CLIP_FORMATS else [note]
    first, *others = stated
    pixels = first.pixels
    settings.refuse(source, first.file, first.problems + config.pixel_problems(pixels.mean, pixels.std))
    notes = [f"{other.file} has {other.pixels}: {first.file} is followed" for other in others if other.pixels != pixels]
    if pixels != CLIP:
        notes.append(f"pixels by {first.file}: {pixels}")
    return dataclasses.replace(image, **vars(pixels)), notes


def by_files(source: torch_files.Source, kind: str, size: int, family: Pixels) -> list[Stated]:
    """What each file says, the one that is followed first."""
    return [
        by_open_clip(source, section, size)
        if file == open_clip.CONFIG
        else by_huggingface(source, file, section, size, family)
        for file, section in sections(source, kind)
    ]


def sections(source: torch_files.Source, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The files that say how pixels are made, with the section that does: first the file of the format.

    Of transformers' two the newer one counts, which holds a section for pictures.
    """
    by_open_clip = (open_clip.CONFIG, "preprocess_cfg", source.side.get(open_clip.CONFIG, {}).get("preprocess_cfg"))
    newer = (PROCESSOR, "image_processor", source.side.get(PROCESSOR, {}).get("image_processor"))
    older = (PREPROCESSOR, "it", source.side.get(PREPROCESSOR))
    theirs = older if newer[-1] is None else newer
    found = []
    for file, name, section in (theirs, by_open_clip) if kind == "huggingface" else (by_open_clip, theirs):
        if section is not None and not isinstance(section, dict):
            raise errors.CheckpointError(f"{source.name}: {file}: {name} is no object with names")
        found += [(file, section)] if section is not None else []
    return found


def by_open_clip(source: torch_files.Source, section: Mapping[str, Any], size: int) -> Stated:
    """What `preprocess_cfg` says; what it leaves out is CLIP's to open_clip, whatever the tower is."""
    followed = ("mean", "std", "interpolation", "resize_mode")
    wanted = {"size": size, "mode": "RGB"}
    # the color fills what `longest` leaves empty, and that is refused
    problems = settings.differences("preprocess_cfg", section, wanted, (*followed, "fill_color"))
    resize = settings.choose("preprocess_cfg", section, "resize_mode", RESIZES, CLIP.resize, problems)
    chosen = settings.choose("preprocess_cfg", section, "interpolation", FILTERS, CLIP.filter, problems)
    return Stated(open_clip.CONFIG, Pixels(*constants(source, section, "", CLIP), resize, chosen), problems)


def by_huggingface(
    source: torch_files.Source, file: str, section: Mapping[str, Any], size: int, family: Pixels
) -> Stated:
    """What transformers' section says; the rest is as the processor that it names has it, or else as the family."""
    problems = settings.differences("", section, HUGGINGFACE, (*FOLLOWED, *IGNORED))
    usual = processor(section, family, problems)
    resize = huggingface_geometry(section, size, usual, problems)
    chosen = settings.choose("", section, "resample", RESAMPLES, usual.filter, problems)
    factor = section.get("rescale_factor")
    if factor is not None and not (isinstance(factor, float) and math.isclose(factor, 1 / 255, rel_tol=1e-6)):
        problems.append(f"rescale_factor is {factor!r}: only 1/255 is supported")
    mean, std = constants(source, section, "image_", usual)
    if not settings.choose("", section, "do_normalize", YES_OR_NO, True, problems):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Stated(file, Pixels(mean, std, resize, chosen), [line.removeprefix(".") for line in problems])


def processor(section: Mapping[str, Any], family: Pixels, problems: list[str]) -> Pixels:
    """What transformers' processor of that name does by itself; the family's pixels if none is named."""
    named = [name for name in ("image_processor_type", "feature_extractor_type") if section.get(name) is not None]
    known = {name: PROCESSORS.get(str(section[name]).removesuffix("Fast").removesuffix("Pil")) for name in named}
    problems += [
        f"{name} is {section[name]!r}: only those of a fixed resolution are supported, {', '.join(PROCESSORS)}"
        for name, pixels in known.items()
        if pixels is None
    ]
    return next(filter(None, known.values()), family)


def huggingface_geometry(section: Mapping[str, Any], size: int, usual: Pixels, problems: list[str]) -> config.Resize:
    """How a frame becomes square; what of resizing and cropping is not done here is added to the problems."""
    side, square = section.get("size"), usual.resize == "squash"
    if isinstance(side, dict):
        told = {name: value for name, value in side.items() if value is not None}
        square = told.keys() == {"height", "width"}
        side = settings.one_number(list(told.values())) if square or told.keys() == {"shortest_edge"} else side
    elif side is not None:
        square = False
    # the short side is a choice of this project (256 for 224), in place of CLIP's own
    if side is not None and side not in ((size,) if square else (size, views.default_short_side(size))):
        problems.append(
            f"size is {section['size']!r}: only a shortest edge of {size}, or a height and width of {size}, is "
            "supported, as the weights take"
        )
    crops = settings.choose("", section, "do_center_crop", YES_OR_NO, usual.resize == "shortest", problems)
    crop = section.get("crop_size") if crops else None
    crop = settings.one_number(list(crop.values()) if isinstance(crop, dict) else crop)
    if crop is not None and crop != size:
        problems.append(f"crop_size is {section['crop_size']!r}, the weights take {size} x {size} pixels")
    if not crops and not square:
        problems.append(
            f"do_center_crop is {section.get('do_center_crop')!r} and size {section.get('size')!r}: without a crop "
            f"only a height and width of {size} is supported"
        )
    return "squash" if square else "shortest"


def constants(
    source: torch_files.Source, section: Mapping[str, Any], prefix: str, usual: Pixels
) -> tuple[Colors, Colors]:
    """Mean and deviation of three colours; the usual ones where the section does not say them."""
    mean, std = f"{prefix}mean", f"{prefix}std"
    return (
        three_numbers(source, mean, section.get(mean), usual.mean),
        three_numbers(source, std, section.get(std), usual.std),
    )


def three_numbers(source: torch_files.Source, name: str, value: Any, usual: Colors) -> Colors:
    """A number for each colour; one number is all three."""
    if value is None:
        return usual
    values = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(values) != 3 or not all(isinstance(part, int | float) for part in values):
        raise errors.CheckpointError(f"{source.name}: {name} is {value!r}: expected a number for each of three colours")
    red, green, blue = map(float, values)
    return red, green, blue
