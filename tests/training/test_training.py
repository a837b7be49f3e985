"""The training step: equal to PyTorch's, on any number of devices, and in all its ways of saving work and memory."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_model
import torch_reference
import training_runs
from slow import slow
from training_runs import assert_close, assert_same_training, change, make_batch, make_spec, make_texts

from actionclip_jax import config, sharding
from actionclip_jax.checkpoints import formats, mapping, tensor_names, torch_files
from actionclip_jax.inference import encoder
from actionclip_jax.training import optim

BIAS = -3.0  # that a sigmoid's training begins with, so that both kinds of pairs matter


def torch_rate(step, spec):
    """The source's schedule, written from its description: looked at before the 1st, 10th, 20th ... step."""
    every = spec.optim.schedule_every
    looked = 0 if step + 1 < every else (step + 1) // every * every - 1
    if looked < spec.warmup:
        return spec.optim.lr * looked / spec.warmup
    return spec.optim.lr * (1 + math.cos(math.pi * (looked - spec.warmup) / (spec.steps - spec.warmup))) / 2


def torch_training(spec, source, texts, batches):
    """Trains with PyTorch's own AdamW; returns the losses and the trained parameters by name."""
    model = torch_model.TorchTraining(source, BIAS if spec.objective.loss == "sigmoid" else None)
    adamw = model.adamw(spec.optim)
    losses = []
    for step, batch in enumerate(batches):
        for group, multiplier in zip(adamw.param_groups, (1, 10), strict=True):
            group["lr"] = torch_rate(step, spec) * multiplier
        tokens = torch.tensor(texts[batch["label"], 0]).long()
        loss = model(torch.tensor(batch["video"]), tokens, torch.tensor(batch["label"]))
        adamw.zero_grad()
        loss.backward()
        if spec.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.optim.clip_norm)
        adamw.step()
        losses.append(loss.item())
    return losses, model.named_state()


def with_loss(spec, loss):
    """The spec with another loss, and with a bias in the model where the loss has one."""
    spec = dataclasses.replace(spec, model=dataclasses.replace(spec.model, logit_bias=loss == "sigmoid"))
    return change(spec, "objective", loss=loss)


