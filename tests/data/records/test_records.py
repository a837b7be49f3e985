"""`actionclip prepare`: what comes out, whatever happens in between."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from concurrent import futures

import clip_sets
import filelock
import numpy as np
import pytest
import videos

from actionclip_jax import config, progress
from actionclip_jax.data import readers, sampling, table, video, workers
from actionclip_jax.data.records import check, encode, layout, shards, writer
from actionclip_jax.data.records import reader as records_reader

SETTINGS = config.RecordConfig(frames=8, shard_clips=6, quality=95, crf=10)
STORAGES = ("jpeg", "video")


def write(data, out, processes=1, **options):
    settings = config.RecordConfig(**{**config.to_dict(SETTINGS), **options.pop("settings", {})})
    return writer.prepare(data, out, settings, processes=processes, **options)


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def data(video_directory):
    return clip_sets.make_table(
        clip_sets.make_clips(video_directory), origin={"kind": "test"}, names=("Archery", "Surfing", "PlayingPiano")
    )


@pytest.mark.parametrize("storage", STORAGES)
def test_records_give_back_what_was_put_in(storage, data, tmp_path):
    outcome = write(data, tmp_path / "out", settings={"storage": storage})
    assert (outcome.clips, outcome.bad, outcome.kept_shards) == (clip_sets.CLIPS, 0, 0)
    stored = records_reader.open_records(tmp_path / "out")
    assert len(stored) == clip_sets.CLIPS and stored.labels == data.labels and stored.origin == {"kind": "test"}
    assert stored.names == ("Archery", "Surfing", "PlayingPiano")
    kept = np.arange(12) if storage == "video" else sampling.segment_middles(12, 8)
    for number in range(clip_sets.CLIPS):
        clip, original = stored[number], data[number]
        assert (clip.id, clip.labels, clip.frames) == (original.id, original.labels, len(kept))
        frames = stored.reader.read(clip, np.arange, videos.read_number)
        assert frames.images == (number * clip_sets.FRAMES + kept).tolist()
        np.testing.assert_allclose(frames.timestamps, kept / 25, atol=1e-3)


def test_pixels_of_records_are_near_the_originals(data, tmp_path):
    grey = np.array([0.299, 0.587, 0.114])  # the test chart's colours change faster than 4:2:0 can say
    for storage in STORAGES:
        write(data, tmp_path / storage, settings={"storage": storage})
        stored = records_reader.open_records(tmp_path / storage)
        image = stored.reader.read(stored[5], lambda n: np.array([0]), np.asarray).images[0]
        kept = np.arange(12) if storage == "video" else sampling.segment_middles(12, 8)
        original = data.reader.read(data[5], lambda n, kept=kept: kept[:1], np.asarray).images[0]
        error = np.mean((image @ grey - original @ grey) ** 2)
        assert 10 * np.log10(255**2 / error) > 38, storage


@pytest.mark.parametrize(("storage", "expected"), [("jpeg", [0, 1, 2, 8]), ("video", [0, 1, 1 + 7 // 8])])
def test_only_the_records_of_wanted_frames_are_read(storage, expected, data, tmp_path, monkeypatch):
    write(data, tmp_path / "out", settings={"storage": storage})
    stored, read = records_reader.open_records(tmp_path / "out"), []
    real = records_reader.read_record
    monkeypatch.setattr(
        records_reader, "read_record", lambda name, shard, number: read.append(number) or real(name, shard, number)
    )
    frames = stored.reader.read(stored[0], lambda n: np.array([0, 1, 7]), videos.read_number)
    assert len(frames.images) == 3 and read == sorted(set(expected))


def test_larger_clips_are_shrunk_by_pils_bicubic_filter_and_smaller_ones_kept(data, tmp_path):
    from actionclip_jax.data.video import pictures, views

    write(data, tmp_path / "out", settings={"short_side": 32})
    stored = records_reader.open_records(tmp_path / "out")
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

    def stop(task, done, total, comment):
        if done > 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress.shown_by(stop):
        write(data, tmp_path / "out")
    with pytest.raises(ValueError, match="is not finished: run the same `actionclip prepare` again"):
        records_reader.open_records(tmp_path / "out")
    steps = []
    with progress.shown_by(lambda task, done, total, comment: steps.append((done, total))):
        assert write(data, tmp_path / "out").kept_shards == 2
    assert steps[-1] == (clip_sets.CLIPS, clip_sets.CLIPS), "kept clips count as progress too"
    assert contents(tmp_path / "out") == contents(tmp_path / "unbroken")


SCRIPT = """
import pathlib, sys
import clip_sets
from actionclip_jax import config, progress
from actionclip_jax.data.records import writer
if __name__ == "__main__":
    clips = clip_sets.make_clips(pathlib.Path(sys.argv[1]))
    data = clip_sets.make_table(clips, origin={"kind": "test"}, names=("Archery", "Surfing", "PlayingPiano"))
    settings = config.RecordConfig(frames=8, shard_clips=2, quality=95, crf=10)
    with progress.shown_by(lambda *told: print(told, flush=True)):
        writer.prepare(data, sys.argv[2], settings, processes=2)
