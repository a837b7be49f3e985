"""Training augmentation on the host: RandAugment, multi-scale crop, flip. On the device: training/color.py, colours."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from actionclip_jax import config
from actionclip_jax.data import class_names, rand_augment


@dataclasses.dataclass(frozen=True)
class Augmenter:
    """Augments the frames of a clip, all of them alike. Plain values, so it travels to worker processes."""

    augment: config.AugmentConfig
    size: int
    flip: float  # probability
    mirrors: tuple[int, ...]  # the class that a flipped clip of each class has; -1: such clips stay as they are

    @classmethod
    def build(cls, augment: config.AugmentConfig, size: int, texts: Sequence[str]) -> "Augmenter":
        """The augmenter of a data set with these class names, giving frames of `size` x `size`."""
        flip = augment.flip
        if flip == "auto":
            flip = "never" if class_names.is_direction_sensitive(texts) else "always"
        probability = {"always": 0.5, "swap": 0.5, "never": 0.0}[flip]
        mirrors = class_names.mirror_labels(texts) if flip == "swap" else np.arange(len(texts))
        return cls(augment, size, probability, tuple(mirrors.tolist()))

    def __call__(
        self, frames: Sequence[np.ndarray], labels: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """T frames [H, W, 3] uint8 -> [T, S, S, 3] uint8, with the labels of the clip as it now is."""
        if self.augment.rand_operations:
            frames = self.distort(frames, rng)
        crop = draw_crop(*frames[0].shape[:2], self.size, self.augment.scales, rng)
        mirrored = tuple(self.mirrors[label] for label in labels)
        flip = rng.random() < self.flip and -1 not in mirrored
        return crop_frames(frames, crop, self.size, flip), mirrored if flip else labels

    def distort(self, frames: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        """RandAugment of T frames, with one draw for all of them or one for each."""
        augment = self.augment
        count = len(frames) if augment.per_frame else 1
        draws = [rand_augment.draw(rng, augment.rand_operations, augment.rand_magnitude) for _ in range(count)]
        return [rand_augment.apply(frame, draws[index % count]) for index, frame in enumerate(frames)]


def crop_sizes(height: int, width: int, size: int, scales: Sequence[float]) -> list[tuple[int, int]]:
    """The (height, width) of the multi-scale crops: fractions of the short side, the two at most one scale apart.

    A side within 2 pixels of `size` becomes `size`, which spares resizing; the source does so even where the frame is
    smaller than that, and pads it.
    """
    short = min(height, width)
    sides = [max(1, int(short * scale)) for scale in scales]
    sides = [size if abs(side - size) < 3 and size <= short else side for side in sides]
    return [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]


def crop_corners(height: int, width: int) -> list[tuple[int, int]]:
    """(top, left) of the 13 crops that leave out `height` rows and `width` columns of the frame.

    On a grid of quarter steps, 5 x 5: corners, edge middles, centre, and the middles of the four quarters.
    """
    grid = [(i, j) for i in range(5) for j in range(5) if i % 2 == j % 2]
    return [(i * (height // 4), j * (width // 4)) for i, j in grid]


def draw_crop(
    height: int, width: int, size: int, scales: Sequence[float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A random crop (top, left, height, width) of frames [height, width]: a size, then one of its 13 places."""
    sizes = crop_sizes(height, width, size, scales)
    h, w = sizes[rng.integers(len(sizes))]
    corners = crop_corners(height - h, width - w)
    return *corners[rng.integers(len(corners))], h, w


def crop_frames(frames: Sequence[np.ndarray], crop: tuple[int, int, int, int], size: int, flip: bool) -> np.ndarray:
    """T frames [H, W, 3] uint8 -> [T, size, size, 3] uint8: cropped, resized bilinearly, maybe mirrored.

    The source resizes with Pillow, whose filter widens when it shrinks; OpenCV takes a fifth of the time. Enlarged, the
    two differ by one level at most; a short side of 256 is shrunk by 8/7 at most, some 45 dB apart on a photograph.
    """
    top, left, height, width = crop
    clip = np.empty((len(frames), size, size, 3), np.uint8)
    for index, frame in enumerate(frames):
        part = frame[top : top + height, left : left + width]
        resized = cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)
        clip[index] = cv2.flip(resized, 1) if flip else resized
    return clip
