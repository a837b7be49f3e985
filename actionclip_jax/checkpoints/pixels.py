"""How a checkpoint wants its pixels, by the files beside its weights."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, settings, torch_files
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


@dataclasses.dataclass(frozen=True)
class Told:
    """What one file says."""

    file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    found: list[str]  # what is not done here


def read(source: torch_files.Source, kind: str, size: int) -> tuple[dict[str, Any], list[str]]:
    """Mean and deviation of the pixels, and what has to be said of them.

    Args:
        source: the checkpoint.
        kind: its format, whose own file counts where there are several.
        size: pixels of a side that the weights take.

    Raises:
        CheckpointError: pixels are to be prepared in a way that is not this project's; every such setting is named.
    """
    told = told_by_files(source, kind, size)
    if not told:
        said = "no file beside the weights says how pixels are normalised: taken as OpenAI's CLIP does"
        return {}, [said] if kind in ("huggingface", "open_clip") else []
    settings.refuse(source, told[0].file, told[0].found + config.pixel_problems(told[0].mean, told[0].std))
    said = [
        f"{other.file} has mean {other.mean} and deviation {other.std}: {told[0].file} is followed"
        for other in told[1:]
        if (other.mean, other.std) != (told[0].mean, told[0].std)
    ]
    if (told[0].mean, told[0].std) != (config.CLIP_MEAN, config.CLIP_STD):
        said.append(f"pixels have mean {told[0].mean} and deviation {told[0].std} taken out")
    return {"mean": told[0].mean, "std": told[0].std}, said


def told_by_files(source: torch_files.Source, kind: str, size: int) -> list[Told]:
    """What each file says, the one that is followed first: that of the format."""
    told = [told_by_open_clip(source, size), told_by_huggingface(source, size)]
    return [part for part in (reversed(told) if kind == "huggingface" else told) if part]


def told_by_open_clip(source: torch_files.Source, size: int) -> Told | None:
    """What `preprocess_cfg` says."""
    section = source.side.get(settings.OPEN_CLIP, {}).get("preprocess_cfg")
    if section is None:
        return None
    if not isinstance(section, dict):
        raise errors.CheckpointError(f"{source.name}: {settings.OPEN_CLIP}: preprocess_cfg is no object with names")
    wanted = {"size": size, "mode": "RGB", "interpolation": "bicubic", "resize_mode": "shortest"}
    found = settings.differences("preprocess_cfg", section, wanted, ("mean", "std", "fill_color"))
    return Told(settings.OPEN_CLIP, *constants(source, section, "mean", "std"), found)


def told_by_huggingface(source: torch_files.Source, size: int) -> Told | None:
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
    found = settings.differences("", section, HUGGINGFACE, (*read_here, *types, *IGNORED))
    found = [line.removeprefix(".") for line in found]
    found += [
        f"{name} is {section[name]!r}: only CLIP's ({', '.join(PROCESSORS)}) is supported"
        for name in types
        if section.get(name) is not None and section[name] not in PROCESSORS
    ]
    found += huggingface_geometry(section, size)
    if section.get("do_normalize", True) in (True, None):
        return Told(file, *constants(source, section, "image_mean", "image_std"), found)
    return Told(file, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), found)


def huggingface_geometry(section: Mapping[str, Any], size: int) -> list[str]:
    """What of resizing, cropping and scaling is not done here."""
    found, short = [], section.get("size")
    if isinstance(short, dict) and short.keys() == {"shortest_edge"}:
        short = short["shortest_edge"]
    # the short side is a choice of this project (256 for 224), in place of CLIP's own
    if short is not None and short not in (size, views.default_short_side(size)):
        found.append(f"size is {section['size']!r}: only a shortest edge of {size} is supported, as the weights take")
    crop = section.get("crop_size")
    crop = settings.one_number(list(crop.values())) if isinstance(crop, dict) else settings.one_number(crop)
    if crop is not None and crop != size:
        found.append(f"crop_size is {section['crop_size']!r}, the weights take {size} x {size} pixels")
    if section.get("resample") not in (None, 3):
        found.append(f"resample is {section['resample']!r}: only 3, bicubic, is supported")
    factor = section.get("rescale_factor")
    if factor is not None and not (isinstance(factor, float) and math.isclose(factor, 1 / 255, rel_tol=1e-6)):
        found.append(f"rescale_factor is {factor!r}: only 1/255 is supported")
    return found


def constants(
    source: torch_files.Source, section: Mapping[str, Any], mean: str, std: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of three colours; CLIP's where the section does not say them."""
    return (
        three_numbers(source, mean, section.get(mean), config.CLIP_MEAN),
        three_numbers(source, std, section.get(std), config.CLIP_STD),
    )


def three_numbers(source: torch_files.Source, name: str, value: Any, usual: tuple[float, ...]) -> tuple[float, ...]:
    """A number for each colour; one number is all three."""
    if value is None:
        return usual
    values = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(values) != 3 or not all(isinstance(part, int | float) for part in values):
        raise errors.CheckpointError(f"{source.name}: {name} is {value!r}: expected a number for each of three colours")
    return tuple(map(float, values))