"""


def test_a_run_killed_hard_leaves_no_workers_and_goes_on(data, video_directory, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
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
    assert outcome.clips == clip_sets.CLIPS and outcome.kept_shards >= 2
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
    damaged = clip_sets.damage(tmp_path / "videos", video_directory, (1, 5, 9, 13, 20))
    steps = []
    with progress.shown_by(lambda task, done, *_: steps.append(done)):
        outcome = write(damaged, tmp_path / "out")
    assert (outcome.clips, outcome.bad, steps[-1]) == (clip_sets.CLIPS - 5, 5, clip_sets.CLIPS)
    lines = [json.loads(line) for line in (tmp_path / "out" / "bad_clips.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in lines] == ["01", "05", "09", "13", "20"]
    reasons = [entry["reason"] for entry in lines]
    assert reasons[0] == "the file is empty" and reasons[2] == "no such file" and "no video stream" in reasons[3]
    assert all(entry["path"].endswith(f"{entry['id']}.mp4") for entry in lines)
    stored = records_reader.open_records(tmp_path / "out")
    for number in range(len(stored)):
        clip = stored[number]
        frames = stored.reader.read(clip, lambda n: np.array([0]), videos.read_number)
        assert frames.images[0] // clip_sets.FRAMES == int(clip.id)


def test_another_list_or_other_settings_are_refused_unless_replacing_is_asked_for(data, tmp_path):
    write(data, tmp_path / "out")
    with pytest.raises(
        ValueError, match=r"in another way: .*\n  settings: .*'quality': 95.* then, .*'quality': 50.* now$"
    ):
        write(data, tmp_path / "out", settings={"quality": 50})
    label_ids, starts, ends = data.label_ids.copy(), data.starts.copy(), data.ends.copy()
    label_ids[3], starts[5], ends[7] = 1, 0.1, 0.3
    changed = {"label_ids": label_ids, "starts": starts, "ends": ends, "ids": data.ids[::-1]}
    for name, column in changed.items():
        with pytest.raises(
            ValueError, match=r"was prepared from other clips or in another way(.*\n)  clips_sha256 differ$"
        ):
            write(dataclasses.replace(data, **{name: column}), tmp_path / "out")
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
    path = layout.shard_file(tmp_path / "out", 1, "array_record")
    content = bytearray(path.read_bytes())
    content[int(sum(map(len, bytes(content).rstrip(b"\0").split())) * offset)] ^= 0x10
    path.write_bytes(content)
    assert check.verify(tmp_path / "out")[0].startswith(f"{path} is damaged")
    stored = records_reader.open_records(tmp_path / "out")
    failed = 0
    for number in range(len(stored)):
        try:
            frames = stored.reader.read(stored[number], np.arange, videos.read_number)
            assert frames.images[0] // clip_sets.FRAMES == number
        except video.VideoError as error:
            failed += 1
            assert "the record cannot be read" in str(error)
    assert failed


def test_shards_that_go_bad_are_errors_of_their_clips_only(data, tmp_path):
    write(data, tmp_path / "out")
    stored = records_reader.open_records(tmp_path / "out")
    layout.shard_file(tmp_path / "out", 0, "array_record").unlink()
    videos.cut(layout.shard_file(tmp_path / "out", 2, "array_record"), 0.3)
    for number in (0, 12):
        with pytest.raises(video.VideoError, match="the record cannot be read"):
            stored.reader.read(stored[number], np.arange, np.asarray)
    assert len(stored.reader.read(stored[7], np.arange, np.asarray).images) == 8


def test_missing_and_damaged_shards_are_reported_together_and_made_again(data, tmp_path):
    write(data, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert check.verify(tmp_path / "out") == []
    layout.shard_file(tmp_path / "out", 0, "array_record").unlink()
    videos.cut(layout.shard_file(tmp_path / "out", 2, "array_record"), 0.3)
    layout.shard_file(tmp_path / "out", 3, "json").write_text('{"bytes": 3}')
    with pytest.raises(ValueError, match="3 of 4 shards cannot be used; delete them and run the same") as error:
        records_reader.open_records(tmp_path / "out")
    assert [line.split("shards/")[1][:8] for line in str(error.value).splitlines()[1:]] == [
        "00000.ar",
        "00002.ar",
        "00003.js",
    ]
    assert write(data, tmp_path / "out").kept_shards == 1
    assert contents(tmp_path / "out") == before


def test_a_directory_that_lost_its_shards_or_was_being_replaced_is_made_again(data, tmp_path):
    write(data, tmp_path / "out")
    before = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "shards")
    write(data, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_clips_that_were_repaired_are_tried_again_on_request(video_directory, tmp_path):
    damaged = clip_sets.damage(tmp_path / "videos", video_directory, (1, 5, 9, 13, 20))
    write(damaged, tmp_path / "out")
    shutil.copy(video_directory / "05.mp4", tmp_path / "videos" / "05.mp4")
    assert write(damaged, tmp_path / "out").bad == 5
    outcome = write(damaged, tmp_path / "out", retry_bad=True)
    assert (outcome.bad, outcome.clips, outcome.kept_shards) == (4, clip_sets.CLIPS - 4, 0)
    assert "05" in records_reader.open_records(tmp_path / "out").ids


def test_two_runs_do_not_write_one_directory(data, tmp_path):
    write(data.take(np.arange(3)), tmp_path / "out")
    with filelock.FileLock(tmp_path / "out" / ".lock"), pytest.raises(ValueError, match=r"another .* is writing"):
        write(data.take(np.arange(3)), tmp_path / "out")


class Killing:
    """Reads like the table's reader until a clip that kills the process, as lack of memory does."""

    def __init__(self, reader):
        self.reader = reader

    def read(self, clip, *arguments):
        if clip.id == "09":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.reader.read(clip, *arguments)


