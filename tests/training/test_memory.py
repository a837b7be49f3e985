"""A batch is encoded in as many parts as it takes to fit into memory."""

import dataclasses

import pytest
import tiny

from actionclip_jax import config
from actionclip_jax.training import memory


@pytest.fixture
def run(one_device):
    model = tiny.model_config("Transf")
    return config.TrainConfig(
        model=model,
        data=config.DataConfig(
            train=config.SourceConfig("videos"),
            sample=config.SampleConfig(frames=model.frames, size=model.image.size),
            loader=config.LoaderConfig(batch_size=8),
            expect=config.ExpectConfig(clips=20, classes=3, text_tokens=16),
        ),
    )


def test_the_batch_stays_whole_where_it_fits(run, told):
    assert memory.fit(run, 0.8) == run
    assert "a step with 8 clips at once needs 0." in told[-1]


def test_a_batch_that_does_not_fit_is_encoded_in_parts(run, told, monkeypatch):
    mesh = memory.sharding.make_mesh()
    needs = {
        parts: memory.wanted_bytes(dataclasses.replace(run, optim=config.OptimConfig(accumulate=parts)), mesh)
        for parts in (1, 2)
    }
    assert needs[2] < needs[1]
    monkeypatch.setattr(memory, "free_bytes", lambda: needs[2] + 1)
    assert memory.fit(run, 1.0).optim.accumulate == 2
    assert "too much" in told[0] and "the batch is encoded in 2 parts" in told[1]
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    with pytest.raises(ValueError, match="not even the smallest part of a batch fits into memory"):
        memory.fit(run, 1.0)


@pytest.mark.parametrize(
    ("batch_size", "shards", "parts"),
    [(32, 1, [1, 2, 4, 8, 16, 32]), (32, 8, [1, 2, 4]), (30, 1, [1, 2, 5, 10, 30]), (7, 1, [1, 7]), (7, 2, [])],
)
def test_parts_are_equal_and_go_round_the_devices(batch_size, shards, parts):
    assert memory.possible_parts(batch_size, shards) == parts


def test_a_container_limits_what_is_free(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 300\nactive_file 100\n")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    assert memory.free_bytes() == 2400
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() > 1 << 20
