import clip_sets
import jax
import numpy as np
import pytest

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
