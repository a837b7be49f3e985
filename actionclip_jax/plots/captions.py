"""Captions of videos: a label with its probability and a bar, on a dark strip."""

import dataclasses
from typing import Any

import numpy as np
from matplotlib import figure, patches, text
from matplotlib.backends import backend_agg

from actionclip_jax.plots import fonts

HEIGHT = 0.13  # of the strip, as a part of the picture's height
LEAST, MOST = 24, 120  # pixels
BACKGROUND = (0, 0, 0, 0.6)
SURE, UNSURE = "white", (1, 1, 1, 0.55)  # letters
TRACK = (1, 1, 1, 0.25)  # what a bar fills


@dataclasses.dataclass(frozen=True)
class Caption:
    """What a strip says."""

    label: str
    probability: float | None  # no bar where it is None
    threshold: float  # marked on the bar
    color: tuple[float, ...]  # of the bar
    sure: bool  # whether the label is the current one, or merely the best


def draw_strip(caption: Caption, height: int, width: int, families: list[str]) -> np.ndarray:
    """The strip [h, width, 4] uint8 RGBA at the bottom of a picture [height, width], in fonts of these families."""
    rows = min(height, max(LEAST, min(MOST, round(HEIGHT * height))))
    page = figure.Figure(figsize=(width, rows), dpi=1)
    canvas = backend_agg.FigureCanvasAgg(page)
    page.patch.set_alpha(0)
    page.add_artist(patches.Rectangle((0, 0), 1, 1, facecolor=BACKGROUND, transform=page.transFigure))
    margin = 0.2 * rows / width  # of the figure's width, as all x below
    letters = SURE if caption.sure else UNSURE
    with fonts.in_use(families):
        size = 72 * max(6.0, 0.42 * rows)  # points, of which a "dot" of this figure has 72
        how: dict[str, Any] = {"y": 0.66, "va": "center_baseline", "fontsize": size, "color": letters}
        end = 1 - margin
        if caption.probability is not None:
            percent = page.text(end, s=f"{caption.probability:.0%}", ha="right", **how)
            end -= measure(percent, canvas) / width + margin
            draw_bar(page, caption, margin, rows)
        fit(page.text(margin, s=caption.label, ha="left", **how), canvas, (end - margin) * width)
        canvas.draw()
    return np.array(canvas.buffer_rgba())


def draw_bar(page: figure.Figure, caption: Caption, margin: float, rows: int) -> None:
    """The probability as a part of the width, and where the threshold is."""
    whole, bottom, thick = 1 - 2 * margin, 0.16, 0.14
    color = caption.color if caption.sure else UNSURE
    for share, shade in ((1.0, TRACK), (caption.probability or 0.0, color)):
        bar = patches.Rectangle((margin, bottom), share * whole, thick, facecolor=shade, transform=page.transFigure)
        page.add_artist(bar)
    place, line = margin + caption.threshold * whole, max(1.0, rows / 40) / page.get_figwidth()
    mark = patches.Rectangle((place - line / 2, bottom - 0.06), line, thick + 0.12, transform=page.transFigure)
    mark.set_facecolor("white")
    page.add_artist(mark)


def measure(drawn: text.Text, canvas: backend_agg.FigureCanvasAgg) -> float:
    """The width of a text in pixels."""
    return drawn.get_window_extent(canvas.get_renderer()).width


def fit(drawn: text.Text, canvas: backend_agg.FigureCanvasAgg, width: float) -> None:
    """Makes a text smaller, down to two thirds, and then shorter, until it has this width in pixels."""
    width = max(width, 0.0)
    if (wide := measure(drawn, canvas)) > width:
        drawn.set_fontsize(float(drawn.get_fontsize()) * max(2 / 3, width / wide))
    label = drawn.get_text()
    while label and measure(drawn, canvas) > width:
        label = label[: min(len(label) - 1, int(len(label) * width / measure(drawn, canvas)))]
        drawn.set_text(f"{label.rstrip()}…")


def blend(image: np.ndarray, strip: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 with a strip [h, W, 4] over its last rows."""
    image, rows = image.copy(), len(strip)
    alpha = strip[..., 3:].astype(np.uint16)
    below = image[-rows:].astype(np.uint16) * (255 - alpha)
    image[-rows:] = ((below + strip[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    return image