@pytest.mark.parametrize(
    ("loss", "steps", "schedule_every", "clip_norm"),
    [("exact", 20, 10, 0.5), ("sigmoid", 5, 1, 0.0), *slow(("exact", 20, 1, 0.0), ("sigmoid", 20, 10, 0.5))],
)
def test_steps_equal_a_pytorch_training_loop(tmp_path, loss, steps, schedule_every, clip_norm):
    spec = change(make_spec(), "optim", schedule_every=schedule_every, clip_norm=clip_norm)
    model = dataclasses.replace(spec.model, temporal=dataclasses.replace(spec.model.temporal, positions=77))
    spec = with_loss(dataclasses.replace(spec, model=model, warmup=steps // 4), loss)
    torch.save(torch_reference.source_checkpoint(model), tmp_path / "source.pt")
    source = formats.recognise(torch_files.read(tmp_path / "source.pt"), frames=model.frames)
    rows = [*tensor_names.huggingface_towers(model), *tensor_names.temporal_head(model, "head.")]
    params = training_params(source, model)
    if loss == "sigmoid":
        rows.append(mapping.Row("logit_bias", ("logit_bias",), tensor_names.SAME))
        params["logit_bias"] = jnp.float32(BIAS)
    texts, batches = make_texts()[:, :1], [make_batch(number) for number in range(steps)]
    state, history = training_runs.run(spec, steps, params=params, texts=texts, batches=batches)
    losses, theirs = torch_training(spec, source, texts, batches)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose([metrics["loss"] for metrics in history], losses, rtol=1e-5)
    ours = mapping.to_tensors(rows, state.params)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if "k_proj.bias" in name:  # changes no softmax: its gradient is rounding, which Adam blows up
            continue
        mine, value = ours[name], value.numpy()
        if name.endswith("in_proj_bias"):
            mine, value = np.delete(mine.reshape(3, -1), 1, 0), np.delete(value.reshape(3, -1), 1, 0)
        assert_close(name, mine, value, 1e-5)


def training_params(source, model):
    """The parameters by path, from a copy of the source's tensors."""
    from actionclip_jax.models import action_clip

    params = mapping.to_params(source.rows, action_clip.param_shapes(model), dict(source.tensors))
    return {path: jnp.asarray(value) for path, value in params.items()}


@pytest.fixture(scope="module")
def plain():
    return training_runs.run(make_spec(), 4)


@pytest.fixture(scope="module")
def by_sigmoid():
    return training_runs.run(with_loss(make_spec(), "sigmoid"), 4)


@pytest.mark.parametrize(
    ("mesh", "changes"),
    [
        ({"fsdp": 2, "model": 2}, {"objective": {"computation": "blockwise", "block": 5}}),
        *slow(
            ({}, {}),
            ({}, {"optim": {"accumulate": 2}, "sharding": {"optimizer": "data"}}),
            ({"fsdp": 8}, {"objective": {"computation": "blockwise", "block": 16}, "optim": {"accumulate": 2}}),
        ),
    ],
)
def test_a_sigmoid_trains_on_eight_devices_blockwise_and_in_parts_like_plain_on_one(by_sigmoid, mesh, changes):
    spec = with_loss(make_spec(), "sigmoid")
    for part, values in changes.items():
        spec = change(spec, part, **values)
    state, history = training_runs.run(spec, 4, mesh=sharding.make_mesh(**mesh))
    assert_same_training((state, history), by_sigmoid)
    # of the bias, which has moved by some 1e-4, the difference counts
    moved, expected = (float(one.params["logit_bias"]) + 10 for one in (state, by_sigmoid[0]))
    assert moved == pytest.approx(expected, rel=1e-2) and abs(moved) > 1e-5
    assert history[0]["logit_bias"] == -10


def test_only_a_sigmoid_trains_the_bias():
    spec = make_spec()
    spec = dataclasses.replace(spec, model=dataclasses.replace(spec.model, logit_bias=True))
    assert spec.multipliers["logit_bias"] == 0 and spec.multipliers["logit_scale"] == 1
    state, _ = training_runs.run(spec, 2)
    assert float(state.params["logit_bias"]) == -10, "which decay would have changed"
    assert float(state.params["logit_scale"]) != np.float32(math.log(10))
    rules = (("logit_bias", 3.0), *spec.optim.multipliers)
    for named, expected in ((spec, 1.0), (change(spec, "optim", multipliers=rules), 3.0)):
        assert with_loss(named, "sigmoid").multipliers["logit_bias"] == expected


@pytest.mark.parametrize(
    ("mesh", "computation"),
    [
        ({"fsdp": 2, "model": 2}, "blockwise"),
        *slow(({}, "plain"), ({}, "blockwise"), ({"fsdp": 8}, "plain"), ({"model": 2}, "plain")),
    ],
)
def test_eight_devices_in_every_arrangement_train_like_one(plain, mesh, computation):
    spec = change(make_spec(), "objective", computation=computation, block=5)
    assert_same_training(training_runs.run(spec, 4, mesh=sharding.make_mesh(**mesh)), plain)


EVERYTHING = {
    "optim": {"accumulate": 2, "ema": 0.9, "clip_norm": 0.5},
    "interpolation": {"loss_weight": 0.5},
}


@pytest.mark.parametrize(
    ("mesh", "parts"),
    [({"fsdp": 2, "model": 2}, EVERYTHING), *slow(({}, {}), ({}, EVERYTHING), ({"fsdp": 2}, {}), ({"model": 2}, {}))],
)
def test_an_optimizer_spread_over_data_trains_like_one_that_is_not(mesh, parts):
    spec = make_spec()
    for part, changes in parts.items():
        spec = change(spec, part, **changes)
    mesh = sharding.make_mesh(**mesh)
    spread, whole = (
        training_runs.run(change(spec, "sharding", optimizer=optimizer), 20, mesh=mesh)
        for optimizer in ("data", "parameters")
    )
    assert_same_training(spread, whole)
    for path, value in whole[0].ema.items():
        assert_close(path, spread[0].ema[path], value, 1e-5)


def test_an_optimizer_spread_over_data_keeps_an_eighth_of_its_state_on_each_of_eight_devices():
    spec = change(make_spec(), "optim", ema=0.9)
    spec = change(spec, "interpolation", loss_weight=0.5)
    state, _ = training_runs.run(change(spec, "sharding", optimizer="data"), 1, mesh=sharding.make_mesh())
    moments = next(part for part in state.opt_state if hasattr(part, "mu"))
    for tree in (state.params, moments.mu, moments.nu, state.ema, state.initial):
        kernel = tree["image/blocks/attn/qkv/kernel"]
        assert kernel.addressable_shards[0].data.size * 8 == kernel.size
        assert tree["logit_scale"].is_fully_replicated


def two_slices():
    """Eight virtual devices as if each four were a slice."""
    devices = np.asarray(jax.devices()).reshape(2, 4, 1, 1)
    return jax.sharding.Mesh(devices, sharding.AXES, axis_types=(jax.sharding.AxisType.Auto,) * 4)


@pytest.mark.parametrize(
    "parts",
    [
        {"optim": {"accumulate": 2}, "interpolation": {"loss_weight": 0.5}},
        *slow(
            {},
            {"objective": {"computation": "blockwise", "block": 5}},
            {"objective": {"loss": "sigmoid"}, "model": {"logit_bias": True}},
            {"objective": {"encode_texts": "distinct"}},
            {"objective": {"image": "frozen"}},
            {"augment": {"jitter": 0.8, "grayscale": 0.2}},
        ),
    ],
)
def test_two_slices_that_average_their_gradients_train_like_one(parts):
    spec = change(make_spec(), "sharding", optimizer="data")
    for part, changes in parts.items():
        spec = change(spec, part, **changes)
    assert_same_training(training_runs.run(spec, 4, mesh=two_slices()), training_runs.run(spec, 4))


def test_weights_gathered_in_bfloat16_are_those_the_model_would_make_of_them():
    spec = make_spec(compute=config.ComputeConfig(dtype="bfloat16"))
    first, second = (
        training_runs.run(change(spec, "sharding", optimizer=optimizer), 1, mesh=sharding.make_mesh())[1][0]
        for optimizer in ("data", "parameters")
    )
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-6)
    assert first["gradient_norm"] == pytest.approx(second["gradient_norm"], rel=1e-3)  # sums of bfloat16


def test_parameters_and_optimiser_state_are_divided_by_fsdp_and_model():
    state, _ = training_runs.run(make_spec(), 1, mesh=sharding.make_mesh(fsdp=4, model=2))
    moments = next(part for part in state.opt_state if hasattr(part, "mu"))
    for tree in (state.params, moments.mu, moments.nu):
        kernel = tree["image/blocks/attn/qkv/kernel"]
        assert kernel.addressable_shards[0].data.size * 8 == kernel.size
        assert len({shard.device for shard in kernel.addressable_shards}) == 8


@pytest.mark.slow
def test_activations_stay_spread_under_fsdp():
    """Without constraints XLA may gather the activations of all clips: the step would need several times the memory."""

    def temporaries(**mesh):
        spec = make_spec(compute=config.ComputeConfig(remat="nothing"))
        mesh = sharding.make_mesh(**mesh)
        return training_runs.compile_step(spec, mesh, rows=64).memory_analysis().temp_size_in_bytes

    assert temporaries(fsdp=8) < 1.5 * temporaries()


@pytest.mark.parametrize("devices", [1, *slow(4)])
def test_a_batch_in_parts_trains_like_the_whole_batch(devices):
    augment = config.AugmentConfig()  # colours too: a clip's do not depend on its part
    whole = training_runs.run(make_spec(augment=augment), 3)
    spec = change(make_spec(augment=augment), "optim", accumulate=4)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    assert_same_training(training_runs.run(spec, 3, mesh=mesh), whole)


@pytest.mark.slow
def test_a_batch_in_parts_needs_less_memory():
    def temporaries(parts):
        spec = change(make_spec(), "optim", accumulate=parts)
        mesh = sharding.make_mesh(jax.devices()[:1])
        return training_runs.compile_step(spec, mesh, rows=64).memory_analysis().temp_size_in_bytes

    assert temporaries(8) < temporaries(1) / 2


@pytest.mark.parametrize(("devices", "parts"), [*slow((1, 1), (8, 2))])
def test_encoding_distinct_texts_trains_like_encoding_one_for_every_clip(plain, devices, parts):
    spec = change(make_spec(), "objective", encode_texts="distinct")
    spec = change(spec, "optim", accumulate=parts)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    assert_same_training(training_runs.run(spec, 4, mesh=mesh), plain)


@pytest.mark.slow
def test_cached_embeddings_of_a_frozen_text_tower_train_like_encoding_them():
    spec = make_spec()
    params = training_runs.make_params(spec)
    frozen = change(spec, "objective", text="frozen")
    embeddings = encoder.encode_texts(spec.build(params), make_texts())
    cached, history = training_runs.run(frozen, 4, texts=embeddings)
    # the same by other means: a trained text tower whose learning rate is zero
    rules = (("text/.*", 0.0), *spec.optim.multipliers)
    assert_same_training((cached, history), training_runs.run(change(spec, "optim", multipliers=rules), 4))
    for path, value in params.items():
        assert (cached.params[path] == value).all() == path.startswith("text/"), path


def test_a_frozen_image_tower_stays_as_it_is_and_has_no_optimiser_state():
    spec = change(make_spec(), "objective", image="frozen")
    state, _ = training_runs.run(spec, 3)
    for path, value in training_runs.make_params(spec).items():
        assert bool((state.params[path] == value).all()) == path.startswith("image/"), path
    moments = next(part for part in state.opt_state if hasattr(part, "mu"))
    assert not any(path.startswith("image/") for path in moments.mu)


@pytest.mark.slow
def test_remat_and_unrolled_layers_train_alike(plain):
    compute = config.ComputeConfig(remat="nothing", layers="unroll")
    assert_same_training(training_runs.run(make_spec(compute=compute), 4), plain)


def test_a_step_without_a_finite_loss_changes_nothing_but_the_counters():
    batches = [make_batch(number) for number in range(5)]
    texts = make_texts()
    params = training_runs.make_params(make_spec())
    broken = {**params, "logit_scale": jnp.float32(jnp.inf)}
    for mesh, optimizer in ((sharding.make_mesh(jax.devices()[:1]), "auto"), (sharding.make_mesh(), "data")):
        spec = change(make_spec(), "sharding", optimizer=optimizer)
        state, history = training_runs.run(spec, 3, mesh=mesh, params=broken, texts=texts, batches=batches)
        assert [int(metrics["skipped"]) for metrics in history] == [1, 2, 3]
        assert int(state.skipped_in_row) == int(state.step) == 3
        for path, value in broken.items():
            np.testing.assert_array_equal(state.params[path], value)
        moments = next(part for part in state.opt_state if hasattr(part, "mu"))
        assert int(moments.count) == 0 and not any(np.any(value) for value in moments.mu.values())


@pytest.mark.slow
def test_what_is_not_finite_on_one_of_eight_devices_is_skipped_on_all_and_counted():
    spec = change(make_spec(), "objective", text="frozen")
    texts = np.random.default_rng(3).normal(size=(training_runs.CLASSES, 1, spec.model.embed_width))
    texts = (texts / np.linalg.norm(texts, axis=-1, keepdims=True)).astype(np.float32)
    texts[4] = np.nan
    batches = [make_batch(number) for number in range(4)]
    for batch in batches:
        batch["label"] %= 4
    batches[1]["label"][5] = 4  # of 16 rows over 8 devices: the third device alone sees it
    run = functools.partial(training_runs.run, spec, 4, texts=texts, batches=batches)
    one, eight = run(), run(mesh=sharding.make_mesh())
    assert [int(metrics["skipped"]) for metrics in eight[1]] == [0, 1, 1, 1]
    assert [int(metrics["skipped_in_row"]) for metrics in eight[1]] == [0, 1, 0, 0]
    assert all(np.isfinite(value).all() for value in eight[0].params.values())
    for ours, theirs in zip(eight[1], one[1], strict=True):
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)
    for path, value in one[0].params.items():
        assert_close(path, eight[0].params[path], value, 1e-5)


