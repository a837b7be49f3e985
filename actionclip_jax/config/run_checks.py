"""What makes a training run impossible, told before anything is opened or compiled."""

import dataclasses
import math
import re

from actionclip_jax import entry_points, paths
from actionclip_jax.config import checks
from actionclip_jax.config import data as data_config
from actionclip_jax.config import model as model_config
from actionclip_jax.config.train import (
    CheckpointConfig,
    DataConfig,
    ExpectConfig,
    InterpolationConfig,
    ObjectiveConfig,
    OptimConfig,
    PretrainConfig,
    ShardingConfig,
    TrainConfig,
)

BATCH_BYTES = 1 << 40  # of frames, over all hosts
ABOVE_ZERO = (0.0, math.inf)
LIMITS: dict[type, dict[str, tuple[float, float]]] = {  # least and greatest value
    DataConfig: {"eval_batch_size": ABOVE_ZERO},
    ExpectConfig: {"clips": ABOVE_ZERO, "classes": ABOVE_ZERO, "text_tokens": (1, 4096)},
    ObjectiveConfig: {"block": (1, math.inf)},
    OptimConfig: {
        **dict.fromkeys(("lr", "weight_decay", "epochs", "steps", "warmup_epochs", "clip_norm"), ABOVE_ZERO),
        **dict.fromkeys(("beta1", "beta2", "ema"), (0, 1 - 1e-9)),
        **dict.fromkeys(("schedule_every", "accumulate", "max_skipped"), (1, math.inf)),
        "eps": (1e-30, math.inf),
    },
    InterpolationConfig: {"export": (0, 1), "loss_weight": ABOVE_ZERO, "max_initial_fraction": (0, 0.99)},
    PretrainConfig: {**dict.fromkeys(("epochs", "warmup_epochs", "lr"), ABOVE_ZERO), "batch_size": (1, 1 << 20)},
    ShardingConfig: {"fsdp": (1, math.inf), "model": (1, math.inf)},
    CheckpointConfig: {"every_epochs": ABOVE_ZERO, "keep_last": (1, math.inf), "keep_best": ABOVE_ZERO},
    TrainConfig: {
        "seed": ABOVE_ZERO,
        "log_every": (1, math.inf),
        "eval_every_epochs": ABOVE_ZERO,
        "hang_seconds": ABOVE_ZERO,
    },
}


def run_problems(run: TrainConfig) -> list[str]:
    """Everything that makes the run impossible and can be told from the configuration alone, as sentences."""
    problems = [f"model: {problem}" for problem in model_config.model_problems(run.model, run.compute)]
    for name, part in (("", run), *((f"{field.name}.", getattr(run, field.name)) for field in dataclasses.fields(run))):
        problems += [f"{name}{problem}" for problem in out_of_range(part)]
    problems += [f"objective.{problem}" for problem in checks.choice_problems(run.objective)]
    problems += [f"checkpoint.{problem}" for problem in checks.choice_problems(run.checkpoint)]
    problems += [f"sharding.{problem}" for problem in checks.choice_problems(run.sharding)]
    problems += path_problems(run) + data_settings_problems(run) + option_problems(run)
    return problems


def path_problems(run: TrainConfig) -> list[str]:
    """Settings that name files or directories and can be none."""
    given = {"workdir": run.workdir, "objective.templates": run.objective.templates}
    given |= {"init_from": run.init_from} if run.init_from else {}
    problems = [problem for name, value in given.items() if (problem := paths.problem(name, value))]
    parts = {f"data.{name}": getattr(run.data, name) for name in ("train", "test", "zero_shot")}
    for name, part in (parts | {"pretrain.source": run.pretrain.source}).items():
        problems += [f"{name}.{problem}" for problem in data_config.data_problems(part)]
    return problems


def out_of_range(part: object) -> list[str]:
    """Values of one part beyond LIMITS."""
    problems = []
    for name, (low, high) in LIMITS.get(type(part), {}).items():
        if not low <= getattr(part, name) <= high:  # catches NaN too
            expected = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            problems.append(f"{name} is {getattr(part, name)}: expected {expected}")
    return problems