def test_a_killed_worker_is_said_with_what_to_do_and_nothing_is_lost(data, tmp_path):
    with pytest.raises(ValueError, match=r"a worker process was killed, .* the same command goes on"):
        write(dataclasses.replace(data, reader=Killing(data.reader)), tmp_path / "out")
    assert write(data, tmp_path / "out").kept_shards == 1


def test_a_full_disk_is_said_and_nothing_is_lost(data, tmp_path, monkeypatch):
    class FullWriter:
        def __init__(self, path, options):
            pass

        def write(self, record):
            raise RuntimeError("write() failed: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards.array_record_module, "ArrayRecordWriter", FullWriter)
        with pytest.raises(OSError, match="No space left on device; the same command goes on where it stopped"):
            write(data, tmp_path / "out")
    assert write(data, tmp_path / "out").clips == clip_sets.CLIPS


def test_intervals_are_honoured(video_directory, tmp_path):
    for storage in STORAGES:
        clip = table.Clip("part", str(video_directory / "02.mp4"), (2,), start=0.12, end=0.28)
        write(clip_sets.make_table([clip]), tmp_path / storage, settings={"storage": storage})
        stored = records_reader.open_records(tmp_path / storage)
        frames = stored.reader.read(stored[0], np.arange, videos.read_number)
        assert frames.images == [24 + number for number in (3, 4, 5, 6)]
        np.testing.assert_allclose(frames.timestamps, np.array([3, 4, 5, 6]) / 25, atol=1e-3)


@pytest.mark.parametrize("storage", STORAGES)
def test_pictures_that_change_their_size_or_have_none_are_bad(storage, data, tmp_path):
    class Odd:
        def read(self, clip, choose, transform, short_side=None):
            def change(image):
                change.calls += 1
                return transform({"03": image[:-2] if change.calls > 3 else image, "04": image[:1]}.get(clip.id, image))

            change.calls = 0
            return data.reader.read(clip, choose, change, short_side)

    shard = [encode.encode_clip(Odd(), config.RecordConfig(storage=storage), data[row]) for row in range(6)]
    assert [kind for kind, _, _ in shard] == ["clips", "clips", "clips", "bad", "bad", "clips"]
    assert [entry["reason"] for kind, entry, _ in shard if kind == "bad"] == [
        "the size of the picture changes",
        "the picture is 160 x 1 pixels large",
    ]


def test_no_more_clips_are_encoded_ahead_than_workers_need(data):
    submitted = []

    class Pool:
        def submit(self, function, item):
            submitted.append(item)
            future = futures.Future()
            future.set_result(function(item))
            return future

    results = workers.map_ahead(Pool(), lambda item: 2 * item, range(50), 4)
    assert next(results).result() == 0 and len(submitted) == 4
    assert [future.result() for future in results] == list(range(2, 100, 2))


def test_lists_and_shards_that_do_not_belong_together_are_noticed(data, tmp_path):
    write(data, tmp_path / "out")
    first, second = (layout.shard_file(tmp_path / "out", number, "array_record") for number in (0, 1))
    first.write_bytes(second.read_bytes())
    stored = records_reader.open_records(tmp_path / "out")
    with pytest.raises(video.VideoError, match=r"the record holds '06': its list belongs to another shard"):
        stored.reader.read(stored[0], np.arange, np.asarray)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": "exec"}, "the record is not one of a clip"),
        ({"times": b"odd"}, "the record is not one of a clip"),
        ({"group": 0}, "the records hold no frame 0"),
        ({"group": "x"}, "the records hold no frame 0"),
        ({"id": ["00"]}, "its list belongs to another shard"),
    ],
)
def test_records_made_by_somebody_else_are_errors_of_their_clips(changes, message, data, tmp_path, monkeypatch):
    write(data, tmp_path / "out")
    stored, original = records_reader.open_records(tmp_path / "out"), records_reader.read_record

    def read_changed(name, shard, number):
        record = original(name, shard, number)
        return record | changes if isinstance(record, dict) else record

    monkeypatch.setattr(records_reader, "read_record", read_changed)
    with pytest.raises(video.VideoError, match=message):
        stored.reader.read(stored[0], lambda length: np.arange(1), np.asarray)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shards": 10**12}, "it says 1000000000000 shards"),
        ({"labels": [1, 2, 3]}, "its labels and names are not as many texts"),
        ({"labels": ["a"], "names": ["a"]}, "clips have labels beyond its list"),
    ],
)
def test_directories_that_lie_are_refused(changes, message, data, tmp_path):
    write(data, tmp_path / "out")
    file = tmp_path / "out" / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ValueError, match=message):
        records_reader.open_records(tmp_path / "out")


