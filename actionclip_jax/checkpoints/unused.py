"""Tensors that belong to a format but to no computation: kept for a round trip, and not to contradict the model."""

import re
from collections.abc import Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, timm_trunks

NAMES = re.compile(
    r".*(input_resolution|context_length|vocab_size|position_ids|attn_mask|num_batches_tracked)"
    r"|.*frame_position_embeddings\.weight"  # the source makes one for every head, and reads it in Transf alone
    r"|state_dict/data_preprocessor\..*"
    rf"|{re.escape(timm_trunks.BIAS)}"
)
HIDDEN = -1e4  # what a mask adds to hide a token: minus infinity, or float16's lowest number


def check(where: str, model: config.ModelConfig, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises CheckpointError if unused tensors describe another model than the weights; all of them are listed."""
    problems = filter(None, (contradiction(name, tensor, model) for name, tensor in sorted(tensors.items())))
    if lines := list(problems):
        raise errors.CheckpointError("\n  ".join([f"{where}: holds tensors that describe another model:", *lines]))


def contradiction(name: str, tensor: np.ndarray, model: config.ModelConfig) -> str | None:
    """What a tensor says otherwise than the weights; None if nothing."""
    last = re.split("[./]", name)[-1]
    sizes = {
        "input_resolution": model.image.size,
        "context_length": model.text.context,
        "vocab_size": model.text.vocabulary,
    }
    if last in sizes and tensor.ravel().tolist() != [sizes[last]]:
        return f"{name} is {numbers(tensor)}, the weights have {sizes[last]}"
    if last == "attn_mask" and not is_causal(tensor, model.text.context):
        return f"{name} is not the causal mask of {model.text.context} tokens, the only one that is supported"
    if name == timm_trunks.BIAS and tensor.any():
        return f"{name} is not zero: an image projection with a bias is not supported"
    if last == "position_ids" and not np.array_equal(tensor.ravel(), np.arange(tensor.size)):
        return f"{name} is {numbers(tensor)}: only 0, 1, 2 ... is supported"
    pixels = {"data_preprocessor.mean": model.image.mean, "data_preprocessor.std": model.image.std}
    usual = next((value for end, value in pixels.items() if name.endswith(end)), None)  # MMEngine's, of 0..255
    if usual and not (tensor.size == 3 and np.allclose(tensor.ravel(), 255 * np.array(usual), atol=0.1)):
        return f"{name} is {numbers(tensor)}: only CLIP's is supported, 255 times {usual}"
    return None


def numbers(tensor: np.ndarray) -> str:
    """A tensor's numbers as a message shows them."""
    values = tensor.ravel().tolist()
    return str(values if len(values) != 1 else values[0]) if len(values) < 5 else f"{str(values[:4])[:-1]}, ...]"


def is_causal(mask: np.ndarray, context: int) -> bool:
    """Whether a mask hides the later tokens and nothing else: by True, or by what it adds."""
    mask = mask.squeeze()
    if mask.shape != (context, context):
        return False
    hidden = mask if mask.dtype == np.bool_ else mask <= HIDDEN
    return np.array_equal(hidden, np.triu(np.ones_like(hidden), 1)) and not mask[~hidden].any()
