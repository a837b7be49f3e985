"""Training with towers that are not CLIP's: equal to PyTorch's, and the same on any devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import torch
import torch_model
import training_runs
import transformers
from slow import slow
from training_runs import assert_close, assert_same_training, change, make_batch, make_spec

from actionclip_jax import config, sharding
from actionclip_jax.checkpoints import formats, huggingface, mapping, tensor_names, torch_models

STEPS, HEAD = 5, formats.PLACES["actionclip"][1]


def siglip():
    image = dataclasses.replace(
        tiny.model_config().image,
        **{"class_token": False, "patch_bias": True, "pre_norm": False, "projection": False, "mlp_width": 160},
        **{"pooling": "attention", "pool_heads": 2, "pool_mlp_width": 160, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    )
    text = config.TextConfig(
        **{"context": training_runs.LENGTH, "width": 128, "depth": 2, "heads": 2, "mlp_width": 160, "pad": 1},
        **{"causal": False, "pooling": "last", "projection_bias": True},
    )
    parts = {"image": image, "text": text, "embed_width": 128, "logit_bias": True}
    return tiny.source_config("Transf", **parts, activation="gelu_tanh", norm_eps=1e-6)


def perception_encoder():
    image = dataclasses.replace(
        tiny.model_config().image, **{"rotary": True, "pooling": "attention", "pool_heads": 8, "pool_mlp_width": 96}
    )
    return tiny.model_config("Transf", image=image, activation="gelu")


def spec_of(model, loss="exact"):
    return change(dataclasses.replace(make_spec(), model=model), "objective", loss=loss)


class TorchTraining(torch.nn.Module):
    """transformers' SigLIP and ActionCLIP's head."""

    def __init__(self, model, params):
        super().__init__()
        self.model = model
        self.towers = transformers.SiglipModel._from_config(huggingface.describe(model), attn_implementation="eager")
        tensors = mapping.to_tensors(huggingface.rows(model), params)
        self.towers.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})
        head = mapping.to_tensors(tensor_names.temporal_head(model, HEAD), params)
        self.head = torch_models.TemporalHead(formats.Recognised("actionclip", model, [], head, {}, [], []))

    def forward(self, frames, tokens, labels):
        pixels = (frames.flatten(0, 1).float() / 255 - 0.5) / 0.5
        features = self.towers.vision_model(pixel_values=pixels.movedim(-1, 1)).pooler_output
        video = torch_models.unit(self.head(features.unflatten(0, frames.shape[:2])))
        text = torch_models.unit(self.towers.text_model(input_ids=tokens).pooler_output)
        return torch_model.sigmoid(video, text, labels, self.towers.logit_scale.exp(), self.towers.logit_bias)


@pytest.mark.parametrize("layers", ["scan", *slow("unroll")])
def test_siglip_with_a_temporal_head_trains_by_its_sigmoid_like_a_pytorch_loop(layers):
    # gradients that are sums over all pairs are larger, and so is their rounding, above which Adam's eps has to be
    spec = change(spec_of(siglip(), "sigmoid"), "optim", schedule_every=1, eps=1e-4)
    spec = change(dataclasses.replace(spec, warmup=1), "compute", layers=layers)
    params = {**tiny.random_params(spec.model), "logit_bias": jnp.float32(-3)}
    texts = training_runs.make_texts()[:, :1]
    batches = [make_batch(number) for number in range(STEPS)]
    model = TorchTraining(spec.model, params)
    groups = [{"params": list(model.towers.parameters())}, {"params": list(model.head.parameters())}]
    optim = spec.optim
    adamw = torch.optim.AdamW(groups, betas=(optim.beta1, optim.beta2), eps=optim.eps, weight_decay=optim.weight_decay)
    losses = []
    for step, batch in enumerate(batches):
        rate = 0.0 if step == 0 else optim.lr * (1 + np.cos(np.pi * (step - 1) / (spec.steps - 1))) / 2
        for group, multiplier in zip(adamw.param_groups, (1, 10), strict=True):
            group["lr"] = rate * multiplier
        tokens = torch.tensor(texts[batch["label"], 0]).long()
        loss = model(torch.tensor(batch["video"]), tokens, torch.tensor(batch["label"]))
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        losses.append(loss.item())
    state, history = training_runs.run(spec, STEPS, params=params, texts=texts, batches=batches)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose([metrics["loss"] for metrics in history], losses, rtol=1e-5)
    named = {**model.towers.state_dict(), **{f"head.{name}": x for name, x in model.head.state_dict().items()}}
    theirs = mapping.to_params(
        [*huggingface.rows(spec.model), *tensor_names.temporal_head(spec.model, "head.")],
        {path: array.shape for path, array in params.items()},
        {name: tensor.numpy() for name, tensor in named.items()},
    )
    assert theirs.keys() == state.params.keys()
    for path, value in theirs.items():
        assert_close(path, state.params[path], value, 1e-5)


@pytest.mark.parametrize("kind", [siglip, perception_encoder])
@pytest.mark.parametrize("mesh", [{"fsdp": 2, "model": 2}, *slow({}, {"fsdp": 8})])
def test_eight_devices_train_like_one(kind, mesh):
    spec = spec_of(kind(), "sigmoid" if kind is siglip else "exact")
    one, eight = (training_runs.run(spec, 3, mesh=devices) for devices in (None, sharding.make_mesh(**mesh)))
    assert_same_training(eight, one)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [siglip, perception_encoder])
def test_remat_unrolled_layers_and_a_batch_in_parts_train_alike(kind):
    spec = spec_of(kind())
    plain = training_runs.run(spec, 3)
    for part, values in (("compute", {"layers": "unroll", "remat": "dots"}), ("optim", {"accumulate": 2})):
        assert_same_training(training_runs.run(change(spec, part, **values), 3), plain)


def test_the_bias_of_a_sigmoid_moves():
    state, _ = training_runs.run(spec_of(siglip(), "sigmoid"), 2)
    assert jax.device_get(state.params["logit_bias"]) != -10
