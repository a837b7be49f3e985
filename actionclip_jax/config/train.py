"""What a training run is, with its only defaults: ActionCLIP's recipe for Kinetics-400."""

import dataclasses
import math
import re

from actionclip_jax import paths
from actionclip_jax.config import checks, settings
from actionclip_jax.config import data as data_config
from actionclip_jax.config import model as model_config
from actionclip_jax.config.data import AugmentConfig, LoaderConfig, SampleConfig, SourceConfig
from actionclip_jax.config.model import ComputeConfig, ModelConfig, TemporalConfig

LOSSES = ("exact", "normalized", "one_positive", "multi_label")
COMPUTATIONS = ("plain", "blockwise")
TOWERS = ("trained", "frozen")
TEXTS = ("clips", "distinct")
EXPORTS = ("last", "best")

Rules = tuple[tuple[str, float], ...]


@settings.dataclass
class ExpectConfig:
    """What the training set is like, for `actionclip compile`, which has to do without it."""

    clips: int = 0
    classes: int = 0
    text_tokens: int = 77  # of the longest label in the longest prompt, up to the next multiple of 8


@settings.dataclass
class DataConfig:
    """Which clips are trained and tested with, and what is done to them."""

    train: SourceConfig = SourceConfig()
    test: SourceConfig = SourceConfig()  # without a path: no evaluation
    zero_shot: SourceConfig = SourceConfig()  # evaluated as well, among its own classes
    sample: SampleConfig = SampleConfig()
    augment: AugmentConfig = AugmentConfig()
    loader: LoaderConfig = LoaderConfig()
    eval_batch_size: int = 0  # clips of a batch when evaluating, over all hosts; 0: as many as in training
    expect: ExpectConfig = ExpectConfig()


@settings.dataclass
class ObjectiveConfig:
    """What is minimised. `losses.py` has the formulas."""

    loss: str = "exact"
    computation: str = "plain"  # or blockwise: never more than a [B / devices, block] tile of the similarities
    block: int = 1024  # texts or clips a tile of `blockwise` is wide
    templates: str = "actionclip"  # prompts a clip's label is put into, one drawn at random: see text.load_templates
    text: str = "trained"  # or frozen: all class x template texts are encoded once
    image: str = "trained"
    encode_texts: str = "clips"  # one for every clip; or distinct: one for every (class, template) of the batch


@settings.dataclass
class OptimConfig:
    """AdamW with a warm-up and a cosine, and what is done to the weights beside it."""

    lr: float = 5e-6  # at the end of the warm-up, times the multiplier of the parameter
    multipliers: Rules = ((r"image/.*", 1.0), (r"text/.*|logit_scale", 1.0), (r"temporal/.*", 10.0))  # 0 freezes
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-8
    weight_decay: float = 0.2
    decay_everything: bool = True  # as the source does; False spares norms, biases, positions and other vectors
    epochs: float = 50.0
    steps: int = 0  # instead of epochs, if not 0
    warmup_epochs: float = 5.0  # of `epochs`; in proportion where `steps` is given
    schedule_every: int = 1  # steps between two looks at the schedule; the source looks every 10
    clip_norm: float = 0.0  # of all gradients together; 0: no clipping
    accumulate: int = 1  # parts of the batch encoded one after the other; the loss stays that of the whole batch
    ema: float = 0.0  # decay of the averaged weights, which are then evaluated and exported; 0: none
    float16_weights: bool = False  # round CLIP's matrices to float16 after each step, as the source keeps them
    max_skipped: int = 10  # steps in a row without a finite loss and gradient before the run stops


@settings.dataclass
class InterpolationConfig:
    """Staying near the CLIP the run starts from, for classes never seen (Open-VCLIP, arXiv 2302.00624)."""

    export: float = 1.0  # exported weights: initial + export * (trained - initial)
    loss_weight: float = 0.0  # of the loss at random interpolations, for twice the FLOPs; Open-VCLIP: 0.5
    max_initial_fraction: float = 0.6  # of the initial weights in those interpolations: uniform from 0 to this


