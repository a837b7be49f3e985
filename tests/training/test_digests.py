"""Digests notice every bit and depend on nothing but the values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from actionclip_jax import sharding
from actionclip_jax.training import digests

DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32, jnp.uint8, jnp.bool_]


def digest(tree, mesh=None):
    return digests.Digester(mesh or sharding.make_mesh(jax.devices()[:1]))(tree)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_any_flipped_bit_changes_the_digest(dtype):
    rng = np.random.default_rng(0)
    values = np.asarray(jnp.asarray(rng.integers(0, 2 if dtype == jnp.bool_ else 100, (3, 5, 7)), dtype))
    found = {digest({"x": jnp.asarray(values)})["x"]}
    flips = 50
    for place in rng.choice(values.nbytes, flips, replace=False):
        data = bytearray(values.tobytes())
        data[place] ^= 1 if dtype == jnp.bool_ else 1 << rng.integers(8)
        changed = np.frombuffer(bytes(data), values.dtype).reshape(values.shape)
        found.add(digest({"x": jnp.asarray(changed)})["x"])
    assert len(found) == flips + 1


def test_exchanged_values_and_another_shape_change_the_digest():
    x = jnp.arange(12.0)
    versions = [x, x[::-1], x.at[jnp.array([3, 4])].set(x[jnp.array([4, 3])]), x + 0.0, -x]
    found = [digest({"x": version})["x"] for version in versions]
    assert found[0] == found[3] and len(set(found)) == 4
    assert digest({"x": jnp.array(0.0)}) != digest({"x": jnp.array(-0.0)})


def test_nan_payloads_count():
    one, other = (np.frombuffer(np.uint32(0x7FC00000 + payload).tobytes(), np.float32) for payload in (1, 2))
    assert digest({"x": jnp.asarray(one)}) != digest({"x": jnp.asarray(other)})


@pytest.mark.parametrize("arrangement", [{}, {"fsdp": 8}, {"fsdp": 2, "model": 2}], ids=str)
def test_the_digest_does_not_depend_on_the_devices(arrangement):
    mesh = sharding.make_mesh(**arrangement)
    values = {"image/blocks/attn/qkv/kernel": np.random.default_rng(1).normal(size=(2, 16, 3, 8, 4)).astype(np.float32)}
    places = sharding.param_shardings({path: value.shape for path, value in values.items()}, mesh)
    spread = {path: jax.device_put(value, places[path]) for path, value in values.items()}
    assert digest(spread, mesh) == digest({path: jnp.asarray(value) for path, value in values.items()})


def test_paths_name_the_arrays():
    tree = {"params": {"image/patch/kernel": jnp.ones(2)}, "count": [jnp.zeros(())]}
    assert set(digest(tree)) == {"params/image/patch/kernel", "count/0"}
