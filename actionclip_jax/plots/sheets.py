"""Sheets (PNG): videos as strips of frames, a row each, with what a model makes of them."""

import contextlib
import io
import os
import pathlib
import typing
import warnings
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import matplotlib
import numpy as np
from matplotlib import axes, figure, font_manager

from actionclip_jax.data import class_names

if typing.TYPE_CHECKING:
    from actionclip_jax.inference import prediction as results

Row = TypeVar("Row")

ROWS_PER_PAGE = 12
COLUMNS = 8  # frames drawn side by side at most
BARS = 20  # labels drawn at most
# for labels in scripts that matplotlib's own font lacks; those that are installed are tried in turn
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Arial Unicode MS", "Microsoft YaHei")


def prediction_sheets(
    path: str | os.PathLike, predictions: Sequence["results.Prediction"], top: int
) -> list[pathlib.Path]:
    """Draws, a row a video, the frames the model saw and its ranked probabilities as bars.

    More than 12 videos go on to `name-2.png`, `name-3.png` and so on. The predictions need their images.
    """
    return draw_pages(path, predictions, lambda page, part: draw_page(page, part, top))


def clip_sheets(path: str | os.PathLike, clips: np.ndarray, titles: Sequence[str]) -> list[pathlib.Path]:
    """Draws clips [N, T, H, W, 3] uint8, a row each under its title, on pages of 12."""
    return draw_pages(path, list(zip(clips, titles, strict=True)), draw_clips)


def draw_pages(
    path: str | os.PathLike, rows: Sequence[Row], draw: Callable[[pathlib.Path, Sequence[Row]], None]
) -> list[pathlib.Path]:
    """Calls `draw(file, rows)` for each page; returns the files."""
    first, pages = pathlib.Path(path), []
    for start in range(0, len(rows), ROWS_PER_PAGE):
        number = start // ROWS_PER_PAGE + 1
        page = first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")
        page.parent.mkdir(parents=True, exist_ok=True)
        with any_letters():
            draw(page, rows[start : start + ROWS_PER_PAGE])
        pages.append(page)
    return pages


@contextlib.contextmanager
def any_letters() -> Generator[None]:
    """Within, texts are drawn as they are, in the fonts there are."""
    installed = set(font_manager.get_font_names())
    fonts = [font for font in FONTS if font in installed]
    with (
        matplotlib.rc_context({"font.family": fonts, "text.parse_math": False}),  # a $ in a label is a dollar
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # letters that no font has become boxes
        yield


def draw_clips(path: pathlib.Path, rows: Sequence[tuple[np.ndarray, str]]) -> None:
    """One page of `clip_sheets`."""
    page = figure.Figure(figsize=(12, 1.9 * len(rows)), layout="constrained")
    for strip, (frames, title) in zip(page.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        draw_strip(strip, frames)
        strip.set_title(title, fontsize=9, loc="left")
    page.savefig(path, dpi=100)


def draw_strip(strip: axes.Axes, frames: np.ndarray) -> np.ndarray:
    """At most 8 of the frames [T, H, W, 3] side by side; returns which."""
    shown = np.linspace(0, len(frames) - 1, min(COLUMNS, len(frames))).round().astype(int)
    gaps = ((0, 0), (0, 0), (0, 4), (0, 0))  # white, to the right of each frame
    strip.imshow(np.concatenate(np.pad(frames[shown], gaps, constant_values=255), axis=1))
    strip.set_axis_off()
    return shown


class Shown(figure.Figure):
    """A figure that a notebook shows by itself, whether or not it has set matplotlib up."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        with any_letters():
            self.savefig(data, format="png", dpi=100)
        return data.getvalue()


def prediction_figure(prediction: "results.Prediction", top: int) -> figure.Figure:
    """The row of `prediction_sheets` for one video, or its bars alone where the images were not kept."""
    height = row_height([prediction], top)
    with any_letters():
        if prediction.images is not None:
            drawn = Shown(figsize=(16, height), layout="constrained")
            draw_row(drawn, prediction, top)
        else:
            drawn = Shown(figsize=(8, height), layout="constrained")
            chart = drawn.subplots()
            chart.set_title(prediction.path, fontsize=9, loc="left")
            draw_bars(chart, prediction.top(min(top, BARS)))
    return drawn


def row_height(predictions: Sequence["results.Prediction"], top: int) -> float:
    """Inches that a row needs."""
    return max(1.6, 0.28 * min(top, BARS, max(len(p.class_names) for p in predictions))) + 0.5


def draw_page(path: pathlib.Path, predictions: Sequence["results.Prediction"], top: int) -> None:
    """One page of `prediction_sheets`."""
    height = row_height(predictions, top) * len(predictions)
    page = figure.Figure(figsize=(16, height), layout="constrained")
    rows = page.subfigures(len(predictions), 1, squeeze=False)[:, 0]
    for row, prediction in zip(rows, predictions, strict=True):
        if prediction.images is None:
            raise ValueError(f"{prediction.path}: the prediction did not keep the images it was made from")
        draw_row(row, prediction, top)
    page.savefig(path, dpi=100)


def draw_row(row: figure.FigureBase, prediction: "results.Prediction", top: int) -> None:
    """The frames, which were kept, beside the ranked probabilities."""
    strip, chart = row.subplots(1, 2, width_ratios=(3, 2))
    shown = draw_strip(strip, typing.cast(np.ndarray, prediction.images))
    first, last = shown[0], shown[-1]
    numbers, times = prediction.frames[0], prediction.timestamps[0]
    span = f"frames {numbers[first]} to {numbers[last]}"
    if not np.isnan(times).any():
        span = f"{times[first]:.1f} s to {times[last]:.1f} s"
    note = f"\n{prediction.note}" if prediction.note else ""
    strip.set_title(f"{prediction.path}\n{span}{note}", fontsize=9, loc="left")
    draw_bars(chart, prediction.top(min(top, BARS)))


def draw_bars(chart: axes.Axes, ranked: Sequence[tuple[str, float]]) -> None:
    """Horizontal bars of (label, probability), best on top."""
    labels, values = zip(*ranked, strict=True)
    bars = chart.barh(range(len(labels)), values, color=["tab:blue"] + ["lightsteelblue"] * (len(labels) - 1))
    chart.bar_label(bars, [f"{value:.1%}" for value in values], padding=3, fontsize=9)
    chart.set_yticks(range(len(labels)), [class_names.shorten(label) for label in labels], fontsize=9)
    chart.invert_yaxis()
    chart.set_xlim(0, 1.12)
    chart.set_xticks([])
    chart.spines[["top", "right", "bottom"]].set_visible(False)
