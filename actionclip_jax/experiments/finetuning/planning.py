"""From what was asked for to a whole configuration, of what the model, the data and the memory say."""

import dataclasses
import logging
import pathlib

from actionclip_jax import checkpoints, config, sharding, text
from actionclip_jax.config import write
from actionclip_jax.data import class_names, table
from actionclip_jax.experiments.finetuning import dividing, look, rule
from actionclip_jax.training import memory, setup

logger = logging.getLogger(__name__)

CONFIG = "config.py"  # in the directory of the run


def plan(request: config.FinetuneConfig) -> None:
    """Writes DIR/config.py, the lists of clips and the contact sheet, and says what was decided and why.

    Raises:
        ValueError: a model, data or options that cannot work.
    """
    out = pathlib.Path(request.out)
    weights = checkpoints.read_any(request.model, frames=request.frames or None, trust_code=request.trust_code)
    model = choose_model(request, weights.model)
    sample = config.sample_for(model)
    check_choices(request, model, sample)
    parts = dividing.divide(request, sample)
    text.check_distinct(weights.tokenizer, parts.train.labels, model.text)
    devices = sharding.batch_shards(sharding.make_mesh())
    pace = rule.choose(request, weights.provenance, len(parts.train), devices)
    run = assemble(request, model, parts, pace)
    tokens = setup.token_table(run, weights.tokenizer, parts.train)
    expect = config.ExpectConfig(len(parts.train), len(parts.train.labels), tokens.shape[-1])
    run = config.checked_run(dataclasses.replace(run, data=dataclasses.replace(run.data, expect=expect)))
    setup.check_classes(parts.train, run.objective.loss)
    del weights  # of which the step needs the memory
    for line in look.describe(parts.train, parts.test, request.rule):
        logger.info(line)
    some = look.choose_for_sheet(parts.train, request.rule.sheet_clips)
    look.draw(out, some, sample, run.data.augment, request.seed)
    for line in pace.reasons:
        logger.info(line)
    run = fit_memory(run, request.rule.memory_share)
    write.write(out / CONFIG, run, describe(request, pace))


def choose_model(request: config.FinetuneConfig, model: config.ModelConfig) -> config.ModelConfig:
    """The architecture that is trained: the model's own, but for another temporal head if one is asked for."""
    if request.head and request.head != model.temporal.head:
        logger.info(f"temporal head {request.head}, new, instead of the model's {model.temporal.head}")
        return dataclasses.replace(model, temporal=config.new_head(request.head, model.text))
    what = f"temporal head {model.temporal.head}, as the model has it"
    if model.temporal.head == "meanP":
        what += ": the mean over frames, which does not know their order (--head Transf adds a transformer that does)"
    logger.info(what)
    return model


def check_choices(request: config.FinetuneConfig, model: config.ModelConfig, sample: config.SampleConfig) -> None:
    """Raises ValueError for choices that this model cannot follow, before the clips are looked at."""
    if request.freeze == "towers" and model.temporal.head == "meanP":
        raise ValueError(
            "--freeze towers: the head meanP has no parameters, so nothing would be trained but the scale of the "
            "similarities; freeze one tower, or take another head (--head Transf)"
        )
    if request.from_scratch and not text.takes_clips(model.text):
        raise ValueError(f"--from-scratch: random weights go with CLIP's tokenizer, and {request.model} has another")
    loader = config.LoaderConfig(batch_size=request.batch_size or request.rule.batch_size, workers=request.workers)
    data = config.DataConfig(train=request.data, sample=sample, loader=loader)
    config.checked_run(config.TrainConfig(model=model, compute=request.compute, data=data))
    text.load_templates(request.templates)
    if request.batch_size:
        sharding.check_rows(request.batch_size, sharding.make_mesh())


def assemble(
    request: config.FinetuneConfig, model: config.ModelConfig, parts: dividing.Parts, pace: rule.Pace
) -> config.TrainConfig:
    """The run, of which only the data are not described yet."""
    frozen = {"text", "image"} if request.freeze == "towers" else {request.freeze}
    every = max(1.0, round(pace.optim.epochs / request.rule.evaluations, 3))
    objective = config.ObjectiveConfig(templates=request.templates)
    loss = "multi_label" if parts.train.multi_label else objective.loss
    states = {tower: "frozen" if tower in frozen else "trained" for tower in ("text", "image")}
    return config.TrainConfig(
        model=model,
        compute=request.compute,
        data=config.DataConfig(
            train=parts.train_source,
            test=parts.test_source,
            sample=config.sample_for(model),
            augment=choose_augmentation(parts.train),
            loader=config.LoaderConfig(batch_size=pace.batch_size, workers=request.workers, seed=request.seed),
        ),
        objective=dataclasses.replace(objective, loss=loss, **states),
        optim=pace.optim,
        checkpoint=config.CheckpointConfig(every_epochs=every),
        eval_every_epochs=every,
        init_from="" if request.from_scratch else request.model,
        trust_code=request.trust_code,
        workdir=request.out,
        seed=request.seed,
    )


def choose_augmentation(clips: table.ClipTable) -> config.AugmentConfig:
    """Without RandAugment, as published for fine-tuning; colours stay where they are all that tells classes apart."""
    augment = config.AugmentConfig(rand_operations=0)
    if class_names.are_told_apart_by_colors(clips.labels):
        logger.info("colours are not changed in training: some class names differ in nothing but a colour")
        return dataclasses.replace(augment, jitter=0.0, grayscale=0.0)
    return augment


def fit_memory(run: config.TrainConfig, share: float) -> config.TrainConfig:
    """The run with its batch in parts that fit into memory, by which clips are then also tested."""
    run = memory.fit(run, share)
    if run.optim.accumulate == 1:
        return run
    rows = run.data.loader.batch_size // run.optim.accumulate
    return dataclasses.replace(run, data=dataclasses.replace(run.data, eval_batch_size=rows))


def describe(request: config.FinetuneConfig, pace: rule.Pace) -> str:
    """The first lines of the configuration file."""
    begins = f"{request.model}, of which only the architecture is taken" if request.from_scratch else request.model
    return "\n".join(
        [
            f"{begins}, fine-tuned on {request.data.path}. Planned by `actionclip finetune`.",
            "",
            *(f"- {reason}" for reason in pace.reasons),
            "",
            "`actionclip train --config` with this file goes on with the run.",
        ]
    )
