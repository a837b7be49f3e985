"""How a checkpoint wants its pixels, by the files beside its weights."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, open_clip, settings, torch_files
from actionclip_jax.data.video import views

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
PROCESSORS = ("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor")
# transformers' settings that must be as here ...
HUGGINGFACE = {
    "do_resize": True,
    "do_center_crop": True,
    "do_rescale": True,
    "do_pad": False,
    "default_to_square": False,
    "use_square_size": False,
}
# ... and those that change no number, frames being RGB
IGNORED = ("do_convert_rgb", "processor_class", "return_tensors", "data_format", "input_data_format", "device")
IGNORED += ("disable_grouping", "_valid_processor_keys", "transformers_version", "_name_or_path", "_commit_hash")
IGNORED += ("do_normalize", "use_fast")

Colors = tuple[float, float, float]  # red, green, blue


@dataclasses.dataclass(frozen=True)
class Stated:
    """What one file says."""

    file: str
    mean: Colors
    std: Colors
    problems: list[str]  # what is not done here


def follow(source: torch_files.Source, kind: str, image: config.ImageConfig) -> tuple[config.ImageConfig, list[str]]:
    """The image tower with mean and deviation of its pixels, and notes on them.

    Args:
        source: the checkpoint.
        kind: its format, whose own file counts where there are several.
        image: the image tower by the shapes of its weights.

    Raises:
        CheckpointError: pixels are to be prepared in a way that is not this project's; every such setting is named.
    """
    stated = by_files(source, kind, image.size)
    if not stated:
        note = "no file beside the weights says how pixels are normalised: taken as OpenAI's CLIP does"
        return image, [note] if kind in ("huggingface", "open_clip") else []
    first, *others = stated
    settings.refuse(source, first.file, first.problems + config.pixel_problems(first.mean, first.std))
    notes = [
        f"{other.file} has mean {other.mean} and deviation {other.std}: {first.file} is followed"
        for other in others
        if (other.mean, other.std) != (first.mean, first.std)
    ]
    if (first.mean, first.std) != (config.CLIP_MEAN, config.CLIP_STD):
        notes.append(f"pixels have mean {first.mean} and deviation {first.std} taken out")
    return dataclasses.replace(image, mean=first.mean, std=first.std), notes


def by_files(source: torch_files.Source, kind: str, size: int) -> list[Stated]:
    """What each file says, the one that is followed first: that of the format."""
    stated = [by_open_clip(source, size), by_huggingface(source, size)]
    return [part for part in (reversed(stated) if kind == "huggingface" else stated) if part]


def by_open_clip(source: torch_files.Source, size: int) -> Stated | None:
    """What `preprocess_cfg` says."""
    section = source.side.get(open_clip.CONFIG, {}).get("preprocess_cfg")
    if section is None:
        return None
    if not isinstance(section, dict):
        raise errors.CheckpointError(f"{source.name}: {open_clip.CONFIG}: preprocess_cfg is no object with names")
    wanted = {"size": size, "mode": "RGB", "interpolation": "bicubic", "resize_mode": "shortest"}
    problems = settings.differences("preprocess_cfg", section, wanted, ("mean", "std", "fill_color"))
    return Stated(open_clip.CONFIG, *constants(source, section, "mean", "std"), problems)


def by_huggingface(source: torch_files.Source, size: int) -> Stated | None:
    """What transformers' files say; the newer one holds a section for pictures."""
    section = source.side.get(PROCESSOR, {}).get("image_processor")
    file = PROCESSOR if section is not None else PREPROCESSOR
    section = source.side.get(PREPROCESSOR) if section is None else section
    if section is None:
        return None
    if not isinstance(section, dict):
        raise errors.CheckpointError(f"{source.name}: {file}: image_processor is no object with names")
    read_here = ("image_mean", "image_std", "resample", "size", "crop_size", "rescale_factor")
    types = ("image_processor_type", "feature_extractor_type")
    problems = settings.differences("", section, HUGGINGFACE, (*read_here, *types, *IGNORED))
    problems = [line.removeprefix(".") for line in problems]
    problems += [
        f"{name} is {section[name]!r}: only CLIP's ({', '.join(PROCESSORS)}) is supported"
        for name in types
        if section.get(name) is not None and section[name] not in PROCESSORS
    ]
    problems += huggingface_geometry(section, size)
    if section.get("do_normalize", True) in (True, None):
        return Stated(file, *constants(source, section, "image_mean", "image_std"), problems)
    return Stated(file, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), problems)


def huggingface_geometry(section: Mapping[str, Any], size: int) -> list[str]:
    """What of resizing, cropping and scaling is not done here."""
    problems, short = [], section.get("size")
    if isinstance(short, dict) and short.keys() == {"shortest_edge"}:
        short = short["shortest_edge"]
    # the short side is a choice of this project (256 for 224), in place of CLIP's own
    if short is not None and short not in (size, views.default_short_side(size)):
        problems.append(
            f"size is {section['size']!r}: only a shortest edge of {size} is supported, as the weights take"
        )
    crop = section.get("crop_size")
    crop = settings.one_number(list(crop.values())) if isinstance(crop, dict) else settings.one_number(crop)
    if crop is not None and crop != size:
        problems.append(f"crop_size is {section['crop_size']!r}, the weights take {size} x {size} pixels")
    if section.get("resample") not in (None, 3):
        problems.append(f"resample is {section['resample']!r}: only 3, bicubic, is supported")
    factor = section.get("rescale_factor")
    if factor is not None and not (isinstance(factor, float) and math.isclose(factor, 1 / 255, rel_tol=1e-6)):
        problems.append(f"rescale_factor is {factor!r}: only 1/255 is supported")
    return problems


def constants(source: torch_files.Source, section: Mapping[str, Any], mean: str, std: str) -> tuple[Colors, Colors]:
    """Mean and deviation of three colours; CLIP's where the section does not say them."""
    return (
        three_numbers(source, mean, section.get(mean), config.CLIP_MEAN),
        three_numbers(source, std, section.get(std), config.CLIP_STD),
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
