"""TPU's compiler takes the attention kernel, forward and backward, for every kind of chip."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import pytest
from slow import slow

from actionclip_jax import sharding
from actionclip_jax.aot import topologies
from actionclip_jax.models import short_attention


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="TPU's compiler, libtpu, is not installed")
@pytest.mark.parametrize("topology", ["v5e:2x2", *slow("v4:2x2x1", "v5p:2x2x1", "v6e:2x2")])
@pytest.mark.parametrize(
    ("length", "heads", "width", "causal", "dtype"),
    [
        (197, 12, 64, False, jnp.bfloat16),
        *slow(
            (197, 3, 64, True, jnp.bfloat16),
            (257, 8, 80, False, jnp.bfloat16),
            (257, 4, 104, False, jnp.bfloat16),
            (577, 2, 64, False, jnp.bfloat16),
            (1569, 2, 64, False, jnp.bfloat16),
            (130, 4, 32, False, jnp.float32),
        ),
    ],
)
def test_tpus_compiler_takes_the_kernel(topology, length, heads, width, causal, dtype):
    mesh = sharding.make_mesh(topologies.describe(topology).devices)
    rows = jax.ShapeDtypeStruct((mesh.size, length, heads * width), dtype, sharding=sharding.by_row(mesh))
    bias = jax.ShapeDtypeStruct((mesh.size, 3, heads * width), jnp.float32, sharding=sharding.by_row(mesh))
    form = short_attention.Form(heads, length - 1, causal)  # the last token is padding

    def gradients(q, k, v, bias, gradient):
        attended, backward = jax.vjp(functools.partial(short_attention.attend, form=form), q, k, v, bias)
        return attended, backward(gradient)

    with jax.set_mesh(mesh):
        text = jax.jit(gradients).lower(rows, rows, rows, bias, rows).compile().as_text()
    assert "attention_forward" in text and "attention_backward" in text
    assert "all-gather" not in text and "all-reduce" not in text, "every device has the rows that it attends to"
