"""What files say of pixels, against the libraries that wrote them; and what formats can say of them."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tiny
import transformers

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, export, huggingface, pixels, torch_files
from actionclip_jax.data.video import views

HALF = (0.5, 0.5, 0.5)
SQUARE = {"height": 32, "width": 32}
CROPPED = {"size": {"shortest_edge": 32}, "crop_size": SQUARE}
USUAL = {"CLIPImageProcessor": pixels.CLIP, "SiglipImageProcessor": pixels.SIGLIP}
IMAGE = tiny.model_config().image


def beside(**side):
    """A checkpoint with these files beside its weights, by their names without .json."""
    path = pathlib.Path("model.safetensors")
    return torch_files.Source("weights", path, {}, side={f"{name}.json": content for name, content in side.items()})


def follow(family=pixels.CLIP, kind="huggingface", **side):
    image, notes = pixels.follow(beside(**side), kind, IMAGE, family)
    return pixels.of(image), notes


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("CLIP", CROPPED),
        ("CLIP", CROPPED | {"resample": 2}),
        ("CLIP", {"size": SQUARE, "do_center_crop": False}),
        ("CLIP", {"size": SQUARE, "crop_size": SQUARE}),  # of what is square already
        ("Siglip", {"size": SQUARE}),
        ("Siglip", {"size": SQUARE, "resample": 2}),  # as SigLIP 2 has it
        ("Siglip", CROPPED | {"do_center_crop": True}),
    ],
)
def test_pixels_by_a_processors_own_file_are_those_the_processor_makes(family, options):
    processor = huggingface.pil_processor(family)(**options)
    told = json.loads(processor.to_json_string())
    image, _ = pixels.follow(beside(preprocessor_config=told), "huggingface", IMAGE, pixels.CLIP)
    sample = config.sample_for(dataclasses.replace(tiny.model_config(), image=image))
    for height, width in ((90, 160), (160, 90), (20, 30), (32, 32)):  # an even rest: CLIP's own crops round otherwise
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        plain = {"do_rescale": False, "do_normalize": False}
        (theirs,) = processor(frame, **plain)["pixel_values"]
        ours = views.view_transform(sample, short_side=32)(frame)[0]
        np.testing.assert_array_equal(ours, np.moveaxis(theirs, 0, -1), err_msg=f"{height} x {width}")
    (theirs,) = processor(frame)["pixel_values"]
    normalised = (ours / 255 - np.array(image.mean)) / np.array(image.std)
    np.testing.assert_allclose(normalised, np.moveaxis(theirs, 0, -1), atol=1e-6)


@pytest.mark.parametrize("suffix", ["", "Fast", "Pil"])
@pytest.mark.parametrize(("kind", "usual"), USUAL.items())
def test_what_a_file_leaves_out_is_as_the_processor_it_names_has_it(kind, usual, suffix):
    assert follow(pixels.PE, preprocessor_config={"image_processor_type": kind + suffix})[0] == usual


@pytest.mark.parametrize("family", [pixels.CLIP, pixels.SIGLIP, pixels.PE])
def test_a_file_that_names_no_processor_leaves_the_rest_to_the_family(family):
    assert follow(family, preprocessor_config={"resample": 2})[0] == dataclasses.replace(family, filter="bilinear")


@pytest.mark.parametrize("family", [pixels.CLIP, pixels.SIGLIP, pixels.PE])
def test_what_open_clips_file_leaves_out_is_clips_whatever_the_family(family):
    cfg = {"preprocess_cfg": {"resize_mode": "squash"}}
    assert follow(family, "open_clip", open_clip_config=cfg)[0] == dataclasses.replace(pixels.CLIP, resize="squash")


@pytest.mark.parametrize("kind", ["huggingface", "open_clip", "siglip"])
@pytest.mark.parametrize("family", [pixels.CLIP, pixels.SIGLIP, pixels.PE])
def test_without_a_file_the_familys_pixels_are_taken_for_granted_and_it_is_said(family, kind):
    for side in ({}, {"open_clip_config": {"model_cfg": {}}}):
        found, (note,) = follow(family, kind, **side)
        assert found == family and str(family) in note and "taken for granted" in note


def test_formats_that_mean_clips_pixels_need_no_file():
    assert follow(kind="openai") == follow(kind="actionclip") == (pixels.CLIP, [])


def test_pixels_of_a_changing_resolution_are_refused_by_name():
    with pytest.raises(errors.CheckpointError, match="'Siglip2ImageProcessor': only those of a fixed resolution are"):
        follow(preprocessor_config=json.loads(transformers.Siglip2ImageProcessorPil().to_json_string()))


def test_values_that_are_not_done_are_named_with_those_that_are():
    with pytest.raises(errors.CheckpointError) as caught:
        cfg = {"resize_mode": "longest", "interpolation": "area"}
        follow(kind="open_clip", open_clip_config={"preprocess_cfg": cfg})
    assert "preprocess_cfg.resize_mode is 'longest': only 'shortest' or 'squash' is supported" in str(caught.value)
    assert "preprocess_cfg.interpolation is 'area': only 'bicubic' or 'bilinear' is supported" in str(caught.value)
    with pytest.raises(errors.CheckpointError) as caught:
        follow(preprocessor_config={"resample": 1, "do_center_crop": False, "size": {"shortest_edge": 32}})
    assert "resample is 1: only 3 or 2 is supported" in str(caught.value)
    assert "without a crop only a height and width of 32 is supported" in str(caught.value)


@pytest.mark.parametrize("filtered", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize", ["shortest", "squash"])
def test_transformers_processor_of_a_model_says_what_the_model_has(resize, filtered):
    told = pixels.Pixels(HALF, (0.25, 0.5, 0.25), resize, filtered)
    image = dataclasses.replace(IMAGE, **vars(told))
    assert follow(preprocessor_config=json.loads(huggingface.image_processor(image).to_json_string()))[0] == told


@pytest.mark.parametrize("target", ["openai", "actionclip"])
@pytest.mark.parametrize("changes", [{"resize": "squash"}, {"filter": "bilinear"}, {"mean": HALF}])
def test_formats_that_mean_clips_pixels_refuse_others_by_name(changes, target):
    model = tiny.model_config(image=dataclasses.replace(IMAGE, **changes))
    (problem,) = export.not_expressible(model, target)
    assert str(pixels.of(model.image)) in problem
    assert not export.not_expressible(model, "huggingface")
