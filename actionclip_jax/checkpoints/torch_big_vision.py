"""big_vision's arrays under the names of transformers' SiglipModel: for proofs, so it owes nothing to `big_vision`."""

import re
from collections.abc import Iterator, Mapping

import numpy as np

RENAMED = (  # big_vision's name -> transformers', applied in order
    (r"^params/", ""),
    (r"^t$", "logit_scale"),
    (r"^b$", "logit_bias"),
    (r"^img/embedding/", "vision_model.embeddings.patch_embedding/"),
    (r"^(img|txt)/pos_embedding$", r"\1.embeddings.position_embedding/weight"),
    (r"^txt/Embed_0/embedding$", "text_model.embeddings.token_embedding/weight"),
    (r"^img/MAPHead_0/probe$", "vision_model.head.probe"),
    (r"^img/MAPHead_0/MultiHeadDotProductAttention_0/", "vision_model.head.attention."),
    (r"^img/MAPHead_0/LayerNorm_0/", "vision_model.head.layernorm/"),
    (r"^img/MAPHead_0/", "vision_model.head."),
    (r"^img/Transformer/encoder_norm/", "vision_model.post_layernorm/"),
    (r"^txt/Encoder_0/encoder_norm/", "text_model.final_layer_norm/"),
    (r"^txt/head/", "text_model.head/"),
    (r"^img/Transformer/encoderblock_(\d+)/", r"vision_model.encoder.layers.\1."),
    (r"^txt/Encoder_0/encoderblock_(\d+)/", r"text_model.encoder.layers.\1."),
    (r"^img\.", "vision_model."),
    (r"^txt\.", "text_model."),
    (r"MultiHeadDotProductAttention_0/", "self_attn."),
    (r"(query|key|value)/", lambda match: f"{match[1][0]}_proj/"),
    (r"\.out/", ".out_proj/"),
    (r"LayerNorm_0/", "layer_norm1/"),
    (r"LayerNorm_1/", "layer_norm2/"),
    (r"MlpBlock_0/Dense_0/", "mlp.fc1/"),
    (r"MlpBlock_0/Dense_1/", "mlp.fc2/"),
    (r"/(kernel|scale)$", ".weight"),
    (r"/", "."),
)


def renamed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All arrays of a file, as transformers' state dict has them."""
    state: dict[str, np.ndarray] = {}
    for name, array in layers(arrays):
        theirs = name
        for pattern, replacement in RENAMED:
            theirs = re.sub(pattern, replacement, theirs)
        state[theirs] = laid_out(name, array)
    for kind in ("weight", "bias"):  # the pooling is torch.nn.MultiheadAttention
        parts = [state.pop(f"vision_model.head.attention.{part}_proj.{kind}") for part in "qkv"]
        state[f"vision_model.head.attention.in_proj_{kind}"] = np.concatenate(parts)
    return state


def layers(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays with those of stacked layers apart."""
    for name, array in arrays.items():
        if "/encoderblock/" in name:
            yield from ((name.replace("block/", f"block_{i}/"), layer) for i, layer in enumerate(array))
        else:
            yield name, array


def laid_out(name: str, array: np.ndarray) -> np.ndarray:
    """An array as PyTorch has it, by its name in big_vision."""
    if name.endswith("pos_embedding"):
        return array[0]
    if name.endswith("img/embedding/kernel"):
        return array.transpose(3, 2, 0, 1)
    if re.search(r"(query|key|value)/kernel$", name):
        return array.reshape(len(array), -1).T
    if re.search(r"(query|key|value)/bias$", name):
        return array.reshape(-1)
    return array.reshape(-1, array.shape[-1]).T if name.endswith("/kernel") else array
