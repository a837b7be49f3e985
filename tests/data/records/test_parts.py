"""`actionclip prepare --shard`, `--merge` and `--verify`: many workers make what one would make."""

import dataclasses
import json
import shutil

import clip_sets
import filelock
import numpy as np
import pytest
import videos

from actionclip_jax import config
from actionclip_jax.data.records import check, layout, plan, writer
from actionclip_jax.data.records import reader as records_reader

SETTINGS = config.RecordConfig(frames=2, shard_clips=6)
THREADS = {"processes": 0}


def contents(directory):
    """What lies in a directory, without the lock, which only some of its makers take."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def list_file(out, number):
    return layout.shard_file(out, number, "json")


def record_file(out, number):
    return layout.shard_file(out, number, "array_record")


@pytest.fixture(scope="module")
def data(video_directory, tmp_path_factory):
    """22 clips, of which 5 cannot be used: 4 shards."""
    return clip_sets.damage(tmp_path_factory.mktemp("damaged"), video_directory, (1, 5, 9, 13, 20))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The directory that one process makes of them."""
    out = tmp_path_factory.mktemp("whole") / "out"
    writer.prepare(data, out, SETTINGS, **THREADS)
    return out


@pytest.fixture
def out(whole, tmp_path):
    """A copy of it."""
    return shutil.copytree(whole, tmp_path / "out")


def exchange(first, second):
    for suffix in ("json", "array_record"):
        one, other = first.with_suffix(f".{suffix}"), second.with_suffix(f".{suffix}")
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_made_in_any_order_and_merged_are_byte_for_byte_what_one_process_makes(order, data, whole, tmp_path):
    out, there = tmp_path / "out", []
    for index in order:
        outcome, *presence = writer.prepare_part(data, out, SETTINGS, (index, 3), **THREADS)
        assert outcome.shards == (2 if index == 0 else 1)
        there.append(presence)
        for use in (records_reader.open_records, check.verify):
            with pytest.raises(ValueError, match="is not finished"):
                use(out)
    assert [total for _, total in there] == [4, 4, 4] and there[-1][0] == 4
    outcome = writer.merge(data, out, SETTINGS)
    assert (outcome.clips, outcome.bad, outcome.shards) == (clip_sets.CLIPS - 5, 5, 4)
    assert contents(out) == contents(whole)
    assert check.verify(out, data) == []


def test_a_part_beyond_the_last_shard_has_nothing_to_do(data, tmp_path):
    outcome, there, total = writer.prepare_part(data, tmp_path / "out", SETTINGS, (7, 9), **THREADS)
    assert (outcome.shards, outcome.clips, there, total) == (0, 0, 0, 4)


def test_finished_shards_are_kept_and_half_made_ones_made_again(data, whole, out):
    record_file(out, 0).unlink()  # killed between the records and the list
    list_file(out, 2).unlink()
    videos.cut(record_file(out, 3), 0.3)
    outcome, there, _ = writer.prepare_part(data, out, SETTINGS, (0, 1), **THREADS)
    assert (outcome.kept_shards, there) == (1, 4)
    assert not layout.read_dataset(out)["complete"], "it was being changed"
    writer.merge(data, out, SETTINGS)
    assert contents(out) == contents(whole)


def test_a_part_of_a_complete_directory_leaves_it_complete(data, whole, out):
    outcome, *_ = writer.prepare_part(data, out, SETTINGS, (0, 2), **THREADS)
    assert outcome.kept_shards == 2 and contents(out) == contents(whole)


def test_a_part_waits_for_no_lock_and_leaves_unfinished_files_of_others_alone(data, whole, tmp_path):
    out = tmp_path / "out"
    writer.prepare_part(data, out, SETTINGS, (0, 2), **THREADS)
    others = [out / "shards" / "00001.array_record.ab12.partial", out / "dataset.json.cd34.partial"]
    for file in others:
        file.write_bytes(b"half")
    with filelock.FileLock(out / ".lock"):
        writer.prepare_part(data, out, SETTINGS, (1, 2), **THREADS)
    assert all(file.exists() for file in others)
    writer.merge(data, out, SETTINGS)
    assert contents(out) == contents(whole), "those of killed workers are cleared away in the end"


