"""Random SigLIP and MetaCLIP 2 by transformers, and SigLIP's arrays as big_vision writes them."""

import numpy as np
import tiny_tokenizers
import torch_reference
import transformers

# no two sizes are equal, and neither MLP is four times as wide; 35 pixels are 4 patches of 8 and 3 unread ones
VISION = {"hidden_size": 48, "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION |= {"image_size": 35, "patch_size": 8}
TEXT = {"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT |= {"max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 1}


def siglip_config(vision=None, text=None):
    """A configuration of odd sizes, with changes."""
    vision, text = VISION | (vision or {}), TEXT | (text or {})
    return transformers.SiglipConfig(
        vision_config=vision, text_config={"vocab_size": 300, "projection_size": vision["hidden_size"]} | text
    )


def siglip(vision=None, text=None):
    """A SiglipModel with random weights."""
    described = siglip_config(vision, text)
    model = torch_reference.shake(transformers.SiglipModel._from_config(described, attn_implementation="eager"))
    model.logit_bias.data.fill_(-3.7)
    return model.eval()


def save_siglip(directory, kind="siglip", vision=None, text=None):
    """Writes a SigLIP and a tokenizer of a published kind; returns the model."""
    spec = tiny_tokenizers.save(kind, directory)
    model = siglip(vision, {"vocab_size": spec.vocabulary} | (text or {}))
    model.save_pretrained(directory)
    return model


def save_metaclip2(directory, **text):
    """Writes a MetaCLIP 2 and its tokenizer; returns the model."""
    spec = tiny_tokenizers.save("metaclip2", directory)
    vision = VISION | {"image_size": 32, "projection_dim": 24}
    words = {**TEXT, "max_position_embeddings": 77, "vocab_size": spec.vocabulary, "projection_dim": 24}
    described = transformers.MetaClip2Config(
        vision_config=vision, text_config=words | {"eos_token_id": 2, "pad_token_id": 1} | text, projection_dim=24
    )
    model = torch_reference.shake(transformers.MetaClip2Model._from_config(described, attn_implementation="eager"))
    model.eval().save_pretrained(directory)
    return model


def big_vision(model, stacked=True, prefix=""):
    """The arrays of a SiglipModel by big_vision's names, its blocks stacked or not."""
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    vision, text = model.config.vision_config, model.config.text_config
    arrays = {
        "img/embedding/kernel": state["vision_model.embeddings.patch_embedding.weight"].transpose(2, 3, 1, 0),
        "img/embedding/bias": state["vision_model.embeddings.patch_embedding.bias"],
        "img/pos_embedding": state["vision_model.embeddings.position_embedding.weight"][None],
        "img/MAPHead_0/probe": state["vision_model.head.probe"],
        "txt/Embed_0/embedding": state["text_model.embeddings.token_embedding.weight"],
        "txt/pos_embedding": state["text_model.embeddings.position_embedding.weight"][None],
        "t": state["logit_scale"],
        "b": state["logit_bias"],
    }
    arrays |= norm("img/Transformer/encoder_norm", state, "vision_model.post_layernorm")
    arrays |= norm("txt/Encoder_0/encoder_norm", state, "text_model.final_layer_norm")
    arrays |= dense("txt/head", state, "text_model.head")
    arrays |= blocks("img/Transformer", state, "vision_model.encoder.layers", vision, stacked)
    arrays |= blocks("txt/Encoder_0", state, "text_model.encoder.layers", text, stacked)
    head, theirs = "img/MAPHead_0", "vision_model.head"
    for kind in ("weight", "bias"):
        for part, piece in zip("qkv", np.split(state[f"{theirs}.attention.in_proj_{kind}"], 3), strict=True):
            state[f"{theirs}.attention.{part}_proj.{kind}"] = piece
    arrays |= attention(f"{head}/MultiHeadDotProductAttention_0", state, f"{theirs}.attention", vision)
    arrays |= norm(f"{head}/LayerNorm_0", state, f"{theirs}.layernorm") | mlp(head, state, f"{theirs}.mlp")
    return {prefix + name: np.ascontiguousarray(array) for name, array in arrays.items()}


def blocks(place, state, theirs, described, stacked):
    """Either `encoderblock` with a leading layer axis, or `encoderblock_0` and so on."""
    layers = []
    for i in range(described.num_hidden_layers):
        name = f"{theirs}.{i}"
        layer = norm("LayerNorm_0", state, f"{name}.layer_norm1") | norm("LayerNorm_1", state, f"{name}.layer_norm2")
        layer |= attention("MultiHeadDotProductAttention_0", state, f"{name}.self_attn", described)
        layers.append(layer | mlp("", state, f"{name}.mlp"))
    if stacked:
        return {f"{place}/encoderblock/{name}": np.stack([layer[name] for layer in layers]) for name in layers[0]}
    return {
        f"{place}/encoderblock_{i}/{name}": array for i, layer in enumerate(layers) for name, array in layer.items()
    }


def attention(name, state, theirs, described):
    """Flax's attention: heads apart, [D, H, K] and [H, K, D]."""
    heads, arrays = described.num_attention_heads, {}
    for part in ("query", "key", "value"):
        weight, bias = (state[f"{theirs}.{part[0]}_proj.{kind}"] for kind in ("weight", "bias"))
        arrays[f"{name}/{part}/kernel"] = weight.T.reshape(weight.shape[1], heads, -1)
        arrays[f"{name}/{part}/bias"] = bias.reshape(heads, -1)
    out = state[f"{theirs}.out_proj.weight"]
    arrays[f"{name}/out/kernel"] = out.T.reshape(heads, -1, len(out))
    return arrays | {f"{name}/out/bias": state[f"{theirs}.out_proj.bias"]}


def mlp(place, state, theirs):
    """Two linear layers."""
    name = f"{place}/MlpBlock_0".lstrip("/")
    return dense(f"{name}/Dense_0", state, f"{theirs}.fc1") | dense(f"{name}/Dense_1", state, f"{theirs}.fc2")


def dense(name, state, theirs):
    """A linear layer."""
    return {f"{name}/kernel": state[f"{theirs}.weight"].T, f"{name}/bias": state[f"{theirs}.bias"]}


def norm(name, state, theirs):
    """A LayerNorm."""
    return {f"{name}/scale": state[f"{theirs}.weight"], f"{name}/bias": state[f"{theirs}.bias"]}
