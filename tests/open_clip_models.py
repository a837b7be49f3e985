"""Tiny random models of open_clip's, in directories as open_clip writes them."""

import contextlib
import json

import open_clip
import safetensors.torch
import timm
import tokenizers
import torch
import torch_reference
import transformers

from actionclip_jax.checkpoints import timm_trunks

VISION = {"layers": 2, "width": 128, "head_width": 64, "patch_size": 8, "image_size": 32}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2}
WORDS = "a an and action archery are doing example good human is of one person photo picture playing predict the this"
WORDS += " to video violin what"
# of words with an end behind them, as SigLIP's tokenizer has it
SIGLIP_TEXT = {
    "context_length": 16,
    "vocab_size": 64,
    "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "width": 96,
    "heads": 4,
    "layers": 2,
    "mlp_ratio": 3.7362,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
}


@timm.models.register_model
def siglip_tiny(pretrained=False, **options):
    sizes = {"img_size": 22, "patch_size": 8, "embed_dim": 96, "depth": 2, "num_heads": 4, "mlp_ratio": 3.7362}
    return timm.create_model("vit_base_patch16_siglip_224", **sizes, **options)


@timm.models.register_model
def siglip_tiny_tanh(pretrained=False, **options):
    return siglip_tiny(act_layer="gelu_tanh", **options)


@timm.models.register_model
def pe_tiny(pretrained=False, **options):
    sizes = {"img_size": 64, "depth": 2, "ref_feat_shape": (4, 4)}
    return timm.create_model("vit_pe_core_tiny_patch16_384", **sizes, **options)


@timm.models.register_model
def pe_tiny_without_class_token(pretrained=False, **options):
    return pe_tiny(class_token=False, rope_grid_offset=0.0, **options)


def siglip_image():
    return timm_trunks.of(
        "SigLIP-B/16", size=22, unread=6, patch=8, width=96, depth=2, heads=4, pool_heads=4, mlp_width=358,
        pool_mlp_width=358,
    )  # fmt: skip


def pe_image(**changes):
    return timm_trunks.of("PE-Core-T/16@384", size=64, depth=2, **changes)


TRUNKS = {
    "siglip_tiny": timm_trunks.Trunk(siglip_image()),
    "siglip_tiny_tanh": timm_trunks.Trunk(siglip_image(), "gelu_tanh"),
    "pe_tiny": timm_trunks.Trunk(pe_image(), norm_eps=1e-5),
    "pe_tiny_without_class_token": timm_trunks.Trunk(pe_image(class_token=False), norm_eps=1e-5),
}


def described(vision=None, text=None, **model):
    """The settings of a tiny CLIP, but for some."""
    return {"embed_dim": 64, "vision_cfg": VISION | (vision or {}), "text_cfg": TEXT | (text or {}), **model}


def siglip(trunk="siglip_tiny", **text):
    """The settings of a tiny SigLIP."""
    vision = {"image_size": 22, "timm_model_name": trunk, "timm_pool": "map", "timm_proj": "none"}
    whole = {"embed_dim": 96, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision}
    return whole | {"text_cfg": SIGLIP_TEXT | text}


def perception_encoder(trunk="pe_tiny"):
    """The settings of a tiny PE-Core."""
    vision = {"image_size": 64, "timm_model_name": trunk, "timm_pool": "map", "timm_proj": None}
    return {"embed_dim": 64, "vision_cfg": vision, "text_cfg": TEXT | {"context_length": 32}, "custom_text": True}


def build(settings):
    """open_clip's model with random weights."""
    arguments = {name: value for name, value in settings.items() if name != "custom_text"}
    kind = open_clip.model.CustomTextCLIP if settings.get("custom_text") else open_clip.model.CLIP
    model = torch_reference.shake(kind(**arguments)).eval()
    with contextlib.suppress(AttributeError), torch.no_grad():
        model.visual.trunk.head.bias.zero_()  # as those that were PE-Core's have it
    return model


def write(directory, settings, preprocess=None, dtype=torch.float32):
    """A directory with a random model of these settings, as on the hub."""
    directory.mkdir(exist_ok=True)
    state = {name: tensor.to(dtype).contiguous() for name, tensor in build(settings).state_dict().items()}
    safetensors.torch.save_file(state, directory / "open_clip_model.safetensors")
    whole = {"model_cfg": settings} | ({} if preprocess is None else {"preprocess_cfg": preprocess})
    (directory / "open_clip_config.json").write_text(json.dumps(whole))
    if "hf_tokenizer_name" in settings["text_cfg"]:
        word_tokenizer(settings["text_cfg"]["vocab_size"]).save_pretrained(directory)
    return directory


def word_tokenizer(vocabulary):
    """A tokenizer of whole words with an end behind a text, which is what it is padded with too."""
    names = ["<unk>", "</s>", *WORDS.split()]
    names += [f"<{number}>" for number in range(vocabulary - len(names))]
    model = tokenizers.models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>")
    words = tokenizers.Tokenizer(model)
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="</s>", eos_token="</s>", unk_token="<unk>"
    )
