"""The models: sizes, equal ways of computing, dropping, and errors before compilation."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from slow import slow

from actionclip_jax import config, sharding, xla
from actionclip_jax.models import action_clip, attention, blocks, clip, flops, layers, temporal


def build(model, **compute):
    return action_clip.from_params(model, config.ComputeConfig(**compute), tiny.random_params(model))


def random_clips(model, count=2, frames=tiny.FRAMES):
    size = model.image.size
    return np.random.default_rng(0).integers(0, 256, (count, frames, size, size, 3), np.uint8)


def random_tokens(count=3, length=77):
    tokens = np.random.default_rng(1).integers(1, 49000, (count, length)).astype(np.int32)
    tokens[:, 0] = 49406
    tokens[np.arange(count), 3 + np.arange(count)] = 49407
    return np.where(np.cumsum(tokens == 49407, axis=1) - (tokens == 49407) > 0, 0, tokens)


@pytest.mark.parametrize(
    ("size", "image", "words"),
    [
        ("ViT-B/32", 87_849_216, 63_428_096),
        ("ViT-B/16", 86_192_640, 63_428_096),
        ("ViT-L/14", 303_966_208, 123_650_304),
        ("ViT-L/14@336", 304_293_888, 123_650_304),
    ],
)
def test_parameter_counts_are_those_of_the_published_models(size, image, words):
    def count(module):
        return sum(leaf.size for leaf in jax.tree.leaves(module))

    model = action_clip.abstract(config.clip_model(size, "Transf"), config.ComputeConfig())
    assert (count(model.image), count(model.text), count(model.logit_scale)) == (image, words, 1)
    if size.startswith("ViT-B"):
        assert count(model.temporal) == 18_953_728


@pytest.mark.parametrize("head", ["Transf", *slow(*(head for head in config.HEADS if head != "Transf"))])
@pytest.mark.parametrize("inside", [{}, {"shift": True}, {"joint": True}])
def test_every_head_and_prompt_gives_unit_features_of_the_right_shape(head, inside):
    model = tiny.model_config(head, **inside)
    features = build(model).encode_video(random_clips(model))
    assert (features.shape, features.dtype) == ((2, 64), jnp.float32)
    np.testing.assert_allclose(jnp.linalg.norm(features, axis=1), 1, atol=1e-6)


def loss_and_gradients(model, **compute):
    """A scalar of everything the model computes, with its gradients by path; dropping turned on."""
    built = build(model, **compute)
    frames, tokens = random_clips(model), random_tokens(2)
    graph, state = nnx.split(built)

    def loss(state):
        built = nnx.merge(graph, state)
        video = built.encode_video(frames, jax.random.key(1))
        # steep enough to be no linear function, and not so steep that gradients are differences of large terms
        return jnp.sin(built.logits(video, built.encode_text(tokens, jax.random.key(2))) / 3).sum()

    value, gradients = jax.jit(jax.value_and_grad(loss))(state)
    return value, nnx.to_pure_dict(gradients)


EVERYTHING = tiny.model_config("Transf_cls", shift=True, drop_path=0.3, embedding_dropout=0.1)


@pytest.fixture(scope="module")
def plain():
    return loss_and_gradients(EVERYTHING)


@pytest.mark.parametrize(
    ("arrangement", "remat"),
    [
        ("unroll", "everything"),
        ("scan", "nothing"),
        *slow(("scan", "dots"), ("scan", "attention_output"), ("scan", "qkv_and_mlp"), ("unroll", "nothing")),
    ],
)
def test_scanned_unrolled_and_every_remat_policy_compute_the_same(plain, arrangement, remat):
    value, gradients = plain
    assert np.isfinite(value) and value != 0
    other, others = loss_and_gradients(EVERYTHING, layers=arrangement, remat=remat)
    np.testing.assert_allclose(other, value, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()) + 1e-8), others, gradients
    )


@pytest.mark.parametrize("arrangement", ["scan", "unroll"])
def test_the_attention_kernel_computes_the_same_in_all_towers(arrangement):
    model = tiny.model_config("Transf", shift=True, drop_path=0.3)
    (value, gradients), (other, others) = (
        loss_and_gradients(model, attention=attention, layers=arrangement, remat="dots")
        for attention in ("xla", "pallas")
    )
    np.testing.assert_allclose(other, value, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()) + 1e-8), others, gradients
    )


@functools.cache
def temporaries(remat):
    """Bytes that the gradients of a tower of four blocks need meanwhile."""
    model = tiny.model_config(image=config.ImageConfig(size=64, patch=8, width=128, depth=4, heads=2))
    graph, state = nnx.split(build(model, remat=remat))
    loss = lambda state, frames: nnx.merge(graph, state).encode_video(frames)[:, 0].sum()  # noqa: E731
    lowered = jax.jit(jax.grad(loss)).lower(state, random_clips(model, 8))
    return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("remat", [name for name in config.REMAT if name != "everything"])
@pytest.mark.slow
def test_remat_policies_keep_less_for_the_backward_pass(remat):
    assert temporaries(remat) < temporaries("everything")


@pytest.mark.parametrize("head", ["Transf", *slow(*(head for head in config.HEADS if head != "Transf"))])
def test_bfloat16_stays_close_to_float32(head):
    model = tiny.model_config(head)
    full, half = build(model), build(model, dtype="bfloat16")
    for a, b in (
        (full.encode_video(random_clips(model)), half.encode_video(random_clips(model))),
        (full.encode_text(random_tokens()), half.encode_text(random_tokens())),
    ):
        assert b.dtype == jnp.float32
        assert (a * b).sum(axis=1).min() >= 0.999
    params = action_clip.named_params(half).values()
    assert {param.dtype for param in params} == {jnp.dtype("float32")}


def test_padding_after_the_end_of_text_changes_nothing():
    model = build(tiny.model_config())
    tokens = random_tokens()
    np.testing.assert_allclose(model.encode_text(tokens[:, :8]), model.encode_text(tokens), atol=1e-6)


def test_conv_1d_starts_as_a_temporal_shift_over_time_and_legacy_over_channels():
    model = tiny.model_config("Conv_1D")
    x = np.random.default_rng(0).normal(size=(2, tiny.FRAMES, 64)).astype(np.float32)
    shifted = np.zeros_like(x)
    shifted[:, 1:, :16] = x[:, :-1, :16]
    shifted[:, :, 16:48] = x[:, :, 16:48]
    shifted[:, :-1, 48:] = x[:, 1:, 48:]
    np.testing.assert_allclose(build(model).encode_clip(x), (x + shifted).mean(axis=1), atol=1e-6)
    old = dataclasses.replace(model, temporal=dataclasses.replace(model.temporal, legacy_layout=True))
    assert np.abs(build(old).encode_clip(x) - build(model).encode_clip(x)).max() > 0.1


def test_more_frames_than_positions_is_an_error_unless_interpolated():
    model = tiny.model_config("Transf")
    features = jnp.ones((1, 9, 64))
    with pytest.raises(ValueError, match=r"9 frames.*positions for 8.*interpolate"):
        build(model).encode_clip(features)
    assert build(model, interpolate_positions=True).encode_clip(features).shape == (1, 64)
    table = jnp.arange(4.0)[:, None]
    np.testing.assert_allclose(clip.frame_positions(table, 2, interpolate=True)[:, 0], [0, 1])
    stretched = clip.frame_positions(table, 8, interpolate=True)[:, 0]
    np.testing.assert_allclose(stretched, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)
    joint = tiny.model_config(joint=True)
    with pytest.raises(ValueError, match="positions for 4"):
        build(joint).encode_video(random_clips(joint, frames=5))


def test_nothing_is_dropped_without_a_key_and_the_expectation_is_kept_with_one():
    model = tiny.model_config("Transf_cls", drop_path=0.5, embedding_dropout=0.5)
    built, clips = build(model), random_clips(model)
    np.testing.assert_array_equal(built.encode_video(clips), built.encode_video(clips))
    first, second = (built.encode_video(clips, jax.random.key(seed)) for seed in (0, 1))
    assert np.abs(first - second).max() > 1e-2
    x = jnp.ones((20_000, 3))
    for dropped in (
        layers.dropout(x, 0.3, jax.random.key(0)),
        layers.drop_path(x, jnp.float32(0.3), jax.random.key(0)),
    ):
        assert set(np.unique(dropped)) == {0, np.float32(1 / 0.7)}
        np.testing.assert_allclose(dropped.mean(), 1, atol=0.02)
    whole = layers.drop_path(x, jnp.float32(0.3), jax.random.key(0))
    assert (whole.min(axis=1) == whole.max(axis=1)).all()


@pytest.mark.parametrize("joint", [False, True])
def test_patch_dropout_encodes_the_patches_it_keeps_and_none_the_less_without_a_key(joint):
    whole, part = (tiny.model_config(joint=joint, patch_dropout=rate) for rate in (0.0, 0.5))
    tower, dropping, clips = build(whole).image, build(part).image, random_clips(whole)
    np.testing.assert_array_equal(dropping(clips), tower(clips))
    patches = whole.image.tokens - 1
    kept = clip.draw_patches(jax.random.key(1), len(clips), patches, part.kept_patches)
    assert kept.shape == (len(clips), patches // 2)
    assert all(len(set(row)) == len(row) and list(row) == sorted(row) for row in np.asarray(kept).tolist())
    frames = clips.reshape(-1, *clips.shape[2:])
    count = clips.shape[1]
    every = tower.embed(frames, count)
    chosen = dropping.embed(frames, count, kept)
    if joint:
        rows = kept[:, None] + patches * jnp.arange(count)[:, None]  # of all frames of a clip
        rows = rows.reshape(len(clips), -1)
    else:
        rows = jnp.repeat(kept, count, axis=0)
    np.testing.assert_allclose(chosen[:, 0], every[:, 0])
    np.testing.assert_allclose(chosen[:, 1:], jnp.take_along_axis(every[:, 1:], rows[..., None], axis=1), rtol=1e-6)
    assert not np.allclose(dropping(clips, jax.random.key(2)), tower(clips))


def test_patches_left_out_cost_nothing():
    model = config.clip_model("ViT-B/16", "Transf", patch_dropout=0.5)
    assert model.kept_patches == 98
    assert flops.image_tower(model, 8, model.kept_patches) < 0.51 * flops.image_tower(model, 8)


@pytest.mark.parametrize("arrangement", ["scan", "unroll"])
@pytest.mark.parametrize(("causal", "read"), [(False, 0), (True, [2, 5, 0, 4])])
@pytest.mark.parametrize("remat", ["everything", "dots"])
def test_a_token_read_alone_is_that_of_the_whole_sequence(arrangement, causal, read, remat):
    compute = config.ComputeConfig(layers=arrangement, remat=remat)
    spec = layers.TransformerSpec(32, 3, 2, "quick_gelu", 1e-5, compute, causal=causal, drop_path=0.4)
    graph, state = nnx.split(blocks.stack_blocks(lambda r: blocks.Block(spec, rngs=r), 3, nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(1), (4, 6, 32))
    place = jnp.array(read) if isinstance(read, list) else read
    drop = {"key": jax.random.key(2), "before": lambda x: x + x[:, ::-1] / 2}

    def alone(state, x):
        return blocks.run_blocks(nnx.merge(graph, state), x, spec, read=place, **drop)

    def of_all(state, x):
        tokens = blocks.run_blocks(nnx.merge(graph, state), x, spec, **drop)
        return layers.pick_token(tokens, place)[:, 0]

    loss = [jax.value_and_grad(lambda *a, f=f: jnp.sin(f(*a)).sum(), (0, 1)) for f in (alone, of_all)]
    ours, expected = (jax.tree.leaves(jax.jit(one)(state, x)) for one in loss)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_stochastic_depth_grows_linearly_from_the_first_block():
    spec = layers.TransformerSpec(8, 5, 1, "relu", 1e-5, config.ComputeConfig(), drop_path=0.4)

    class Recorder(nnx.Module):
        def __call__(self, x, rate, key, *, length):
            return x + rate

    stack = jax.vmap(lambda _: Recorder())(jnp.arange(5))
    assert blocks.run_blocks(stack, jnp.zeros((1, 1, 1)), spec) == pytest.approx(0.1 + 0.2 + 0.3 + 0.4)


def test_accelerators_unroll_but_for_several_slices(monkeypatch):
    assert blocks.scans("auto") and blocks.scans("scan") and not blocks.scans("unroll")
    monkeypatch.setattr(xla, "platform", lambda: "tpu")
    assert not blocks.scans("auto")
    with jax.set_mesh(jax.make_mesh((2, 4, 1, 1), sharding.AXES)):
        assert blocks.scans("auto") and not blocks.scans("unroll")


def test_new_heads_start_as_the_source_starts_them():
    model = config.clip_model("ViT-B/16", "Transf")
    head = temporal.Transf(model, config.ComputeConfig(), rngs=nnx.Rngs(0))
    block, bound = head.blocks, (6 / (512 + 3 * 512)) ** 0.5
    assert np.abs(block.attn.qkv.kernel).max() == pytest.approx(bound, rel=1e-3)  # Xavier uniform
    for kernel in (block.attn.out.kernel, block.mlp.fc.kernel, block.mlp.proj.kernel, head.position):
        assert np.std(kernel) == pytest.approx(0.02, rel=0.02)
    for bias in (block.attn.qkv.bias, block.attn.out.bias, block.mlp.fc.bias, block.mlp.proj.bias):
        assert not np.any(bias)


def attention_spec(dtype="bfloat16", implementation="auto", **changes):
    compute = config.ComputeConfig(dtype=dtype, attention=implementation)
    return layers.TransformerSpec(128, 1, 2, "quick_gelu", 1e-5, compute, **changes)


def test_attention_is_xlas_but_where_another_pays():
    best = {"gpu": "cudnn", "tpu": "pallas", "cpu": "xla"}[jax.default_backend()]
    assert attention.choose(attention_spec(), 197, dropping=False) == best
    assert attention.choose(attention_spec("float32"), 197, dropping=False) == "xla"
    assert attention.choose(attention_spec(causal=True), 77, dropping=False) == "xla"
    asked = attention_spec(implementation="cudnn", dropout=0.1)
    assert attention.choose(asked, 8, dropping=False) == "cudnn"
    assert attention.choose(asked, 8, dropping=True) == "xla"
    assert attention.padding(asked, 197, dropping=False) == 3
    with pytest.raises(ValueError, match=r"at most 1664 tokens .* there are 6273 in heads of 64"):
        attention.choose(attention_spec(implementation="pallas"), 6273, dropping=False)


def test_frames_and_texts_of_the_wrong_shape_are_refused():
    model = tiny.model_config()
    with pytest.raises(ValueError, match=r"frames have shape \[16, 32, 3\]: the model takes \[32, 32, 3\]"):
        build(model).encode_video(np.zeros((1, 2, 16, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="78 tokens"):
        build(model).encode_text(np.ones((1, 78), np.int32))


def test_all_problems_of_a_configuration_are_listed_at_once():
    with pytest.raises(config.ConfigError) as raised:
        tiny.model_config("Transformer", activation="swish")
    assert "activation is 'swish'" in str(raised.value) and "temporal.head is 'Transformer'" in str(raised.value)
    wrong = dataclasses.replace(tiny.model_config(), image=config.ImageConfig(30, 8, 100, 2, 3), shift=True, joint=True)
    assert len(config.model_problems(wrong)) == 3
    half = config.model_problems(tiny.model_config(), config.ComputeConfig(attention="cudnn"))
    assert half and "bfloat16" in half[0]
    with pytest.raises(config.ConfigError, match=r"model\.widht is unknown.*\n.*model\.image\.size is '224'"):
        config.from_dict(config.ModelConfig, {"widht": 1, "image": {"size": "224"}}, "model")


def test_configurations_survive_json():
    for size in config.CLIP_SIZES:
        model = config.clip_model(size, "Transf", shift=True)
        assert config.from_dict(config.ModelConfig, config.to_dict(model)) == model
        assert config.size_name(model) == size