@settings.dataclass
class PretrainConfig:
    """Image-text training of the towers on single frames, before the run itself: for those who start without a CLIP."""

    source: SourceConfig = SourceConfig()
    epochs: float = 0.0  # 0: none
    warmup_epochs: float = 1.0
    lr: float = 5e-4
    multipliers: Rules = ((r".*", 1.0),)
    batch_size: int = 128


@settings.dataclass
class ShardingConfig:
    """How many ways the devices divide: the rest of them divides the clips only."""

    fsdp: int = 1  # devices that share parameters and optimiser state as well as clips
    model: int = 1  # devices that share heads and hidden channels (tensor parallel)


@settings.dataclass
class CheckpointConfig:
    """When the state of the run is saved, and what is kept."""

    every_epochs: float = 1.0  # 0: only at the end
    keep_last: int = 2
    keep_best: int = 1
    export: str = "last"  # the weights of the model directory: the last ones, or those that scored best


@settings.dataclass
class TrainConfig:
    """A training run."""

    model: ModelConfig = ModelConfig(temporal=TemporalConfig(head="Transf"))
    compute: ComputeConfig = ComputeConfig()
    data: DataConfig = DataConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    interpolation: InterpolationConfig = InterpolationConfig()
    pretrain: PretrainConfig = PretrainConfig()
    sharding: ShardingConfig = ShardingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    init_from: str = ""  # model directory, PyTorch checkpoint or hub name; without: random weights
    workdir: str = "outputs/train"
    seed: int = 0  # of new weights, templates, colours and dropping; clips and crops have data.loader.seed
    log_every: int = 10  # steps
    eval_every_epochs: float = 1.0  # 0: only at the end
    hang_seconds: float = 180.0  # a step longer than this and than 20 of the last ones ends the run; 0: never


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
    PretrainConfig: {
        **dict.fromkeys(("epochs", "warmup_epochs", "lr"), ABOVE_ZERO),
        "batch_size": (1, 1 << 20),
    },
    ShardingConfig: {"fsdp": (1, math.inf), "model": (1, math.inf)},
    CheckpointConfig: {"every_epochs": ABOVE_ZERO, "keep_last": (1, math.inf), "keep_best": ABOVE_ZERO},
    TrainConfig: {
        "seed": ABOVE_ZERO,
        "log_every": (1, math.inf),
        "eval_every_epochs": ABOVE_ZERO,
        "hang_seconds": ABOVE_ZERO,
    },
}
CHOICES: dict[type, dict[str, tuple[str, ...]]] = {
    ObjectiveConfig: {
        "loss": LOSSES,
        "computation": COMPUTATIONS,
        "text": TOWERS,
        "image": TOWERS,
        "encode_texts": TEXTS,
    },
    CheckpointConfig: {"export": EXPORTS},
}


def run_problems(run: TrainConfig) -> list[str]:
    """Everything that makes the run impossible and can be told from the configuration alone, as sentences."""
    found = [f"model: {problem}" for problem in model_config.model_problems(run.model, run.compute)]
    for name, part in (("", run), *((f"{field.name}.", getattr(run, field.name)) for field in dataclasses.fields(run))):
        found += [f"{name}{problem}" for problem in out_of_range(part)]
    found += path_problems(run) + data_settings_problems(run) + option_problems(run)
    return found


def path_problems(run: TrainConfig) -> list[str]:
    """Settings that name files or directories and can be none."""
    given = {"workdir": run.workdir, "objective.templates": run.objective.templates}
    given |= {"init_from": run.init_from} if run.init_from else {}
    found = [problem for name, value in given.items() if (problem := paths.problem(name, value))]
    parts = {f"data.{name}": getattr(run.data, name) for name in ("train", "test", "zero_shot")}
    for name, part in (parts | {"pretrain.source": run.pretrain.source}).items():
        found += [f"{name}.{problem}" for problem in data_config.data_problems(part)]
    return found


def out_of_range(part: object) -> list[str]:
    """Values of one part beyond LIMITS or none of CHOICES."""
    found = []
    for name, (low, high) in LIMITS.get(type(part), {}).items():
        if not low <= getattr(part, name) <= high:  # catches NaN too
            expected = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            found.append(f"{name} is {getattr(part, name)}: expected {expected}")
    for name, known in CHOICES.get(type(part), {}).items():
        if getattr(part, name) not in known:
            found.append(f"{name} is {getattr(part, name)!r}: expected one of {', '.join(known)}")
    return found


