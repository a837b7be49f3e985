"""Copies of videos that say in every frame what the model sees at that time."""

import os
import pathlib
import typing

import numpy as np

from actionclip_jax import progress
from actionclip_jax.data.video import rewrite
from actionclip_jax.plots import captions, fonts, timelines

if typing.TYPE_CHECKING:
    from actionclip_jax.inference import timeline

NOT_SCORED = "not scored: frames came too late"


def annotate(one: "timeline.Timeline", destination: str | os.PathLike) -> str | None:
    """Writes a copy of a timeline's video with the current label, a bar and the probability in each frame.

    Returns and raises what `video.rewrite` does.
    """
    done = progress.Progress(f"{pathlib.Path(one.path).name} (seconds drawn)", float(one.bounds[-1]))
    families, missing = fonts.choose(letter for label in one.labels for letter in label if not letter.isspace())
    fonts.tell_missing(missing, os.fspath(destination))
    captioner = Captioner(one, families)

    def draw(image: np.ndarray, seconds: float) -> np.ndarray:
        done.move_to(min(seconds, float(one.bounds[-1])))
        return captioner(image, seconds)

    note = rewrite.rewrite(one.path, destination, draw)
    done.finish()
    return note


class Captioner:
    """Draws what a timeline says into frames; a strip is drawn once for each window."""

    def __init__(self, one: "timeline.Timeline", families: list[str]) -> None:
        self.one, self.families = one, families
        self.current = np.concatenate([np.full(end - first, label) for label, first, end in one.runs])  # [W]
        self.colors = {
            label: timelines.COLORS[place % len(timelines.COLORS)]
            for place, label in enumerate(timelines.rank_over_time(one))
        }
        self._drawn: tuple[tuple[int, int, int], np.ndarray] | None = None  # window, size -> strip

    def __call__(self, image: np.ndarray, seconds: float) -> np.ndarray:
        """[H, W, 3] uint8 -> the same with the caption of that time."""
        window = int(np.clip(np.searchsorted(self.one.bounds, seconds, side="right") - 1, 0, len(self.current) - 1))
        key = (window, *image.shape[:2])
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = (key, captions.draw_strip(self.caption(window), *image.shape[:2], self.families))
        return captions.blend(image, self._drawn[1])

    def caption(self, window: int) -> captions.Caption:
        """What is said of a window: the current label, or the best one where none is current."""
        row, current = self.one.smooth[window], int(self.current[window])
        if np.isnan(row).any():
            return captions.Caption(NOT_SCORED, None, self.one.threshold, (), sure=False)
        shown = current if current >= 0 else int(row.argmax())
        label = self.one.labels[shown]
        color = self.colors.get(label, timelines.COLORS[0])
        return captions.Caption(label, float(row[shown]), self.one.threshold, color, sure=current >= 0)