def test_a_skipped_step_is_made_good_by_the_next_one():
    """One bad batch among good ones: a video of NaN cannot be, so the batch's texts are made to overflow."""
    spec = make_spec()
    embeddings = np.array(encoder.encode_texts(spec.build(training_runs.make_params(spec)), make_texts()))
    embeddings[4] = np.nan  # a class that is not finite
    batches = [make_batch(number) for number in range(3)]
    for number, batch in enumerate(batches):
        batch["label"] = np.full_like(batch["label"], 4) if number == 1 else batch["label"] % 4
    frozen = change(spec, "objective", text="frozen")
    _, history = training_runs.run(frozen, 3, texts=embeddings, batches=batches)
    assert [int(metrics["skipped"]) for metrics in history] == [0, 1, 1]
    assert [int(metrics["skipped_in_row"]) for metrics in history] == [0, 1, 0]


@pytest.mark.slow
def test_averaged_weights_follow_their_formula():
    spec = change(make_spec(), "optim", ema=0.9)
    states = [training_runs.run(spec, steps)[0] for steps in (1, 2, 3)]
    expected = {path: np.asarray(value) for path, value in training_runs.make_params(spec).items()}
    for state in states:
        expected = {path: 0.9 * value + 0.1 * np.asarray(state.params[path]) for path, value in expected.items()}
    for path, value in expected.items():
        np.testing.assert_allclose(states[-1].ema[path], value, atol=1e-6, err_msg=path)


