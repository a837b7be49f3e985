"""Towers that differ from CLIP: pooling by attention, rotary positions, no class token, other texts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import timm.layers
import torch
from flax import nnx

from actionclip_jax import config
from actionclip_jax.models import action_clip, attention_pool, blocks, clip, flops, layers, rotary
from tests import tiny

SIGLIP = {"class_token": False, "patch_bias": True, "pre_norm": False, "pooling": "attention", "pool_heads": 4}
PERCEPTION = {"rotary": True, "pooling": "attention", "pool_heads": 4, "mlp_width": 160, "pool_mlp_width": 96}
KINDS = {"siglip": SIGLIP, "perception": PERCEPTION, "rotary class token": {"rotary": True}}


def tower_config(kind, **changes):
    image = dataclasses.replace(tiny.model_config().image, **KINDS[kind])
    return tiny.model_config(image=image, activation="gelu_tanh", **changes)


def random_clips(model, clips=2):
    size = model.image.size
    return jax.random.normal(jax.random.key(0), (clips, model.frames, size, size, 3))


def build(model, **compute):
    return action_clip.ActionClip(model, config.ComputeConfig(**compute), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("class_token", [False, True])
def test_patches_turn_as_timm_has_perception_encoder_turn_them(class_token):
    image = config.ImageConfig(size=32, patch=8, width=96, heads=2, rotary=True, class_token=class_token)
    sine, cosine = timm.layers.build_rotary_pos_embed(
        [4, 4], dim=48, in_pixels=False, grid_offset=float(class_token), grid_indexing="xy"
    )
    x = np.random.default_rng(0).normal(size=(3, 16, 96)).astype(np.float32)
    heads = torch.tensor(x).reshape(3, 16, 2, 48).swapaxes(1, 2)
    expected = timm.layers.apply_rot_embed(heads, sine, cosine).swapaxes(1, 2).reshape(x.shape)
    turned = rotary.turn(jnp.asarray(x), rotary.patch_turns(image), heads=2)
    np.testing.assert_allclose(turned, expected, atol=2e-6)
    first = rotary.turn(jnp.asarray(x), rotary.add_class_token(rotary.patch_turns(image))[:, :16], heads=2)
    np.testing.assert_array_equal(first[:, 0], x[:, 0])


def test_a_probe_reads_as_timm_has_it_read():
    spec = layers.TransformerSpec(32, 1, 4, "gelu", 1e-6, config.ComputeConfig(), mlp_width=80)
    pool = attention_pool.AttentionPool(spec, rngs=nnx.Rngs(0))
    graph, state = nnx.split(pool)
    state = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), state)
    pool = nnx.merge(graph, state)
    norm = functools.partial(torch.nn.LayerNorm, eps=1e-6)
    theirs = timm.layers.AttentionPoolLatent(32, num_heads=4, mlp_ratio=2.5, norm_layer=norm)
    tensor = lambda array: torch.tensor(np.asarray(array))  # noqa: E731
    kernel, bias = pool.attn.qkv.kernel[...].reshape(32, 3, 32), pool.attn.qkv.bias[...].reshape(3, 32)
    theirs.load_state_dict(
        {
            "latent": tensor(pool.probe)[None, None],
            "q.weight": tensor(kernel[:, 0].T),
            "q.bias": tensor(bias[0]),
            "kv.weight": tensor(kernel[:, 1:].reshape(32, 64).T),
            "kv.bias": tensor(bias[1:].reshape(64)),
            "proj.weight": tensor(pool.attn.out.kernel[...].reshape(32, 32).T),
            "proj.bias": tensor(pool.attn.out.bias),
            "norm.weight": tensor(pool.ln.scale),
            "norm.bias": tensor(pool.ln.bias),
            "mlp.fc1.weight": tensor(pool.mlp.fc.kernel[...].T),
            "mlp.fc1.bias": tensor(pool.mlp.fc.bias),
            "mlp.fc2.weight": tensor(pool.mlp.proj.kernel[...].T),
            "mlp.fc2.bias": tensor(pool.mlp.proj.bias),
        }
    )
    x = np.random.default_rng(0).normal(size=(3, 7, 32)).astype(np.float32)
    np.testing.assert_allclose(pool(jnp.asarray(x)), theirs(torch.tensor(x)).detach(), atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", [{}, {"shift": True}, {"joint": True}])
def test_layers_scanned_unrolled_and_computed_again_give_the_same_features_and_gradients(kind, prompt):
    model = tower_config(kind, **prompt)
    clips, key = random_clips(model), jax.random.key(1)

    def loss(params, compute):
        features = action_clip.from_params(model, compute, params).image(clips, key)
        return jnp.sin(features).sum(), features

    params = tiny.random_params(model)
    kinds = [{"layers": "scan"}, {"layers": "unroll"}, {"layers": "scan", "remat": "dots"}]
    results = [
        jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)(params, config.ComputeConfig(**kind))
        for kind in kinds
    ]
    assert results[0][0][1].shape == (2, 1 if model.joint else model.frames, 64)
    for other in results[1:]:
        for one, two in zip(jax.tree.leaves(results[0]), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("joint", [False, True])
def test_a_patch_that_is_kept_turns_as_it_does_among_all_of_them(joint):
    model = tower_config("perception", joint=joint, patch_dropout=0.5)
    tower, patches = build(model).image, model.image.patches
    kept = clip.draw_patches(jax.random.key(1), 2, patches, model.kept_patches)
    every, chosen = tower.turns(model.frames, None), tower.turns(model.frames, kept)
    rows = [
        [0, *(1 + one + frame * patches for frame in range(model.frames) for one in row)] if joint else [0, *(1 + row)]
        for row in np.asarray(kept)
        for _ in range(1 if joint else model.frames)
    ]
    np.testing.assert_array_equal(chosen, every[:, np.array(rows)])
    assert not np.allclose(tower(random_clips(model), jax.random.key(2)), tower(random_clips(model)))


def test_kernel_for_tpus_turns_queries_and_keys_as_xla_does():
    x = jax.random.normal(jax.random.key(0), (2, 17, 32))
    turns = rotary.add_class_token(
        rotary.patch_turns(config.ImageConfig(size=16, patch=4, width=32, heads=2, rotary=True))
    )

    def run(kernel):
        spec = layers.TransformerSpec(32, 2, 2, "gelu", 1e-5, config.ComputeConfig(attention=kernel))
        graph, state = nnx.split(blocks.stack_blocks(lambda r: blocks.Block(spec, rngs=r), 2, nnx.Rngs(0)))
        state = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), state)

        def loss(state, x):
            return jnp.sin(blocks.run_blocks(nnx.merge(graph, state), x, spec, turns=turns)).sum()

        return jax.tree.leaves(jax.jit(jax.value_and_grad(loss, (0, 1)))(state, x))

    for one, other in zip(run("pallas"), run("xla"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-5)


def test_time_alone_shifts_where_there_is_no_class_token():
    x = jax.random.normal(jax.random.key(0), (2 * 3, 5, 16))
    with_token = clip.shift_over_time(jnp.concatenate([x[:, :1], x], axis=1), 3, class_token=True)
    np.testing.assert_array_equal(clip.shift_over_time(x, 3, class_token=False), with_token[:, 1:])


def test_pixels_that_fill_no_patch_are_not_read():
    image = config.ImageConfig(size=38, unread=6, patch=8, width=128, depth=1, heads=2)
    model = tiny.model_config(image=image)
    tower, clips = build(model).image, random_clips(model)
    np.testing.assert_array_equal(tower(clips), tower(clips.at[:, :, 32:].set(7).at[:, :, :, 32:].set(7)))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"pooling": "largest"}, [2, 1]),
        ({"pooling": "end", "end": 5}, [0, 3]),
        ({"pooling": "last", "causal": False}, [3, 3]),
        ({"pooling": "first", "causal": False}, [0, 0]),
    ],
)
def test_a_text_is_read_where_its_tower_says(changes, where):
    text = config.TextConfig(vocabulary=16, context=4, width=32, depth=2, heads=2, projection_bias=True, **changes)
    tower = build(tiny.model_config(text=text)).text
    tokens = jnp.array([[5, 1, 9, 2], [3, 12, 2, 5]])
    x = tower.token.embedding[...][tokens] + tower.position
    every = blocks.run_blocks(tower.blocks, x, tower.spec)
    expected = tower.projection(tower.ln_final(every[jnp.arange(2), jnp.array(where)]))
    np.testing.assert_allclose(tower(tokens), expected, atol=1e-6)


def test_padding_is_not_cut_off_where_it_is_read():
    text = config.TextConfig(vocabulary=16, context=8, width=32, depth=1, heads=2, causal=False, pooling="last")
    tower = build(tiny.model_config(text=text)).text
    with pytest.raises(ValueError, match="have 5 tokens: the text tower takes 8, with the padding, which it reads"):
        tower(jnp.ones((2, 5), jnp.int32))


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_counted_as_they_are_traced(kind):
    model = tower_config(kind)
    frames = jax.ShapeDtypeStruct((1, model.frames, 32, 32, 3), jnp.float32)
    tower = action_clip.abstract(model, config.ComputeConfig())
    traced = flops.executed(jax.make_jaxpr(lambda x: build(model).image(x))(frames).jaxpr)
    # attention's kernel finds the sums of probabilities by a column of ones more
    ones = 2 * model.image.tokens**2 * model.image.heads * (model.image.depth - (model.image.pooling != "attention"))
    assert traced == flops.image_tower(model, model.frames) + model.frames * ones
    assert tower.image.spec.mlp_width == model.image.mlp_width


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"class_token": False}, "image.pooling is class_token, and image.class_token is False"),
        ({"rotary": True, "heads": 64}, "image.rotary turns heads of a multiple of 4 channels, not of 2"),
        ({"projection": False}, "without image.projection embed_width is image.width, 128, and not 64"),
        ({"unread": 6}, "image.size 32 is not a multiple of image.patch 8, with 6 unread pixels"),
        ({"pooling": "attention", "pool_heads": 3}, "image pooling width 128 is not a multiple of its 3 heads"),
        ({"pooling": "mean"}, "image.pooling is 'mean': expected one of class_token, attention"),
    ],
)
def test_towers_that_cannot_be_are_refused(changes, problem):
    with pytest.raises(config.ConfigError) as error:
        tiny.model_config(image=dataclasses.replace(tiny.model_config().image, **changes))
    assert problem in str(error.value)
