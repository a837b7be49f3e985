import colorsys
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from actionclip_jax import config
from actionclip_jax.training import color

ALWAYS = config.AugmentConfig(jitter=1.0, grayscale=0.0)
NEVER = config.AugmentConfig(jitter=0.0, grayscale=0.0)
augment_colors = jax.jit(color.augment_colors, static_argnums=2)
jitter = jax.jit(color.jitter)


@pytest.fixture(scope="module")
def frames():
    """[6, 4, 10, 12, 3] uint8: pure colours and greys beside noise."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 4, 10, 12, 3), dtype=np.uint8)
    frames[..., 0, :8, :] = [[255 * (i >> bit & 1) for bit in range(3)] for i in range(8)]
    frames[..., 1, :, :] = frames[..., 1, :, :1]
    return frames


def alike(clip):
    """Each clip's first frame in place of all its frames."""
    return np.broadcast_to(clip[:, :1], clip.shape)


def do(frame, operation, factor):
    """One operation on [H, W, 3], the others neutral."""
    images = tuple(jnp.moveaxis(frame[None], -1, 0).astype(jnp.float32))
    order = [operation, *(other for other in range(4) if other != operation)]
    factors = [factor, *(0.0 if other == color.HUE else 1.0 for other in order[1:])]
    result = jitter(images, jnp.array([order]), jnp.array([factors], jnp.float32))
    return np.stack(result, axis=-1)[0]


@pytest.mark.parametrize("factor", [0.0, 0.6, 0.8, 1.0, 1.3, 1.4])
@pytest.mark.parametrize(
    "operation, pillow",
    [
        (color.BRIGHTNESS, ImageEnhance.Brightness),
        (color.CONTRAST, ImageEnhance.Contrast),
        (color.SATURATION, ImageEnhance.Color),
    ],
)
def test_blends_are_pillow_s_which_truncates_and_rounds_its_greys(frames, operation, pillow, factor):
    expected = np.asarray(pillow(Image.fromarray(frames[0, 0])).enhance(factor)).astype(float)
    error = do(frames[0, 0], operation, factor) - expected
    rounded = abs(1 - factor) / 2 * (operation != color.BRIGHTNESS)  # what half a level of the grey makes
    assert error.min() > -rounded - 1e-3 and error.max() < 1 + rounded + 1e-3


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.05, 0.1, 0.4])
def test_hue_turns_as_in_the_standard_library(frames, turn):
    expected = []
    for pixel in frames[0, 0].reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected.append(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
    assert np.allclose(do(frames[0, 0], color.HUE, turn).reshape(-1, 3), 255 * np.array(expected), atol=1e-2)


def test_neutral_factors_change_nothing(frames):
    for operation in range(3):
        assert np.array_equal(do(frames[0, 0], operation, 1.0).round(), frames[0, 0])


def test_operations_follow_the_drawn_order_and_clamp_in_between(frames):
    order, factors = (color.BRIGHTNESS, color.SATURATION, color.HUE, color.CONTRAST), (1.4, 0.8, 0.1, 0.6)
    expected = frames[0, 0].astype(np.float32)
    for operation, factor in zip(order, factors, strict=True):
        expected = do(expected, operation, factor)
        assert expected.min() >= 0 and expected.max() <= 255 + 1e-4
    images = tuple(jnp.moveaxis(frames[0, 0][None], -1, 0).astype(jnp.float32))
    result = jitter(images, jnp.array([order]), jnp.array([factors]))
    assert np.allclose(np.stack(result, axis=-1)[0], expected, atol=1e-2)


def test_grey_is_pillow_s_before_rounding(frames):
    result = np.asarray(augment_colors(frames, jax.random.key(0), dataclasses.replace(NEVER, grayscale=1.0)))
    assert (result[..., :1] == result).all()
    for frame, ours in zip(frames.reshape(-1, 10, 12, 3), result.reshape(-1, 10, 12, 3), strict=True):
        assert abs(ours[..., 0] - np.asarray(ImageOps.grayscale(Image.fromarray(frame)), float)).max() < 0.51


def test_probability_zero_changes_nothing(frames):
    result = augment_colors(frames, jax.random.key(0), NEVER)
    assert result.dtype == jnp.float32 and np.array_equal(result, frames)


def test_probability_one_changes_every_clip_within_the_range(frames):
    result = np.asarray(augment_colors(frames, jax.random.key(0), ALWAYS))
    assert result.shape == frames.shape and result.min() >= 0 and result.max() <= 255 + 1e-4
    assert (abs(result - frames).mean((1, 2, 3, 4)) > 1).all()


def test_jitter_and_grey_are_decided_for_whole_clips_at_their_probabilities():
    clips = np.tile(np.array([200, 100, 50], np.uint8), (2000, 2, 1, 1, 1))
    settings = config.AugmentConfig(per_frame=True)
    result = np.asarray(augment_colors(clips, jax.random.key(0), settings))
    changed, turned_grey = (result != clips).any(-1)[..., 0, 0], (np.ptp(result, -1) == 0)[..., 0, 0]
    assert (changed[:, 0] == changed[:, 1]).all() and (turned_grey[:, 0] == turned_grey[:, 1]).all()
    assert changed.mean() == pytest.approx(1 - 0.2 * 0.8, abs=0.03)
    assert turned_grey.mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("per_frame", [False, True])
def test_parameters_are_drawn_for_a_clip_or_for_every_frame(frames, per_frame):
    settings = dataclasses.replace(ALWAYS, per_frame=per_frame)
    result = np.asarray(augment_colors(alike(frames), jax.random.key(0), settings))
    assert [len({frame.tobytes() for frame in clip}) for clip in result] == [4 if per_frame else 1] * 6


def test_factors_fill_their_ranges_in_every_order():
    settings = config.AugmentConfig(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1)
    keys = jax.random.split(jax.random.key(0), 4000)
    order, factors = map(np.asarray, jax.vmap(functools.partial(color.draw_jitter, augment=settings))(keys))
    assert len(np.unique(order, axis=0)) == 24 and (np.sort(order, 1) == range(4)).all()
    for operation, (low, high) in enumerate([(0.6, 1.4), (0, 2.5), (0.8, 1.2), (-0.1, 0.1)]):
        drawn = factors[order == operation]
        assert low <= drawn.min() < low + 0.01 and high - 0.01 < drawn.max() <= high
        assert drawn.mean() == pytest.approx((low + high) / 2, abs=0.05)


def test_the_key_decides_alone_compiled_or_not(frames):
    settings = config.AugmentConfig()
    first, again, other = (np.asarray(augment_colors(frames, jax.random.key(seed), settings)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.allclose(first, color.augment_colors(frames, jax.random.key(1), settings), atol=1e-2)


def test_clips_do_not_depend_on_their_neighbours(frames):
    key, settings = jax.random.key(0), dataclasses.replace(ALWAYS, per_frame=True)
    others = frames.copy()
    others[1:] = 255 - others[1:]
    mine = augment_colors(frames, key, settings)[0]
    assert np.array_equal(mine, augment_colors(others, key, settings)[0])


def test_clips_spread_over_devices_stay_where_they_are_and_come_out_alike(frames):
    devices = jax.device_count()
    clips, key = np.concatenate([frames] * devices)[: 2 * devices], jax.random.key(0)
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    compiled = jax.jit(color.augment_colors, static_argnums=2, in_shardings=(spread, None), out_shardings=spread)
    program = compiled.lower(clips, key, ALWAYS).compile().as_text()
    assert not [word for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute") if word in program]
    assert np.allclose(compiled(clips, key, ALWAYS), augment_colors(clips, key, ALWAYS), atol=1e-2)