@pytest.mark.slow
def test_float16_weights_are_those_the_source_keeps_so():
    state, _ = training_runs.run(change(make_spec(), "optim", float16_weights=True), 2)
    exact = {path for path, value in state.params.items() if (np.float32(np.float16(value)) == value).all()}
    rounded = {path for path in state.params if optim.FLOAT16.fullmatch(path)}
    assert rounded <= exact
    assert {"image/patch/kernel", "text/projection/kernel", "image/blocks/mlp/fc/bias"} <= rounded
    kept = {"text/token/embedding", "image/position", "image/blocks/ln_1/scale", "temporal/blocks/mlp/fc/kernel"}
    assert not rounded & kept and not kept & exact


@pytest.mark.slow
def test_interpolation_adds_the_gradient_at_weights_between_then_and_now():
    """Of the first step both gradients are known, since initial and present weights are the same."""
    spec = make_spec()
    _, before = training_runs.run(spec, 1)
    mixed = change(spec, "interpolation", loss_weight=0.5, max_initial_fraction=0.6)
    _, history = training_runs.run(mixed, 1)
    # at the first step all interpolations are the weights themselves
    assert history[0]["loss/interpolated"] == pytest.approx(history[0]["loss"], rel=1e-6)
    assert history[0]["gradient_norm"] == pytest.approx(1.5 * before[0]["gradient_norm"], rel=1e-5)
    _, longer = training_runs.run(mixed, 3)
    assert longer[2]["loss/interpolated"] != pytest.approx(longer[2]["loss"], rel=1e-4)