def batch_problems(run: TrainConfig) -> list[str]:
    """Batches that are too large, too small or cannot be divided."""
    data, problems = run.data, []
    for name, batch in (("loader.batch_size", data.loader.batch_size), ("eval_batch_size", data.eval_batch_size)):
        if batch * data_config.clip_bytes(data.sample) > BATCH_BYTES:
            problems.append(f"data.{name} is {batch}: a batch of more than {BATCH_BYTES} bytes")
    is_contrastive = run.objective.loss != "multi_label" and not entry_points.is_name(run.objective.loss)
    contrastive = {"data.loader.batch_size": data.loader.batch_size} if is_contrastive else {}
    contrastive |= {"pretrain.batch_size": run.pretrain.batch_size} if run.pretrain.epochs else {}
    for name, size in contrastive.items():
        if size == 1:
            problems.append(
                f"{name} is 1: a contrastive loss compares clips of a batch with each other, expected at least 2"
            )
    if data.loader.batch_size % max(run.optim.accumulate, 1):
        problems.append(
            f"data.loader.batch_size is {data.loader.batch_size}: not a multiple of optim.accumulate "
            f"({run.optim.accumulate})"
        )
    return problems


def data_settings_problems(run: TrainConfig) -> list[str]:
    """What is wrong with the data settings."""
    data, problems = run.data, []
    for name, part in (("sample", data.sample), ("augment", data.augment), ("loader", data.loader)):
        problems += [f"data.{name}.{problem}" for problem in data_config.data_problems(part)]
    problems += batch_problems(run)
    if not data.train.path:
        problems.append("data.train.path is empty: expected a list, a directory or the name of a TFDS data set")
    if run.pretrain.epochs and not run.pretrain.source.path:
        problems.append("pretrain.source.path is empty: expected the image-text pairs to pre-train with")
    for name in ("size", "resize", "filter"):
        has, takes = getattr(data.sample, name), getattr(run.model.image, name)
        if has != takes:
            problems.append(f"data.sample.{name} is {has}: the model takes {takes} (model.image)")
    if data.sample.frames != run.model.frames:
        problems.append(f"data.sample.frames is {data.sample.frames}: expected model.frames, {run.model.frames}")
    rows = run.model.temporal.positions
    limited = run.model.temporal.head in model_config.ATTENTION_HEADS and not run.compute.interpolate_positions
    if limited and data.sample.frames > rows:
        problems.append(f"data.sample.frames is {data.sample.frames}: model.temporal.positions has {rows}")
    return problems


def option_problems(run: TrainConfig) -> list[str]:
    """Options that exclude or miss each other."""
    problems = []
    for pattern, multiplier in run.optim.multipliers:
        try:
            re.compile(pattern)
        except re.error as error:
            problems.append(f"optim.multipliers: {pattern!r} is no regular expression ({error})")
        if not 0 <= multiplier < math.inf:
            problems.append(f"optim.multipliers: {multiplier} for {pattern!r}, expected at least 0")
    if not run.optim.steps and not run.optim.epochs:
        problems.append("optim.epochs and optim.steps are both 0: there is nothing to train")
    if run.optim.warmup_epochs and run.optim.warmup_epochs >= run.optim.epochs:
        problems.append(
            f"optim.warmup_epochs is {run.optim.warmup_epochs:g}, of {run.optim.epochs:g} epochs altogether"
        )
    wants_initial = run.interpolation.export < 1 or run.interpolation.loss_weight
    if wants_initial and not (run.init_from or run.pretrain.epochs):
        problems.append("interpolation needs weights to start from: set init_from")
    if run.init_from and run.pretrain.epochs:
        problems.append("init_from and pretrain.epochs exclude each other: a run starts from one or the other")
    if run.objective.loss == "sigmoid" and not run.model.logit_bias:
        problems.append(
            "objective.loss sigmoid needs a model with a bias, as nearly all pairs are negative: set model.logit_bias "
            "(--config.model.logit_bias=true)"
        )
    if run.objective.loss == "multi_label" and run.objective.computation == "blockwise":
        problems.append(
            "objective.computation blockwise tiles clips against clips; multi_label has clips against classes"
        )
    if entry_points.is_name(run.objective.loss) and run.objective.computation == "blockwise":
        problems.append("objective.computation blockwise knows the formulas of this program alone, not objective.loss")
    if run.checkpoint.export == "best" and not run.data.test.path:
        problems.append("checkpoint.export is 'best', but data.test.path is empty: nothing says which is best")
    if run.checkpoint.export == "best" and not run.checkpoint.keep_best:
        problems.append("checkpoint.export is 'best', but checkpoint.keep_best is 0")
    return problems


def checked_run(run: TrainConfig) -> TrainConfig:
    """The run, or a ConfigError listing all its problems."""
    if problems := run_problems(run):
        raise checks.ConfigError(problems)
    return run
