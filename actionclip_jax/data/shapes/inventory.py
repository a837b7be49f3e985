"""Which videos the embedded sample data set consists of.

Of the 6 x 3 combinations of color and shape 6 are held out with all their 4 directions, so that a model which
understands the words can be told from one that has learnt the labels. Stills are image-text pairs, for training the
towers beforehand; they show every color and shape, at rest.
"""

import dataclasses
import itertools

from actionclip_jax import config
from actionclip_jax.data.shapes import drawing

SPLITS = ("train", "test", "unseen", "stills")
SIDES = {"left": "on the left", "right": "on the right", "up": "at the top", "down": "at the bottom"}


@dataclasses.dataclass(frozen=True)
class File:
    """A video of the set."""

    place: str  # below its directory
    words: tuple[str, str, str]  # color, shape and direction
    moves: bool
    seed: tuple[int, ...]

    @property
    def label(self) -> str:
        """`a red square moving left`, or of a still `a red square on the left`."""
        color, shape, direction = self.words
        return f"a {color} {shape} {f'moving {direction}' if self.moves else SIDES[direction]}"


def list_classes(split: str) -> list[tuple[str, str, str]]:
    """The words of every class: color, shape and direction."""
    chosen = []
    for (number, color), (other, shape) in itertools.product(enumerate(drawing.COLORS), enumerate(drawing.SHAPES)):
        held_out = (number + other) % len(drawing.SHAPES) == 0  # one shape of each color, two colors of each shape
        if split == "stills" or held_out == (split == "unseen"):
            chosen += [(color, shape, direction) for direction in drawing.DIRECTIONS]
    return chosen


def list_files(split: str, settings: config.SampleSetConfig) -> list[File]:
    """All files of a split, class by class."""
    counts = (settings.train_clips, settings.test_clips, settings.unseen_clips, settings.still_clips)
    part = SPLITS.index(split)
    return [
        File(
            f"videos/{split}/{'_'.join(words)}_{clip:03d}.mp4",
            words,
            split != "stills",
            (settings.seed, part, number, clip),
        )
        for number, words in enumerate(list_classes(split))
        for clip in range(counts[part])
    ]
