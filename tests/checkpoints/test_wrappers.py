"""Names that training frameworks changed: the model in them is found, and nothing else is taken for it."""

import pathlib
import re

import numpy as np
import pytest
import tiny
import torch
import torch_reference
from slow import slow

from actionclip_jax import cli
from actionclip_jax.checkpoints import errors, formats, load, mapping, torch_files
from actionclip_jax.models import action_clip

MODEL = tiny.model_config()


@pytest.fixture(scope="module")
def plain():
    """A small model's tensors by OpenAI's names and by transformers'."""
    hugging = torch_reference.hugging_clip(MODEL).state_dict()
    return {"openai": torch_reference.openai_state(MODEL), "huggingface": dict(hugging)}


def named(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def recognise(tree, activation="quick_gelu"):
    """What a file with this tree would be taken for."""
    return formats.recognise(
        torch_files.Source("checkpoint.pt", pathlib.Path("checkpoint.pt"), torch_files.arrays(tree)), activation
    )


def assert_same(recognised, state):
    """Whether the model's tensors are those of the state, by name."""
    assert recognised.tensors.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(recognised.tensors[name], tensor, err_msg=name)


WRAPPED = {
    "DataParallel": lambda state: named(state, "module."),
    "compiled": lambda state: named(state, "_orig_mod."),
    "compiled and DataParallel": lambda state: {"model": named(state, "_orig_mod.module.")},
    "DataParallel and compiled": lambda state: named(state, "module._orig_mod."),
    "Accelerate": lambda state: named(state, "_forward_module."),
    "Lightning": lambda state: {
        "state_dict": named(state, "model."),
        "epoch": 3,
        "global_step": torch.tensor(7),
        "best_accuracy": torch.tensor(0.5),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "loops": {"fit_loop": {"state_dict": {}}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        "lr_schedulers": [],
    },
    "Lightning, an attribute of its own": lambda state: {"state_dict": named(state, "clip_model.")},
    "DeepSpeed": lambda state: {"module": state, "optimizer": {"state": {0: torch.zeros(3)}}, "global_steps": 5},
    "DeepSpeed and DataParallel": lambda state: {"module": named(state, "module.")},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
    "deep": lambda state: {"checkpoint": {"state_dict": {"model": named(state, "module.")}}},
    "FSDP": lambda state: {
        name.replace("layers.", "layers._checkpoint_wrapped_module.", 1): tensor
        for name, tensor in named(state, "_fsdp_wrapped_module.").items()
    },
    "towers compiled each for itself": lambda state: {
        re.sub(r"^(visual|vision_model|text_model)\.", r"\1._orig_mod.", name): tensor for name, tensor in state.items()
    },
    "blocks compiled each for itself": lambda state: {
        re.sub(r"((resblocks|layers)\.\d+\.)", r"\1_orig_mod.", name): tensor for name, tensor in state.items()
    },
    "stochastic weight averaging": lambda state: named(state, "module.") | {"n_averaged": torch.tensor(9)},
    "moments by name": lambda state: {"model": state, "optimizer": {"exp_avg": state, "exp_avg_sq": state}},
    "moments beside": lambda state: {"model": state, "exp_avg": state, "exp_avg_sq": state},
}


@pytest.mark.parametrize("names", ["openai", *slow("huggingface")])
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers_are_taken_off(wrapper, names, plain):
    assert_same(recognise(WRAPPED[wrapper](plain[names])), plain[names])


@pytest.mark.parametrize(
    ("wrapper", "names"),
    [("compiled and DataParallel", "openai"), ("Lightning", "huggingface"), ("DeepSpeed", "openai")],
)
def test_verification_takes_them_off_too(wrapper, names, plain, tmp_path, capsys):
    torch.save(WRAPPED[wrapper](plain[names]), tmp_path / "checkpoint.pt")
    arguments = [str(tmp_path / "checkpoint.pt"), str(tmp_path / "model"), "--activation", "quick_gelu", "--verify"]
    assert cli.main(["convert", *arguments]) == 0
    assert "DIFFERENT" not in capsys.readouterr().out


AVERAGED = {
    "timm": lambda raw, ema: {"state_dict": raw, "state_dict_ema": ema},
    "model_ema": lambda raw, ema: {"model": raw, "model_ema": named(ema, "module.")},
    "EMA": lambda raw, ema: {"EMA": ema, "model": raw},
    "ema": lambda raw, ema: {"ema": ema, "model": raw, "ema_decay": torch.tensor(0.99)},
    "ema inside": lambda raw, ema: {"state_dict": named(raw, "model.") | named(ema, "ema_model.")},
    "beside bare names": lambda raw, ema: raw | {"averaged_model": ema},
}


@pytest.mark.parametrize("kind", AVERAGED)
def test_of_raw_and_averaged_weights_the_raw_ones_are_taken_and_it_is_said(kind, plain):
    ema = {name: tensor * 0 for name, tensor in plain["openai"].items()}
    found = recognise(AVERAGED[kind](plain["openai"], ema))
    assert_same(found, plain["openai"])
    assert any("ema" in name.lower() or "averaged" in name for name in found.left_out)


def test_averaged_weights_alone_are_taken_and_it_is_said(plain):
    found = recognise({"ema": named(plain["openai"], "module.")})
    assert_same(found, plain["openai"])
    assert any("'ema/module.'" in note for note in found.notes)


def test_what_was_left_out_is_said(plain, tmp_path, told):
    torch.save({"model": plain["openai"], "model_ema": plain["openai"]}, tmp_path / "checkpoint.pt")
    load.read_any(tmp_path / "checkpoint.pt", activation="quick_gelu")
    assert "left out (not the model): model_ema" in told


def test_of_two_models_none_is_taken(plain):
    both = {"student": plain["openai"], "teacher": plain["openai"]}
    with pytest.raises(errors.CheckpointError, match="holds 2 models, under 'student/', 'teacher/'"):
        recognise(both)


def test_tensors_of_something_else_are_still_named(plain):
    state = named(plain["openai"], "model.") | {
        "classifier.weight": torch.zeros(2),
        "model.adapter.weight": torch.ones(2),
    }
    found = recognise({"state_dict": state})
    with pytest.raises(errors.CheckpointError) as caught:
        mapping.to_params(found.rows, action_clip.param_shapes(found.model), found.tensors)
    assert "'state_dict/classifier.weight' is not a part of this model" in str(caught.value)
    assert "'adapter.weight' is not a part of this model" in str(caught.value)


def test_a_tensor_inside_and_outside_of_the_model_is_an_error(plain):
    with pytest.raises(errors.CheckpointError, match="'logit_scale' twice"):
        recognise({"model": plain["openai"], "logit_scale": torch.tensor(1.0)})
    visual = {("module." if "visual" in name else "") + name: tensor for name, tensor in plain["openai"].items()}
    with pytest.raises(errors.CheckpointError, match=r"begin with 'module\.', but not ln_final\.bias"):
        recognise(visual)
    twice = plain["openai"] | named(plain["openai"], "_orig_mod.")
    with pytest.raises(errors.CheckpointError, match="holds tensors twice"):
        recognise(twice)


def test_single_values_outside_of_the_models_section_are_left_out_and_named(plain):
    figures = {"val_acc": torch.tensor(0.9), "lr": torch.tensor([1e-4]), "metrics": {"f1": torch.tensor(0.5)}}
    found = recognise({"model": plain["openai"], "best_fitness": torch.tensor(0.1), **figures})
    assert_same(found, plain["openai"])
    assert found.left_out == ["best_fitness", "lr", "metrics/f1", "val_acc"]
    inside = recognise({"model": plain["openai"] | {"scale": torch.tensor(2.0)}})
    assert "scale" in inside.tensors  # which to_params refuses: it may well be a weight


def test_averaged_weights_in_a_list_are_said_to_be_left_out(plain):
    found = recognise({"model": plain["openai"], "ema": {"shadow_params": list(plain["openai"].values())}})
    assert_same(found, plain["openai"])
    assert found.left_out == ["ema/shadow_params"]


def test_weights_of_lora_say_what_to_do_first(plain):
    low = "vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"
    for state in ({low: torch.zeros(4, 128)}, plain["huggingface"] | {low: torch.zeros(4, 128)}):
        with pytest.raises(errors.CheckpointError, match=r"weights of LoRA.*merge them into the model first"):
            recognise(named(state, "base_model.model."))


def test_a_resnet_is_called_one(plain):
    with pytest.raises(errors.CheckpointError, match="a CLIP with a ResNet: only vision transformers are read"):
        recognise(plain["openai"] | {"visual.attnpool.positional_embedding": torch.zeros(50, 128)})


def test_a_model_by_both_kinds_of_names_is_refused(plain):
    with pytest.raises(errors.CheckpointError, match=r"by the names visual\.conv1\.weight and vision_model\."):
        recognise(plain["openai"] | plain["huggingface"])


@pytest.mark.parametrize("head", ["meanP", "Conv_1D", "Transf"])
@pytest.mark.parametrize("wrap", [lambda tree: tree, lambda tree: {"checkpoint": tree}])
def test_actionclips_own_wrappers_are_taken_off(wrap, head):
    source = torch_reference.source_checkpoint(tiny.model_config(head))
    plain = recognise(source, None)
    source["model_state_dict"] = named(source["model_state_dict"], "module._orig_mod.")
    source["fusion_model_state_dict"] = named(source["fusion_model_state_dict"], "module.")
    wrapped = recognise(wrap(source), None)
    assert (wrapped.format, wrapped.model) == ("actionclip", plain.model)
    assert_same(wrapped, plain.tensors)


def test_pixels_that_the_mmaction2_port_prepares_otherwise_are_refused():
    tree = torch_reference.mmaction2_checkpoint(tiny.model_config("Transf"))
    tree["state_dict"]["data_preprocessor.mean"] = torch.tensor([122.771, 116.746, 104.093]).reshape(1, 3, 1, 1)
    assert "state_dict/data_preprocessor.mean" in recognise(tree, None).unused
    tree["state_dict"]["data_preprocessor.mean"] = torch.full((1, 3, 1, 1), 127.5)
    with pytest.raises(errors.CheckpointError, match=r"data_preprocessor\.mean is \[127\.5, 127\.5, 127\.5\]"):
        recognise(tree, None)


CAUSAL = torch.full((77, 77), float("-inf")).triu(1)
CONTRADICTIONS = {
    "attn_mask": (CAUSAL, torch.zeros(77, 77), "attn_mask is not the causal mask of 77 tokens"),
    "transformer.attn_mask": (CAUSAL < 0, CAUSAL >= 0, "transformer.attn_mask is not the causal mask"),
    "input_resolution": (torch.tensor(32), torch.tensor(336), "input_resolution is 336, the weights have 32"),
    "context_length": (torch.tensor([77]), torch.tensor(64), "context_length is 64, the weights have 77"),
    "vocab_size": (torch.tensor(49408), torch.tensor(3), "vocab_size is 3, the weights have 49408"),
    "position_ids": (
        torch.arange(77)[None],
        torch.arange(76, -1, -1)[None],
        r"position_ids is \[76, 75, 74, 73, \.\.\.",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_tensors_that_no_computation_uses_may_not_contradict_the_weights(name, plain):
    right, wrong, message = CONTRADICTIONS[name]
    assert recognise(plain["openai"] | {name: right}).unused.keys() == {name}
    with pytest.raises(errors.CheckpointError, match=message):
        recognise(plain["openai"] | {name: wrong})


def test_an_attribute_named_clip_alone_is_not_the_mmaction2_port(plain):
    with pytest.raises(errors.CheckpointError, match="--activation"):
        recognise({"state_dict": named(plain["openai"], "clip.")}, None)


def test_the_mmaction2_port_is_found_behind_a_wrapper():
    state = torch_reference.mmaction2_checkpoint(tiny.model_config("Transf"))["state_dict"]
    wrapped = recognise({"state_dict": named(state, "module.")}, None)
    assert (wrapped.format, wrapped.model.temporal.head) == ("mmaction2", "Transf")
    assert_same(wrapped, recognise({"state_dict": state}, None).tensors)
