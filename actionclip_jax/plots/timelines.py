"""Sheets (PNG) of timelines: the probabilities of labels over a video, and the segments they make."""

import collections
import os
import pathlib
import typing
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import axes, colormaps, figure, layout_engine, ticker

from actionclip_jax.data import class_names
from actionclip_jax.data.video import times
from actionclip_jax.plots import fonts, sheets

if typing.TYPE_CHECKING:
    from actionclip_jax.inference import timeline

VISIBLE = 0.03  # probability that a label needs at some time to be drawn
COLORS = [colormaps["tab20"](shade) for shade in (*range(0, 20, 2), *range(1, 20, 2))]  # strong ones first
OTHERS = "lightgrey"


def timeline_sheets(path: str | os.PathLike, timelines: Sequence["timeline.Timeline"], top: int) -> list[pathlib.Path]:
    """Draws, a chart a video, the probabilities of the `top` labels that matter most over time, and the segments.

    More than 12 videos go on to `name-2.png` and so on.
    """
    return sheets.draw_pages(path, timelines, lambda page, part: draw_timelines(page, part, top))


def draw_timelines(path: pathlib.Path, timelines: Sequence["timeline.Timeline"], top: int) -> None:
    """One page of `timeline_sheets`."""
    lines = min(top, max(len(one.labels) for one in timelines))
    touching = layout_engine.ConstrainedLayoutEngine(hspace=0)  # a video's chart and segments belong together
    page = figure.Figure(figsize=(16, max(2.8, 0.8 + 0.2 * lines) * len(timelines)), layout=touching)
    rows = page.subfigures(len(timelines), 1, squeeze=False)[:, 0]
    for row, one in zip(rows, timelines, strict=True):
        chart, strip = row.subplots(2, 1, sharex=True, height_ratios=(10, 1))
        labels = rank_over_time(one)[:top]
        colors = {label: COLORS[place % len(COLORS)] for place, label in enumerate(labels)}
        draw_probabilities(chart, one, colors)
        draw_segments(strip, one, colors)
        row.legend(loc="outside right upper", fontsize=9, frameon=False)
    fonts.save(page, path)


def draw_probabilities(chart: axes.Axes, one: "timeline.Timeline", colors: Mapping[str, tuple[float, ...]]) -> None:
    """A line for each label that has a color: the one that decides about segments, and faintly what it smooths."""
    for label, color in colors.items():
        number = one.labels.index(label)
        if one.median > 1:
            chart.stairs(one.probabilities[:, number], one.bounds, baseline=None, color=color, linewidth=0.8, alpha=0.4)
        column = one.smooth[:, number]
        chart.stairs(column, one.bounds, baseline=None, color=color, linewidth=1.6, label=class_names.shorten(label))
    if any(part.label not in colors for part in one.segments):
        chart.plot([], color=OTHERS, linewidth=6, label="other labels")
    chart.axhline(one.threshold, color="grey", linewidth=0.8, linestyle=":")
    chart.set(ylim=(0, 1.03), xlim=one.bounds[[0, -1]])
    chart.tick_params(bottom=False, labelbottom=False)
    chart.grid(alpha=0.3)
    chart.spines[["top", "right"]].set_visible(False)
    chart.set_title("\n".join(filter(None, [one.path, one.remark, one.note])), fontsize=9, loc="left")


def draw_segments(strip: axes.Axes, one: "timeline.Timeline", colors: Mapping[str, tuple[float, ...]]) -> None:
    """A bar for each segment, over a scale of minutes and seconds."""
    spans = [(part.start, part.end - part.start) for part in one.segments]
    strip.broken_barh(spans, (0, 1), facecolors=[colors.get(part.label, OTHERS) for part in one.segments])
    strip.set(ylim=(0, 1), yticks=[])
    strip.spines[["top", "right", "left"]].set_visible(False)
    length = one.bounds[-1] - one.bounds[0]
    steps = (1, 1.5, 3, 6, 10) if length > 60 else (1, 2, 5, 10)  # whole minutes from 10 min on
    strip.xaxis.set_major_locator(ticker.MaxNLocator(12, steps=steps))
    decimals = 0 if length > 12 else 1
    strip.xaxis.set_major_formatter(lambda seconds, place: times.clock(seconds, decimals))


def rank_over_time(one: "timeline.Timeline") -> list[str]:
    """The labels with the longest segments first, then others by mean probability; without those never to be seen."""
    lasting: dict[str, float] = collections.defaultdict(float)  # seconds
    for part in one.segments:
        lasting[part.label] += part.end - part.start
    scored = one.probabilities[~np.isnan(one.probabilities[:, 0])]
    scored = scored if len(scored) else np.zeros_like(one.probabilities[:1])
    means, peaks = scored.mean(axis=0), scored.max(axis=0)
    ranked = sorted(range(len(means)), key=lambda label: (lasting[one.labels[label]], means[label]), reverse=True)
    return [one.labels[label] for label in ranked if peaks[label] >= VISIBLE or label == ranked[0]]
