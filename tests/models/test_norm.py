"""Layer normalisation: its own derivative against the one that JAX finds for flax's norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from actionclip_jax.models import norm

EPS = 1e-5


def flax_norm(x, scale, bias):
    """In float32, with the variance of two passes."""
    layer = nnx.LayerNorm(x.shape[-1], epsilon=EPS, use_fast_variance=False, rngs=nnx.Rngs(0))
    layer.scale[...], layer.bias[...] = scale, bias
    return layer(x)


def example(dtype=jnp.float32, mean=0.5):
    """x [4, 7, 96] as a residual stream has it, scale, bias, and a gradient of the result."""
    keys = jax.random.split(jax.random.key(0), 4)
    x = (mean + 2 * jax.random.normal(keys[0], (4, 7, 96))).astype(dtype)
    scale, bias = 1 + jax.random.normal(keys[1], (96,)) / 4, jax.random.normal(keys[2], (96,))
    return (x, scale, bias), jax.random.normal(keys[3], x.shape).astype(dtype)


def value_and_gradients(function, arguments, gradient):
    value, pull = jax.vjp(function, *arguments)
    return value, *pull(gradient)


def test_values_and_gradients_are_those_of_flax():
    arguments, gradient = example()
    ours = value_and_gradients(lambda *a: norm.normalize(*a, EPS), arguments, gradient)
    for one, expected in zip(ours, value_and_gradients(flax_norm, arguments, gradient), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("mean", [0.0, 0.5, 20.0])  # the class token of CLIP has single channels that far out
def test_one_pass_in_bfloat16_is_as_exact_as_its_rounding(mean):
    (x, scale, bias), gradient = example(jnp.bfloat16, mean)
    exact = (x.astype(jnp.float32), scale, bias)
    ours = value_and_gradients(lambda *a: norm.normalize(*a, EPS), (x, scale, bias), gradient)
    assert [one.dtype for one in ours] == [jnp.bfloat16, jnp.bfloat16, jnp.float32, jnp.float32]
    wanted = value_and_gradients(flax_norm, exact, gradient.astype(jnp.float32))
    rounding = float(jnp.finfo(jnp.bfloat16).eps) / 2
    for one, expected in zip(ours, wanted, strict=True):
        allowed = rounding if one.dtype == jnp.bfloat16 else 1e-4  # sums over rows are of float32
        np.testing.assert_allclose(one.astype(jnp.float32), expected, rtol=allowed, atol=1e-4 * np.abs(expected).max())


def test_only_the_input_and_two_numbers_a_row_are_kept():
    (x, scale, bias), _ = example(jnp.bfloat16)
    _, kept = norm.normalize_and_keep(x, scale, bias, EPS)
    assert sum(leaf.nbytes for leaf in kept) == x.nbytes + 2 * 4 * 4 * 7 + scale.nbytes