@pytest.mark.slow
def test_multi_label_training_learns_and_is_the_same_on_eight_devices():
    spec = change(make_spec(log_odds=-1.0), "objective", loss="multi_label")
    targets = (np.random.default_rng(0).random((16, training_runs.CLASSES)) < 0.4).astype(np.uint8)
    batches = [{**make_batch(0), "label": targets} for _ in range(12)]
    _, history = training_runs.run(change(spec, "optim", lr=1e-3), 12, batches=batches)
    assert history[-1]["loss"] < history[0]["loss"] - 0.05
    one, many = (training_runs.run(spec, 3, batches=batches, mesh=mesh) for mesh in (None, sharding.make_mesh()))
    assert_same_training(many, one)


@pytest.mark.slow
def test_randomness_depends_on_the_seed_and_the_step_alone():
    spec = make_spec(augment=config.AugmentConfig())
    first, again = (training_runs.run(spec, 2)[1] for _ in range(2))
    other = training_runs.run(dataclasses.replace(spec, seed=4), 2)[1]
    assert [m["loss"] for m in first] == [m["loss"] for m in again]
    assert first[0]["loss"] != other[0]["loss"]


def test_the_learning_rate_warms_up_and_falls_to_zero():
    settings = config.OptimConfig(lr=1.0)
    rate = optim.learning_rate(settings, 100, 10)
    values = [float(rate(jnp.int32(step))) for step in range(101)]
    assert values[0] == 0 and values[5] == pytest.approx(0.5) and values[10] == 1 and values[55] == pytest.approx(0.5)
    assert values[100] == pytest.approx(0, abs=1e-6) and max(values) == 1
    often = optim.learning_rate(dataclasses.replace(settings, schedule_every=10), 100, 10)
    looked = [float(often(jnp.int32(step))) for step in range(25)]
    assert looked == [values[0]] * 9 + [values[9]] * 10 + [values[19]] * 6


