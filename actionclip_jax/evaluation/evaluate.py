"""Measuring a trained model by a protocol of the field, from a list of clips to a report."""

import logging
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

from actionclip_jax import config, paths, sharding, text
from actionclip_jax.checkpoints import load
from actionclip_jax.data import bad_clips, clip_log, order, subsets
from actionclip_jax.data.records import reader
from actionclip_jax.evaluation import clip_encoder, description, features, protocols, report, scoring
from actionclip_jax.inference import class_scores, encoder

logger = logging.getLogger(__name__)

UNFINISHED = "unfinished_features"  # below the report's directory, until all is done


def load_model(name: str, settings: config.EvaluationConfig) -> encoder.VideoTextEncoder:
    """Reads a model directory, PyTorch checkpoint or hub name onto all devices."""
    frames, trust_code = settings.frames or None, settings.trust_code
    weights = load.read_any(name, activation=settings.activation, frames=frames, trust_code=trust_code)
    return encoder.VideoTextEncoder(weights, settings.compute, sharding.make_mesh())


def evaluate(name: str, source: config.SourceConfig, settings: config.EvaluationConfig) -> dict[str, Any]:
    """Measures a model and writes the report into settings.out; every process of a run makes the same call.

    Features of the clips are kept below settings.out until all is done, so a call that was killed goes on.

    Args:
        name: model directory, PyTorch checkpoint or hub name.
        source: the clips to test with.
        settings: the protocol, and how clips and labels are encoded.

    Returns:
        What report.json holds; nothing in processes but the first.

    Raises:
        ValueError: settings, a model or data that cannot work.
    """
    begin = time.perf_counter()
    trials = plan(source, settings, check_files=settings.features is None)
    for trial in trials:
        logger.info(f"{trial.name}: {len(trial.clips)} clips of {len(trial.clips.labels)} classes")
    for line in protocols.notices(trials):
        logger.warning(line)
    model = load_model(name, settings)
    classes = label_features(model, trials, settings)  # first, so that wrong templates or labels cost no decoding
    encoded, sample = clip_features(model, trials, settings)
    noted = read_notes(trials, settings)
    measured = [measure(trial, classes, encoded, model.scaling, settings) for trial in trials]
    described = {
        "program": f"actionclip-jax {metadata.version('actionclip-jax')}",
        "model": description.describe_model(name, model),
        "data": {**description.describe_data(trials, source), "noted": len(noted)},
        "settings": description.describe_settings(settings, sample, source, model.scaling),
        "devices": f"{jax.device_count()} of {jax.process_count()} processes, {jax.devices()[0].device_kind}",
    }
    if jax.process_index():
        return {}
    seen = config.SampleConfig(**{name: value for name, value in sample.items() if name != "dtype"})
    content = report.write(settings.out, described, trials, measured, settings, seen, time.perf_counter() - begin)
    shutil.rmtree(settings.out / UNFINISHED, ignore_errors=True)
    return content


def plan(source: config.SourceConfig, settings: config.EvaluationConfig, *, check_files: bool) -> list[protocols.Trial]:
    """What will be measured, after everything has been checked that can be without the model and, if told, the videos.

    Raises:
        ValueError: settings or data that cannot work.
    """
    config.checked_evaluation(settings)
    paths.check_directory("--out", settings.out)
    sharding.check_rows(settings.loader.batch_size, sharding.make_mesh())
    text.load_templates(settings.templates)
    trials = protocols.plan(settings.protocol, source, settings.class_lists, check_files=check_files)
    if settings.seen:
        protocols.check_seen(trials, settings.seen)
    text.check_spelt_apart(protocols.class_names(trials))
    if settings.features:
        _, saved = features.load(settings.features)
        for trial in trials:
            saved.of(trial.clips.ids)
    return trials


