"""How a trained model is measured, and how it is asked."""

import dataclasses
import pathlib

from actionclip_jax import paths
from actionclip_jax.config import checks, settings
from actionclip_jax.config import data as data_config
from actionclip_jax.config import model as model_config
from actionclip_jax.config.data import LoaderConfig
from actionclip_jax.config.model import ComputeConfig, ModelConfig

SCORING_PROTOCOLS = ("full", "splits", "half", "k600", "multi-label")  # what features of the clips are enough for
TRAINING_PROTOCOLS = ("few-shot", "base-to-novel")
PROTOCOLS = SCORING_PROTOCOLS + TRAINING_PROTOCOLS
AVERAGES = ("templates", "embeddings")
SCORES = ("softmax", "sigmoid")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How a model is measured, by one of SCORING_PROTOCOLS."""

    out: pathlib.Path  # where the report goes
    protocol: str = "full"  # how it is measured: see docs/evaluation.md
    class_lists: tuple[pathlib.Path, ...] = ()  # of the protocol k600
    frames: int = 0  # 0: the model's own number
    views: tuple[int, int] = (1, 1)  # clips over time, crops
    templates: str = "actionclip"  # prompts that the class names are put into
    average: str = "templates"  # what is averaged over templates; or embeddings: see `inference.class_scores`
    scores: str = "softmax"  # over the classes; or the sigmoid of each
    seen: pathlib.Path | None = None  # classes of the training set, without which all is measured once more
    threshold: float | None = None  # below it the answer is "none of these"
    features: pathlib.Path | None = None  # saved ones, instead of decoding
    save_features: bool = False  # keep the clips' features
    loader: LoaderConfig = LoaderConfig(batch_size=8)  # how the clips are read
    compute: ComputeConfig = ComputeConfig()  # how the model is computed
    activation: str | None = None  # of open_clip weights that do not say it
    trust_code: bool = False  # import the temporal head of the model where it is code of somebody's own


@settings.dataclass
class TimelineConfig:
    """How windows slide over a long video, and what makes a segment of it."""

    window: float = 10.0  # seconds: the length of Kinetics' clips
    hop: float | None = None  # seconds from window to window; by default a quarter of the window
    threshold: float = 0.5  # probability that the best label needs
    smooth: float = 0.0  # seconds of a running median of each label's probabilities, before segments; 0: none
    min_length: float = 0.0  # seconds that a label, or none, must last to take the place of the one before it


@settings.dataclass
class LiveConfig:
    """How a video is followed while it is written."""

    idle: float = 30.0  # seconds without a new byte after which a growing file has ended
    max_lag: float | None = None  # seconds late beyond which frames are dropped; by default two windows


def evaluation_problems(evaluation: EvaluationConfig) -> list[str]:
    """Everything that makes the evaluation impossible and can be told from its settings alone, as sentences."""
    problems = [] if evaluation.protocol in SCORING_PROTOCOLS else [f"protocol is {evaluation.protocol!r}"]
    for name, value, known in (("average", evaluation.average, AVERAGES), ("scores", evaluation.scores, SCORES)):
        if value not in known:
            problems.append(f"{name} is {value!r}: expected one of {', '.join(known)}")
    if evaluation.threshold is not None and not 0 <= evaluation.threshold <= 1:
        problems.append(f"threshold is {evaluation.threshold}: expected 0 to 1")
    if evaluation.features and evaluation.save_features:
        problems.append("features are read from a directory, so there is nothing to save")
    if evaluation.features and (evaluation.frames or evaluation.views != (1, 1)):
        problems.append("saved features have frames and views of their own: leave frames and views out")
    problems += data_config.data_problems(evaluation.loader)
    problems += model_config.model_problems(ModelConfig(), evaluation.compute)
    given = {"templates": evaluation.templates, "features": evaluation.features, "out": evaluation.out}
    for name, value in given.items():
        if value is not None and (problem := paths.problem(name, value)):
            problems.append(problem)
    return problems


def checked_evaluation(evaluation: EvaluationConfig) -> EvaluationConfig:
    """The evaluation, or a ConfigError listing all its problems."""
    if problems := evaluation_problems(evaluation):
        raise checks.ConfigError(problems)
    return evaluation
