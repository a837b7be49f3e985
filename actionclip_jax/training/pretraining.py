"""The run before the run: image-text training of the towers on single frames."""

import dataclasses
import pathlib

from actionclip_jax import config


def towers_run(run: config.TrainConfig, workdir: pathlib.Path) -> config.TrainConfig:
    """Trains the towers alone, without a temporal head."""
    change, plan = dataclasses.replace, run.pretrain
    # scale and bias of a sigmoid do not go with towers of a softmax
    loss = "sigmoid" if run.objective.loss == "sigmoid" else "normalized"
    return change(
        run,
        model=change(run.model, temporal=config.TemporalConfig(), frames=1, shift=False, joint=False),
        data=change(
            run.data,
            train=plan.source,
            test=config.SourceConfig(),
            zero_shot=config.SourceConfig(),
            sample=change(run.data.sample, frames=1),
            loader=change(run.data.loader, batch_size=plan.batch_size),
        ),
        objective=config.ObjectiveConfig(loss=loss, templates="none"),  # captions are whole texts
        optim=change(
            run.optim,
            lr=plan.lr,
            epochs=plan.epochs,
            warmup_epochs=plan.warmup_epochs,
            steps=0,
            multipliers=plan.multipliers,
            accumulate=1,
        ),
        interpolation=config.InterpolationConfig(),
        checkpoint=change(run.checkpoint, export="last"),
        pretrain=config.PretrainConfig(),
        workdir=str(workdir),
    )


def after_pretraining(run: config.TrainConfig, towers: str) -> config.TrainConfig:
    """The run itself, starting from the towers in a model directory; in a dry run there are none: empty."""
    return dataclasses.replace(
        run,
        init_from=towers,
        pretrain=config.PretrainConfig(),
        interpolation=run.interpolation if towers else config.InterpolationConfig(),
    )
