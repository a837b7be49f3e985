"""Plans a fine-tuning, or finds its plan, then measures, trains, measures again and reports."""

import dataclasses
import logging
import os
import pathlib
from importlib import metadata
from typing import Any

from actionclip_jax import config, files, paths, sharding
from actionclip_jax.config import config_file
from actionclip_jax.evaluation import evaluate
from actionclip_jax.experiments.finetuning import planning, report
from actionclip_jax.training import initial, loop, run_checkpoints

logger = logging.getLogger(__name__)

ASKED = "finetune.json"  # in the directory of the run: what was asked for


def finetune(request: config.FinetuneConfig, *, plan_only: bool = False) -> dict[str, Any] | None:
    """Fine-tunes a model; the same call goes on with a fine-tuning that was stopped.

    Args:
        request: what is asked for.
        plan_only: stop before training. request.out then holds config.py, the lists of clips and the contact sheet, and
            the same call without it goes on from there, with config.py as it then is.

    Returns:
        What report.json holds; None where only the plan was wanted.

    Raises:
        ValueError: a request, model or data that cannot work, or a directory of something else.
        loop.Interrupted: the run was asked to stop; the same call goes on.
    """
    request = with_whole_paths(config.checked_finetune(request))
    paths.check_directory("--out", request.out)
    out = pathlib.Path(request.out)
    if not is_planned(request):
        planning.plan(request)
        program = f"actionclip-jax {metadata.version('actionclip-jax')}"
        files.write_json(out / ASKED, {"program": program, "asked": config.to_dict(request)})
    run = config_file.load(str(out / planning.CONFIG))
    logger.info(f"the whole configuration: {out / planning.CONFIG}")
    if plan_only:
        return None
    before = None
    if run.data.test.path and run.init_from:
        before = files.read_if_whole(out / "before" / "report.json")
        if before is None:
            logger.info(f"before training: {run.init_from} on the held-out clips")
            before = measure(run, run.init_from, out / "before")
    outcome = loop.train_whole(run)
    after = measure(run, str(outcome.model), out / "after") if run.data.test.path else None
    return report.write(out, request, run, before, after)


def with_whole_paths(request: config.FinetuneConfig) -> config.FinetuneConfig:
    """The request with absolute paths, so that config.py means the same wherever it is used; names stay names."""

    def whole(value: str, is_path: bool = False) -> str:
        path = paths.expand_home(value)
        return str(path.absolute()) if value and (is_path or os.path.lexists(path)) else value

    def of_source(source: config.SourceConfig) -> config.SourceConfig:
        made_later = source.kind == "sample"
        given = {name: value for name in config.SOURCE_PATHS if (value := getattr(source, name))}
        return dataclasses.replace(source, **{name: whole(value, made_later) for name, value in given.items()})

    return dataclasses.replace(
        request,
        model=whole(request.model),
        data=of_source(request.data),
        test=of_source(request.test),
        templates=whole(request.templates),
        out=str(paths.expand_home(request.out).absolute()),
    )


def is_planned(request: config.FinetuneConfig) -> bool:
    """Whether the directory holds the plan of this request. Raises ValueError for that of another one."""
    out = pathlib.Path(request.out)
    if not (out / ASKED).is_file():
        if taken := [name for name in ("checkpoints", "model", "metrics.jsonl") if (out / name).exists()]:
            raise ValueError(f"--out {out} holds another run ({', '.join(taken)}): choose another directory")
        return False
    if changes := run_checkpoints.describe_changes(files.read_object(out / ASKED)["asked"], request):
        advice = "give the same options to go on, or another --out"
        raise ValueError("\n  ".join([f"--out {out} holds a fine-tuning with other options ({advice}):", *changes]))
    return (out / planning.CONFIG).is_file()


def measure(run: config.TrainConfig, model: str, out: pathlib.Path) -> dict[str, Any]:
    """An evaluation of a model on the held-out clips; what its report.json holds."""
    devices = sharding.batch_shards(sharding.make_mesh())
    settings = config.EvaluationConfig(
        out=out,
        protocol="multi-label" if run.objective.loss == "multi_label" else "full",
        frames=run.model.frames,
        templates=run.objective.templates,
        loader=config.LoaderConfig(batch_size=8 * devices, workers=run.data.loader.workers),
        compute=run.compute,
        trust_code=run.trust_code or initial.names_head_of(model, run.model),
    )
    return evaluate.evaluate(model, run.data.test, settings)