def test_epochs_become_steps_once():
    settings = config.OptimConfig(epochs=50, warmup_epochs=5)
    assert optim.count_steps(settings, 1000, 128) == (391, 39)
    assert optim.count_steps(dataclasses.replace(settings, steps=20), 1000, 128) == (20, 2)
    assert optim.count_steps(dataclasses.replace(settings, epochs=0.0, steps=7, warmup_epochs=0.0), 10, 128) == (7, 0)


def test_multipliers_are_those_of_the_first_rule_that_matches():
    rules = (("image/blocks/.*", 0.5), ("image/.*", 1.0), (".*", 2.0))
    found = optim.match_multipliers(["image/blocks/a", "image/b", "logit_scale"], rules)
    assert found == {"image/blocks/a": 0.5, "image/b": 1.0, "logit_scale": 2.0}
    with pytest.raises(ValueError, match=r"no rule matches logit_scale \(1 parameters\)"):
        optim.match_multipliers(["image/b", "logit_scale"], rules[:2])


@pytest.mark.slow
def test_decay_can_spare_norms_biases_and_other_vectors():
    spec = change(make_spec(), "optim", decay_everything=False, weight_decay=0.5, lr=1e-3)
    spared, decayed = (training_runs.run(each, 3)[0] for each in (spec, change(spec, "optim", decay_everything=True)))
    start = training_runs.make_params(spec)
    unused = np.setdiff1d(np.arange(start["text/token/embedding"].shape[0]), make_texts())[:5]
    for state in (spared, decayed):  # rows of tokens that no text has only decay
        assert (
            np.abs(state.params["text/token/embedding"][unused]) < np.abs(start["text/token/embedding"][unused])
        ).all()
    for path in ("image/position", "temporal/position", "image/ln_pre/scale", "text/blocks/mlp/fc/bias"):
        assert optim.SPARED.fullmatch(path)
    assert optim.SPARED.fullmatch("logit_scale") and optim.SPARED.fullmatch("logit_bias")
    rows = slice(10, None)  # positions behind the longest text have no gradient
    assert (spared.params["text/position"][rows] == start["text/position"][rows]).all()
    assert (np.abs(decayed.params["text/position"][rows]) < np.abs(start["text/position"][rows])).all()
