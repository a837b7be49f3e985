"""Random checkpoints in all formats, built with PyTorch and transformers by their authors' names."""

import torch
import transformers

from actionclip_jax.checkpoints import huggingface


def shake(module, seed=0):
    """Gives every parameter random values, norms and biases too: zeros and ones would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("logit_scale"):
                parameter.fill_(2.3)
            elif parameter.ndim >= 2:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
            else:
                parameter.copy_(noise * 0.1 + (name.endswith("weight")))
    return module


def hugging_clip(model):
    """transformers' CLIPModel with random weights."""
    return shake(transformers.CLIPModel._from_config(huggingface.describe(model), attn_implementation="eager")).eval()


def openai_state(model, net=False):
    """A state dict with OpenAI's names, made from transformers' by hand."""
    state = hugging_clip(model).state_dict()
    out = {}
    for tower, names, blocks in (("vision_model", "visual.", "visual.transformer"), ("text_model", "", "transformer")):
        depth = (model.image if tower == "vision_model" else model.text).depth
        for i in range(depth):
            theirs, ours = f"{tower}.encoder.layers.{i}.", f"{blocks}.resblocks.{i}."
            if net and tower == "vision_model":
                ours += "net."
            for kind in ("weight", "bias"):
                qkv = [state[f"{theirs}self_attn.{part}_proj.{kind}"] for part in "qkv"]
                out[f"{ours}attn.in_proj_{kind}"] = torch.cat(qkv)
                for a, b in (
                    ("self_attn.out_proj", "attn.out_proj"),
                    ("layer_norm1", "ln_1"),
                    ("layer_norm2", "ln_2"),
                    ("mlp.fc1", "mlp.c_fc"),
                    ("mlp.fc2", "mlp.c_proj"),
                ):
                    out[f"{ours}{b}.{kind}"] = state[f"{theirs}{a}.{kind}"]
        last = (
            (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post"))
            if names
            else (("final_layer_norm", "ln_final"),)
        )
        for a, b in last:
            for kind in ("weight", "bias"):
                out[f"{names}{b}.{kind}"] = state[f"{tower}.{a}.{kind}"]
    out["visual.conv1.weight"] = state["vision_model.embeddings.patch_embedding.weight"]
    out["visual.class_embedding"] = state["vision_model.embeddings.class_embedding"]
    out["visual.positional_embedding"] = state["vision_model.embeddings.position_embedding.weight"]
    out["visual.proj"] = state["visual_projection.weight"].T.contiguous()
    out["token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"]
    out["positional_embedding"] = state["text_model.embeddings.position_embedding.weight"]
    out["text_projection"] = state["text_projection.weight"].T.contiguous()
    out["logit_scale"] = state["logit_scale"]
    if model.joint:
        out["visual.time_embedding"] = torch.randn(model.frames, model.image.width)
    return out


class SourceBlock(torch.nn.Module):
    """Names of a residual attention block."""

    def __init__(self, width, heads):
        super().__init__()
        self.attn = torch.nn.MultiheadAttention(width, heads)
        self.ln_1 = torch.nn.LayerNorm(width)
        self.mlp = torch.nn.ModuleDict(
            {"c_fc": torch.nn.Linear(width, 4 * width), "c_proj": torch.nn.Linear(4 * width, width)}
        )
        self.ln_2 = torch.nn.LayerNorm(width)


def head_state(model, positions=77):
    """The `fusion_model_state_dict` the source saves, without its `module.` prefix."""
    temporal, width = model.temporal, model.embed_width
    module = torch.nn.Module()
    if temporal.head != "meanP":  # the source makes this table for every head that has parameters
        module.frame_position_embeddings = torch.nn.Embedding(positions, width)
    if temporal.head == "Transf":
        module.transformer = torch.nn.Module()
        blocks = [SourceBlock(width, temporal.heads) for _ in range(temporal.depth)]
        module.transformer.resblocks = torch.nn.Sequential(*blocks)
    elif temporal.head == "LSTM":
        module.lstm_visual = torch.nn.LSTM(width, width, batch_first=True)
    elif temporal.head == "Conv_1D":
        module.shift = torch.nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
    elif temporal.head == "Transf_cls":
        module.transformer = torch.nn.Module()
        layer = torch.nn.TransformerEncoderLayer(width, temporal.heads)
        module.transformer.transformer_enc = torch.nn.TransformerEncoder(
            layer, temporal.depth, torch.nn.LayerNorm(width)
        )
        module.transformer.cls_token = torch.nn.Parameter(torch.zeros(1, 1, width))
        module.transformer.pos_embed = torch.nn.Parameter(torch.zeros(1, model.frames + 1, width))
    return dict(shake(module, seed=1).state_dict())


def source_checkpoint(model):
    """What the source's `epoch_saving` writes."""
    return {
        "epoch": 7,
        "model_state_dict": openai_state(model, net=model.shift),
        "fusion_model_state_dict": {f"module.{name}": tensor for name, tensor in head_state(model).items()},
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-5}]},
    }


def mmaction2_checkpoint(model):
    """What the mmaction2 port publishes: Transf, one position a frame."""
    state = {f"clip.{name}": tensor for name, tensor in openai_state(model).items()}
    state |= {f"adapter.{name}": tensor for name, tensor in head_state(model, model.frames).items()}
    return {"state_dict": state, "meta": {"epoch": 50}}


def openai_half(model):
    """OpenAI's published form: float16 and three scalars."""
    state = {name: tensor.half() for name, tensor in openai_state(model).items()}
    scalars = {"input_resolution": model.image.size, "context_length": 77, "vocab_size": model.text.vocabulary}
    return state | {name: torch.tensor(value) for name, value in scalars.items()}


class Scripted(torch.nn.Module):
    """A module whose state dict has the given names, to be saved as a TorchScript archive."""

    def __init__(self, state):
        super().__init__()
        for name, tensor in state.items():
            *parents, last = name.split(".")
            module = self
            for parent in parents:
                if not hasattr(module, parent):
                    module.add_module(parent, Scripted({}))
                module = getattr(module, parent)
            if tensor.is_floating_point():
                module.register_parameter(last, torch.nn.Parameter(tensor))
            else:
                module.register_buffer(last, tensor)

    def forward(self, x: int) -> int:
        return x
