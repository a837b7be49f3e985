"""Which PyTorch tensor is which parameter: a row for each, for every format's names."""

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import mapping

HEADS = ("meanP", "Conv_1D", "LSTM", "Transf", "Transf_cls")  # temporal heads that ActionCLIP's files have names for

SAME = mapping.Layout(lambda x: x, lambda x: (x,))
TRANSPOSED = mapping.Layout(lambda x: x.T, lambda x: (x.T,))  # PyTorch's Linear is [out, in]
# [D, 3, P, P] of the convolution <-> [P * P * 3, D] for patches flattened as rows, columns, colours
PATCH = mapping.Layout(
    lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]),
    lambda x: (x.reshape(round((x.shape[0] / 3) ** 0.5), -1, 3, x.shape[1]).transpose(3, 2, 0, 1),),
)
ONE_BATCH = mapping.Layout(lambda x: x[0], lambda x: (x[None],))
ONE_TOKEN = mapping.Layout(lambda x: x[0, 0], lambda x: (x[None, None],))
DEPTHWISE = mapping.Layout(lambda x: x[:, 0].T, lambda x: (x.T[:, None],))  # [E, 1, 3] <-> [3, E]


def fused_heads(heads: int) -> dict[str, mapping.Layout]:
    """Attention with q, k and v in one tensor, as torch.nn.MultiheadAttention keeps it."""
    return {
        "kernel": mapping.Layout(
            lambda x: x.T.reshape(x.shape[1], 3, heads, -1), lambda x: (x.reshape(x.shape[0], -1).T,)
        ),
        "bias": mapping.Layout(lambda x: x.reshape(3, heads, -1), lambda x: (x.reshape(-1),)),
    }


def split_heads(heads: int) -> dict[str, mapping.Layout]:
    """Attention with separate q, k and v, as transformers keeps it."""
    return {
        "kernel": mapping.Layout(
            lambda *qkv: np.stack([x.T.reshape(x.shape[1], heads, -1) for x in qkv], axis=1),
            lambda x: tuple(x[:, part].reshape(x.shape[0], -1).T for part in range(3)),
        ),
        "bias": mapping.Layout(
            lambda *qkv: np.stack([x.reshape(heads, -1) for x in qkv]),
            lambda x: tuple(x[part].reshape(-1) for part in range(3)),
        ),
    }


def merged_heads(heads: int) -> mapping.Layout:
    """Attention's output projection [D, D] <-> [H, K, D]."""
    return mapping.Layout(lambda x: x.T.reshape(heads, -1, x.shape[0]), lambda x: (x.reshape(-1, x.shape[-1]).T,))


def norm(path: str, name: str, depth: int | None = None) -> list[mapping.Row]:
    """A LayerNorm."""
    return [
        mapping.Row(f"{path}/scale", (f"{name}.weight",), SAME, depth),
        mapping.Row(f"{path}/bias", (f"{name}.bias",), SAME, depth),
    ]


def linear(path: str, name: str, depth: int | None = None) -> list[mapping.Row]:
    """A Linear with bias."""
    return [
        mapping.Row(f"{path}/kernel", (f"{name}.weight",), TRANSPOSED, depth),
        mapping.Row(f"{path}/bias", (f"{name}.bias",), SAME, depth),
    ]


def attention(path: str, name: str, heads: int, depth: int | None = None) -> list[mapping.Row]:
    """torch.nn.MultiheadAttention."""
    fused = fused_heads(heads)
    return [
        mapping.Row(f"{path}/qkv/kernel", (f"{name}.in_proj_weight",), fused["kernel"], depth),
        mapping.Row(f"{path}/qkv/bias", (f"{name}.in_proj_bias",), fused["bias"], depth),
        mapping.Row(f"{path}/out/kernel", (f"{name}.out_proj.weight",), merged_heads(heads), depth),
        mapping.Row(f"{path}/out/bias", (f"{name}.out_proj.bias",), SAME, depth),
    ]


