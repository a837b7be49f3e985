"""The embedded default from beginning to end: sample videos, training, zero-shot evaluation, and a control."""

import dataclasses
import json
import logging
import pathlib
import time
from typing import Any

import numpy as np

from actionclip_jax import config, files
from actionclip_jax.config import config_file
from actionclip_jax.evaluation import scoring
from actionclip_jax.plots import charts
from actionclip_jax.training import loop

logger = logging.getLogger(__name__)

PREPARED = {"data.train": "train", "pretrain.source": "stills"}  # splits decoded once for all epochs
AXES = (("left", "right"), ("up", "down"))
OPPOSITE = dict((*AXES, *((second, first) for first, second in AXES)))
WORDS = {"color": 1, "shape": 2, "direction": -1}  # where they stand in `a red square moving left`


def run_demo(run: config.TrainConfig) -> dict[str, Any]:
    """Trains what the configuration says and a control without a temporal head; returns the report.

    WORKDIR then holds, beside what training leaves, report.json and a confusion matrix for each data set. Raises
    `loop.Interrupted` where a run is asked to stop; the same call goes on.
    """
    begin, workdir = time.perf_counter(), pathlib.Path(run.workdir)
    outcome = loop.train_whole(run)
    logger.info("the control, half as long, with the mean over the frames in the place of the temporal transformer:")
    control = loop.train_whole(control_of(run))
    report: dict[str, Any] = {"seed": run.seed}
    for name, scores in outcome.scores.items():
        picture = workdir / f"confusion_{name}.png"
        charts.confusion_matrix(picture, scores.labels, scores.targets, scores.probabilities.argmax(axis=1))
        report[name] = {
            run.model.temporal.head: describe(scores),
            "meanP": describe(control.scores[name]),
            "picture": str(picture),
        }
    report["seconds"] = round(time.perf_counter() - begin, 1)
    files.write_text(workdir / "report.json", json.dumps(report, indent=2) + "\n")
    return report


def sample_run(config_name: str, out: pathlib.Path, seed: int = 0) -> config.TrainConfig:
    """The run of a configuration with everything below `out`, on the records that PREPARED says."""
    changes: dict[str, Any] = {"workdir": out, "seed": seed, "data.loader.seed": seed}
    changes |= {f"data.{part}.path": out / "data" for part in ("test", "zero_shot")}
    for source, split in PREPARED.items():
        changes |= {f"{source}.path": records(out, split), f"{source}.kind": "records", f"{source}.split": ""}
    return config_file.load(config_name, [f"{config_file.PREFIX}{name}={value}" for name, value in changes.items()])


def records(out: pathlib.Path, split: str) -> pathlib.Path:
    """Where a split of the sample videos is once it is decoded."""
    return out / "shards" / split


def control_of(run: config.TrainConfig) -> config.TrainConfig:
    """The run for half as long, from the same pre-trained towers, but without a temporal head."""
    workdir, change = pathlib.Path(run.workdir), dataclasses.replace
    half = {name: getattr(run.optim, name) / 2 for name in ("epochs", "warmup_epochs")}
    return change(
        run,
        model=change(run.model, temporal=config.TemporalConfig()),
        optim=change(run.optim, **half),
        init_from=str(workdir / "pretrain" / "model"),
        pretrain=config.PretrainConfig(),
        workdir=str(workdir / "meanP"),
    )


def describe(scores: scoring.Scores) -> dict[str, float]:
    """Accuracy with its chance level, of the single words too, and how often a direction beats its opposite."""
    best = scores.probabilities.argmax(axis=1)
    words = np.array([label.split() for label in scores.labels])
    values = scores.summary()
    for name, place in WORDS.items():
        values[name] = float((words[best, place] == words[scores.targets, place]).mean())
    for first, second in AXES:
        rows = np.flatnonzero(np.isin(words[scores.targets, -1], [first, second]))
        if len(rows):
            values[f"{first}_or_{second}"] = float(np.mean([beats_opposite(scores, row) for row in rows]))
    return {name: round(value, 4) for name, value in values.items()}


def beats_opposite(scores: scoring.Scores, row: int) -> bool:
    """Whether the clip's label is more probable than the same thing moving the other way: by chance half the time."""
    target = int(scores.targets[row])
    *rest, direction = scores.labels[target].split()
    opposite = scores.labels.index(" ".join([*rest, OPPOSITE[direction]]))
    return bool(scores.probabilities[row, target] > scores.probabilities[row, opposite])