class Interrupting:
    """Reads like the table's reader, but first does something else when it comes to a clip."""

    def __init__(self, reader, clip, act):
        self.reader, self.clip, self.act = reader, clip, act

    def read(self, clip, *arguments):
        if clip.id == self.clip and self.act:
            act, self.act = self.act, None
            act()
        return self.reader.read(clip, *arguments)


def interrupted(data, clip, act):
    return dataclasses.replace(data, reader=Interrupting(data.reader, clip, act))


def test_two_workers_of_one_shard_do_no_harm(data, whole, tmp_path):
    out = tmp_path / "out"

    def make_the_same():
        writer.prepare_part(data, out, SETTINGS, (0, 1), **THREADS)

    outcome, *_ = writer.prepare_part(interrupted(data, "08", make_the_same), out, SETTINGS, (0, 1), **THREADS)
    assert outcome.kept_shards == 2, "the other was quicker with the last two"
    writer.merge(data, out, SETTINGS)
    assert contents(out) == contents(whole)


def test_a_slow_worker_finds_its_shard_made_and_the_directory_complete(data, whole, tmp_path):
    out = tmp_path / "out"

    def complete():
        writer.prepare_part(data, out, SETTINGS, (0, 1), **THREADS)
        writer.merge(data, out, SETTINGS)

    outcome, *_ = writer.prepare_part(interrupted(data, "08", complete), out, SETTINGS, (0, 1), **THREADS)
    assert outcome.kept_shards == 3, "its own unfinished file was cleared away"
    assert contents(out) == contents(whole)


def test_parts_of_other_clips_or_settings_are_refused(data, tmp_path):
    out = tmp_path / "out"
    writer.prepare_part(data, out, SETTINGS, (0, 2), **THREADS)
    before = contents(out)
    other = config.RecordConfig(frames=2, shard_clips=6, quality=50)
    for call in (
        lambda: writer.prepare_part(data, out, other, (1, 2), **THREADS),
        lambda: writer.merge(data, out, other),
    ):
        with pytest.raises(ValueError, match=r"settings: .*'quality': 90.* then, .*'quality': 50.* now$"):
            call()
    with pytest.raises(ValueError, match="clips_sha256 differ"):
        writer.prepare_part(data.take(np.arange(22)[::-1]), out, SETTINGS, (1, 2), **THREADS)
    assert contents(out) == before


def test_a_worker_whose_directory_was_replaced_meanwhile_stops_at_its_next_shard(data, tmp_path):
    out = tmp_path / "out"
    other = config.RecordConfig(frames=2, shard_clips=6, quality=50)

    def replace():
        shutil.rmtree(out)
        writer.prepare_part(data, out, other, (3, 4), **THREADS)

    with pytest.raises((ValueError, FileNotFoundError)):
        writer.prepare_part(interrupted(data, "08", replace), out, SETTINGS, (0, 1), **THREADS)
    writer.prepare_part(data, out, other, (0, 1), **THREADS)
    writer.merge(data, out, other)
    writer.prepare(data, tmp_path / "fresh", other, **THREADS)
    assert contents(out) == contents(tmp_path / "fresh"), "a shard of the old plan is not taken for one of the new"


def test_a_merge_names_all_that_is_missing_foreign_or_different(data, tmp_path, out):
    other = tmp_path / "other"
    writer.prepare(data, other, config.RecordConfig(frames=2, shard_clips=6, quality=50), **THREADS)
    list_file(out, 0).unlink()
    videos.cut(record_file(out, 1), 0.3)
    for file in (list_file, record_file):
        shutil.copy(file(other, 2), file(out, 2))
        shutil.copy(file(other, 3), file(out, 4))
    (out / "shards" / ".nfs01").write_text("the file system's own")
    before = contents(out)
    with pytest.raises(ValueError, match="is not complete") as error:
        writer.merge(data, out, SETTINGS)
    said = [line.strip().removeprefix(f"{out / 'shards'}/") for line in str(error.value).splitlines()[1:]]
    assert said[0] == "00000.json is missing" and said[1].startswith("00001.array_record has ")
    assert said[2].startswith("00002.json is not the list of this shard: changed, exchanged, or of other clips")
    assert [line[:9] for line in said[3:]] == ["00004.arr", "00004.jso"]
    assert contents(out) == before


