"""What `actionclip finetune` is asked for, and the rule for what it is not told."""

import math
from typing import Literal

from actionclip_jax import paths
from actionclip_jax.config import checks, settings
from actionclip_jax.config import data as data_config
from actionclip_jax.config import model as model_config
from actionclip_jax.config.data import SourceConfig
from actionclip_jax.config.model import ComputeConfig

Freeze = Literal["nothing", "text", "image", "towers"]
NewHead = Literal["", model_config.Head]


@settings.dataclass
class FinetuneRule:
    """How fast and how long a model is trained, and what of its data is looked at; docs/training.md has the reasons."""

    published_lr: float = 5e-6  # of the towers of published weights
    scratch_lr: float = 5e-4  # of random weights of an architecture whose own rate is not known
    lr_share: float = 0.3  # of the rate of its first training, for a model that this program trained from nothing
    batch_size: int = 32  # below it, the rate falls with the square root of the batch
    epochs: float = 50.0  # times that every clip is trained with, within the limits that follow
    clips_seen: int = 500_000  # after which the epochs of larger sets end ...
    least_epochs: float = 10.0  # ... but not before so many
    least_steps: int = 200  # for which tiny sets take more epochs
    warmup: float = 0.1  # of the epochs
    clip_norm: float = 1.0  # of models that started from nothing
    evaluations: int = 10  # of the held-out clips while training
    checked_clips: int = 2000  # a set of so many clips is decoded once before training; of larger ones a clip a class
    few_clips: int = 8  # for training: classes with fewer are named
    imbalance: float = 10.0  # the largest class to the smallest, from which on it is said
    sheet_clips: int = 12  # on the contact sheet
    memory_share: float = 0.8  # of the memory there is, for a training step


@settings.dataclass
class FinetuneConfig:
    """One fine-tuning. What is 0 or empty is decided by the rule, the model or the data."""

    model: str = ""  # model directory, PyTorch checkpoint or hub name
    data: SourceConfig = SourceConfig()  # the clips to train with
    out: str = "outputs/finetune"  # where everything is written
    test: SourceConfig = SourceConfig()  # the held-out clips; without a path some of `data` are held out
    held_out: float = 0.1  # share of the clips of every class that is held out then; 0: none
    epochs: float = 0.0  # times that every clip is trained with
    batch_size: int = 0  # clips
    lr: float = 0.0  # greatest learning rate of the towers
    freeze: Freeze = "nothing"  # parts that stay as they are
    trust_code: bool = False  # import the temporal head of the model where it is code of somebody's own
    frames: int = 0  # of a clip
    head: NewHead | str = ""  # a new temporal head instead of the model's
    from_scratch: bool = False  # random weights: only the architecture is the model's
    templates: str = "actionclip"  # prompts that the class names are put into
    workers: int = -1  # that decode: see LoaderConfig
    seed: int = 0  # of what is held out and of everything random in training
    compute: ComputeConfig = ComputeConfig()  # how the model is computed
    rule: FinetuneRule = FinetuneRule()  # for what is not told


def finetune_problems(request: FinetuneConfig) -> list[str]:
    """Everything that makes the request impossible and can be told from it alone, as sentences."""
    problems = [*checks.choice_problems(request), *checks.choice_problems(request.compute)]
    for name in ("epochs", "lr", "batch_size", "frames", "seed"):
        if not 0 <= getattr(request, name) < math.inf:  # catches NaN too
            problems.append(f"{name} is {getattr(request, name)}: expected more than 0")
    if not 0 <= request.held_out < 1:
        problems.append(f"held_out (--val) is {request.held_out}: expected a share of at least 0 and below 1")
    for name, value in (("model", request.model), ("out", request.out), ("templates", request.templates)):
        if problem := paths.problem("MODEL" if name == "model" else name, value):
            problems.append(problem)
    if not request.data.path:
        problems.append("data.path is empty: expected a directory of videos, a list or an annotation file")
    for part in (request.data, request.test):
        problems += data_config.data_problems(part)
    if request.from_scratch and request.freeze != "nothing":
        problems.append(f"freeze is {request.freeze!r}, but from_scratch: random weights would stay as they are")
    return problems


def checked_finetune(request: FinetuneConfig) -> FinetuneConfig:
    """The request, or a ConfigError listing all its problems."""
    if problems := finetune_problems(request):
        raise checks.ConfigError(problems)
    return request