def test_directories_that_are_no_records_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dataset.json is missing: expected a directory made by `actionclip prepare`"):
        records_reader.open_records(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(ValueError, match="not a JSON file"):
        records_reader.open_records(tmp_path)
    (tmp_path / "dataset.json").write_text('{"version": 99}')
    with pytest.raises(ValueError, match="version 99 of prepared data, expected 1"):
        records_reader.open_records(tmp_path)


def test_impossible_settings_are_refused_together(data, tmp_path):
    with pytest.raises(config.ConfigError) as error:
        write(data, tmp_path / "out", settings={"storage": "png", "quality": 101, "frames": 0})
    assert [problem.split(" is ")[0] for problem in error.value.problems] == ["frames", "quality", "storage"]
    assert not (tmp_path / "out").exists()


def test_damaged_videos_keep_their_note(tmp_path):
    path = videos.write(tmp_path / "cut.mp4", 40, mux={"movflags": "faststart"})
    data = clip_sets.make_table([table.Clip("cut", str(videos.cut(path, 0.6)), (0,))])
    write(data, tmp_path / "out")
    [entry] = json.loads(layout.shard_file(tmp_path / "out", 0, "json").read_text())["clips"]
    assert entry["note"].startswith("truncated")
    stored = records_reader.open_records(tmp_path / "out")
    frames = stored.reader.read(stored[0], np.arange, videos.read_number)
    assert len(frames.images) == entry["frames"] == 8 and frames.images == sorted(set(frames.images))


def test_multi_label_data_sets_keep_all_labels(video_directory, tmp_path):
    clips = [
        table.Clip("a", str(video_directory / "00.mp4"), (0, 2)),
        table.Clip("b", str(video_directory / "01.mp4"), ()),
    ]
    write(table.make_table(clips, clip_sets.LABELS, readers.VideoFiles(), multi_label=True), tmp_path / "out")
    stored = records_reader.open_records(tmp_path / "out")
    assert stored.multi_label and [stored[row].labels for row in (0, 1)] == [(0, 2), ()]
