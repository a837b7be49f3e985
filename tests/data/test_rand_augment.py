"""The table and every operation against Pillow called directly, as ildoonet/pytorch-randaugment does."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from actionclip_jax.data import rand_augment

AFFINE = Image.Transform.AFFINE


def bend(*coefficients):
    return lambda image: image.transform(image.size, AFFINE, coefficients)


def enhance(kind, value):
    return lambda image: kind(image).enhance(value)


def paint(*corners):
    def operation(image):
        ImageDraw.Draw(image).rectangle(corners, (125, 123, 114))
        return image

    return operation


def add_and_solarize(amount):
    def operation(image):
        brighter = np.minimum(np.asarray(image).astype(float) + amount, 255).astype(np.uint8)
        return Image.fromarray(np.where(brighter < 128, brighter, 255 - brighter).astype(np.uint8))

    return operation


# name: range, then the operation at M = 9 and at M = 30 with a positive sign, all numbers worked out by hand
REFERENCE = {
    "AutoContrast": (0, 1, ImageOps.autocontrast, ImageOps.autocontrast),
    "Equalize": (0, 1, ImageOps.equalize, ImageOps.equalize),
    "Invert": (0, 1, ImageOps.invert, ImageOps.invert),
    "Rotate": (0, 30, lambda image: image.rotate(9), lambda image: image.rotate(30)),
    "Posterize": (0, 4, lambda image: ImageOps.posterize(image, 1), lambda image: ImageOps.posterize(image, 4)),
    "Solarize": (0, 256, lambda image: ImageOps.solarize(image, 76.8), lambda image: image),
    "SolarizeAdd": (0, 110, add_and_solarize(33), add_and_solarize(110)),
    "Color": (0.1, 1.9, enhance(ImageEnhance.Color, 0.64), enhance(ImageEnhance.Color, 1.9)),
    "Contrast": (0.1, 1.9, enhance(ImageEnhance.Contrast, 0.64), enhance(ImageEnhance.Contrast, 1.9)),
    "Brightness": (0.1, 1.9, enhance(ImageEnhance.Brightness, 0.64), enhance(ImageEnhance.Brightness, 1.9)),
    "Sharpness": (0.1, 1.9, enhance(ImageEnhance.Sharpness, 0.64), enhance(ImageEnhance.Sharpness, 1.9)),
    "ShearX": (0, 0.3, bend(1, 0.09, 0, 0, 1, 0), bend(1, 0.3, 0, 0, 1, 0)),
    "ShearY": (0, 0.3, bend(1, 0, 0, 0.09, 1, 0), bend(1, 0, 0, 0.3, 1, 0)),
    # centre (60, 20) of a frame 80 wide and 40 high: 12 pixels from (54, 14), 40 from (40, 0), ends included
    "CutoutAbs": (0, 40, paint(54, 14, 66, 26), paint(40, 0, 80, 40)),
    "TranslateX": (0, 100, bend(1, 0, 30, 0, 1, 0), bend(1, 0, 100, 0, 1, 0)),
    "TranslateY": (0, 100, bend(1, 0, 0, 0, 1, 30), bend(1, 0, 0, 0, 1, 100)),
}


@pytest.fixture(scope="module")
def frame():
    noise = np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8)
    return 20 + cv2.GaussianBlur(noise, (0, 0), 2) // 2


def do(frame, name, value, sign=1, centre=(0.75, 0.5)):
    return rand_augment.apply(frame, [rand_augment.Draw(name, value, sign, centre)])


def test_the_table_has_the_package_s_operations_and_ranges():
    ranges = {name: tuple(row[1:]) for name, row in rand_augment.OPERATIONS.items()}
    assert ranges == {name: row[:2] for name, row in REFERENCE.items()}
    assert list(ranges) == list(REFERENCE) and len(ranges) == 16


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("magnitude", [9, 30])
def test_every_operation_is_pillow_s(frame, name, magnitude):
    low, high, weak, strong = REFERENCE[name]
    result = do(frame, name, magnitude / 30 * (high - low) + low)
    expected = np.asarray((weak if magnitude == 9 else strong)(Image.fromarray(frame)))
    assert result.dtype == np.uint8 and np.array_equal(result, expected)
    if (name, magnitude) != ("Solarize", 30):
        assert not np.array_equal(result, frame)


def test_the_input_stays_as_it_was(frame):
    before = frame.copy()
    for name, (_, high, *_) in REFERENCE.items():
        do(frame, name, high)
    assert np.array_equal(frame, before)


def test_signs_turn_the_geometry_round(frame):
    image = Image.fromarray(frame)
    assert np.array_equal(do(frame, "Rotate", 9, -1), np.asarray(image.rotate(-9)))
    left = do(frame, "TranslateX", 30, -1)
    assert not left[:, :30].any() and np.array_equal(left[:, 30:], frame[:, :-30])
    up = do(frame, "TranslateY", 10, 1)
    assert not up[-10:].any() and np.array_equal(up[:-10], frame[10:])
    assert np.array_equal(do(frame, "ShearX", 0.3, -1), np.asarray(bend(1, -0.3, 0, 0, 1, 0)(image)))
    assert np.array_equal(do(frame, "ShearY", 0.3, -1), np.asarray(bend(1, 0, 0, -0.3, 1, 0)(image)))


def test_posterize_keeps_a_bit_where_the_strength_rounds_to_none(frame):
    assert set(np.unique(do(frame, "Posterize", 0.5))) <= {0, 128}


def test_cut_outs_stay_within_the_frame(frame):
    painted = (do(frame, "CutoutAbs", 12, centre=(0.0, 0.999)) == (125, 123, 114)).all(-1)
    assert painted[33:, :13].all() and painted.sum() == 7 * 13  # from row 39.96 - 6 = 33 to the last, columns 0 to 12


def test_operations_follow_one_another(frame):
    draws = [rand_augment.Draw(name, 0.64, 1, (0.5, 0.5)) for name in ("Color", "Invert")]
    expected = ImageOps.invert(ImageEnhance.Color(Image.fromarray(frame)).enhance(0.64))
    assert np.array_equal(rand_augment.apply(frame, draws), np.asarray(expected))


def test_draws_are_uniform_with_replacement_and_at_the_magnitude():
    rng = np.random.default_rng(0)
    draws = [rand_augment.draw(rng, 2, 9) for _ in range(4000)]
    names = [drawn.operation for pair in draws for drawn in pair]
    counts = np.array([names.count(name) for name in REFERENCE])
    assert counts.sum() == 8000 and (abs(counts - 500) < 100).all()
    assert 150 < sum(first.operation == second.operation for first, second in draws) < 350
    for drawn in (drawn for pair in draws for drawn in pair):
        low, high = REFERENCE[drawn.operation][:2]
        assert drawn.value == pytest.approx(low + 0.3 * (high - low))
    assert abs(np.mean([pair[0].sign for pair in draws])) < 0.1
    assert np.allclose(np.mean([pair[0].centre for pair in draws], 0), 0.5, atol=0.05)


def test_the_same_generator_gives_the_same_draws():
    first, again, other = (rand_augment.draw(np.random.default_rng(seed), 3, 9.0) for seed in (5, 5, 6))
    assert first == again != other
