"""Scores of the weights between two checkpoints: what training gained on classes seen, and lost on others."""

import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from actionclip_jax import checkpoints, config, files, paths, sharding, text
from actionclip_jax.data import bad_clips, order, subsets, table
from actionclip_jax.evaluation import clip_encoder, description, features, scoring
from actionclip_jax.inference import encoder
from actionclip_jax.plots import charts
from actionclip_jax.training import initial, optim

logger = logging.getLogger(__name__)


def parse_shares(text: str) -> list[float]:
    """`0:1:0.1` -> 0, 0.1 ... 1 (both ends included); or a comma list."""
    try:
        if ":" not in text:
            shares = [float(share) for share in text.split(",")]
        else:
            first, last, step = map(float, text.split(":"))
            steps = round((last - first) / step)
            if not 0 <= steps <= 1000 or abs(first + steps * step - last) > 1e-6:
                raise ValueError
            shares = [first + index * step for index in range(steps + 1)]
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(
            f"{text!r} is not of the form 0:1:0.1 (first, last, a step that divides them, at most 1000) or 0,0.5,1"
        ) from None
    if not shares or not all(0 <= share <= 1 + 1e-9 for share in shares):
        raise ValueError(f"{text!r}: expected shares from 0 to 1")
    return [round(share, 6) for share in shares]


def seen_and_unseen(clips: table.ClipTable, seen: pathlib.Path | None) -> dict[str, table.ClipTable]:
    """The clips of the classes a file names and those of the others, each among their own; or just all."""
    if not seen:
        return {"all": clips}
    paths.check_file("--seen-classes", seen)
    known = subsets.known_classes(clips, seen)
    others = np.setdiff1d(np.arange(len(clips.labels)), known)
    parts = {"seen": known, "unseen": others}
    if empty := [name for name, classes in parts.items() if not len(classes)]:
        raise ValueError(f"{seen}: no class of the data set is {empty[0]}")
    return {name: subsets.take_classes(clips, classes) for name, classes in parts.items()}


def sweep(
    first: checkpoints.Weights,
    model: encoder.VideoTextEncoder,
    sets: Mapping[str, table.ClipTable],
    shares: Sequence[float],
    settings: config.EvaluationConfig,
) -> dict[str, Any]:
    """Scores data sets with weights first + share * (the model's - first) for every share; goes on after a kill.

    Args:
        first: where the path begins; what it lacks (a temporal head, say) stays as the model has it.
        model: where it ends.
        sets: clips by name, such as `seen` and `unseen`.
        shares: from 0, the first weights, to 1, the model's.
        settings: how clips and labels are encoded.

    Returns:
        What interpolation.json holds; interpolation.png draws it.

    Raises:
        ValueError: models of different towers.
    """
    if differences := initial.tower_differences(first.model, model.config):
        raise ValueError("\n  ".join(["the models differ (--from there, MODEL here):", *differences]))
    begin = {path: value for path, value in first.params.items() if path in model.params}
    if wrong := sorted(path for path, value in begin.items() if value.shape != model.params[path].shape):
        raise ValueError(f"the models differ in the shapes of {len(wrong)} parameters: {', '.join(wrong[:5])}")
    sample = config.sample_for(model.config, views=settings.views)
    evaluators = make_evaluators(model, sets, sample, settings)
    described = {
        "first": checkpoints.digest(begin),
        "second": model.digests["weights"],
        "sets": {name: describe_set(clips) for name, clips in sets.items()},
        "sample": config.to_dict(sample),
        "templates": list(text.load_templates(settings.templates)),
        "average": settings.average,
        "kind": settings.scores,
        "dtype": model.compute.dtype,
    }
    file = settings.out / "interpolation.json"
    done = read_done(file, described)
    start, end = sharding.replicate(begin, model.mesh), model.params
    mix = jax.jit(lambda start, end, share: optim.interpolate(start, end, 1 - share))
    for share in shares:
        scores = done.setdefault(str(share), {})
        for name, evaluator in evaluators.items():
            if name not in scores:
                with jax.set_mesh(model.mesh):
                    scores[name] = evaluator(mix(start, end, share), f"{name}, share {share:g}").primary
                if jax.process_index() == 0:
                    files.write_json(file, {**described, "scores": done})
        logger.info(f"share {share:g}: " + ", ".join(f"{name} {value:.1%}" for name, value in scores.items()))
    if jax.process_index() == 0:
        charts.interpolation_curve(
            settings.out / "interpolation.png", shares, {name: [done[str(x)][name] for x in shares] for name in sets}
        )
    return {**described, "scores": done}


def make_evaluators(
    model: encoder.VideoTextEncoder,
    sets: Mapping[str, table.ClipTable],
    sample: config.SampleConfig,
    settings: config.EvaluationConfig,
) -> dict[str, scoring.Evaluator]:
    """One for each data set."""
    evaluators = {}
    for name, clips in sets.items():
        report = bad_clips.report_file(settings.out, name.replace(" ", "_"), order.this_host())
        encode = clip_encoder.ClipEncoder(
            clips, model.config, model.compute, sample, settings.loader, mesh=model.mesh, report=report
        )
        how = {"average": settings.average, "kind": settings.scores}
        evaluators[name] = scoring.Evaluator(encode, model.tokenizer, settings.templates, **how)
    return evaluators


def describe_set(clips: table.ClipTable) -> dict[str, Any]:
    """What a data set's score depends on; JSON."""
    rows = zip(clips.ids.tolist(), clips.paths.tolist(), clips.label_ids.tolist(), strict=True)
    digest = description.text_digest([*map(str, rows), *clips.labels])
    return {"clips": len(clips), "classes": len(clips.labels), "sha256": digest}


def read_done(file: pathlib.Path, described: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Scores of an earlier call of the same sweep."""
    known = features.with_defaults(files.read_if_whole(file) or {})
    same = {name: value for name, value in known.items() if name != "scores"} == described
    return known["scores"] if same else {}
