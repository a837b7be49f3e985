"""`actionclip prepare`: what comes out, whatever happens in between."""

import json
import os
import pathlib
import subprocess
import sys
import time

import datasets
import numpy as np
import pytest
import videos

from actionclip_jax import config
from actionclip_jax.data import prepare, readers, records, sampling, table, video

SETTINGS = config.RecordConfig(frames=8, shard_clips=6, quality=95, crf=10)
STORAGES = ("jpeg", "video")


def write(data, out, processes=1, **options):
    settings = config.RecordConfig(**{**config.to_dict(SETTINGS), **options.pop("settings", {})})
    return prepare.prepare(data, out, settings, processes=processes, **options)


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def data(video_directory):
    return datasets.make_table(datasets.make_clips(video_directory), origin={"kind": "test"})


@pytest.mark.parametrize("storage", STORAGES)
def test_records_give_back_what_was_put_in(storage, data, tmp_path):
    outcome = write(data, tmp_path / "out", settings={"storage": storage})
    assert (outcome.clips, outcome.bad, outcome.kept_shards) == (datasets.CLIPS, 0, 0)
    stored = records.open_records(tmp_path / "out")
    assert len(stored) == datasets.CLIPS and stored.labels == data.labels and stored.origin == {"kind": "test"}
    kept = np.arange(12) if storage == "video" else sampling.segment_middles(12, 8)
    for number in range(datasets.CLIPS):
        clip, original = stored[number], data[number]
        assert (clip.id, clip.labels, clip.frames) == (original.id, original.labels, len(kept))
        frames = stored.reader.read(clip, np.arange, videos.read_number)
        assert frames.images == (number * datasets.FRAMES + kept).tolist()
        np.testing.assert_allclose(frames.timestamps, kept / 25, atol=1e-3)


def test_pixels_of_records_are_near_the_originals(data, tmp_path):
    grey = np.array([0.299, 0.587, 0.114])  # the test chart's colours change faster than 4:2:0 can say
    for storage in STORAGES:
        write(data, tmp_path / storage, settings={"storage": storage})
        stored = records.open_records(tmp_path / storage)
        image = stored.reader.read(stored[5], lambda n: np.array([0]), np.asarray).images[0]
        kept = np.arange(12) if storage == "video" else sampling.segment_middles(12, 8)
        original = data.reader.read(data[5], lambda n, kept=kept: kept[:1], np.asarray).images[0]
        error = np.mean((image @ grey - original @ grey) ** 2)
        assert 10 * np.log10(255**2 / error) > 38, storage


def test_larger_clips_are_shrunk_by_pils_bicubic_filter_and_smaller_ones_kept(data, tmp_path):
    from actionclip_jax.data import pictures, views

    write(data, tmp_path / "out", settings={"short_side": 32})
    stored = records.open_records(tmp_path / "out")
    image = stored.reader.read(stored[0], lambda n: np.array([0]), np.asarray).images[0]
    encoder = pictures.JpegEncoder(SETTINGS.quality)
    original = data.reader.read(data[0], lambda n: sampling.segment_middles(n, 8)[:1], np.asarray).images[0]
    encoder.add(views.resize_short_side(original, 32))
    np.testing.assert_array_equal(image, pictures.decode_picture(encoder.finish()[0]))


