"""What a training run is, with its only defaults: ActionCLIP's recipe for Kinetics-400."""

from typing import Literal

from actionclip_jax.config import settings
from actionclip_jax.config.data import AugmentConfig, LoaderConfig, SampleConfig, SourceConfig
from actionclip_jax.config.model import ComputeConfig, ModelConfig, TemporalConfig

Loss = Literal["exact", "normalized", "one_positive", "sigmoid", "multi_label"]
Computation = Literal["plain", "blockwise"]
Tower = Literal["trained", "frozen"]
Texts = Literal["clips", "distinct"]
Export = Literal["last", "best"]
Optimizer = Literal["auto", "parameters", "data"]
Rules = tuple[tuple[str, float], ...]


@settings.dataclass
class ExpectConfig:
    """What the training set is like, for `actionclip compile`, which has to do without it."""

    clips: int = 0  # of the training set
    classes: int = 0  # of the training set
    text_tokens: int = 77  # of the longest label in the longest prompt, up to the next multiple of 8


@settings.dataclass
class DataConfig:
    """Which clips are trained and tested with, and what is done to them."""

    train: SourceConfig = SourceConfig()  # the clips to train with
    test: SourceConfig = SourceConfig()  # the clips to evaluate with; without a path there is no evaluation
    zero_shot: SourceConfig = SourceConfig()  # clips that are evaluated as well, among their own classes
    sample: SampleConfig = SampleConfig()
    augment: AugmentConfig = AugmentConfig()
    loader: LoaderConfig = LoaderConfig()
    eval_batch_size: int = 0  # clips of a batch when evaluating, over all hosts; 0: as many as in training
    expect: ExpectConfig = ExpectConfig()


@settings.dataclass
class ObjectiveConfig:
    """What is minimised. `training/losses.py` has the formulas."""

    loss: Loss | str = "exact"  # see docs/training.md
    computation: Computation = "plain"  # or blockwise: never more than a [B / devices, block] tile of the similarities
    block: int = 1024  # texts or clips a tile of `blockwise` is wide
    templates: str = "actionclip"  # prompts a clip's label is put into, one drawn at random: see text.load_templates
    text: Tower = "trained"  # or frozen: all class x template texts are encoded once
    image: Tower = "trained"  # or frozen: it stays as it is, without a backward pass
    encode_texts: Texts = "clips"  # one for every clip; or distinct: one for every (class, template) of the batch


@settings.dataclass
class OptimConfig:
    """AdamW with a warm-up and a cosine, and what is done to the weights beside it."""

    lr: float = 5e-6  # learning rate at the end of the warm-up, times the multiplier of the parameter
    multipliers: Rules = (
        (r"image/.*", 1.0),
        (r"text/.*|logit_scale", 1.0),
        (r"temporal/.*", 10.0),
    )  # of lr, by path; 0 freezes; logit_bias has that of logit_scale unless a rule names it
    beta1: float = 0.9  # of AdamW: decay of the mean of the gradients
    beta2: float = 0.98  # of AdamW: decay of the mean of their squares
    eps: float = 1e-8  # of AdamW: keeps its divisor above 0
    weight_decay: float = 0.2  # of AdamW, times the learning rate
    decay_everything: bool = True  # as the source does; False spares norms, biases, positions and other vectors
    epochs: float = 50.0  # times that every clip is trained with
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

    source: SourceConfig = SourceConfig()  # the pictures, whose labels are their captions
    epochs: float = 0.0  # of pre-training; 0: none
    warmup_epochs: float = 1.0  # of `epochs`
    lr: float = 5e-4  # learning rate of pre-training, at the end of its warm-up
    multipliers: Rules = ((r".*", 1.0),)  # of lr, as those of the optimiser
    batch_size: int = 128  # pictures of a global batch


@settings.dataclass
class ShardingConfig:
    """How many ways the devices divide: the rest of them, `data`, divides the clips only."""

    fsdp: int = 1  # devices that share parameters and optimiser state as well as clips
    model: int = 1  # devices that share heads and hidden channels (tensor parallel)
    optimizer: Optimizer = "auto"  # parameters and their moments kept as they are used, or spread over `data` too: TPUs


@settings.dataclass
class CheckpointConfig:
    """When the state of the run is saved, and what is kept."""

    every_epochs: float = 1.0  # epochs from checkpoint to checkpoint; 0: only at the end
    keep_last: int = 2  # checkpoints, the newest ones
    keep_best: int = 1  # checkpoints, those that scored best
    export: Export = "last"  # the weights of the model directory: the last ones, or those that scored best


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
    init_from: str = ""  # as MODEL: a directory, checkpoint, hub name or released model; without: random weights
    trust_code: bool = False  # import the temporal head of `init_from` where it is code of somebody's own
    workdir: str = "outputs/train"  # where everything is written, and what a run that stopped goes on from
    seed: int = 0  # of new weights, templates, colours and dropping; clips and crops have data.loader.seed
    log_every: int = 10  # steps from row to row of metrics.jsonl
    wandb: str = ""  # project of Weights & Biases that gets the numbers as well, if any
    eval_every_epochs: float = 1.0  # epochs from evaluation to evaluation; 0: only at the end
    hang_seconds: float = 180.0  # a step longer than this and than 20 of the last ones ends the run; 0: never