def clip_features(
    model: encoder.VideoTextEncoder, trials: Sequence[protocols.Trial], settings: config.EvaluationConfig
) -> tuple[features.Features, dict[str, Any]]:
    """Features of the clips of all trials, each encoded once or read from where they were saved, and their sampling."""
    if settings.features:
        return saved_features(model, settings.features)
    clips = subsets.unite([trial.clips for trial in trials])
    sample = config.sample_for(model.config, views=settings.views)
    made_from = {
        "model": model.provenance.get("source", ""),
        "video": model.digests["video"],
        "activation": model.config.activation,
        "sample": config.to_dict(sample),
        "dtype": model.compute.dtype,
        "batch_size": settings.loader.batch_size,
        "paths": description.text_digest(clips.paths.tolist()),
    }
    directory = settings.out / ("features" if settings.save_features else UNFINISHED)
    store = features.Store(directory, made_from, clips.ids, replace=not settings.save_features)
    report_file = bad_clips.report_file(settings.out, "evaluation", order.this_host())
    if not store.read():
        for file in (report_file, clip_log.notes_file(report_file)):
            file.unlink(missing_ok=True)
    encode = clip_encoder.ClipEncoder(
        clips, model.config, model.compute, sample, settings.loader, mesh=model.mesh, report=report_file
    )
    with jax.set_mesh(model.mesh):
        encoded = encode(model.params, "encoding clips", store=store)
    return encoded, {**config.to_dict(sample), "dtype": model.compute.dtype}


def saved_features(
    model: encoder.VideoTextEncoder, directory: pathlib.Path
) -> tuple[features.Features, dict[str, Any]]:
    """Features of a directory and their sampling. Raises ValueError if another model made them."""
    made_from, saved = features.load(directory)
    if made_from["video"] != model.digests["video"]:
        raise ValueError(f"{directory}: features of other weights ({made_from['model']})")
    if made_from.get("activation", model.config.activation) != model.config.activation:
        raise ValueError(f"{directory}: features of the activation {made_from['activation']}")
    sample = made_from["sample"]
    logger.info(f"{len(saved.ids)} clips were encoded before: {sample['frames']} frames, {saved.values.shape[1]} views")
    return saved, {**sample, "dtype": made_from["dtype"]}


def read_notes(trials: Sequence[protocols.Trial], settings: config.EvaluationConfig) -> dict[str, str]:
    """What is wrong with videos that were encoded nevertheless, by clip; it is said, but for notes of prepared shards.

    Those are said with the data set.
    """
    directory = settings.features.parent if settings.features else settings.out
    ids = {clip for trial in trials for clip in trial.clips.ids.tolist()}
    notes = {clip: note for clip, note in clip_log.read_notes(directory, "evaluation").items() if clip in ids}
    if notes:
        logger.warning(clip_log.describe_notes(notes, len(ids), str(directory / "notes_evaluation.jsonl")))
    prepared = {clip: note for trial in trials for clip, note in reader.read_notes(trial.clips).items() if clip in ids}
    return prepared | notes


def label_features(
    model: encoder.VideoTextEncoder, trials: Sequence[protocols.Trial], settings: config.EvaluationConfig
) -> dict[str, np.ndarray]:
    """Class name -> unit-norm [P, E] of all classes of the trials."""
    names = protocols.class_names(trials)
    return dict(zip(names, model.encode_classes(names, settings.templates), strict=True))


def measure(
    trial: protocols.Trial,
    classes: Mapping[str, np.ndarray],
    encoded: features.Features,
    scaling: class_scores.Scaling,
    settings: config.EvaluationConfig,
) -> report.Measured:
    """The scores of a trial and, if classes were seen in training, those of the others among themselves.

    `classes` are the features [P, E] of class names, `encoded` those of clips, both of all trials and of a model whose
    similarities `scaling` makes logits of.
    """

    def score(one: protocols.Trial) -> scoring.Scores:
        stacked = np.stack([classes[name] for name in one.clips.labels])
        own = encoded.of(one.clips.ids)
        return scoring.score(one.clips, own, stacked, scaling, average=settings.average, kind=settings.scores)

    unseen = protocols.without_classes(trial, settings.seen) if settings.seen else None
    return report.Measured(trial.name, score(trial), score(unseen) if unseen else None)