def openai_blocks(path: str, name: str, heads: int, depth: int) -> list[mapping.Row]:
    """CLIP's residual attention blocks."""
    return [
        *norm(f"{path}/ln_1", f"{name}.ln_1", depth),
        *attention(f"{path}/attn", f"{name}.attn", heads, depth),
        *norm(f"{path}/ln_2", f"{name}.ln_2", depth),
        *linear(f"{path}/mlp/fc", f"{name}.mlp.c_fc", depth),
        *linear(f"{path}/mlp/proj", f"{name}.mlp.c_proj", depth),
    ]


def openai_towers(model: config.ModelConfig, prefix: str = "") -> list[mapping.Row]:
    """OpenAI's names, which open_clip, ActionCLIP's source and the mmaction2 port keep behind a prefix."""
    return openai_image(model, f"{prefix}visual") + openai_text(model, prefix) + scales(model, prefix)


def openai_image(model: config.ModelConfig, visual: str) -> list[mapping.Row]:
    """OpenAI's names of the image tower, without what pools its tokens otherwise than CLIP does."""
    image = model.image
    wrapped = ".net" if model.shift else ""  # the source wraps each block in a module that shifts
    return [
        mapping.Row("image/patch/kernel", (f"{visual}.conv1.weight",), PATCH),
        *([mapping.Row("image/class_embedding", (f"{visual}.class_embedding",), SAME)] if image.class_token else []),
        mapping.Row("image/position", (f"{visual}.positional_embedding",), SAME),
        *([mapping.Row("image/time", (f"{visual}.time_embedding",), SAME)] if model.joint else []),
        *(norm("image/ln_pre", f"{visual}.ln_pre") if image.pre_norm else []),
        *openai_blocks("image/blocks", f"{visual}.transformer.resblocks.{{i}}{wrapped}", image.heads, image.depth),
        *norm("image/ln_post", f"{visual}.ln_post"),
        mapping.Row("image/projection/kernel", (f"{visual}.proj",), SAME),
    ]


def openai_text(model: config.ModelConfig, prefix: str) -> list[mapping.Row]:
    """OpenAI's names of the text tower; a projection with a bias is a Linear, as open_clip has it."""
    text, projection = model.text, f"{prefix}text_projection"
    return [
        mapping.Row("text/token/embedding", (f"{prefix}token_embedding.weight",), SAME),
        mapping.Row("text/position", (f"{prefix}positional_embedding",), SAME),
        *openai_blocks("text/blocks", f"{prefix}transformer.resblocks.{{i}}", text.heads, text.depth),
        *norm("text/ln_final", f"{prefix}ln_final"),
        *(
            linear("text/projection", projection)
            if text.projection_bias
            else [mapping.Row("text/projection/kernel", (projection,), SAME)]
        ),
    ]


def scales(model: config.ModelConfig, prefix: str = "") -> list[mapping.Row]:
    """What similarities are multiplied by, and what is added to them."""
    names = ("logit_scale", "logit_bias") if model.logit_bias else ("logit_scale",)
    return [mapping.Row(name, (f"{prefix}{name}",), SAME) for name in names]


def huggingface_blocks(path: str, name: str, heads: int, depth: int) -> list[mapping.Row]:
    """The encoder layers of transformers' CLIP."""
    split = split_heads(heads)
    qkv = [f"{name}.self_attn.{part}_proj" for part in "qkv"]
    return [
        *norm(f"{path}/ln_1", f"{name}.layer_norm1", depth),
        mapping.Row(f"{path}/attn/qkv/kernel", tuple(f"{part}.weight" for part in qkv), split["kernel"], depth),
        mapping.Row(f"{path}/attn/qkv/bias", tuple(f"{part}.bias" for part in qkv), split["bias"], depth),
        mapping.Row(f"{path}/attn/out/kernel", (f"{name}.self_attn.out_proj.weight",), merged_heads(heads), depth),
        mapping.Row(f"{path}/attn/out/bias", (f"{name}.self_attn.out_proj.bias",), SAME, depth),
        *norm(f"{path}/ln_2", f"{name}.layer_norm2", depth),
        *linear(f"{path}/mlp/fc", f"{name}.mlp.fc1", depth),
        *linear(f"{path}/mlp/proj", f"{name}.mlp.fc2", depth),
    ]


