"""Which PyTorch tensor is which parameter: tables of rows, read in both directions."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import errors


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the tensors of one row (usually one) become a parameter, and back. Neither rounds anything."""

    to_ours: Callable[..., np.ndarray]
    to_torch: Callable[[np.ndarray], tuple[np.ndarray, ...]]


@dataclasses.dataclass(frozen=True)
class Row:
    """One parameter. With a depth, `{i}` in the names counts layers, stacked on a leading axis of the parameter."""

    path: str
    names: tuple[str, ...]
    layout: Layout
    depth: int | None = None

    def layers(self) -> list[tuple[tuple[int, ...], list[str]]]:
        """(index into the parameter, tensor names) for each layer; the index is () without layers."""
        if self.depth is None:
            return [((), list(self.names))]
        return [((i,), [name.format(i=i) for name in self.names]) for i in range(self.depth)]


SAME = Layout(lambda x: x, lambda x: (x,))
TRANSPOSED = Layout(lambda x: x.T, lambda x: (x.T,))  # PyTorch's Linear is [out, in]
# [D, 3, P, P] of the convolution <-> [P * P * 3, D] for patches flattened as rows, columns, colours
PATCH = Layout(
    lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]),
    lambda x: (x.reshape(round((x.shape[0] / 3) ** 0.5), -1, 3, x.shape[1]).transpose(3, 2, 0, 1),),
)
ONE_BATCH = Layout(lambda x: x[0], lambda x: (x[None],))
ONE_TOKEN = Layout(lambda x: x[0, 0], lambda x: (x[None, None],))
DEPTHWISE = Layout(lambda x: x[:, 0].T, lambda x: (x.T[:, None],))  # [E, 1, 3] <-> [3, E]


def fused_heads(heads: int) -> dict[str, Layout]:
    """Attention with q, k and v in one tensor, as torch.nn.MultiheadAttention keeps it."""
    return {
        "kernel": Layout(
            lambda x: x.T.reshape(x.shape[1], 3, heads, -1),
            lambda x: (x.reshape(x.shape[0], -1).T,),
        ),
        "bias": Layout(lambda x: x.reshape(3, heads, -1), lambda x: (x.reshape(-1),)),
    }


def split_heads(heads: int) -> dict[str, Layout]:
    """Attention with separate q, k and v, as transformers keeps it."""
    return {
        "kernel": Layout(
            lambda *qkv: np.stack([x.T.reshape(x.shape[1], heads, -1) for x in qkv], axis=1),
            lambda x: tuple(x[:, part].reshape(x.shape[0], -1).T for part in range(3)),
        ),
        "bias": Layout(
            lambda *qkv: np.stack([x.reshape(heads, -1) for x in qkv]),
            lambda x: tuple(x[part].reshape(-1) for part in range(3)),
        ),
    }


def merged_heads(heads: int) -> Layout:
    """Attention's output projection [D, D] <-> [H, K, D]."""
    return Layout(lambda x: x.T.reshape(heads, -1, x.shape[0]), lambda x: (x.reshape(-1, x.shape[-1]).T,))


def norm(path: str, name: str, depth: int | None = None) -> list[Row]:
    """A LayerNorm."""
    return [Row(f"{path}/scale", (f"{name}.weight",), SAME, depth), Row(f"{path}/bias", (f"{name}.bias",), SAME, depth)]


def linear(path: str, name: str, depth: int | None = None) -> list[Row]:
    """A Linear with bias."""
    return [
        Row(f"{path}/kernel", (f"{name}.weight",), TRANSPOSED, depth),
        Row(f"{path}/bias", (f"{name}.bias",), SAME, depth),
    ]


def attention(path: str, name: str, heads: int, depth: int) -> list[Row]:
    """torch.nn.MultiheadAttention."""
    fused = fused_heads(heads)
    return [
        Row(f"{path}/qkv/kernel", (f"{name}.in_proj_weight",), fused["kernel"], depth),
        Row(f"{path}/qkv/bias", (f"{name}.in_proj_bias",), fused["bias"], depth),
        Row(f"{path}/out/kernel", (f"{name}.out_proj.weight",), merged_heads(heads), depth),
        Row(f"{path}/out/bias", (f"{name}.out_proj.bias",), SAME, depth),
    ]


def openai_blocks(path: str, name: str, heads: int, depth: int) -> list[Row]:
    """CLIP's residual attention blocks."""
    return [
        *norm(f"{path}/ln_1", f"{name}.ln_1", depth),
        *attention(f"{path}/attn", f"{name}.attn", heads, depth),
        *norm(f"{path}/ln_2", f"{name}.ln_2", depth),
        *linear(f"{path}/mlp/fc", f"{name}.mlp.c_fc", depth),
        *linear(f"{path}/mlp/proj", f"{name}.mlp.c_proj", depth),
    ]