def test_the_files_do_not_depend_on_the_number_of_processes(data, tmp_path):
    write(data, tmp_path / "one", processes=1)
    write(data, tmp_path / "three", processes=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_preparing_again_changes_nothing(data, tmp_path):
    write(data, tmp_path / "out")
    before = contents(tmp_path / "out")
    outcome = write(data, tmp_path / "out")
    assert outcome.kept_shards == 4 and contents(tmp_path / "out") == before


def test_a_stopped_run_goes_on_at_the_first_unfinished_shard(data, tmp_path):
    write(data, tmp_path / "unbroken")
    done = 0

    def stop(clips):
        nonlocal done
        done += clips
        if done > 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(data, tmp_path / "out", progress=stop)
    with pytest.raises(ValueError, match="is not finished: run the same `actionclip prepare` again"):
        records.open_records(tmp_path / "out")
    steps = []
    assert write(data, tmp_path / "out", progress=steps.append).kept_shards == 2
    assert sum(steps) == datasets.CLIPS, "kept clips count as progress too"
    assert contents(tmp_path / "out") == contents(tmp_path / "unbroken")


SCRIPT = """
import pathlib, sys
import datasets
from actionclip_jax import config
from actionclip_jax.data import prepare
if __name__ == "__main__":
    data = datasets.make_table(datasets.make_clips(pathlib.Path(sys.argv[1])), origin={"kind": "test"})
    settings = config.RecordConfig(frames=8, shard_clips=2, quality=95, crf=10)
    prepare.prepare(data, sys.argv[2], settings, processes=2, progress=lambda n: print(n, flush=True))
"""


def test_a_run_killed_hard_leaves_no_workers_and_goes_on(data, video_directory, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)}
    command = [sys.executable, tmp_path / "script.py", video_directory, tmp_path / "out"]
    for clips in (3, 6):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
        for _ in range(clips):
            process.stdout.readline()
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while any_alive(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any_alive(process.pid), "workers outlived their parent"
    outcome = write(data, tmp_path / "out", settings={"shard_clips": 2})
    assert outcome.clips == datasets.CLIPS and outcome.kept_shards >= 2
    write(data, tmp_path / "unbroken", settings={"shard_clips": 2})
    assert contents(tmp_path / "out") == contents(tmp_path / "unbroken"), "half-written files are gone too"


def any_alive(group):
    """Whether a process of the group runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_bad_videos_are_listed_with_reasons_and_the_others_stored(video_directory, tmp_path):
    damaged = datasets.damage(tmp_path / "videos", video_directory, (1, 5, 9, 13, 20))
    steps = []
    outcome = write(damaged, tmp_path / "out", progress=steps.append)
    assert (outcome.clips, outcome.bad, sum(steps)) == (datasets.CLIPS - 5, 5, datasets.CLIPS)
    lines = [json.loads(line) for line in (tmp_path / "out" / "bad_clips.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in lines] == ["01", "05", "09", "13", "20"]
    reasons = [entry["reason"] for entry in lines]
    assert reasons[0] == "the file is empty" and reasons[2] == "no such file" and "no video stream" in reasons[3]
    assert all(entry["path"].endswith(f"{entry['id']}.mp4") for entry in lines)
    stored = records.open_records(tmp_path / "out")
    for number in range(len(stored)):
        clip = stored[number]
        frames = stored.reader.read(clip, lambda n: np.array([0]), videos.read_number)
        assert frames.images[0] // datasets.FRAMES == int(clip.id)


def test_another_list_or_other_settings_are_refused_unless_replacing_is_asked_for(data, tmp_path):
    write(data, tmp_path / "out")
    with pytest.raises(ValueError, match=r"prepared otherwise \(different: settings\)"):
        write(data, tmp_path / "out", settings={"quality": 50})
    with pytest.raises(ValueError, match=r"\(different: clips_sha256\)"):
        write(data.take(np.arange(len(data))[::-1]), tmp_path / "out")
    write(data.take(np.arange(7)), tmp_path / "out", overwrite=True)
    write(data.take(np.arange(7)), tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_directory_of_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="was not made by `actionclip prepare`"):
            write(data, tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {"thesis.txt": b"precious"}


@pytest.mark.parametrize("offset", [0.02, 0.5, 0.9])
def test_a_flipped_byte_is_found_by_reading_and_by_verifying(offset, data, tmp_path):
    write(data, tmp_path / "out")
    path = records.shard_file(tmp_path / "out", 1, "array_record")
    content = bytearray(path.read_bytes())
    content[int(sum(map(len, bytes(content).rstrip(b"\0").split())) * offset)] ^= 0x10
    path.write_bytes(content)
    assert records.find_damage(tmp_path / "out")[0].startswith(f"{path} is damaged")
    stored = records.open_records(tmp_path / "out")
    failed = 0
    for number in range(len(stored)):
        try:
            frames = stored.reader.read(stored[number], np.arange, videos.read_number)
            assert frames.images[0] // datasets.FRAMES == number
        except video.VideoError as error:
            failed += 1
            assert "the record cannot be read" in str(error)
    assert failed


def test_missing_and_truncated_shards_are_errors_of_their_clips_only(data, tmp_path):
    write(data, tmp_path / "out")
    assert records.find_damage(tmp_path / "out") == []
    records.shard_file(tmp_path / "out", 0, "array_record").unlink()
    videos.cut(records.shard_file(tmp_path / "out", 2, "array_record"), 0.3)
    assert len(records.find_damage(tmp_path / "out")) == 2
    stored = records.open_records(tmp_path / "out")
    with pytest.raises(video.VideoError, match="the record cannot be read"):
        stored.reader.read(stored[0], np.arange, np.asarray)
    assert len(stored.reader.read(stored[7], np.arange, np.asarray).images) == 8


def test_lists_and_shards_that_do_not_belong_together_are_noticed(data, tmp_path):
    write(data, tmp_path / "out")
    first, second = (records.shard_file(tmp_path / "out", number, "array_record") for number in (0, 1))
    first.write_bytes(second.read_bytes())
    stored = records.open_records(tmp_path / "out")
    with pytest.raises(video.VideoError, match=r"the record holds '06': its list belongs to another shard"):
        stored.reader.read(stored[0], np.arange, np.asarray)


def test_directories_that_are_no_records_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dataset.json is missing: expected a directory made by `actionclip prepare`"):
        records.open_records(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(ValueError, match="not a JSON file"):
        records.open_records(tmp_path)
    (tmp_path / "dataset.json").write_text('{"version": 99}')
    with pytest.raises(ValueError, match="version 99 of prepared data, expected 1"):
        records.open_records(tmp_path)


def test_impossible_settings_are_refused_together(data, tmp_path):
    with pytest.raises(config.ConfigError) as error:
        write(data, tmp_path / "out", settings={"storage": "png", "quality": 101, "frames": 0})
    assert [problem.split(" is ")[0] for problem in error.value.problems] == ["storage", "frames", "quality"]
    assert not (tmp_path / "out").exists()


def test_damaged_videos_keep_their_note(tmp_path):
    path = videos.write(tmp_path / "cut.mp4", 40, mux={"movflags": "faststart"})
    data = datasets.make_table([table.Clip("cut", str(videos.cut(path, 0.6)), (0,))])
    write(data, tmp_path / "out")
    [entry] = json.loads(records.shard_file(tmp_path / "out", 0, "json").read_text())["clips"]
    assert entry["note"].startswith("truncated")


def test_multi_label_data_sets_keep_all_labels(video_directory, tmp_path):
    clips = [
        table.Clip("a", str(video_directory / "00.mp4"), (0, 2)),
        table.Clip("b", str(video_directory / "01.mp4"), ()),
    ]
    write(table.make_table(clips, datasets.LABELS, readers.VideoFiles(), multi_label=True), tmp_path / "out")
    stored = records.open_records(tmp_path / "out")
    assert stored.multi_label and [stored[row].labels for row in (0, 1)] == [(0, 2), ()]
