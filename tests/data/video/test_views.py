import itertools

import numpy as np
import open_clip
import pytest
import torchvision
from PIL import Image

from actionclip_jax import config
from actionclip_jax.data.video import views

CHOICES = (("shortest", "squash"), ("bicubic", "bilinear"))


def make_image(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (240, 320, 256, (256, 341)),  # 341.33 is truncated
        (320, 240, 256, (341, 256)),
        (256, 340, 256, (256, 340)),
        (272, 640, 256, (256, 602)),  # 602.35
        (100, 100, 256, (256, 256)),
        (720, 1280, 384, (384, 682)),  # 682.67
        (1, 50, 7, (7, 350)),
    ],
)
def test_the_short_side_gets_the_size_and_the_long_one_is_truncated_as_torchvision_does(height, width, size, expected):
    image = make_image(height, width)
    resized = views.resize_short_side(image, size)
    reference = Image.fromarray(image).resize(expected[::-1], Image.Resampling.BICUBIC)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.asarray(reference))


@pytest.mark.parametrize(
    ("height", "width", "top", "left"),
    [(256, 341, 16, 58), (341, 256, 58, 16), (227, 229, 2, 2), (225, 224, 0, 0), (227, 224, 2, 0), (224, 224, 0, 0)],
)
def test_one_crop_is_the_centre_rounded_half_to_even(height, width, top, left):
    image = make_image(height, width)
    np.testing.assert_array_equal(views.crop_views(image, 224, 1), image[None, top : top + 224, left : left + 224])


@pytest.mark.parametrize(("crops", "starts"), [(2, [0, 117]), (3, [0, 58, 117]), (5, [0, 29, 58, 88, 117])])
def test_several_crops_run_from_edge_to_edge_of_the_longer_side(crops, starts):
    image = make_image(256, 341)
    wide = views.crop_views(image, 224, crops)
    assert wide.shape == (crops, 224, 224, 3)
    for crop, start in zip(wide, starts, strict=True):
        np.testing.assert_array_equal(crop, image[16:240, start : start + 224])
    tall = views.crop_views(image.swapaxes(0, 1), 224, crops)
    np.testing.assert_array_equal(tall, wide.swapaxes(1, 2))


def test_the_middle_of_three_crops_is_the_single_crop():
    image = make_image(256, 340)
    np.testing.assert_array_equal(views.crop_views(image, 224, 3)[1], views.crop_views(image, 224, 1)[0])


def test_an_image_smaller_than_the_crop_is_refused():
    with pytest.raises(ValueError, match="cannot crop 224 x 224 from an image 300 wide and 200 high"):
        views.crop_views(make_image(200, 300), 224, 1)
    with pytest.raises(ValueError, match="crops is 0"):
        views.crop_views(make_image(256, 256), 224, 0)
    with pytest.raises(ValueError, match="the short side is 200, expected at least the crop size 224"):
        views.view_transform(config.SampleConfig(size=224), short_side=200)


@pytest.mark.parametrize(("size", "told", "short_side"), [(224, None, 256), (336, None, 384), (224, 224, 224)])
def test_the_transform_resizes_in_clips_proportion_and_crops(size, told, short_side):
    image = make_image(270, 480)
    expected = views.crop_views(views.resize_short_side(image, short_side), size, 3)
    sample = config.SampleConfig(size=size, views_space=3)
    np.testing.assert_array_equal(views.view_transform(sample, told)(image), expected)


SHAPES = [(270, 480), (480, 270), (33, 50), (64, 64), (61, 64), (200, 65)]  # larger than the model's 64 pixels, and not


def torchvisions(image, *transforms):
    return np.asarray(torchvision.transforms.Compose(transforms)(Image.fromarray(image)))[None]


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("told", ["bicubic", "bilinear"])
def test_both_ways_to_a_square_are_torchvisions_and_pils_with_both_filters(told, height, width):
    """`Resize` of torchvision hands a PIL image to PIL, whose filters are antialiased."""
    image, mode = make_image(height, width), torchvision.transforms.InterpolationMode(told)
    squash = views.view_transform(config.SampleConfig(size=64, resize="squash", filter=told))(image)
    np.testing.assert_array_equal(squash, torchvisions(image, torchvision.transforms.Resize((64, 64), mode)))
    pil = Image.fromarray(image).resize((64, 64), getattr(Image.Resampling, told.upper()))
    np.testing.assert_array_equal(squash, np.asarray(pil)[None])
    shortest = views.view_transform(config.SampleConfig(size=64, filter=told))(image)
    both = (torchvision.transforms.Resize(73, mode), torchvision.transforms.CenterCrop(64))  # 64 * 256 // 224
    np.testing.assert_array_equal(shortest, torchvisions(image, *both))


@pytest.mark.parametrize("told", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize", ["squash", "shortest"])
def test_pixels_are_those_of_open_clips_own_transform(resize, told):
    transform = open_clip.image_transform(
        64, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=resize, interpolation=told
    )
    sample = config.SampleConfig(size=64, resize=resize, filter=told)
    for height, width in SHAPES:
        image = make_image(height, width)
        theirs = (255 * transform(Image.fromarray(image))).round().byte().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(views.view_transform(sample, short_side=64)(image)[0], theirs)


def test_the_ways_to_a_square_and_the_filters_differ():
    image = make_image(90, 160)
    ways = [config.SampleConfig(size=64, resize=resize, filter=told) for resize, told in itertools.product(*CHOICES)]
    seen = [views.view_transform(sample)(image) for sample in ways]
    assert all((one != other).any() for one, other in itertools.combinations(seen, 2))