def openai_towers(model: config.ModelConfig, prefix: str = "") -> list[Row]:
    """OpenAI's names, which open_clip, ActionCLIP's source and the mmaction2 port keep behind a prefix."""
    image, text, visual = model.image, model.text, f"{prefix}visual"
    wrapped = ".net" if model.shift else ""  # the source wraps each block in a module that shifts
    return [
        Row("image/patch/kernel", (f"{visual}.conv1.weight",), PATCH),
        Row("image/class_embedding", (f"{visual}.class_embedding",), SAME),
        Row("image/position", (f"{visual}.positional_embedding",), SAME),
        *([Row("image/time", (f"{visual}.time_embedding",), SAME)] if model.joint else []),
        *norm("image/ln_pre", f"{visual}.ln_pre"),
        *openai_blocks("image/blocks", f"{visual}.transformer.resblocks.{{i}}{wrapped}", image.heads, image.depth),
        *norm("image/ln_post", f"{visual}.ln_post"),
        Row("image/projection/kernel", (f"{visual}.proj",), SAME),
        Row("text/token/embedding", (f"{prefix}token_embedding.weight",), SAME),
        Row("text/position", (f"{prefix}positional_embedding",), SAME),
        *openai_blocks("text/blocks", f"{prefix}transformer.resblocks.{{i}}", text.heads, text.depth),
        *norm("text/ln_final", f"{prefix}ln_final"),
        Row("text/projection/kernel", (f"{prefix}text_projection",), SAME),
        Row("logit_scale", (f"{prefix}logit_scale",), SAME),
    ]


def huggingface_blocks(path: str, name: str, heads: int, depth: int) -> list[Row]:
    """The encoder layers of transformers' CLIP."""
    split = split_heads(heads)
    qkv = [f"{name}.self_attn.{part}_proj" for part in "qkv"]
    return [
        *norm(f"{path}/ln_1", f"{name}.layer_norm1", depth),
        Row(f"{path}/attn/qkv/kernel", tuple(f"{part}.weight" for part in qkv), split["kernel"], depth),
        Row(f"{path}/attn/qkv/bias", tuple(f"{part}.bias" for part in qkv), split["bias"], depth),
        Row(f"{path}/attn/out/kernel", (f"{name}.self_attn.out_proj.weight",), merged_heads(heads), depth),
        Row(f"{path}/attn/out/bias", (f"{name}.self_attn.out_proj.bias",), SAME, depth),
        *norm(f"{path}/ln_2", f"{name}.layer_norm2", depth),
        *linear(f"{path}/mlp/fc", f"{name}.mlp.fc1", depth),
        *linear(f"{path}/mlp/proj", f"{name}.mlp.fc2", depth),
    ]


def huggingface_towers(model: config.ModelConfig) -> list[Row]:
    """The names of transformers' CLIPModel, its misspelling of pre-layernorm included."""
    image, text, vision = model.image, model.text, "vision_model"
    return [
        Row("image/patch/kernel", (f"{vision}.embeddings.patch_embedding.weight",), PATCH),
        Row("image/class_embedding", (f"{vision}.embeddings.class_embedding",), SAME),
        Row("image/position", (f"{vision}.embeddings.position_embedding.weight",), SAME),
        *norm("image/ln_pre", f"{vision}.pre_layrnorm"),
        *huggingface_blocks("image/blocks", f"{vision}.encoder.layers.{{i}}", image.heads, image.depth),
        *norm("image/ln_post", f"{vision}.post_layernorm"),
        Row("image/projection/kernel", ("visual_projection.weight",), TRANSPOSED),
        Row("text/token/embedding", ("text_model.embeddings.token_embedding.weight",), SAME),
        Row("text/position", ("text_model.embeddings.position_embedding.weight",), SAME),
        *huggingface_blocks("text/blocks", "text_model.encoder.layers.{i}", text.heads, text.depth),
        *norm("text/ln_final", "text_model.final_layer_norm"),
        Row("text/projection/kernel", ("text_projection.weight",), TRANSPOSED),
        Row("logit_scale", ("logit_scale",), SAME),
    ]


