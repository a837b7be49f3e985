"""`actionclip prepare --engine beam` makes what processes make."""

import dataclasses

import clip_sets
import pytest

from actionclip_jax import config
from actionclip_jax.data.records import check, plan, writer

SETTINGS = config.RecordConfig(frames=2, shard_clips=6)
OTHERS = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


@pytest.fixture(scope="module", autouse=True)
def beam():
    return pytest.importorskip("apache_beam", reason="Apache Beam is not installed: pip install '.[beam]'")


@pytest.fixture
def pipeline(beam):
    from actionclip_jax.data.records import beam_pipeline

    return beam_pipeline


@pytest.fixture(scope="module")
def data(video_directory, tmp_path_factory):
    """22 clips, of which 5 cannot be used: 4 shards."""
    return clip_sets.damage(tmp_path_factory.mktemp("damaged"), video_directory, (1, 5, 9, 13, 20))


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("flags", [[], pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["here", "two processes"])
def test_the_files_are_those_of_processes_byte_for_byte(flags, data, pipeline, tmp_path):
    expected = writer.prepare(data, tmp_path / "processes", SETTINGS, processes=0)
    assert pipeline.prepare(data, tmp_path / "beam", SETTINGS, flags) == expected
    assert contents(tmp_path / "beam") == contents(tmp_path / "processes")
    assert check.verify(tmp_path / "beam", data) == []


def test_counters_say_what_was_written_and_what_was_kept(data, pipeline, tmp_path):
    outcome = writer.prepare(data, tmp_path / "out", SETTINGS, processes=0)
    (tmp_path / "out" / "shards" / "00001.json").unlink()
    job = writer.plan_job(data, tmp_path / "out", SETTINGS)
    plan.begin(job.directory, job.planned, overwrite=False)
    counters = pipeline.write_shards(pipeline.make_pipeline([]), job)
    assert (counters["shards_written"], counters["shards_kept"]) == (1, 3)
    assert (counters["clips"], counters["bad_clips"]) == (5, 1)
    assert 0 < counters["bytes"] < outcome.bytes


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--runer=Flink", r"Unparseable argument: --runer=Flink.*'--runner'"),
        ("--direct_running_mode=quick", "argument --direct_running_mode: invalid choice: 'quick'"),
        ("--direct_num_workers=two", "argument --direct_num_workers: invalid int value: 'two'"),
        ("--runner=Foo", "Unexpected pipeline runner: Foo"),
        ("--runner=DataflowRunner", "Missing required option: project"),
    ],
)
def test_options_that_beam_does_not_understand_are_refused_in_its_words(flag, words, data, pipeline, tmp_path):
    with pytest.raises(ValueError, match=words):
        pipeline.prepare(data, tmp_path / "out", SETTINGS, [flag])
    assert not (tmp_path / "out").exists()


class Full:
    """Reads like the table's reader until the disk is full."""

    def __init__(self, reader):
        self.reader = reader

    def read(self, clip, *arguments):
        if clip.id == "08":
            raise OSError("No space left on device")
        return self.reader.read(clip, *arguments)


def test_a_pipeline_that_fails_says_why_and_goes_on_from_there(data, pipeline, tmp_path):
    full = dataclasses.replace(data, reader=Full(data.reader))
    with pytest.raises(ValueError, match=r"No space left on device .* goes on where it stopped"):
        pipeline.prepare(full, tmp_path / "out", SETTINGS, [])
    pipeline.prepare(data, tmp_path / "out", SETTINGS, [])
    writer.prepare(data, tmp_path / "unbroken", SETTINGS, processes=0)
    assert contents(tmp_path / "out") == contents(tmp_path / "unbroken")
