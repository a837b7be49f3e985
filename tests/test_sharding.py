import clip_sets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from actionclip_jax import config, sharding
from actionclip_jax.data import pipeline


def test_each_device_gets_its_rows_of_a_batch_and_nothing_else(video_directory):
    data = clip_sets.make_table(clip_sets.make_clips(video_directory))
    loader = config.LoaderConfig(batch_size=16, workers=0)
    batches = pipeline.train_batches(data, config.SampleConfig(frames=2, size=32), config.AugmentConfig(), loader)
    batch = next(batches)
    batches.close()
    placed = sharding.place_batch(batch, sharding.make_mesh())
    assert placed["video"].dtype == np.uint8 and placed["video"].shape == (16, 2, 32, 32, 3)
    for name, value in batch.items():
        assert len(placed[name].addressable_shards) == 8
        assert placed[name].dtype == value.dtype
        for number, shard in enumerate(placed[name].addressable_shards):
            np.testing.assert_array_equal(shard.data, value[2 * number : 2 * number + 2])


def test_rows_that_cannot_be_spread_are_refused():
    with pytest.raises(ValueError, match="12 clips cannot be spread over 8 devices"):
        sharding.place_batch({"clip": np.arange(12)}, sharding.make_mesh())


def test_fewer_devices_can_be_chosen():
    placed = sharding.place_batch({"clip": np.arange(12)}, sharding.make_mesh(jax.devices()[:4]))
    assert placed["clip"].sharding.num_devices == 4


@pytest.mark.parametrize(
    ("mesh", "shape", "before", "after"),
    [
        ({}, (12, 768, 3072), P(None, None, None), P(None, "data", None)),  # of equal ones the first: 96 rows of 8
        ({}, (12, 64, 256), P(), P(None, "data", None)),  # 8 rows fill a tile, 32 of 128 lanes do not
        ({}, (16, 4, 512), P(), P(None, None, "data")),  # not the layers
        ({}, (49409, 512), P(), P(None, "data")),  # rows cannot be divided
        ({}, (12, 768), P(), P()),  # too small
        ({}, (49409, 513), P(), P()),
        (
            {"fsdp": 2, "model": 2},
            (12, 768, 3, 12, 64),
            P(None, "fsdp", None, "model", None),
            P(None, ("fsdp", "data"), None, "model", None),
        ),
        ({"fsdp": 4}, (3, 768, 3, 12, 64), P(None, "fsdp"), P(None, ("fsdp", "data"), None, None, None)),
    ],
)
def test_one_more_dimension_is_spread_over_data(mesh, shape, before, after):
    place = NamedSharding(sharding.make_mesh(**mesh), before)
    assert sharding.over_data_too(shape, place).spec == after


def test_rows_are_laid_out_on_each_device_without_gathering_those_of_others():
    mesh = sharding.make_mesh(fsdp=2)
    gradient = jax.jit(jax.grad(lambda x: jnp.sin(sharding.rows_outermost(x)).sum()))
    x = np.random.default_rng(0).normal(size=(8, 3, 4)).astype(np.float32)
    with jax.set_mesh(mesh):
        spread = jax.device_put(x, sharding.by_row(mesh))
        np.testing.assert_allclose(gradient(spread), np.cos(x), rtol=1e-5)
        np.testing.assert_allclose(gradient(x[:3]), np.cos(x[:3]), rtol=1e-5)  # which cannot be spread
        assert "all-gather" not in gradient.lower(spread).compile().as_text()
    np.testing.assert_allclose(gradient(x), np.cos(x), rtol=1e-5)
