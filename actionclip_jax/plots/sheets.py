"""Sheets (PNG): videos as strips of frames, a row each, with what a model makes of them."""

import dataclasses
import io
import os
import pathlib
import typing
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from matplotlib import axes, figure

from actionclip_jax.data import class_names
from actionclip_jax.plots import fonts

if typing.TYPE_CHECKING:
    from actionclip_jax.inference import prediction as results

Part = TypeVar("Part")

ROWS_PER_PAGE = 12
COLUMNS = 8  # frames drawn side by side at most
BARS = 20  # labels drawn at most
BEST, RIGHT, OTHER = "tab:blue", "tab:green", "lightsteelblue"  # bars


@dataclasses.dataclass(frozen=True)
class Row:
    """A video beside what a model says of it."""

    title: str
    images: np.ndarray  # [T, H, W, 3] uint8
    ranked: Sequence[tuple[str, float]]  # labels with their probabilities, best first
    right: Sequence[str] = ()  # labels that are true, where that is known

    @property
    def height(self) -> float:
        """Inches that the row needs."""
        return max(1.6, 0.28 * len(self.ranked)) + 0.3 + 0.15 * (1 + self.title.count("\n"))


def prediction_sheets(
    path: str | os.PathLike, predictions: Sequence["results.Prediction"], top: int, views: tuple[int, int] = (1, 1)
) -> list[pathlib.Path]:
    """Draws, a row a video, the frames the model saw and its ranked probabilities as bars.

    Of several `views` (T, S) one is drawn, and named. The predictions need their images. The rest is as in
    `row_sheets`.
    """
    return row_sheets(path, [prediction_row(one, top, views) for one in predictions])


def prediction_row(prediction: "results.Prediction", top: int, views: tuple[int, int]) -> Row:
    """The row of one video. Raises ValueError for a prediction without its images."""
    if prediction.images is None:
        raise ValueError(f"{prediction.path}: the prediction did not keep the images it was made from")
    numbers, times = prediction.frames[0], prediction.timestamps[0]
    span = f"frames {numbers[0]} to {numbers[-1]}"
    if not np.isnan(times).any():
        span = f"{times[0]:.1f} s to {times[-1]:.1f} s"
    lines = [prediction.path, f"{span}{describe_view(views)}", prediction.remark, prediction.note]
    return Row("\n".join(filter(None, lines)), prediction.images, prediction.top(min(top, BARS)))


def describe_view(views: tuple[int, int]) -> str:
    """Which of (T, S) views is drawn, for the end of a title: the first clip, and its middle crop; empty for one."""
    clips, crops = views
    parts = [f"clip 1 of {clips}"] if clips > 1 else []
    parts += [f"crop {(crops - 1) // 2 + 1} of {crops}"] if crops > 1 else []
    return f"; shown is {', '.join(parts)}, the probabilities are the mean of all" if parts else ""


def row_sheets(path: str | os.PathLike, rows: Sequence[Row]) -> list[pathlib.Path]:
    """Draws rows; more than 12 go on to `name-2.png`, `name-3.png` and so on. Returns the files."""
    return draw_pages(path, rows, draw_rows)


def clip_sheets(path: str | os.PathLike, clips: np.ndarray, titles: Sequence[str]) -> list[pathlib.Path]:
    """Draws clips [N, T, H, W, 3] uint8, a row each under its title, on pages of 12."""
    return draw_pages(path, list(zip(clips, titles, strict=True)), draw_clips)


def draw_pages(
    path: str | os.PathLike, parts: Sequence[Part], draw: Callable[[pathlib.Path, Sequence[Part]], None]
) -> list[pathlib.Path]:
    """Calls `draw(file, parts)` for each page; returns the files."""
    first, pages = pathlib.Path(path), []
    for start in range(0, len(parts), ROWS_PER_PAGE):
        number = start // ROWS_PER_PAGE + 1
        page = first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")
        page.parent.mkdir(parents=True, exist_ok=True)
        draw(page, parts[start : start + ROWS_PER_PAGE])
        pages.append(page)
    return pages


def draw_clips(path: pathlib.Path, rows: Sequence[tuple[np.ndarray, str]]) -> None:
    """One page of `clip_sheets`."""
    page = figure.Figure(figsize=(12, 1.9 * len(rows)), layout="constrained")
    for strip, (frames, title) in zip(page.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        draw_strip(strip, frames, title)
    fonts.save(page, path)


def draw_strip(strip: axes.Axes, frames: np.ndarray, title: str) -> None:
    """At most 8 of the frames [T, H, W, 3] side by side, under a title that says so where these are not all."""
    shown = np.linspace(0, len(frames) - 1, min(COLUMNS, len(frames))).round().astype(int)
    gaps = ((0, 0), (0, 0), (0, 4), (0, 0))  # white, to the right of each frame
    strip.imshow(np.concatenate(np.pad(frames[shown], gaps, constant_values=255), axis=1))
    strip.set_axis_off()
    part = f" ({len(shown)} of {len(frames)} frames)" if len(shown) < len(frames) else ""
    strip.set_title(f"{title}{part}", fontsize=9, loc="left")


class Shown(figure.Figure):
    """A figure that a notebook shows by itself, whether or not it has set matplotlib up."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        fonts.save(self, data)
        return data.getvalue()


def prediction_figure(prediction: "results.Prediction", top: int) -> figure.Figure:
    """The row of `prediction_sheets` for one video, or its bars alone where the images were not kept."""
    if prediction.images is not None:
        row = prediction_row(prediction, top, (len(prediction.frames), 1))  # how many crops there were is not kept
        drawn = Shown(figsize=(16, row.height), layout="constrained")
        draw_row(drawn, row)
        return drawn
    title = "\n".join(filter(None, [prediction.path, prediction.remark]))
    row = Row(title, np.zeros(0, np.uint8), prediction.top(min(top, BARS)))
    drawn = Shown(figsize=(8, row.height), layout="constrained")
    chart = drawn.subplots()
    chart.set_title(row.title, fontsize=9, loc="left")
    draw_bars(chart, row)
    return drawn


def draw_rows(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """One page of `row_sheets`."""
    heights = [row.height for row in rows]
    page = figure.Figure(figsize=(16, sum(heights)), layout="constrained")
    places = page.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for place, row in zip(places, rows, strict=True):
        draw_row(place, row)
    fonts.save(page, path)


def draw_row(place: figure.FigureBase, row: Row) -> None:
    """The frames beside the ranked probabilities."""
    strip, chart = place.subplots(1, 2, width_ratios=(3, 2))
    draw_strip(strip, row.images, row.title)
    draw_bars(chart, row)


def draw_bars(chart: axes.Axes, row: Row) -> None:
    """Horizontal bars of the ranked labels, best on top; those that are right are green."""
    labels, values = zip(*row.ranked, strict=True)
    colors = [RIGHT if label in row.right else OTHER if place else BEST for place, label in enumerate(labels)]
    bars = chart.barh(range(len(labels)), values, color=colors)
    chart.bar_label(bars, [f"{value:.1%}" for value in values], padding=3, fontsize=9)
    chart.set_yticks(range(len(labels)), [class_names.shorten(label) for label in labels], fontsize=9)
    chart.invert_yaxis()
    chart.set_xlim(0, 1.12)
    chart.set_xticks([])
    chart.spines[["top", "right", "bottom"]].set_visible(False)
