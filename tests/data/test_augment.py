import collections
import dataclasses
import pickle

import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image

from actionclip_jax import config
from actionclip_jax.data import augment, rand_augment

SCALES = config.AugmentConfig().scales
PLAIN = config.AugmentConfig(rand_operations=0, flip="never")
PLAIN_LABELS = ("archery", "bowling", "dancing")
DIRECTIONS = ("turning left", "turning right", "opening a box", "looking left of it")


def photograph(height, width):
    """[height, width, 3] out of a portrait that comes with matplotlib."""
    image = Image.open(cbook.get_sample_data("grace_hopper.jpg"))
    return np.asarray(image.crop((80, 100, 80 + width, 100 + height)))


def place_image(height, width):
    """A frame whose red is the column and whose green is the row of every pixel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)


def run(settings, frames, labels=(0,), texts=PLAIN_LABELS, size=32, seed=0):
    return augment.Augmenter.build(settings, size, texts)(frames, labels, np.random.default_rng(seed))


def test_crop_sizes_of_ordinary_videos_are_the_published_ones():
    # 256 x 0.875 = 224, x 0.75 = 192, x 0.66 = 168.96
    assert augment.crop_sizes(256, 340, 224, SCALES) == [
        *((256, 256), (256, 224)),
        *((224, 256), (224, 224), (224, 192)),
        *((192, 224), (192, 192), (192, 168)),
        *((168, 192), (168, 168)),
    ]
    assert augment.crop_sizes(340, 256, 224, SCALES) == augment.crop_sizes(256, 340, 224, SCALES)
    # 240 x 0.875 = 210, x 0.75 = 180, x 0.66 = 158.4
    sizes = augment.crop_sizes(240, 320, 224, SCALES)
    assert len(sizes) == 10 and {side for pair in sizes for side in pair} == {240, 210, 180, 158}


def test_sides_within_two_pixels_of_the_size_become_the_size_where_the_frame_has_room():
    for short, side in ((221, 221), (222, 222), (223, 223), (224, 224), (225, 224), (226, 224), (227, 227)):
        assert augment.crop_sizes(short, 400, 224, [1.0]) == [(side, side)]
    for scale, side in ((0.737, 221), (0.74, 224), (0.754, 224), (0.757, 227)):  # of 300: 221, 222, 226, 227
        assert augment.crop_sizes(400, 300, 224, [scale]) == [(side, side)]


def test_the_13_places_are_corners_edges_centre_and_inner_quarters():
    # 340 x 256 with a crop of 224: quarter steps of 116 // 4 = 29 and 32 // 4 = 8 pixels
    corners = {(0, 0), (0, 116), (32, 0), (32, 116)}
    edges = {(0, 58), (16, 0), (16, 116), (32, 58)}
    inner = {(8, 29), (8, 87), (24, 29), (24, 87)}
    places = augment.crop_corners(256 - 224, 340 - 224)
    assert len(places) == 13 and set(places) == corners | edges | inner | {(16, 58)}
    # 320 x 240 with a crop of 158 wide and 180 high: 162 // 4 = 40 and 60 // 4 = 15
    assert {(15, 40), (30, 80), (60, 160), (45, 120)} <= set(augment.crop_corners(240 - 180, 320 - 158))


def test_crops_are_drawn_uniformly_and_lie_within_the_frame():
    rng = np.random.default_rng(0)
    crops = [augment.draw_crop(240, 320, 224, SCALES, rng) for _ in range(13_000)]
    assert all(top + height <= 240 and left + width <= 320 for top, left, height, width in crops)
    drawn = collections.Counter(crop[2:] for crop in crops)  # ten sizes
    assert set(drawn) == set(augment.crop_sizes(240, 320, 224, SCALES)) and min(drawn.values()) > 1150
    places = collections.Counter(crop[:2] for crop in crops if crop[2:] == (180, 158))  # 13 places
    assert set(places) == set(augment.crop_corners(60, 162)) and min(places.values()) > 60


@pytest.mark.parametrize("side", [(1, 1), (16, 16), (3, 500), (223, 300)])
def test_frames_smaller_than_the_crop_are_enlarged(side):
    frames = [np.full((*side, 3), 77, np.uint8)] * 2
    for seed in range(20):
        clip, _ = run(dataclasses.replace(PLAIN, rand_operations=1), frames, size=224, seed=seed)
        assert clip.shape == (2, 224, 224, 3)
        clip, _ = run(PLAIN, frames, size=224, seed=seed)
        assert (clip == 77).all()


def test_a_crop_of_the_size_is_a_plain_cut_and_flips_mirror_it():
    frame = place_image(60, 80)
    upright = augment.crop_frames([frame], (10, 20, 32, 32), 32, flip=False)
    assert np.array_equal(upright[0], frame[10:42, 20:52])
    assert np.array_equal(augment.crop_frames([frame], (10, 20, 32, 32), 32, flip=True), upright[:, :, ::-1])


def compare_with_pillow(crop):
    """Absolute differences to Pillow's antialiased bilinear on a photograph, in levels."""
    top, left, height, width = crop
    frame, box = photograph(256, 340), (left, top, left + width, top + height)
    pillow = Image.fromarray(frame).crop(box).resize((224, 224), Image.Resampling.BILINEAR)
    return abs(augment.crop_frames([frame], crop, 224, flip=False)[0] - np.asarray(pillow, float))


