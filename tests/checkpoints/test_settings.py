"""Files beside the weights: every setting is followed, known to change nothing, or refused by name."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
import torch_reference
import transformers

from actionclip_jax import cli, config
from actionclip_jax.checkpoints import errors, export, formats, load, model_directory, pixels, torch_files, verify

HALF = (0.5, 0.5, 0.5)
VISION = {"layers": 2, "width": 128, "head_width": 64, "patch_size": 8, "image_size": 32}
SIGLIP = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}}
SQUASHED_CLIP = {"size": {"height": 32, "width": 32}, "do_center_crop": False, "crop_size": 224}  # of what is not done
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2}


@pytest.fixture(scope="module")
def openai_weights():
    return torch_reference.openai_state(tiny.model_config())


@pytest.fixture(scope="module")
def open_clip_weights(tmp_path_factory, openai_weights):
    path = tmp_path_factory.mktemp("open_clip") / "open_clip_model.safetensors"
    safetensors.torch.save_file(openai_weights, path)
    return path


@pytest.fixture
def open_clip(tmp_path, open_clip_weights):
    """Writes an open_clip directory whose settings differ from usual ones as told."""
    (tmp_path / "open_clip_model.safetensors").symlink_to(open_clip_weights)

    def write(vision=None, text=None, preprocess=None, **model):
        told = {"embed_dim": 64, "vision_cfg": VISION | (vision or {}), "text_cfg": TEXT | (text or {}), **model}
        pixels = {} if preprocess is None else {"preprocess_cfg": preprocess}
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": told, **pixels}))
        return tmp_path

    return write


@pytest.fixture(scope="module")
def hugging_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("hugging")
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(path)
    return path


@pytest.fixture
def hugging(tmp_path, hugging_weights):
    """Writes a Hugging Face directory with changed settings, and maybe one for pictures."""

    def write(pictures=None, file="preprocessor_config.json", **changes):
        for entry in hugging_weights.iterdir():
            target = tmp_path / entry.name
            target.unlink(missing_ok=True)
            target.symlink_to(entry)
        told = json.loads((hugging_weights / "config.json").read_text())
        for name, value in changes.items():
            told[name] = told[name] | value if isinstance(value, dict) and name in told else value
        (tmp_path / "config.json").unlink()
        (tmp_path / "config.json").write_text(json.dumps(told))
        if pictures is not None:
            (tmp_path / file).write_text(json.dumps(pictures))
        return tmp_path

    return write


def refusal(source):
    with pytest.raises(errors.CheckpointError) as caught:
        load.read_any(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("vision", "attentional_pool", True),
        ("vision", "pool_type", "avg"),
        ("vision", "final_ln_after_pool", True),
        ("vision", "pos_embed_type", "sin_cos_2d"),
        ("vision", "mlp_ratio", 4.9231),
        ("vision", "ls_init_value", 1e-4),
        ("vision", "act_kwargs", {"approximate": "sigmoid"}),
        ("vision", "act_kwargs", {"inplace": True}),
        ("vision", "norm_kwargs", {"eps": 1e-6, "elementwise_affine": False}),
        ("vision", "attentional_pool", "parallel"),
        ("vision", "timm_model_name", "vit_base_patch16_siglip_gap_224"),
        ("vision", "timm_model_name", "naflexvit_base_patch16_siglip"),
        ("vision", "head_width", 0),
        ("vision", "mlp_ratio", "4"),
        ("vision", "qk_norm", True),
        ("vision", "invented_next_year", 3),
        ("text", "pool_type", "none"),
        ("text", "mlp_ratio", 3.7362),
        ("text", "embed_cls", True),
        ("text", "proj_type", "none"),
        ("text", "norm_kwargs", {"eps": 1e-6}),  # the other tower has 1e-5
        ("text", "hf_model_name", "roberta-base"),
        ("text", "hf_tokenizer_name", "timm/ViT-B-16-SigLIP"),  # it does not stand beside the weights
        ("text", "tokenizer_mode", "clips"),
        ("text", "tokenizer_kwargs", {"clean": "whitespace"}),  # CLIP's own tokenizer keeps no capitals
        ("text", "tokenizer_kwargs", {"strip_sep_token": True}),
        ("text", "tokenizer_kwargs", {"reduction_mask": "simple"}),
        ("text", "invented_next_year", False),
        (None, "nonscalar_logit_scale", True),
        (None, "multimodal_cfg", {"width": 512}),
        (None, "invented_next_year", "x"),
    ],
)
def test_open_clip_settings_that_change_a_number_are_refused_by_name(section, name, value, open_clip):
    source = open_clip(**({section: {name: value}} if section else {name: value}))
    assert f"{name} is {value!r}" in refusal(source)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("vision", "width", 768),
        ("vision", "layers", 12),
        ("vision", "patch_size", 16),
        ("vision", "image_size", [224, 224]),
        ("text", "context_length", 64),
        ("text", "vocab_size", 32000),
        ("text", "width", 512),
        (None, "embed_dim", 512),
    ],
)
def test_open_clip_sizes_other_than_the_weights_are_refused_with_both(section, name, value, open_clip):
    message = refusal(open_clip(**({section: {name: value}} if section else {name: value})))
    assert f"{name} is {value!r}, the weights have " in message


def test_all_of_open_clips_settings_that_change_nothing_are_read_over(open_clip):
    vision = {
        "patch_dropout": 0.5,
        "ls_init_value": None,
        "pool_type": "tok",
        "act_kwargs": {},
        "timm_pool": "avg",
        "mlp_ratio": 4,
    }
    text = {"no_causal_mask": False, "pool_type": "argmax", "hf_model_name": None, "norm_kwargs": {}, "pad_id": 0}
    source = open_clip(vision | {"image_size": [32, 32]}, text, quick_gelu=True, custom_text=True)
    assert load.read_any(source).model == tiny.model_config(frames=8, temporal=config.TemporalConfig())


def test_open_clips_eps_is_followed_where_both_towers_have_it(open_clip):
    eps = {"norm_kwargs": {"eps": 1e-6}}
    assert load.read_any(open_clip(eps, eps)).model.norm_eps == 1e-6


def test_heads_that_open_clips_settings_leave_out_are_open_clips_own(open_clip):
    source = open_clip()
    told = json.loads((source / "open_clip_config.json").read_text())
    del told["model_cfg"]["text_cfg"]["heads"], told["model_cfg"]["vision_cfg"]["head_width"]
    (source / "open_clip_config.json").write_text(json.dumps(told))
    model = load.read_any(source).model
    assert (model.image.heads, model.text.heads) == (2, 8)


def save_and_verify(source, directory):
    model_directory.save(directory, load.read_any(source))
    differences = verify.verify(source, directory, None)
    assert all(part.fine for part in differences), differences
    return model_directory.load_config(directory)


def test_open_clips_constants_are_kept_and_proven(open_clip, tmp_path):
    source = open_clip(preprocess={"mean": list(HALF), "std": 0.5, "interpolation": "bicubic", "size": 32})
    model = save_and_verify(source, tmp_path / "model")
    assert (model.image.mean, model.image.std) == (HALF, HALF)
    assert config.size_name(model) == config.size_name(tiny.model_config())


@pytest.mark.parametrize("nested", [False, True])
def test_hugging_faces_constants_are_kept_and_proven(nested, hugging, tmp_path):
    pictures = {"image_mean": HALF, "image_std": [0.5, 0.25, 0.5], "size": 32, "crop_size": 32, "resample": 3}
    if nested:
        source = hugging({"image_processor": pictures, "processor_class": "CLIPProcessor"}, "processor_config.json")
    else:
        source = hugging(pictures)
    model = save_and_verify(source, tmp_path / "model")
    assert (model.image.mean, model.image.std) == (HALF, (0.5, 0.25, 0.5))


def test_constants_that_another_formats_file_alone_says_are_proven_too(hugging, tmp_path):
    source = hugging()
    told = {"model_cfg": {}, "preprocess_cfg": {"mean": HALF, "std": 0.5}}
    (source / "open_clip_config.json").write_text(json.dumps(told))
    assert save_and_verify(source, tmp_path / "model").image.mean == HALF


@pytest.mark.parametrize("told", ["bicubic", "bilinear"])
def test_frames_that_open_clip_squashes_are_squashed_and_proven(told, open_clip, tmp_path):
    source = open_clip(preprocess={"mean": HALF, "std": HALF, "interpolation": told, "resize_mode": "squash"})
    assert pixels.of(save_and_verify(source, tmp_path / "model").image) == pixels.Pixels(HALF, HALF, "squash", told)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("pictures", [SIGLIP, SIGLIP | {"resample": 2}, SQUASHED_CLIP, {"resample": 2}])
def test_frames_that_transformers_squashes_or_filters_otherwise_are_so_here_and_proven(
    pictures, nested, hugging, tmp_path
):
    section = ({"image_processor": pictures}, "processor_config.json") if nested else (pictures,)
    image = save_and_verify(hugging(*section), tmp_path / "model").image
    assert image.resize == ("squash" if "size" in pictures else "shortest")
    assert image.filter == ("bilinear" if pictures.get("resample") == 2 else "bicubic")
    assert image.mean == (HALF if pictures.get("image_processor_type") else config.CLIP_MEAN)


def test_verification_notices_frames_that_became_square_in_another_way(hugging, tmp_path):
    source = hugging(SIGLIP)
    weights = load.read_any(source)
    for name, value in (("resize", "shortest"), ("filter", "bilinear")):
        other = dataclasses.replace(weights.model, image=dataclasses.replace(weights.model.image, **{name: value}))
        model_directory.save(tmp_path / name, dataclasses.replace(weights, model=other))
        fine = {part.name: part.fine for part in verify.verify(source, tmp_path / name, None)}
        assert not fine["pixels"] and fine["text features"]


def test_pixels_that_are_not_normalised_are_kept_so(hugging, tmp_path):
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    source = hugging(size | {"do_normalize": False, "image_mean": HALF})
    assert save_and_verify(source, tmp_path / "model").image.std == (1.0, 1.0, 1.0)


def test_verification_notices_other_constants(hugging, tmp_path, capsys):
    source = hugging({"image_mean": HALF, "image_std": HALF, "size": 32, "crop_size": 32})
    weights = load.read_any(source)
    image = dataclasses.replace(weights.model.image, mean=config.CLIP_MEAN, std=config.CLIP_STD)
    weights.model = dataclasses.replace(weights.model, image=image)
    model_directory.save(tmp_path / "model", weights)
    fine = {part.name: part.fine for part in verify.verify(source, tmp_path / "model", None)}
    assert not fine["pixels"] and not fine["frame features"] and fine["text features"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interpolation", "random"),
        ("interpolation", 3),
        ("resize_mode", "longest"),
        ("resize_mode", ["squash"]),
        ("mode", "L"),
        ("size", 64),
        ("size", [32, 64]),
        ("invented_next_year", 1),
    ],
)
def test_open_clips_pixels_that_are_prepared_otherwise_are_refused_by_name(name, value, open_clip):
    assert f"preprocess_cfg.{name} is {value!r}" in refusal(open_clip(preprocess={name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resample", 0),
        ("resample", "bicubic"),
        ("size", {"height": 32, "width": 30}),
        ("size", {"height": 30, "width": 30}),
        ("size", {"height": 36, "width": 36}),  # of a short side 36 would do
        ("size", {"shortest_edge": 40}),
        ("size", {"shortest_edge": 32, "longest_edge": 32}),
        ("size", {"max_height": 32, "max_width": 32}),
        ("crop_size", 64),
        ("crop_size", {"height": 32, "width": 16}),
        ("do_resize", False),
        ("do_center_crop", False),
        ("do_center_crop", "no"),
        ("do_normalize", "no"),
        ("do_rescale", False),
        ("rescale_factor", 0.5),
        ("do_pad", True),
        ("image_processor_type", "ViTImageProcessor"),
        ("image_processor_type", "Siglip2ImageProcessor"),
        ("image_processor_type", "Siglip2ImageProcessorFast"),
        ("feature_extractor_type", "ViTFeatureExtractor"),
        ("default_to_square", True),
        ("invented_next_year", 1),
    ],
)
def test_hugging_faces_pixels_that_are_prepared_otherwise_are_refused_by_name(name, value, hugging):
    usual = {"size": 32, "crop_size": 32, "do_convert_rgb": True, "processor_class": "CLIPProcessor"}
    assert f"{name} is {value!r}" in refusal(hugging(usual | {name: value}))


@pytest.mark.parametrize("wrong", [[0.5, 0.5], "half", [0.5, None, 0.5], [[0.5], [0.5], [0.5]]])
def test_constants_that_are_no_three_numbers_are_named(wrong, hugging):
    assert "image_mean" in refusal(hugging({"image_mean": wrong, "size": 32, "crop_size": 32}))


@pytest.mark.parametrize("wrong", [(0.0, 0.5, 0.5), (0.5, -0.5, 0.5)])
def test_deviations_that_nothing_can_be_divided_by_are_named(wrong):
    model = dataclasses.replace(tiny.model_config(), image=dataclasses.replace(tiny.model_config().image, std=wrong))
    assert any("image.std" in problem for problem in config.model_problems(model))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "siglip"}, "model_type 'siglip'"),
        ({"model_type": "chinese_clip"}, "model_type 'chinese_clip'"),
        ({"model_type": "clipseg"}, "model_type 'clipseg'"),
        ({"vision_config": {"model_type": "siglip_vision_model"}}, "vision_config.model_type 'siglip_vision_model'"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"vision_config": {"hidden_size": 768}}, "vision_config.hidden_size is 768, the weights have 128"),
        (
            {"vision_config": {"intermediate_size": 3072}},
            "vision_config.intermediate_size is 3072, the weights have 512",
        ),
        ({"vision_config": {"num_hidden_layers": 12}}, "vision_config.num_hidden_layers is 12, the weights have 2"),
        ({"vision_config": {"image_size": 224}}, "vision_config.image_size is 224, the weights have 32"),
        ({"vision_config": {"hidden_act": "gelu_new"}}, "vision_config.hidden_act is 'gelu_new'"),
        ({"text_config": {"layer_norm_eps": 1e-6}}, "the towers differ in layer_norm_eps"),
        ({"text_config": {"max_position_embeddings": 64}}, "text_config.max_position_embeddings is 64, the weights"),
        ({"text_config": {"vocab_size": 49409}}, "text_config.vocab_size is 49409, the weights have 49408"),
        ({"text_config": {"eos_token_id": 49408}}, "text_config.eos_token_id is 49408: expected one of 49408 tokens"),
        ({"text_config_dict": {"hidden_size": 512}}, "text_config.hidden_size is 512, the weights have 128"),
        ({"projection_dim": 512}, "projection_dim is 512, the weights have 64"),
    ],
)
def test_a_hugging_face_config_of_another_model_is_refused_by_name(changes, message, hugging):
    assert message in refusal(hugging(**changes))


def test_old_hugging_face_files_read_the_feature_at_the_largest_id_as_here(hugging):
    assert load.read_any(hugging(text_config={"eos_token_id": 2})).model.text.vocabulary == 49408


def test_where_two_files_differ_the_one_of_the_format_is_followed_and_said(hugging, told):
    source = hugging({"image_mean": HALF, "image_std": HALF, "size": 32, "crop_size": 32})
    (source / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}, "preprocess_cfg": {"size": 32}}))
    assert load.read_any(source).model.image.mean == HALF
    assert any("open_clip_config.json has mean (0.48" in line and "is followed" in line for line in told)


def test_settings_beside_weights_of_another_name_are_passed_over_and_it_is_said(open_clip, open_clip_weights, told):
    source = open_clip(preprocess={"mean": HALF})
    (source / "epoch_30.safetensors").symlink_to(open_clip_weights)
    weights = load.read_any(source / "epoch_30.safetensors", activation="gelu")
    assert weights.model.image.mean == config.CLIP_MEAN
    assert any("open_clip_config.json beside it is not read" in line for line in told)


def test_files_that_say_nothing_of_pixels_are_taken_as_openais_and_it_is_said(hugging, told):
    assert load.read_any(hugging()).model.image.mean == config.CLIP_MEAN
    assert any("no file beside the weights says how pixels are made" in line for line in told)


def test_a_model_directory_without_constants_has_clips(hugging, tmp_path):
    model_directory.save(tmp_path / "model", load.read_any(hugging()))
    file = tmp_path / "model" / "config.json"
    described = json.loads(file.read_text())
    for name in ("mean", "std", "resize", "filter"):  # which older programs did not write
        del described["model"]["image"][name]
    file.write_text(json.dumps(described))
    assert pixels.of(model_directory.load_config(tmp_path / "model").image) == pixels.CLIP


def test_transformers_processor_reads_what_is_written_for_it_and_it_returns_exactly(hugging, tmp_path):
    weights = load.read_any(hugging({"image_mean": HALF, "image_std": HALF, "size": 32, "crop_size": 32}))
    export.export(weights, tmp_path / "back", "huggingface", towers_only=False, overwrite=False)
    again = load.read_any(tmp_path / "back")
    assert again.model == weights.model
    for path, value in weights.params.items():
        np.testing.assert_array_equal(again.params[path], value)
    processor = transformers.CLIPProcessor.from_pretrained(tmp_path / "back")
    seen = processor(text=["a photo"], images=[np.zeros((47, 60, 3), np.uint8)], return_tensors="pt")
    assert seen["pixel_values"].shape == (1, 3, 32, 32) and float(seen["pixel_values"].max()) == -1
    features = transformers.CLIPModel.from_pretrained(tmp_path / "back")(**seen)
    assert features.image_embeds.shape == features.text_embeds.shape == (1, 64)


def test_activation_is_asked_for_where_the_format_does_not_say_it(tmp_path, openai_weights):
    half = {name: tensor.half() for name, tensor in openai_weights.items()}
    torch.save(half, tmp_path / "half.pt")
    torch.save({"model_state_dict": openai_weights}, tmp_path / "trained.pt")
    torch.save({"state_dict": half | {"input_resolution": torch.tensor(32)}}, tmp_path / "wrapped.pt")
    for name in ("half.pt", "trained.pt", "wrapped.pt"):
        assert "--activation" in refusal(tmp_path / name)
        for activation in config.ACTIVATIONS:
            assert load.read_any(tmp_path / name, activation=activation).model.activation == activation


def test_an_activation_that_is_taken_for_granted_is_said(tmp_path, told):
    torch.save(torch_reference.source_checkpoint(tiny.model_config()), tmp_path / "source.pt")
    assert load.read_any(tmp_path / "source.pt").model.activation == "quick_gelu"
    assert any("activation quick_gelu, as ActionCLIP source has it: the file does not say so" in line for line in told)
    told.clear()
    assert load.read_any(tmp_path / "source.pt", activation="gelu").model.activation == "gelu"
    assert any("activation gelu, as it was told; by its format or files it is quick_gelu" in line for line in told)


class Exact(torch_reference.Scripted):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(x)


class Quick(torch_reference.Scripted):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


def test_an_archive_whose_code_says_neither_is_asked_for(tmp_path, openai_weights):
    torch.jit.script(torch_reference.Scripted(openai_weights)).save(str(tmp_path / "script.pt"))
    assert "--activation" in refusal(tmp_path / "script.pt")


@pytest.mark.parametrize(("kind", "activation"), [(Exact, "gelu"), (Quick, "quick_gelu")])
def test_the_code_of_an_archive_says_its_activation(kind, activation, tmp_path, openai_weights, told):
    torch.jit.script(kind(openai_weights)).save(str(tmp_path / "script.pt"))
    assert load.read_any(tmp_path / "script.pt").model.activation == activation
    assert not any("does not say" in line for line in told if "activation" in line)


def test_training_from_other_constants_is_refused_with_what_to_set(hugging):
    from actionclip_jax.training import initial

    weights = load.read_any(hugging({"image_mean": HALF, "image_std": HALF, "size": 32, "crop_size": 32}))
    with pytest.raises(
        ValueError, match=r"model\.image\.mean is \[0\.5, 0\.5, 0\.5\] there|model\.image\.mean is \(0\.5"
    ):
        initial.fitting_params("there", weights, tiny.model_config())


def test_the_command_names_the_setting_and_writes_nothing(open_clip, tmp_path, capsys):
    assert cli.main(["convert", str(open_clip({"pool_type": "avg"})), str(tmp_path / "model")]) == 2
    assert "vision_cfg.pool_type is 'avg': only 'tok' is supported" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_settings_of_another_model_are_seen_behind_compiled_towers(hugging):
    source = hugging(model_type="siglip")
    state = safetensors.torch.load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    compiled = {name.replace("vision_model.", "vision_model._orig_mod."): tensor for name, tensor in state.items()}
    safetensors.torch.save_file(compiled, source / "model.safetensors")
    assert "model_type 'siglip'" in refusal(source)


@pytest.mark.parametrize(("scalars", "heads"), [({}, 16), ({"input_resolution": torch.tensor(32)}, 20)])
def test_heads_of_a_wide_tower_are_those_of_its_formats_own_loader(scalars, heads):
    model = tiny.model_config(image=config.ImageConfig(size=32, patch=8, width=1280, depth=1, heads=20))
    state = torch_reference.openai_state(model) | scalars
    source = torch_files.Source("clip.pt", pathlib.Path("clip.pt"), torch_files.arrays(state))
    assert formats.recognise(source, "quick_gelu").model.image.heads == heads
    source.tree = torch_files.arrays({"model_state_dict": state, "fusion_model_state_dict": {}})
    assert formats.recognise(source).model.image.heads == 20  # ActionCLIP builds width // 64 whatever the file says
