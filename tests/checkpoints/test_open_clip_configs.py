"""Every configuration that open_clip ships is read with open_clip's own sizes, or refused by the name of a setting."""

import json
import pathlib
import re

import numpy as np
import open_clip
import pytest
import timm
import tokenizers
import torch
import transformers

from actionclip_jax.checkpoints import errors, formats, timm_trunks, torch_files
from actionclip_jax.models import action_clip

CONFIGS = sorted((pathlib.Path(open_clip.__file__).parent / "model_configs").glob("*.json"))
REFUSED = {  # the setting that refuses a configuration, by a part of its name
    "timm_model_name": "EVA0|MobileCLIP|ViTamin|convnext|swin|vit_(medium|relpos)",
    "layers": "RN[0-9]",
    "hf_model_name": "roberta|mt5|nllb",
    "multimodal_cfg": "coca",
    "final_ln_after_pool": "CLIPA",
    "ls_init_value": "ViT-M-16-alt",
    "proj_type": "ViT-SO400M-16-SigLIP-i18n-256",
}


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A directory with a tokenizer, as those of towers with other tokens than CLIP's have beside the weights."""
    path = tmp_path_factory.mktemp("beside")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0, "<pad>": 1}, unk_token="<unk>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(path)
    return path


def empty_weights(described):
    """The names and shapes of open_clip's model, with numbers that take no memory."""
    arguments = {name: value for name, value in described.items() if name != "custom_text"}
    kind = open_clip.model.CustomTextCLIP if described.get("custom_text") else open_clip.model.CLIP
    with torch.device("meta"):
        state = kind(**arguments).state_dict()
    return {name: np.broadcast_to(np.float32(0), tuple(tensor.shape)) for name, tensor in state.items()}


def source_of(described, directory, tensors):
    side = {"open_clip_config.json": {"model_cfg": described}}
    return torch_files.Source("weights", directory / "open_clip_model.safetensors", tensors, side)


def some_now(files):
    """Configurations that are refused, and of those that are read one of a kind; the others are tried as `slow`."""
    kinds = ("ViT-B-16", "ViT-bigG-14", "ViT-H-14-worldwide", "ViT-B-16-SigLIP", "ViT-B-32-SigLIP2-256", "PE-Core-B-16")
    refused = "|".join(REFUSED.values())
    now = {file for file in files if file.stem in kinds or re.search(refused, file.stem)}
    return [pytest.param(file, id=file.stem, marks=[] if file in now else pytest.mark.slow) for file in files]


@pytest.mark.parametrize("file", some_now(CONFIGS))
def test_shipped_configurations_have_open_clips_sizes_or_are_refused_by_name(file, beside):
    described = json.loads(file.read_text())
    reasons = [setting for setting, names in REFUSED.items() if re.search(names, file.stem)]
    if reasons:
        with pytest.raises(errors.CheckpointError) as caught:
            formats.recognise(source_of(described, beside, {"visual.conv1.weight": np.zeros(1)}))
        assert any(setting in str(caught.value) for setting in reasons)
        return
    tensors = empty_weights(described)
    recognised = formats.recognise(source_of(described, beside, dict(tensors)))
    shapes = action_clip.param_shapes(recognised.model)
    aside = {timm_trunks.BIAS} if recognised.model.image.rotary else set()
    assert recognised.unused.keys() == aside
    assert {row.path for row in recognised.rows} == shapes.keys()
    size = sum(tensor.size for name, tensor in tensors.items() if name not in aside)
    assert sum(map(np.prod, shapes.values())) == size


@pytest.mark.parametrize("name", timm_trunks.TRUNKS)
def test_timms_towers_are_as_timm_builds_them(name):
    trunk = timm_trunks.TRUNKS[name]
    with torch.device("meta"):
        theirs = timm.create_model(name, num_classes=0, global_pool="map")
    block, pool = theirs.blocks[0], theirs.attn_pool
    act = block.mlp.act
    tanh = type(act).__name__ == "GELUTanh" or getattr(act, "approximate", "none") == "tanh"
    assert trunk.activation == ("gelu_tanh" if tanh else "gelu")
    assert type(pool.mlp.act) is type(act)
    eps = {module.eps for module in theirs.modules() if isinstance(module, torch.nn.LayerNorm)}
    assert eps == {trunk.norm_eps}
    image = trunk.image
    assert (image.heads, image.pool_heads) == (block.attn.num_heads, pool.num_heads)
    assert theirs.patch_embed.img_size == (image.size, image.size)
    assert (theirs.rope is not None if hasattr(theirs, "rope") else False) == image.rotary
    if image.rotary:
        assert theirs.rope.ref_feat_shape in (None, [image.grid] * 2, (image.grid,) * 2)
        assert theirs.rope.grid_offset == image.class_token


def test_no_tower_of_timms_with_attention_pooling_is_left_out():
    siglip = [name for name in timm.list_models("vit_*siglip*") if "_gap_" not in name]
    assert set(timm_trunks.TRUNKS) == {*siglip, *timm.list_models("vit_pe_core*")}
