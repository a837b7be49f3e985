"""The weights a run starts from: at random, or those of a CLIP or ActionCLIP with what it lacks made anew."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import transformers
from flax import nnx
from jax.sharding import NamedSharding

from actionclip_jax import checkpoints, config, text
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.config import config_file
from actionclip_jax.models import action_clip

logger = logging.getLogger(__name__)

TOWERS = ("image", "text", "embed_width", "activation", "norm_eps")  # of a model's configuration, what is CLIP's


@dataclasses.dataclass
class Initial:
    """Parameters by path, on the devices, with the tokenizer that goes with them."""

    params: dict[str, jax.Array]
    loaded: list[str]  # paths of CLIP's own parameters that were read and not drawn at random
    tokenizer: transformers.PreTrainedTokenizerBase
    provenance: dict[str, Any]


def initial_weights(
    model: config.ModelConfig,
    source: str,
    seed: int,
    shardings: Mapping[str, NamedSharding],
    *,
    trust_code: bool = False,
) -> Initial:
    """Parameters spread as `shardings` say: random ones never exist anywhere else.

    Args:
        model: what is to be trained.
        source: model directory, PyTorch checkpoint or hub name; empty: everything at random.
        seed: of the random ones.
        shardings: where each parameter lives.
        trust_code: import a temporal head that is code named by the source; what the model itself names is imported.

    Raises:
        ValueError: the source is not this model; all differences are listed.
    """

    def draw() -> dict[str, jax.Array]:
        return action_clip.named_params(action_clip.ActionClip(model, rngs=nnx.Rngs(seed)))

    if not source:
        tokenizer, provenance = random_tokenizer(model.text), {"source": "random initialisation", "seed": seed}
        return Initial(jax.jit(draw, out_shardings=dict(shardings))(), [], tokenizer, provenance)
    params = jax.jit(draw, out_shardings=dict(shardings))()
    weights = checkpoints.read_any(source, trust_code=trust_code or names_head_of(source, model))
    stored = fitting_params(source, weights, model)
    for path, values in stored.items():
        if values.shape != params[path].shape:
            raise ValueError(f"{source}: {path} has shape {values.shape}, expected {params[path].shape}")
        host = np.asarray(values, np.float32)
        params[path] = jax.make_array_from_callback(host.shape, shardings[path], host.__getitem__)
    new = sorted({path.split("/")[0] for path in params.keys() - stored.keys()})
    if new:
        logger.info(f"initialised at random, as {source} has none: {', '.join(new)}")
    loaded = [path for path in stored if not path.startswith("temporal/")]
    provenance = {"source": source, **{f"source_{name}": value for name, value in weights.provenance.items()}}
    return Initial(params, loaded, weights.tokenizer, provenance)


def random_tokenizer(spec: config.TextConfig) -> transformers.PreTrainedTokenizerBase:
    """CLIP's, the only tokenizer that needs no files. Raises ValueError for a text tower of another one."""
    try:
        return text.load_tokenizer(None, spec)
    except ValueError as error:
        raise ValueError(
            f"init_from is empty, and random weights go with CLIP's tokenizer alone. {error}. Expected init_from to "
            "name a model that has it"
        ) from None


def names_head_of(source: str, model: config.ModelConfig) -> bool:
    """Whether a source is a model directory that names the very head which is to be trained."""
    if not model_directory.is_model_directory(source):
        return False
    return model_directory.load_config(source).temporal.head == model.temporal.head


def tower_differences(theirs: config.ModelConfig, ours: config.ModelConfig) -> list[str]:
    """What two models' CLIPs differ in, a line for each setting: `model.image.size is 336 there, 224`.

    A bias may be new in ours, and is not dropped from theirs.
    """
    first, second = (config_file.flatten({"model": config.to_dict(model)}) for model in (theirs, ours))
    parts = tuple(f"model.{name}" for name in (*TOWERS, *(("logit_bias",) if theirs.logit_bias else ())))
    return [
        f"{name} is {value} there, {second[name]}"
        for name, value in first.items()
        if name.startswith(parts) and value != second[name]
    ]


def fitting_params(
    source: str, weights: checkpoints.Weights, model: config.ModelConfig
) -> dict[str, np.ndarray | jax.Array]:
    """The parameters of `weights` that the model takes over. Raises ValueError where its towers or its head differ."""
    theirs = weights.model
    differences = [f"  {difference} in the configuration" for difference in tower_differences(theirs, model)]
    has_head = any(path.startswith("temporal/") for path in weights.params)  # meanP has no parameters
    same_kind = has_head and theirs.temporal.head == model.temporal.head
    if same_kind and theirs.temporal != model.temporal:
        differences.append(
            f"  temporal: {theirs.temporal} there, {model.temporal} in the configuration (model.temporal)"
        )
    if differences:
        raise ValueError("\n".join([f"{source}: is not the model to be trained:", *differences]))
    kept = ("image/", "text/", "logit_", "temporal/") if same_kind else ("image/", "text/", "logit_")
    if has_head and not same_kind:
        logger.info(f"{source}: its temporal head {theirs.temporal.head} is left out for a new {model.temporal.head}")
    # the times of joint attention: a model without it has none
    return {
        path: values
        for path, values in weights.params.items()
        if path.startswith(kept) and (model.joint or path != "image/time")
    }
