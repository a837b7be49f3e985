"""The options of a prediction, checked before anything is read or compiled; all mistakes at once."""

import collections
import logging
import operator
from collections.abc import Iterable, Mapping, Set
from typing import Any

from actionclip_jax import config, files
from actionclip_jax.inference import encoder

logger = logging.getLogger(__name__)


def checked_sampling(
    model: encoder.VideoTextEncoder, frames: Any, views: Any, batch_size: Any = 1
) -> config.SampleConfig:
    """Frames (the model's own number for None) and views of the types people write. Raises ValueError."""
    problems: list[str] = []
    frames = read_count("frames", model.config.frames if frames is None else frames, problems)
    read_count("batch_size", batch_size, problems)
    try:
        views = config.read_views(views)
    except ValueError as error:
        problems.append(f"views: {error}")
    if problems:
        raise ValueError("; ".join(problems))
    sample = config.sample_for(model.config, frames, views)
    model.check_frames(frames)
    return sample


def checked_kind(model: encoder.VideoTextEncoder, absolute: bool) -> str:
    """The kind of scores, of those of `class_scores`. Raises ValueError where the model has none that are absolute."""
    if not absolute:
        return "softmax"
    if not model.config.logit_bias:
        raise ValueError(
            "absolute: this model has no logit_bias. It was trained to tell labels from each other, and cannot say how "
            "probable one is by itself; models trained with a sigmoid can (SigLIP, objective.loss=sigmoid)"
        )
    run = model.provenance.get("config")
    loss = run.get("objective", {}).get("loss") if isinstance(run, Mapping) else None
    if loss not in (None, "sigmoid"):
        logger.warning(
            f"note: objective.loss {loss} trained this model and not its logit_bias: its absolute probabilities may "
            "be far off"
        )
    return "sigmoid"


def read_count(name: str, value: Any, problems: list[str]) -> int:
    """A whole number of at least 1; what is wrong with another value is added to the problems."""
    try:
        if (number := operator.index(value)) >= 1 and not isinstance(value, bool):
            return number
    except TypeError:
        pass
    problems.append(f"{name} is {value!r}: expected a whole number of at least 1")
    return 1


def checked_class_names(names: Any, called: str = "class_names") -> tuple[str, ...]:
    """The texts to choose from, stripped, or a ValueError naming everything wrong with them."""
    if isinstance(names, str):
        raise ValueError(f"{called} are the single text {files.shorten(names)}: expected a list of texts")
    listed = isinstance(names, Iterable) and not isinstance(names, Mapping | Set | bytes)  # a set has no order
    texts = list(names) if listed else []
    if not listed or not all(isinstance(name, str) for name in texts):
        raise ValueError(f"{called} are {files.shorten(repr(names))[1:-1]}: expected a list of texts")
    stripped = tuple(name.strip() for name in texts)
    problems = ["there are none"] if not stripped else []
    problems += [f"too long: {files.shorten(name)}" for name in stripped if len(name) > files.LONGEST_LABEL][:5]
    if empty := [index + 1 for index, name in enumerate(stripped) if not name]:
        problems.append(f"empty at position {', '.join(map(str, empty))}")
    if twice := [name for name, count in collections.Counter(stripped).items() if count > 1]:
        problems.append(f"given more than once: {', '.join(map(repr, twice))}")
    if problems:
        raise ValueError(f"{called}: {'; '.join(problems)}")
    return stripped