def data_settings_problems(run: TrainConfig) -> list[str]:
    """What is wrong with the data settings."""
    data, found = run.data, []
    for name, part in (("sample", data.sample), ("augment", data.augment), ("loader", data.loader)):
        found += [f"data.{name}.{problem}" for problem in data_config.data_problems(part)]
    for name, batch in (("loader.batch_size", data.loader.batch_size), ("eval_batch_size", data.eval_batch_size)):
        if batch * data_config.clip_bytes(data.sample) > BATCH_BYTES:
            found.append(f"data.{name} is {batch}: a batch of more than {BATCH_BYTES} bytes")
    contrastive = {"data.loader.batch_size": data.loader.batch_size} if run.objective.loss != "multi_label" else {}
    contrastive |= {"pretrain.batch_size": run.pretrain.batch_size} if run.pretrain.epochs else {}
    for name, size in contrastive.items():
        if size == 1:
            found.append(
                f"{name} is 1: a contrastive loss compares clips of a batch with each other, expected at least 2"
            )
    if not data.train.path:
        found.append("data.train.path is empty: expected a list, a directory or the name of a TFDS data set")
    if run.pretrain.epochs and not run.pretrain.source.path:
        found.append("pretrain.source.path is empty: expected the image-text pairs to pre-train with")
    if data.sample.size != run.model.image.size:
        found.append(f"data.sample.size is {data.sample.size}: the model takes {run.model.image.size} (model.image)")
    if data.sample.frames != run.model.frames:
        found.append(f"data.sample.frames is {data.sample.frames}: expected model.frames, {run.model.frames}")
    rows = run.model.temporal.positions
    limited = run.model.temporal.head in ("Transf", "Transf_cls") and not run.compute.interpolate_positions
    if limited and data.sample.frames > rows:
        found.append(f"data.sample.frames is {data.sample.frames}: model.temporal.positions has {rows}")
    if data.loader.batch_size % max(run.optim.accumulate, 1):
        found.append(
            f"data.loader.batch_size is {data.loader.batch_size}: not a multiple of optim.accumulate "
            f"({run.optim.accumulate})"
        )
    return found


def option_problems(run: TrainConfig) -> list[str]:
    """Options that exclude or miss each other."""
    found = []
    for pattern, multiplier in run.optim.multipliers:
        try:
            re.compile(pattern)
        except re.error as error:
            found.append(f"optim.multipliers: {pattern!r} is no regular expression ({error})")
        if not 0 <= multiplier < math.inf:
            found.append(f"optim.multipliers: {multiplier} for {pattern!r}, expected at least 0")
    if not run.optim.steps and not run.optim.epochs:
        found.append("optim.epochs and optim.steps are both 0: there is nothing to train")
    if run.optim.warmup_epochs and run.optim.warmup_epochs >= run.optim.epochs:
        found.append(f"optim.warmup_epochs is {run.optim.warmup_epochs:g}, of {run.optim.epochs:g} epochs altogether")
    wants_initial = run.interpolation.export < 1 or run.interpolation.loss_weight
    if wants_initial and not (run.init_from or run.pretrain.epochs):
        found.append("interpolation needs weights to start from: set init_from")
    if run.init_from and run.pretrain.epochs:
        found.append("init_from and pretrain.epochs exclude each other: a run starts from one or the other")
    if run.objective.loss == "multi_label" and run.objective.computation == "blockwise":
        found.append("objective.computation blockwise tiles clips against clips; multi_label has clips against classes")
    if run.checkpoint.export == "best" and not run.data.test.path:
        found.append("checkpoint.export is 'best', but data.test.path is empty: nothing says which is best")
    if run.checkpoint.export == "best" and not run.checkpoint.keep_best:
        found.append("checkpoint.export is 'best', but checkpoint.keep_best is 0")
    return found


def checked_run(run: TrainConfig) -> TrainConfig:
    """The run, or a ConfigError listing all its problems."""
    if found := run_problems(run):
        raise checks.ConfigError(found)
    return run
