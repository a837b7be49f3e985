"""Charts (PNG) of numbers people would rather see than read."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import axes, figure, ticker

from actionclip_jax.plots import fonts

NAMED = 120  # classes that are named at most
COUNTED = 30  # classes of a confusion matrix that has room for numbers


def training_curves(path: str | os.PathLike, rows: Sequence[dict[str, Any]], seconds: Mapping[str, float]) -> None:
    """Draws loss, accuracy and learning rate over the epochs, from the rows of a metrics.jsonl, and where time went."""
    steps = [row for row in rows if "loss" in row]
    tests = [row for row in rows if "evaluation" in row]
    page = figure.Figure(figsize=(19, 4.2), layout="constrained")
    loss, accuracy, learning_rate, time = page.subplots(1, 4)
    epochs = [row["epoch"] for row in steps]
    loss.plot(epochs, [row["loss"] for row in steps])
    loss.set_title("loss")
    if steps:
        for name, style in (("video_to_text", "-"), ("text_to_video", ":")):
            if f"top1/{name}" in steps[0]:
                label = f"within training batches, {name.replace('_', ' ')}"
                accuracy.plot(
                    epochs, [row[f"top1/{name}"] for row in steps], style, color="lightsteelblue", label=label
                )
        draw_learning_rates(learning_rate, steps)
    for name in tests[-1]["evaluation"] if tests else ():
        measured = [row for row in tests if name in row["evaluation"]]
        score = next(iter(measured[-1]["evaluation"][name]))
        values = [row["evaluation"][name][score] for row in measured]
        accuracy.plot([row["epoch"] for row in measured], values, "o-", label=f"{name}, {score.replace('_', ' ')}")
    accuracy.set(title="accuracy", ylim=(0, 1.02))
    learning_rate.set(title="learning rate", yscale="log" if any(row["learning_rate"] for row in steps) else "linear")
    if learning_rate.get_yscale() == "log":  # 1e-05, as settings are written
        learning_rate.yaxis.set_major_formatter(ticker.LogFormatter())
        learning_rate.yaxis.set_minor_formatter(ticker.LogFormatter(labelOnlyBase=False, minor_thresholds=(1, 0.5)))
    bars = time.barh([name.replace("_", " ") for name in seconds], list(seconds.values()), color="steelblue")
    time.bar_label(bars, [f"{value / max(sum(seconds.values()), 1e-9):.1%}" for value in seconds.values()], padding=3)
    time.set(title="where the time went", xlabel="seconds")
    time.margins(x=0.15)
    time.invert_yaxis()
    for chart in (loss, accuracy, learning_rate):
        chart.set_xlabel("epoch")
        chart.grid(alpha=0.3)
        if chart.get_legend_handles_labels()[0]:
            chart.legend(fontsize=8)
    fonts.save(page, path)


def draw_learning_rates(chart: axes.Axes, steps: Sequence[dict[str, Any]]) -> None:
    """A line for each learning rate of the rows, which bears the names of all parts that have it."""
    lines: dict[tuple[float, ...], list[str]] = {}
    for name in (name for name in steps[0] if name.startswith("learning_rate/")):
        lines.setdefault(tuple(row[name] for row in steps), []).append(name.split("/", 1)[1].replace("_", " "))
    for values, names in lines.items():
        chart.plot([row["epoch"] for row in steps], values, label=", ".join(names))


def confusion_matrix(
    path: str | os.PathLike, labels: Sequence[str], targets: np.ndarray, predicted: np.ndarray
) -> None:
    """Draws which class [N] clips of each class [N] are taken for, as shares of the clips of the class.

    Of few classes the numbers of clips stand in the cells.
    """
    counts = np.zeros((len(labels), len(labels)), int)
    np.add.at(counts, (targets, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 4 + 0.16 * len(labels)
    page = figure.Figure(figsize=(side + 1, side), layout="constrained")
    chart = page.subplots()
    image = chart.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    page.colorbar(image, ax=chart, shrink=0.5, label="share of the clips of a class")
    if len(labels) <= NAMED:
        chart.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
        chart.set_yticks(range(len(labels)), labels, fontsize=7)
    if len(labels) <= COUNTED:
        size = 10 if len(labels) <= 12 else 7
        for row, column in np.argwhere(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            chart.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=color, fontsize=size)
    accuracy = float((targets == predicted).mean()) if len(targets) else float("nan")
    chart.set(title=f"{accuracy:.1%} of {len(targets)} clips right", xlabel="predicted", ylabel="true")
    fonts.save(page, path)


def class_bars(
    path: str | os.PathLike, labels: Sequence[str], values: np.ndarray, title: str, clips: np.ndarray
) -> None:
    """Draws a score [C] of each class beside its number of clips [C], the best on top.

    Classes without a score (NaN) are left out, and said.
    """
    order = [index for index in np.argsort(-values, kind="stable") if not np.isnan(values[index])]
    page = figure.Figure(figsize=(9, 1.5 + 0.16 * len(order)), layout="constrained")
    chart = page.subplots()
    chart.barh(range(len(order)), values[order], color="steelblue")
    if len(order) <= 4 * NAMED:
        names = [f"{labels[index]} ({clips[index]:,})" for index in order]
        chart.set_yticks(range(len(order)), names, fontsize=7)
    mean = float(values[order].mean()) if order else float("nan")
    chart.axvline(mean, color="black", linewidth=0.8)
    left_out = f"; {empty} of {len(labels)} classes have no clips" if (empty := len(labels) - len(order)) else ""
    chart.set(title=f"{title} (clips in brackets)", xlim=(0, 1), xlabel=f"the line is the mean, {mean:.1%}{left_out}")
    chart.xaxis.set_major_formatter(ticker.PercentFormatter(1))
    chart.margins(y=0.01)
    chart.invert_yaxis()
    fonts.save(page, path)


def coverage_curve(
    path: str | os.PathLike, thresholds: np.ndarray, coverage: np.ndarray, accuracy: np.ndarray, threshold: float | None
) -> None:
    """Draws selective accuracy over coverage [N]: what would be right if the model answered only where it is sure.

    Coverage is the share of the clips that get an answer, selective accuracy the share of right ones among these. The
    threshold chosen is marked, if one is.
    """
    page = figure.Figure(figsize=(7, 5), layout="constrained")
    chart = page.subplots()
    chart.plot(coverage, accuracy, label="selective accuracy: share of the answers that are right")
    chart.plot(coverage, thresholds, "--", color="grey", label="threshold: the least probability that is answered")
    if threshold is not None:
        share = float((thresholds >= threshold).mean())
        right = f", {accuracy[round(share * len(thresholds)) - 1]:.1%} of these right" if share else ""
        label = f"threshold {threshold:g}: {share:.1%} answered{right}"
        chart.axvline(share, color="black", linewidth=0.8, label=label)
    chart.set(
        title=f"selective accuracy ({accuracy[-1]:.1%} where every clip is answered)",
        xlabel="coverage: share of the clips that are answered, the surest first",
        ylabel="selective accuracy, threshold",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    for scale in (chart.xaxis, chart.yaxis):
        scale.set_major_formatter(ticker.PercentFormatter(1))
    chart.grid(alpha=0.3)
    chart.legend(fontsize=8)
    fonts.save(page, path)


def shots_curve(
    path: str | os.PathLike,
    shots: Sequence[int],
    means: Sequence[float],
    deviations: Sequence[float],
    published_shots: Sequence[int],
    published: Mapping[str, Sequence[float]],
    chance: float,
) -> None:
    """Draws accuracy (0 to 1) over clips of a class, the chance level, and published curves (percent) by method."""
    page = figure.Figure(figsize=(8, 5.5), layout="constrained")
    chart = page.subplots()
    chart.errorbar(shots, means, deviations, fmt="o-", capsize=3, linewidth=2, label="this model")
    for method, values in published.items():
        chart.plot(published_shots, np.asarray(values) / 100, "s--", alpha=0.7, label=method)
    chart.axhline(chance, color="grey", linestyle=":", label=f"by chance, {chance:.1%}")
    chart.set_xscale("log", base=2)
    chart.set_xticks(list(shots), [str(shot) for shot in shots])
    chart.set(title="few-shot top-1", xlabel="training clips of a class", ylim=(0, 1.02))
    chart.grid(alpha=0.3)
    chart.legend(fontsize=8)
    fonts.save(page, path)


def interpolation_curve(
    path: str | os.PathLike, shares: Sequence[float], scores: Mapping[str, Sequence[float]]
) -> None:
    """Draws the score of each data set over the share of the second weights and, of two sets, one over the other."""
    page = figure.Figure(figsize=(12 if len(scores) == 2 else 7, 5), layout="constrained")
    charts = page.subplots(1, 2 if len(scores) == 2 else 1, squeeze=False)[0]
    for name, values in scores.items():
        charts[0].plot(shares, values, "o-", label=name)
    charts[0].set(title="weights between two checkpoints", xlabel="share of the second", ylabel="score")
    charts[0].legend(fontsize=8)
    if len(scores) == 2:
        (first, firsts), (second, seconds) = scores.items()
        charts[1].plot(firsts, seconds, "o-")
        for share, *point in zip(shares, firsts, seconds, strict=True):
            charts[1].annotate(f"{share:g}", point, textcoords="offset points", xytext=(4, 4), fontsize=8)
        charts[1].set(title="one against the other", xlabel=first, ylabel=second)
    for chart in charts:
        chart.grid(alpha=0.3)
    fonts.save(page, path)


def sweep(path: str | os.PathLike, reports: Sequence[dict[str, Any]]) -> None:
    """Draws memory and speed over the clips a device, a line for each remat policy and mesh of `actionclip compile`."""
    page = figure.Figure(figsize=(12, 4.6), layout="constrained")
    memory, speed = page.subplots(1, 2)
    lines: dict[str, list[dict[str, Any]]] = {}
    for report in sorted(reports, key=lambda one: one["batch"]["clips_per_device"]):
        mesh = report["topology"]["mesh"]
        axes = "".join(f", {name} {mesh[name]}" for name in ("fsdp", "model") if mesh[name] > 1)
        lines.setdefault(f"remat {report['compute']['remat']}{axes}", []).append(report)
    for label, line in lines.items():
        clips = [one["batch"]["clips_per_device"] for one in line]
        (drawn,) = memory.plot(clips, [one["memory"]["wanted"] / 2**30 for one in line], "o-", label=label)
        timed = [one for one in line if one["fits"] and "clips_per_second" in one]
        rates = [one["clips_per_second"] / one["topology"]["devices"] for one in timed]
        speed.plot(
            [one["batch"]["clips_per_device"] for one in timed], rates, "o-", color=drawn.get_color(), label=label
        )
    memory.axhline(reports[0]["memory"]["available"] / 2**30, color="grey", linestyle="--", label="available")
    memory.set(title="memory of a device", xlabel="clips a device", ylabel="GiB", xscale="log")
    memory.set_ylim(bottom=0)
    speed.set(title="estimated clips/s of a device", xlabel="clips a device", xscale="log")
    for axes in (memory, speed):
        axes.set_xticks(sorted({one["batch"]["clips_per_device"] for one in reports}))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    memory.legend(fontsize="small")
    topology = reports[0]["topology"]
    page.suptitle(f"{topology['devices']} x {topology['accelerator']}, {reports[0]['batch']['frames']} frames")
    fonts.save(page, path)


def breakdown(path: str | os.PathLike, rows: Sequence[dict[str, Any]]) -> None:
    """Draws where a compiled step's time goes: a bar for each part of the model, divided by kind of work."""
    page = figure.Figure(figsize=(11, 4.6), layout="constrained")
    chart = page.subplots()
    parts, kinds = (list(dict.fromkeys(row[name] for row in rows)) for name in ("part", "kind"))
    spent = np.zeros((len(kinds), len(parts)))  # milliseconds
    for row in rows:
        spent[kinds.index(row["kind"]), parts.index(row["part"])] += 1000 * row["seconds"]
    for kind, bars, start in zip(kinds, spent, np.cumsum(spent, axis=0) - spent, strict=True):
        chart.barh(parts, bars, left=start, label=f"{kind}: {bars.sum():.1f} ms")
    chart.set(title=f"where {spent.sum():.1f} ms of a step go, as the compiler estimates them", xlabel="milliseconds")
    chart.invert_yaxis()
    chart.grid(axis="x", alpha=0.3)
    chart.legend(fontsize=8)
    fonts.save(page, path)
