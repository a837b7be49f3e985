"""RandAugment (arXiv 1909.13719) on frames, with the operations and ranges of ildoonet/pytorch-randaugment.

That package is what ActionCLIP was trained with; it took its table from TensorFlow's EfficientNet.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps


@dataclasses.dataclass(frozen=True)
class Draw:
    """One operation with all its chances taken, so that it does the same to every frame of a clip."""

    operation: str
    value: float
    sign: int  # of rotations, shears and translations: 1 or -1
    centre: tuple[float, float]  # of the cut-out: fractions of the width and the height


def draw(rng: np.random.Generator, operations: int, magnitude: float) -> list[Draw]:
    """Draws N = `operations` operations with replacement, at the strength M = `magnitude` of 0..30."""
    names = list(OPERATIONS)
    draws = []
    for _ in range(operations):
        name = names[rng.integers(len(names))]
        _, low, high = OPERATIONS[name]
        value = magnitude / 30 * (high - low) + low
        draws.append(Draw(name, value, 1 if rng.random() < 0.5 else -1, (rng.random(), rng.random())))
    return draws


def apply(frame: np.ndarray, draws: list[Draw]) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> the same size with every operation done, in order."""
    image = Image.fromarray(frame)
    for drawn in draws:
        image = OPERATIONS[drawn.operation][0](image, drawn)
    return np.asarray(image)


def posterize(image: Image.Image, drawn: Draw) -> Image.Image:
    """Keeps the highest bits of every value; at least one, where the package turns frames black."""
    return ImageOps.posterize(image, max(1, int(drawn.value)))


def solarize_add(image: Image.Image, drawn: Draw) -> Image.Image:
    """Brightens every value, also bright ones (TensorFlow's spares them), then inverts those of 128 and more."""
    brighter = [min(int(level + drawn.value), 255) for level in range(256)]
    return ImageOps.solarize(image.point(brighter * 3), 128)


def cut_out(image: Image.Image, drawn: Draw) -> Image.Image:
    """Paints a square grey; Pillow counts both ends, so its side is one pixel more than the value."""
    left, top = (
        int(max(0, fraction * side - drawn.value / 2)) for fraction, side in zip(drawn.centre, image.size, strict=True)
    )
    painted = image.copy()
    ImageDraw.Draw(painted).rectangle((left, top, left + drawn.value, top + drawn.value), (125, 123, 114))
    return painted


def shear(image: Image.Image, across: float, down: float) -> Image.Image:
    """Output pixel (x, y) shows the nearest to input pixel (x + across * y, y + down * x), black outside."""
    return image.transform(image.size, Image.Transform.AFFINE, (1, across, 0, down, 1, 0))


def translate(image: Image.Image, across: float, down: float) -> Image.Image:
    """Output pixel (x, y) shows the nearest to input pixel (x + across, y + down), black outside."""
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0, across, 0, 1, down))


OPERATIONS = {  # name: the operation, its value at M = 0, its value at M = 30
    "AutoContrast": (lambda image, _: ImageOps.autocontrast(image), 0, 1),
    "Equalize": (lambda image, _: ImageOps.equalize(image), 0, 1),
    "Invert": (lambda image, _: ImageOps.invert(image), 0, 1),
    "Rotate": (lambda image, drawn: image.rotate(drawn.sign * drawn.value), 0, 30),
    "Posterize": (posterize, 0, 4),
    "Solarize": (lambda image, drawn: ImageOps.solarize(image, drawn.value), 0, 256),
    "SolarizeAdd": (solarize_add, 0, 110),
    "Color": (lambda image, drawn: ImageEnhance.Color(image).enhance(drawn.value), 0.1, 1.9),
    "Contrast": (lambda image, drawn: ImageEnhance.Contrast(image).enhance(drawn.value), 0.1, 1.9),
    "Brightness": (lambda image, drawn: ImageEnhance.Brightness(image).enhance(drawn.value), 0.1, 1.9),
    "Sharpness": (lambda image, drawn: ImageEnhance.Sharpness(image).enhance(drawn.value), 0.1, 1.9),
    "ShearX": (lambda image, drawn: shear(image, drawn.sign * drawn.value, 0), 0, 0.3),
    "ShearY": (lambda image, drawn: shear(image, 0, drawn.sign * drawn.value), 0, 0.3),
    "CutoutAbs": (cut_out, 0, 40),
    "TranslateX": (lambda image, drawn: translate(image, drawn.sign * drawn.value, 0), 0, 100),
    "TranslateY": (lambda image, drawn: translate(image, 0, drawn.sign * drawn.value), 0, 100),
}