def test_a_merge_of_nothing_makes_no_directory(data, tmp_path):
    with pytest.raises(ValueError, match=r"dataset.json is missing"):
        writer.merge(data, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_a_shard_made_with_other_settings_is_made_again(data, whole, tmp_path, out):
    other = tmp_path / "other"
    writer.prepare(data, other, config.RecordConfig(frames=2, shard_clips=6, quality=50), **THREADS)
    for file in (list_file, record_file):
        shutil.copy(file(other, 2), file(out, 2))
    assert writer.prepare(data, out, SETTINGS, **THREADS).kept_shards == 3
    assert contents(out) == contents(whole)


def edit_label(out):
    file = list_file(out, 1)
    shard = json.loads(file.read_text())
    shard["clips"][0]["labels"] = [2]
    file.write_text(json.dumps(shard, indent=1))


def change_record(out):
    file = record_file(out, 2)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)


def forget_bad(out):
    (out / layout.BAD).write_text("")


@pytest.mark.parametrize("with_source", [False, True])
@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda out: record_file(out, 1).unlink(), ["00001.array_record is missing"]),
        (lambda out: list_file(out, 1).unlink(), ["00001.json is missing"]),
        (lambda out: videos.cut(record_file(out, 2)), ["00002.array_record has "]),
        (lambda out: videos.cut(list_file(out, 2)), ["00002.json: not a JSON file"]),
        (lambda out: exchange(list_file(out, 0), list_file(out, 2)), ["00000.json is not the list", "00002.json is"]),
        (lambda out: shutil.copy(record_file(out, 1), record_file(out, 0)), ["00000.array_record "]),
        (change_record, ["00002.array_record is damaged: its SHA-256 is not"]),
        (edit_label, ["00001.json is not the list"]),
        (lambda out: shutil.copy(list_file(out, 1), list_file(out, 9)), ["00009.json belongs to none of the 4 shards"]),
        (forget_bad, ["bad_clips.jsonl is not what the lists of the shards say"]),
    ],
)
def test_verify_names_every_shard_that_is_removed_truncated_exchanged_or_changed(
    damage, expected, with_source, data, out
):
    assert check.verify(out) == []
    damage(out)
    said = [problem.removeprefix(f"{out}/").removeprefix("shards/") for problem in check.verify(out, data)]
    assert len(said) == len(expected), said
    assert all(line.startswith(start) for line, start in zip(said, expected, strict=True)), said


def unseal(out):
    """Makes the lists what version 0.1.0 wrote."""
    for file in (out / "shards").glob("*.json"):
        shard = json.loads(file.read_text())
        del shard["seal"]
        file.write_text(json.dumps(shard, indent=1))


def test_shards_of_version_0_1_0_are_kept_unless_their_clips_are_others(data, out):
    unseal(out)
    assert writer.prepare(data, out, SETTINGS, **THREADS).kept_shards == 4
    assert check.verify(out, data) == []
    exchange(list_file(out, 0), list_file(out, 2))
    assert [problem.split("shards/")[1][:10] for problem in check.verify(out, data)] == ["00000.json", "00002.json"]
    assert writer.prepare(data, out, SETTINGS, **THREADS).kept_shards == 2


def test_more_shards_than_names_are_refused_before_anything_is_written(data, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "MAX_SHARDS", 3)
    with pytest.raises(ValueError, match=r"shard_clips is 6: 4 shards, at most 3 may be"):
        writer.prepare_part(data, tmp_path / "out", SETTINGS, (0, 1), **THREADS)
    assert not (tmp_path / "out").exists()


def test_the_first_files_of_another_worker_are_no_reason_to_refuse_a_directory(data, tmp_path):
    planned = plan.describe(data, SETTINGS)
    (tmp_path / "dataset.json.ab12.partial").write_text("{")
    (tmp_path / ".lock").write_text("")
    plan.check_directory(tmp_path, planned, overwrite=False)
    (tmp_path / "shards").mkdir()
    with pytest.raises(ValueError, match="was not made by `actionclip prepare`"):
        plan.check_directory(tmp_path, planned, overwrite=False)