@pytest.mark.parametrize("crop", [(8, 8, 192, 224), (32, 74, 192, 192), (80, 100, 168, 192), (66, 0, 168, 168)])
def test_enlarging_is_pillow_s_within_a_level(crop):
    assert compare_with_pillow(crop).max() <= 1


@pytest.mark.parametrize("crop", [(0, 0, 256, 256), (0, 84, 256, 256), (0, 58, 256, 224), (16, 29, 224, 256)])
def test_shrinking_is_pillow_s_within_45_decibels(crop):
    assert 10 * np.log10(255**2 / np.mean(compare_with_pillow(crop) ** 2)) > 45


@pytest.mark.parametrize("seed", range(10))
def test_all_frames_of_a_clip_are_treated_alike(seed):
    clip, _ = run(config.AugmentConfig(), [photograph(48, 64)] * 4, seed=seed)
    assert (clip == clip[0]).all()


def test_frames_keep_their_order():
    frames = [np.full((40, 50, 3), 10 * number, np.uint8) for number in range(5)]
    clip, labels = run(PLAIN, frames, labels=(2, 1))
    assert clip[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40] and labels == (2, 1)


def test_per_frame_draws_rand_augment_anew_but_crops_alike():
    settings = dataclasses.replace(PLAIN, rand_operations=2, per_frame=True)
    frames = [photograph(48, 64)] * 16
    clip, _ = run(settings, frames)
    assert len({frame.tobytes() for frame in clip}) > 8
    clip, _ = run(dataclasses.replace(settings, rand_operations=0), frames)
    assert (clip == clip[0]).all()


def test_the_order_is_rand_augment_then_crop_then_flip_from_one_generator():
    frame, rng = photograph(256, 340), np.random.default_rng(3)
    settings = config.AugmentConfig(rand_operations=3, rand_magnitude=20.0, flip="always")
    distorted = rand_augment.apply(frame, rand_augment.draw(rng, 3, 20.0))
    crop = augment.draw_crop(256, 340, 224, SCALES, rng)
    expected = augment.crop_frames([distorted], crop, 224, rng.random() < 0.5)
    assert np.array_equal(run(settings, [frame], size=224, seed=3)[0], expected)


def test_the_same_generator_gives_the_same_clip():
    frames = [photograph(48, 64)] * 2
    first, again, other = (run(config.AugmentConfig(), frames, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_clips_are_contiguous_uint8_and_the_frames_given_stay_as_they_were():
    frames = [photograph(48, 64) for _ in range(3)]
    before = np.stack(frames)
    for seed in range(20):
        clip, _ = run(config.AugmentConfig(), frames, seed=seed)
        assert clip.shape == (3, 32, 32, 3) and clip.dtype == np.uint8 and clip.flags.c_contiguous
    assert np.array_equal(before, np.stack(frames))


def test_augmenters_travel_to_worker_processes():
    augmenter = augment.Augmenter.build(config.AugmentConfig(flip="swap"), 32, DIRECTIONS)
    assert pickle.loads(pickle.dumps(augmenter)) == augmenter


def flips(flip, texts, labels, draws=200):
    """The labels after augmentation of upright and of flipped clips, and how many were flipped."""
    settings, frame = dataclasses.replace(PLAIN, flip=flip, scales=(1.0,)), place_image(32, 32)
    kept, swapped, count = set(), set(), 0
    augmenter, rng = augment.Augmenter.build(settings, 32, texts), np.random.default_rng(0)
    for _ in range(draws):
        clip, result = augmenter([frame], labels, rng)
        flipped = clip[0, 0, 0, 0] == 31
        count += flipped
        (swapped if flipped else kept).add(result)
    return kept, swapped, count / draws


@pytest.mark.parametrize("flip", ["always", "auto"])
def test_half_of_the_clips_flip(flip):
    kept, swapped, part = flips(flip, PLAIN_LABELS, (1,))
    assert kept == swapped == {(1,)} and 0.4 < part < 0.6


@pytest.mark.parametrize("flip, texts", [("never", PLAIN_LABELS), ("auto", DIRECTIONS)])
def test_no_clip_flips_by_choice_or_where_labels_speak_of_left_and_right(flip, texts):
    assert flips(flip, texts, (1,)) == ({(1,)}, set(), 0)
    assert flips(flip, texts, ()) == ({()}, set(), 0)


def test_swap_exchanges_the_labels_of_flipped_clips():
    kept, swapped, part = flips("swap", DIRECTIONS, (0, 2))
    assert kept == {(0, 2)} and swapped == {(1, 2)} and 0.4 < part < 0.6


def test_swap_leaves_clips_upright_whose_label_has_no_partner():
    assert flips("swap", DIRECTIONS, (2, 3)) == ({(2, 3)}, set(), 0)
