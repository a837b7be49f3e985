"""The TPU kernel, interpreted, against attention by XLA."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import slow

from actionclip_jax import sharding
from actionclip_jax.models import attention, short_attention


def by_kernel(q, k, v, bias, *, heads, causal):
    q, k, v = (x + jax.lax.stop_gradient(bias[:, part, None]).astype(x.dtype) for part, x in enumerate((q, k, v)))
    return short_attention.attend(q, k, v, bias, short_attention.Form(heads, q.shape[1], causal, interpret=True))


def by_xla(q, k, v, bias, *, heads, causal):
    q, k, v = (x + bias[:, part, None].astype(x.dtype) for part, x in enumerate((q, k, v)))
    return attention.attend_xla(q, k, v, heads, causal=causal)


def make_inputs(batch, length, features, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 5)
    q, k, v, gradient = (jax.random.normal(key, (batch, length, features), dtype) for key in keys[:4])
    return (q, k, v, jax.random.normal(keys[4], (batch, 3, features))), gradient


@functools.partial(jax.jit, static_argnums=0, static_argnames=("heads", "causal"))
def results(attend, inputs, gradient, *, heads, causal=False):
    """The value, and the gradients of q, k, v and bias: of this, a sum over tokens that cancel, their mean."""
    value, backward = jax.vjp(functools.partial(attend, heads=heads, causal=causal), *inputs)
    *of_inputs, of_bias = backward(gradient)
    return value, *of_inputs, of_bias / gradient.shape[1]


def assert_equal(ours, theirs, tolerance):
    for one, other in zip(ours, theirs, strict=True):
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("length", "heads", "width"),
    [
        (50, 3, 64),  # what is left of 12 heads on each of 4 devices
        (50, 3, 80),
        *slow((50, 4, 64), (50, 1, 64), (77, 4, 32), (77, 3, 32), (50, 8, 80), (50, 4, 88), (50, 3, 104)),
        *slow((197, 2, 128), (257, 2, 64)),
    ],
)
def test_equal_to_xla_for_every_width_of_a_head_and_number_of_heads(length, heads, width, causal):
    inputs, gradient = make_inputs(2, length, heads * width)
    ours, theirs = (results(by, inputs, gradient, heads=heads, causal=causal) for by in (by_kernel, by_xla))
    assert_equal(ours, theirs, 1e-5)


@pytest.mark.parametrize(("length", "batch"), [(197, 3), *slow((577, 1), (1569, 1))])
def test_equal_to_xla_for_the_sequences_of_images_and_clips(length, batch):
    inputs, gradient = make_inputs(batch, length, 2 * 64)
    ours, theirs = (results(by, inputs, gradient, heads=2) for by in (by_kernel, by_xla))
    assert_equal(ours, theirs, 1e-5)


@pytest.mark.parametrize("length", [50, *slow(700)])
def test_padding_is_not_seen_and_has_no_gradient(length):
    (q, k, v, bias), gradient = make_inputs(2, length, 2 * 64)
    form = short_attention.Form(2, length, interpret=True)
    bias = jnp.zeros_like(bias)

    def padded(q, k, v, bias):
        arrays = (jnp.pad(x, ((0, 0), (0, 6), (0, 0)), constant_values=3.0) for x in (q, k, v))
        return short_attention.attend(*arrays, bias, form)[:, :length]

    def alone(q, k, v, bias):
        return short_attention.attend(q, k, v, bias, form)

    ours, theirs = ((value, *pull(gradient)) for value, pull in (jax.vjp(f, q, k, v, bias) for f in (padded, alone)))
    assert_equal(ours[:4], theirs[:4], 1e-5)
    assert_equal([ours[4] / length], [theirs[4] / length], 1e-5)


@pytest.mark.slow
def test_later_tokens_stay_hidden_where_queries_are_divided():
    inputs, gradient = make_inputs(1, 700, 2 * 64)
    ours, theirs = (results(by, inputs, gradient, heads=2, causal=True) for by in (by_kernel, by_xla))
    assert_equal(ours, theirs, 1e-5)


def test_heads_of_long_sequences_are_divided_among_programs():
    assert short_attention.heads_together(12, 64, 197) == 12
    together = short_attention.heads_together(16, 64, 577)
    assert 2 <= together < 16 and 16 % together == 0
    assert short_attention.heads_together(3, 64, 1569) == 3, "a block of 64 lanes is no whole vector"


@pytest.mark.slow
def test_divided_heads_compute_the_same():
    inputs, gradient = make_inputs(1, 577, 8 * 64)
    assert short_attention.heads_together(8, 64, 577) < 8
    ours, theirs = (results(by, inputs, gradient, heads=8) for by in (by_kernel, by_xla))
    assert_equal(ours, theirs, 1e-5)


@pytest.mark.parametrize(("length", "heads", "width"), [(197, 2, 64), *slow((77, 4, 80))])
def test_bfloat16_is_as_near_to_float32_as_rounding_allows(length, heads, width):
    inputs, gradient = make_inputs(2, length, heads * width, jnp.bfloat16)
    exact = jax.tree.map(lambda x: x.astype(jnp.float32), (inputs, gradient))
    ours = results(by_kernel, inputs, gradient, heads=heads)
    assert [value.dtype for value in ours] == [jnp.bfloat16] * 4 + [jnp.float32]
    # what enters (q, k, v with their biases), the probabilities, and what leaves are each rounded to bfloat16
    assert_equal(ours[:4], results(by_xla, *exact, heads=heads)[:4], 4 * float(jnp.finfo(jnp.bfloat16).eps))


@pytest.mark.parametrize(
    ("batch", "heads", "axes"),
    [(4, 4, {"fsdp": 2, "model": 2}), *slow((4, 3, {"model": 2}), (3, 4, {"model": 4}), (8, 2, {}))],
)
def test_spread_over_devices_it_is_the_same(batch, heads, axes):
    inputs, gradient = make_inputs(batch, 50, heads * 64)
    alone = results(by_kernel, inputs, gradient, heads=heads)
    with jax.set_mesh(sharding.make_mesh(**axes)):
        spread = jax.jit(results, static_argnums=0, static_argnames="heads")(by_kernel, inputs, gradient, heads=heads)
    assert_equal(spread, alone, 1e-5)
    if batch == 8:
        assert not spread[0].sharding.is_fully_replicated


def test_what_it_supports():
    assert [length for length in (50, 197, 1569, 3137) if short_attention.supports(length, 64)] == [50, 197, 1569]
    assert [short_attention.supports(197, width) for width in (32, 80, 100, 128, 136)] == [
        True,
        True,
        False,
        True,
        False,
    ]