def huggingface_towers(model: config.ModelConfig) -> list[mapping.Row]:
    """The names of transformers' CLIPModel, its misspelling of pre-layernorm included."""
    image, text, vision = model.image, model.text, "vision_model"
    return [
        mapping.Row("image/patch/kernel", (f"{vision}.embeddings.patch_embedding.weight",), PATCH),
        mapping.Row("image/class_embedding", (f"{vision}.embeddings.class_embedding",), SAME),
        mapping.Row("image/position", (f"{vision}.embeddings.position_embedding.weight",), SAME),
        *norm("image/ln_pre", f"{vision}.pre_layrnorm"),
        *huggingface_blocks("image/blocks", f"{vision}.encoder.layers.{{i}}", image.heads, image.depth),
        *norm("image/ln_post", f"{vision}.post_layernorm"),
        mapping.Row("image/projection/kernel", ("visual_projection.weight",), TRANSPOSED),
        mapping.Row("text/token/embedding", ("text_model.embeddings.token_embedding.weight",), SAME),
        mapping.Row("text/position", ("text_model.embeddings.position_embedding.weight",), SAME),
        *huggingface_blocks("text/blocks", "text_model.encoder.layers.{i}", text.heads, text.depth),
        *norm("text/ln_final", "text_model.final_layer_norm"),
        mapping.Row("text/projection/kernel", ("text_projection.weight",), TRANSPOSED),
        mapping.Row("logit_scale", ("logit_scale",), SAME),
    ]


def temporal_head(model: config.ModelConfig, prefix: str) -> list[mapping.Row]:
    """The temporal heads, by the source's names."""
    temporal = model.temporal
    if temporal.head == "Conv_1D":
        return [mapping.Row("temporal/kernel", (f"{prefix}shift.weight",), DEPTHWISE)]
    if temporal.head == "LSTM":
        return [
            mapping.Row("temporal/input_kernel", (f"{prefix}lstm_visual.weight_ih_l0",), TRANSPOSED),
            mapping.Row("temporal/hidden_kernel", (f"{prefix}lstm_visual.weight_hh_l0",), TRANSPOSED),
            mapping.Row("temporal/input_bias", (f"{prefix}lstm_visual.bias_ih_l0",), SAME),
            mapping.Row("temporal/hidden_bias", (f"{prefix}lstm_visual.bias_hh_l0",), SAME),
        ]
    if temporal.head == "Transf":
        blocks = f"{prefix}transformer.resblocks.{{i}}"
        return [
            mapping.Row("temporal/position", (f"{prefix}frame_position_embeddings.weight",), SAME),
            *openai_blocks("temporal/blocks", blocks, temporal.heads, temporal.depth),
        ]
    if temporal.head == "Transf_cls":
        encoder = f"{prefix}transformer.transformer_enc"
        layer, depth = f"{encoder}.layers.{{i}}", temporal.depth
        return [
            mapping.Row("temporal/class_token", (f"{prefix}transformer.cls_token",), ONE_TOKEN),
            mapping.Row("temporal/position", (f"{prefix}transformer.pos_embed",), ONE_BATCH),
            *attention("temporal/blocks/attn", f"{layer}.self_attn", temporal.heads, depth),
            *norm("temporal/blocks/ln_1", f"{layer}.norm1", depth),
            *linear("temporal/blocks/mlp/fc", f"{layer}.linear1", depth),
            *linear("temporal/blocks/mlp/proj", f"{layer}.linear2", depth),
            *norm("temporal/blocks/ln_2", f"{layer}.norm2", depth),
            *norm("temporal/ln_final", f"{encoder}.norm"),
        ]
    return []  # meanP has no parameters
