"""The published sizes of SigLIP and MetaCLIP 2: as many parameters as transformers' modules, and equal features."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest
import torch
import transformers
from slow import slow

from actionclip_jax import config
from actionclip_jax.checkpoints import formats, huggingface, mapping, torch_files
from actionclip_jax.models import action_clip

SO400M, GIANT = (1152, 27, 16, 4304), (1536, 40, 16, 6144)
SIGLIP = {  # image size, patch, (width, blocks, heads, MLP) of each tower, vocabulary, tokens of a text
    "SigLIP-B/16": (224, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 32_000, 64),
    "SigLIP-B/16@256": (256, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 32_000, 64),
    "SigLIP-B/16@384": (384, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 32_000, 64),
    "SigLIP-B/16@512": (512, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 32_000, 64),
    "SigLIP-L/16@256": (256, 16, (1024, 24, 16, 4096), (1024, 24, 16, 4096), 32_000, 64),
    "SigLIP-L/16@384": (384, 16, (1024, 24, 16, 4096), (1024, 24, 16, 4096), 32_000, 64),
    "SigLIP-So400m/14": (224, 14, SO400M, SO400M, 32_000, 16),
    "SigLIP-So400m/14@384": (384, 14, SO400M, SO400M, 32_000, 64),
    "SigLIP2-B/32@256": (256, 32, (768, 12, 12, 3072), (768, 12, 12, 3072), 256_000, 64),
    "SigLIP2-B/16": (224, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 256_000, 64),
    "SigLIP2-B/16@256": (256, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 256_000, 64),
    "SigLIP2-B/16@384": (384, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 256_000, 64),
    "SigLIP2-B/16@512": (512, 16, (768, 12, 12, 3072), (768, 12, 12, 3072), 256_000, 64),
    "SigLIP2-L/16@256": (256, 16, (1024, 24, 16, 4096), (1024, 24, 16, 4096), 256_000, 64),
    "SigLIP2-L/16@384": (384, 16, (1024, 24, 16, 4096), (1024, 24, 16, 4096), 256_000, 64),
    "SigLIP2-L/16@512": (512, 16, (1024, 24, 16, 4096), (1024, 24, 16, 4096), 256_000, 64),
    "SigLIP2-So400m/14": (224, 14, SO400M, SO400M, 256_000, 64),
    "SigLIP2-So400m/14@384": (384, 14, SO400M, SO400M, 256_000, 64),
    "SigLIP2-So400m/16@256": (256, 16, SO400M, SO400M, 256_000, 64),
    "SigLIP2-So400m/16@384": (384, 16, SO400M, SO400M, 256_000, 64),
    "SigLIP2-So400m/16@512": (512, 16, SO400M, SO400M, 256_000, 64),
    "SigLIP2-g-opt/16@256": (256, 16, GIANT, SO400M, 256_000, 64),
    "SigLIP2-g-opt/16@384": (384, 16, GIANT, SO400M, 256_000, 64),
}
METACLIP_2 = {
    "MetaCLIP2-H/14": (224, 14, (1280, 32, 16, 5120), (1024, 24, 16, 4096)),
    "MetaCLIP2-bigG/14": (224, 14, (1664, 48, 16, 8192), (1280, 32, 20, 5120)),
}


def tower(shape):
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return dict(zip(names, shape, strict=True))


def siglip_config(size, patch, image, text, vocabulary, context):
    """As transformers' published `config.json` have it."""
    words = {"vocab_size": vocabulary, "max_position_embeddings": context, "projection_size": image[0]}
    return transformers.SiglipConfig(
        vision_config=tower(image) | {"image_size": size, "patch_size": patch},
        text_config=tower(text) | words | {"bos_token_id": None, "eos_token_id": 1},
    )


def metaclip_2_config(size, patch, image, text):
    width = {"projection_dim": text[0]}
    words = {"vocab_size": 901_629, "bos_token_id": 0, "eos_token_id": 2}
    return transformers.MetaClip2Config(
        vision_config=tower(image) | width | {"image_size": size, "patch_size": patch, "hidden_act": "gelu"},
        text_config=tower(text) | width | words | {"hidden_act": "gelu"},
        **width,
    )


def count(described, kind, path):
    """Parameters of transformers' module and of ours, which is recognised by its names, shapes and configuration."""
    with torch.device("meta"):
        module = kind(described)
    tensors = {name: np.broadcast_to(np.float32(0), tensor.shape) for name, tensor in module.state_dict().items()}
    side = {"config.json": json.loads(described.to_json_string(use_diff=False))}
    recognised = formats.recognise(torch_files.Source("x", path / "model.safetensors", tensors, side))
    shapes = action_clip.param_shapes(recognised.model)
    assert {row.path for row in recognised.rows} == shapes.keys()
    theirs = sum(parameter.numel() for parameter in module.parameters())
    return recognised.model, theirs, sum(map(math.prod, shapes.values()))


@pytest.mark.parametrize("name", ["SigLIP2-B/16", "SigLIP2-So400m/14@384", *slow(*sorted(SIGLIP))])
def test_every_siglip_has_as_many_parameters_as_transformers(name, tmp_path):
    model, theirs, ours = count(siglip_config(*SIGLIP[name]), transformers.SiglipModel, tmp_path)
    assert ours == theirs
    assert config.size_name(model) == name


@pytest.mark.parametrize("name", ["MetaCLIP2-H/14", *slow("MetaCLIP2-bigG/14")])
def test_every_metaclip_2_has_as_many_parameters_as_transformers(name, tmp_path):
    model, theirs, ours = count(metaclip_2_config(*METACLIP_2[name]), transformers.MetaClip2Model, tmp_path)
    assert ours == theirs
    assert config.size_name(model) == name


@pytest.mark.slow
@torch.inference_mode()
def test_siglip_2_of_its_full_size_equals_torch():
    model = config.SIZES["SigLIP2-B/16"]
    torch.manual_seed(0)
    theirs = transformers.SiglipModel._from_config(huggingface.describe(model), attn_implementation="eager").eval()
    tensors = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    rows = huggingface.rows(model)
    params = mapping.to_params(rows, action_clip.param_shapes(model), tensors)
    ours = action_clip.from_params(dataclasses.replace(model), config.ComputeConfig(), params)
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (2, 1, 224, 224, 3), np.uint8)
    tokens = generator.integers(0, 256_000, (2, 64))
    tokens[:, 9:] = 0
    pixels = torch.from_numpy((frames[:, 0] / 127.5 - 1).astype(np.float32)).movedim(-1, 1)
    outputs = theirs(input_ids=torch.from_numpy(tokens), pixel_values=pixels)
    features = jax.jit(lambda model: (model.encode_frames(frames)[:, 0], model.text(tokens)))(ours)
    pairs = zip(features, (outputs.vision_model_output, outputs.text_model_output), strict=True)
    for feature, output in pairs:
        expected = output.pooler_output.numpy()
        assert np.abs(np.asarray(feature) - expected).max() <= 1e-4 * np.abs(expected).max()