def temporal_head(model: config.ModelConfig, prefix: str) -> list[Row]:
    """The temporal heads, by the source's names."""
    temporal = model.temporal
    if temporal.head == "Conv_1D":
        return [Row("temporal/kernel", (f"{prefix}shift.weight",), DEPTHWISE)]
    if temporal.head == "LSTM":
        return [
            Row("temporal/input_kernel", (f"{prefix}lstm_visual.weight_ih_l0",), TRANSPOSED),
            Row("temporal/hidden_kernel", (f"{prefix}lstm_visual.weight_hh_l0",), TRANSPOSED),
            Row("temporal/input_bias", (f"{prefix}lstm_visual.bias_ih_l0",), SAME),
            Row("temporal/hidden_bias", (f"{prefix}lstm_visual.bias_hh_l0",), SAME),
        ]
    if temporal.head == "Transf":
        blocks = f"{prefix}transformer.resblocks.{{i}}"
        return [
            Row("temporal/position", (f"{prefix}frame_position_embeddings.weight",), SAME),
            *openai_blocks("temporal/blocks", blocks, temporal.heads, temporal.depth),
        ]
    if temporal.head == "Transf_cls":
        encoder = f"{prefix}transformer.transformer_enc"
        layer, depth = f"{encoder}.layers.{{i}}", temporal.depth
        return [
            Row("temporal/class_token", (f"{prefix}transformer.cls_token",), ONE_TOKEN),
            Row("temporal/position", (f"{prefix}transformer.pos_embed",), ONE_BATCH),
            *attention("temporal/blocks/attn", f"{layer}.self_attn", temporal.heads, depth),
            *norm("temporal/blocks/ln_1", f"{layer}.norm1", depth),
            *linear("temporal/blocks/mlp/fc", f"{layer}.linear1", depth),
            *linear("temporal/blocks/mlp/proj", f"{layer}.linear2", depth),
            *norm("temporal/blocks/ln_2", f"{layer}.norm2", depth),
            *norm("temporal/ln_final", f"{encoder}.norm"),
        ]
    return []  # meanP has no parameters


def to_params(
    rows: list[Row], shapes: Mapping[str, tuple[int, ...]], tensors: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Tensors by name -> float32 parameters by path. Tensors are dropped as they are used, so memory stays at one copy.

    Raises:
        CheckpointError: tensors missing, left over, misshapen or not finite, or parameters nothing fills; all listed.
    """
    wanted, given = sum(map(math.prod, shapes.values())), sum(tensor.size for tensor in tensors.values())
    if wanted > 2 * given:  # empty tensors, say, whose shapes promise layers of any width: nothing to allocate for
        raise errors.CheckpointError(f"the checkpoint holds {given} numbers, and the model it describes has {wanted}")
    found = [f"nothing fills {path!r}" for path in sorted(set(shapes) - {row.path for row in rows})]
    params = {}
    for row in rows:
        param = params[row.path] = np.empty(shapes[row.path], np.float32)
        for index, names in row.layers():
            if missing := [name for name in names if name not in tensors]:
                found += [f"{name!r} is missing" for name in missing]
                continue
            parts = [tensors.pop(name) for name in names]
            # what to_torch makes of the parameter is the only shape to accept: reshapes would hide others
            shapes_wanted = [part.shape for part in row.layout.to_torch(param[index])]
            if wrong := list(filter(None, map(tensor_problem, names, parts, shapes_wanted))):
                found += wrong
            else:
                param[index] = row.layout.to_ours(*parts)
    found += [f"{name!r} is not a part of this model" for name in sorted(tensors)]
    if found:
        raise errors.CheckpointError("\n  ".join(["the checkpoint does not fit the model:", *found]))
    return params


def tensor_problem(name: str, tensor: np.ndarray, shape: tuple[int, ...]) -> str | None:
    """Why a tensor cannot be taken for floating point numbers of that shape; None if it can."""
    if tensor.shape != shape:
        return f"{name!r} has shape {tensor.shape}, expected {shape}"
    if tensor.dtype.kind in "biuc":
        return f"{name!r} holds {tensor.dtype} numbers, expected real floating point"
    with np.errstate(over="ignore"):  # float64 beyond float32 counts as infinite
        wrong = tensor.size - np.count_nonzero(np.isfinite(tensor.astype(np.float32, copy=False)))
    if wrong:
        return (
            f"{name!r} holds numbers that are not finite ({wrong} of {tensor.size}): the training diverged, or the "
            "file is damaged"
        )
    return None


def to_tensors(rows: list[Row], params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters by path -> float32 tensors by name, in the order of the rows."""
    tensors = {}
    for row in rows:
        for index, names in row.layers():
            tensors |= zip(names, row.layout.to_torch(np.asarray(params[row.path])[*index, ...]), strict=True)
    return tensors
