"""Batches: the same for any number of hosts and workers, after any stop, and whatever the videos are like."""

import dataclasses
import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import time
import types

import clip_sets
import hypothesis
import numpy as np
import pytest
import videos
from hypothesis import strategies
from slow import slow

from actionclip_jax import config
from actionclip_jax.data import bad_clips, clip_log, order, pipeline, readers, sampling, table, test_views, video

SAMPLE = config.SampleConfig(frames=4, size=32)
AUGMENT = config.AugmentConfig()
LOADER = config.LoaderConfig(batch_size=8, workers=0, seed=7)


@pytest.fixture(scope="module")
def data(video_directory):
    return clip_sets.make_table(clip_sets.make_clips(video_directory))


def take(batches, count):
    """The next batches, as they would be checked into a training step."""
    try:
        return [next(batches) for _ in range(count)]
    finally:
        batches.close()


def train(data, count, loader=LOADER, augment=AUGMENT, **options):
    return take(pipeline.train_batches(data, SAMPLE, augment, loader, **options), count)


def assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for batch, reference in zip(batches, expected, strict=True):
        assert batch.keys() == reference.keys()
        for name, value in reference.items():
            assert batch[name].dtype == value.dtype
            np.testing.assert_array_equal(batch[name], value)


def join_hosts(shares):
    return [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shares, strict=True)
    ]


def test_a_batch_is_what_it_says(data):
    [batch] = train(data, 1)
    assert {name: (value.shape, value.dtype) for name, value in batch.items()} == {
        "video": ((8, 4, 32, 32, 3), np.uint8),
        "label": ((8,), np.int32),
        "clip": ((8,), np.int32),
    }
    np.testing.assert_array_equal(batch["label"], batch["clip"] % 3)
    assert len({images.tobytes() for images in batch["video"]}) == 8


def test_sought_batches_are_those_of_an_unbroken_iterator(data):
    whole = list(pipeline.eval_batches(data, SAMPLE, LOADER))
    batches = pipeline.eval_batches(data, SAMPLE, LOADER)
    next(batches)
    for number in (2, 0):
        batches.seek(number)
        assert_equal(list(batches), whole[number:])


@pytest.mark.parametrize("hosts", [4, *slow(1, 2, 8)])
def test_hosts_share_every_batch_and_together_see_each_clip_once_an_epoch(hosts, data):
    count = 6  # 48 samples of 22 clips: two epochs and the beginning of a third
    shares = [train(data, count, host=order.Host(index, hosts)) for index in range(hosts)]
    assert all(len(batch["clip"]) == 8 // hosts for share in shares for batch in share)
    together = join_hosts(shares)
    assert_equal(together, train(data, count))
    rows = np.concatenate([batch["clip"] for batch in together])
    epochs = [rows[start : start + clip_sets.CLIPS].tolist() for start in (0, clip_sets.CLIPS)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(clip_sets.CLIPS))
    assert epochs[0] != epochs[1] and epochs[0] != sorted(epochs[0]), "shuffled, and anew each epoch"


@pytest.mark.parametrize("workers", [3, *slow(1)])
def test_worker_processes_change_nothing(workers, data):
    loader = dataclasses.replace(LOADER, workers=workers)
    assert_equal(train(data, 4, loader), train(data, 4))


@pytest.mark.parametrize("workers", [1, *slow(0)])
def test_the_first_batch_can_be_made_beside_other_work(workers, data):
    batches = pipeline.train_batches(data, SAMPLE, AUGMENT, dataclasses.replace(LOADER, workers=workers))
    batches.start()
    for _ in range(600):
        if batches._stream.first.done():
            break
        time.sleep(0.05)
    assert batches._stream.first.done() and batches.position == 0
    assert_equal(take(batches, 2), train(data, 2))
    batches.start()
    batches.close()  # whatever has become of the batch
    assert_equal(take(batches, 1), train(data, 3)[2:])


def test_chunks_change_nothing(data, monkeypatch):
    expected = train(data, 3)
    for size in (1, 3, 4):
        monkeypatch.setattr(pipeline, "CHUNK_CLIPS", size)
        assert_equal(train(data, 3), expected)


@pytest.mark.parametrize("position", [3, *slow(0, 1, 2, 4)])
def test_a_run_goes_on_where_it_was_saved_on_other_workers_and_hosts(position, data):
    expected = train(data, 6)
    batches = pipeline.train_batches(data, SAMPLE, AUGMENT, LOADER)
    for _ in range(position):
        next(batches)
    state = json.loads(json.dumps(batches.state()))
    batches.close()
    assert state["position"] == position
    rest = 6 - position
    again = pipeline.train_batches(data, SAMPLE, AUGMENT, dataclasses.replace(LOADER, workers=position % 2))
    again.restore(state)
    assert_equal(take(again, rest), expected[position:])
    shares = []
    for index in range(2):
        half = pipeline.train_batches(data, SAMPLE, AUGMENT, LOADER, host=order.Host(index, 2))
        half.restore(state)
        shares.append(take(half, rest))
    assert_equal(join_hosts(shares), expected[position:])


def test_restoring_in_the_middle_of_a_run_stops_what_was_read_ahead(data):
    batches = pipeline.train_batches(data, SAMPLE, AUGMENT, LOADER)
    state, expected = batches.state(), [next(batches) for _ in range(3)]
    batches.restore(state)
    assert_equal(take(batches, 3), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 16}, "batch_size: 8 then, 16 now"),
        ({"seed": 8}, "seed: 7 then, 8 now"),
        ({"clips": 20}, "clips: 22 then, 20 now"),
        ({"order": True}, "clip_ids_sha256"),
    ],
)
def test_a_position_in_other_data_is_refused(change, message, data):
    state = pipeline.train_batches(data, SAMPLE, AUGMENT, LOADER).state()
    rows = np.arange(change.pop("clips", clip_sets.CLIPS))
    rows = rows[::-1] if change.pop("order", False) else rows
    other = pipeline.train_batches(data.take(rows), SAMPLE, AUGMENT, dataclasses.replace(LOADER, **change))
    with pytest.raises(ValueError, match=f"the saved position belongs to other data:\n(.*\n)*  {message}"):
        other.restore(state)


def test_another_seed_gives_another_order_and_other_augmentation(data):
    first = train(data, 3)
    other = train(data, 3, dataclasses.replace(LOADER, seed=8))
    assert [batch["clip"].tolist() for batch in first] != [batch["clip"].tolist() for batch in other]
    rows = np.concatenate([batch["clip"] for batch in train(data, 6)])
    videos = np.concatenate([batch["video"] for batch in train(data, 6)])
    twice = np.flatnonzero(rows == rows[0])
    assert len(twice) >= 2 and not np.array_equal(videos[twice[0]], videos[twice[1]]), "every epoch augments anew"


@pytest.mark.parametrize("workers", [2, *slow(0)])
def test_bad_videos_are_replaced_the_same_way_on_any_number_of_hosts_counted_and_listed(
    workers, video_directory, tmp_path
):
    damaged = clip_sets.damage(tmp_path / "videos", video_directory, (1, 5, 9, 13, 20))
    loader = dataclasses.replace(LOADER, workers=workers, max_bad_fraction=0.3)
    batches = pipeline.train_batches(damaged, SAMPLE, AUGMENT, loader, report=tmp_path / "bad_clips.jsonl")
    got = take(batches, 6)
    rows = np.concatenate([batch["clip"] for batch in got])
    assert not set(rows.tolist()) & {1, 5, 9, 13, 20} and len(rows) == 48
    for batch in got:
        np.testing.assert_array_equal(batch["label"], batch["clip"] % 3)
    lines = [json.loads(line) for line in (tmp_path / "bad_clips.jsonl").read_text().splitlines()]
    assert sorted(entry["id"] for entry in lines) == ["01", "05", "09", "13", "20"], "each once, in spite of two epochs"
    reasons = {entry["id"]: entry["reason"] for entry in lines}
    assert reasons["01"] == "the file is empty" and reasons["09"] == "no such file"
    assert "has no video stream" in reasons["13"] and all(reasons.values())
    assert batches.bad.reasons == reasons and batches.bad.count >= 10
    shares = [train(damaged, 6, dataclasses.replace(loader, workers=0), host=order.Host(i, 2)) for i in (0, 1)]
    assert_equal(join_hosts(shares), got)


@pytest.mark.parametrize("workers", [1, *slow(0)])
def test_too_many_bad_videos_stop_the_run_with_their_reasons(workers, video_directory, tmp_path):
    damaged = clip_sets.damage(tmp_path / "videos", video_directory, (1, 5, 9, 13, 20))
    loader = dataclasses.replace(LOADER, workers=workers, max_bad_fraction=0.1)  # 2.2 clips
    report = tmp_path / "bad_clips.jsonl"
    with pytest.raises(bad_clips.TooManyBadClips) as error:
        train(damaged, 3, loader, report=report)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("3 clips of epoch 0 cannot be decoded, and 2.2 are allowed")
    assert "max_bad_fraction" in lines[0] and str(report) in lines[0] and len(lines) == 4
    assert len(report.read_text().splitlines()) == 3


@pytest.mark.parametrize("workers", [0, *slow(1)])
def test_a_data_set_that_is_gone_stops_the_run_at_once(workers, tmp_path):
    gone = clip_sets.make_table([table.Clip(str(i), str(tmp_path / f"{i}.mp4"), (0,)) for i in range(100)])
    with pytest.raises(
        bad_clips.TooManyBadClips, match=r"20 clips in a row cannot be decoded; the last: .*no such file"
    ):
        train(gone, 1, dataclasses.replace(LOADER, workers=workers))


@pytest.mark.parametrize("hosts", [1, 4, 16])
def test_whether_a_run_stops_does_not_depend_on_the_number_of_hosts(hosts):
    """2,000 clips and 1% allowed: 0.6% go on everywhere, 6% stop."""
    for bad, stops in ((12, False), (120, True)):
        for seed in range(3):
            broken, epochs = (
                set(np.random.default_rng(seed).permutation(2000)[:bad].tolist()),
                order.Epochs(2000, seed),
            )
            stopped = 0
            for index in range(hosts):
                report = bad_clips.Report(None, bad_clips.allowance(0.01 * 2000, hosts))
                share = order.HostExamples(16, 16 * hosts, order.Host(index, hosts))
                rows = [epochs.row(share[number]) for number in range(2000 // hosts)]
                try:
                    report.add([(0, str(row), "", "broken") for row in rows if row in broken])
                except bad_clips.TooManyBadClips:
                    stopped += 1
            assert bool(stopped) == stops, (bad, seed)


def test_one_bad_clip_never_stops_a_run_however_small_the_data_set():
    assert bad_clips.allowance(0.01 * 20, 1) == 1.0


def test_a_report_goes_on_after_a_restart_without_naming_a_clip_twice(tmp_path):
    path = tmp_path / "bad.jsonl"
    bad_clips.Report(path, 10).add([(0, "a", "a.mp4", "broken"), (0, "b", "b.mp4", "empty")])
    with path.open("a") as file:
        file.write('{"id": "c", "pa')  # the run was killed
    again = bad_clips.Report(path, 10)
    again.add([(1, "b", "b.mp4", "empty")])
    assert again.reasons == {"b": "empty"} and len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("workers", [1, *slow(0)])
def test_what_is_wrong_with_videos_that_are_used_is_named_once(workers, video_directory, tmp_path):
    shutil.copytree(video_directory, tmp_path / "videos")
    good = clip_sets.make_table(clip_sets.make_clips(tmp_path / "videos"))
    videos.cut(videos.write(pathlib.Path(good[4].path), frames=90, mux={"movflags": "faststart"}))
    loader = dataclasses.replace(LOADER, workers=workers)
    tested = pipeline.eval_batches(good, SAMPLE, loader, report=tmp_path / "bad_clips_test.jsonl")
    trained = pipeline.train_batches(good, SAMPLE, AUGMENT, loader, report=tmp_path / "bad_clips_train.jsonl")
    list(tested)
    take(trained, 6)
    for part, batches in (("test", tested), ("train", trained)):
        (entry,) = map(json.loads, (tmp_path / f"notes_{part}.jsonl").read_text().splitlines())
        assert entry["id"] == good[4].id and entry["note"].startswith("truncated: ")
        assert batches.notes.entries == {entry["id"]: entry} and not batches.bad.count
    assert clip_log.read_notes(tmp_path, "test") == {entry["id"]: entry["note"]}


def test_one_bad_clip_in_each_of_many_epochs_is_not_too_many():
    report = bad_clips.Report(None, limit=1)
    for epoch in range(50):
        report.add([(epoch, "a", "a.mp4", "broken")])
    assert report.count == 50
    with pytest.raises(bad_clips.TooManyBadClips):
        report.add([(49, "b", "b.mp4", "broken")])


def test_clips_whose_picture_changes_size_are_bad(data):
    class Changing:
        def read(self, clip, choose, transform, short_side=None):
            frames = data.reader.read(clip, choose, transform, short_side)
            if clip.id == "03":
                frames.images[-1] = frames.images[-1][:-2]
            return frames

    batches = pipeline.train_batches(
        dataclasses.replace(data, reader=Changing()), SAMPLE, AUGMENT, dataclasses.replace(LOADER, max_bad_fraction=1.0)
    )
    take(batches, 3)
    assert batches.bad.reasons == {"03": "the size of the picture changes"}


def evaluate(data, loader=LOADER, sample=SAMPLE, **options):
    batches = pipeline.eval_batches(data, sample, loader, **options)
    got = list(batches)
    batches.close()
    return got


def test_evaluation_reads_every_clip_once_and_masks_what_fills_the_last_batch(data):
    got = evaluate(data)
    assert len(got) == 3
    rows = np.concatenate([batch["clip"] for batch in got])
    mask = np.concatenate([batch["mask"] for batch in got])
    assert rows.tolist() == [*range(22), -1, -1] and mask.tolist() == [True] * 22 + [False] * 2
    for batch in got:
        assert batch["video"].shape == (8, 1, 4, 32, 32, 3)
        np.testing.assert_array_equal(batch["label"][batch["mask"]], batch["clip"][batch["mask"]] % 3)
    reference = test_views.read_clips(
        lambda choose, transform: video.read_frames(data[9].path, choose, transform), SAMPLE
    )
    np.testing.assert_array_equal(got[1]["video"][1], reference.clips)


@pytest.mark.parametrize(("hosts", "workers"), [(2, 1), *slow((2, 0), (4, 0), (8, 0))])
def test_evaluation_is_the_same_on_any_number_of_hosts_and_workers(hosts, workers, data):
    loader = dataclasses.replace(LOADER, workers=workers)
    shares = [evaluate(data, loader, host=order.Host(index, hosts)) for index in range(hosts)]
    assert_equal(join_hosts(shares), evaluate(data))


def test_views_are_temporal_clips_times_crops(data):
    sample = dataclasses.replace(SAMPLE, views_time=2, views_space=3)
    [batch, *_] = evaluate(data, sample=sample)
    assert batch["video"].shape == (8, 6, 4, 32, 32, 3)
    single = evaluate(data, sample=dataclasses.replace(SAMPLE, views_space=3))[0]["video"]
    assert single.shape[1] == 3 and not np.array_equal(single[:, 0], single[:, 1])


def test_evaluation_masks_and_names_what_cannot_be_decoded_and_goes_on(video_directory, tmp_path):
    damaged = clip_sets.damage(tmp_path / "videos", video_directory, (1, 5, 9, 13, 20))
    batches = pipeline.eval_batches(damaged, SAMPLE, LOADER, report=tmp_path / "bad.jsonl")
    got = list(batches)
    rows, mask = (np.concatenate([batch[name] for batch in got]) for name in ("clip", "mask"))
    assert rows[:22].tolist() == list(range(22)), "nothing is dropped"
    assert np.flatnonzero(~mask).tolist() == [1, 5, 9, 13, 20, 22, 23]
    assert sorted(batches.bad.reasons) == ["01", "05", "09", "13", "20"]
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 5


def run_script(file, content, *arguments):
    """What a script ends with that finds this checkout and the helpers of its tests."""
    file.write_text(content)
    path = os.pathsep.join([str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, file, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


LEFT = """
import pathlib, sys
import clip_sets
from actionclip_jax import config
from actionclip_jax.data import pipeline

def leave(way):
    data = clip_sets.make_table(clip_sets.make_clips(pathlib.Path(sys.argv[1])))
    loader = config.LoaderConfig(batch_size=4, workers=2)
    batches = pipeline.train_batches(data, config.SampleConfig(frames=2, size=32), config.NO_AUGMENTATION, loader)
    for batch in batches:
        break
    if way == "kept":
        globals()["kept"] = batches
    elif way == "in a cycle":
        batches.itself = batches

if __name__ == "__main__":
    leave(sys.argv[2])
"""


@pytest.mark.parametrize("way", ["kept", *slow("in a cycle")])
def test_batches_that_are_left_in_the_middle_end_without_a_word(way, video_directory, tmp_path):
    ended = run_script(tmp_path / "left.py", LEFT, video_directory, way)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_evaluation_ends_its_workers_with_the_last_batch(data):
    batches = pipeline.eval_batches(data, SAMPLE, dataclasses.replace(LOADER, workers=1))
    before = len(multiprocessing.active_children())
    next(batches)
    assert len(multiprocessing.active_children()) == before + 1
    list(batches)
    assert len(multiprocessing.active_children()) == before


def test_positions_of_training_and_testing_are_not_mixed_up(data):
    train, test = pipeline.train_batches(data, SAMPLE, AUGMENT, LOADER), pipeline.eval_batches(data, SAMPLE, LOADER)
    for one, other in ((train, test), (test, train)):
        with pytest.raises(ValueError, match="purpose"):
            one.restore(other.state())


def test_evaluation_goes_on_where_it_was_saved(data):
    batches = pipeline.eval_batches(data, SAMPLE, LOADER)
    expected = list(batches)
    with pytest.raises(StopIteration):
        next(batches)
    batches.restore({**batches.state(), "position": 2})
    assert_equal(list(batches), expected[2:])


def test_multi_label_targets_are_ones_and_zeros(video_directory):
    rows = clip_sets.make_clips(video_directory)[:8]
    rows = [
        dataclasses.replace(clip, labels=labels)
        for clip, labels in zip(rows, [(0, 2), (), (1,), (2,)] * 2, strict=True)
    ]
    multi = table.make_table(rows, clip_sets.LABELS, readers.VideoFiles(), multi_label=True)
    [batch] = evaluate(multi)
    assert batch["label"].dtype == np.uint8
    assert batch["label"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]] * 2
    [batch] = train(multi, 1)
    np.testing.assert_array_equal(
        batch["label"], np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]] * 2)[batch["clip"]]
    )


def test_clips_without_label_can_be_evaluated_but_not_trained_with(data):
    rows = [dataclasses.replace(data[row], labels=() if row == 3 else (0,)) for row in range(8)]
    unlabelled = clip_sets.make_table(rows)
    assert evaluate(unlabelled)[0]["label"].tolist() == [0, 0, 0, -1, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="1 clips have no label"):
        train(unlabelled, 1)


@pytest.mark.parametrize(
    ("loader", "host", "message"),
    [
        ({"batch_size": 9}, order.Host(0, 2), "batch_size is 9: expected a multiple of the 2 hosts"),
        ({"batch_size": 0}, order.Host(), "batch_size is 0: expected at least 1"),
        ({"workers": -2}, order.Host(), "workers is -2: expected -1 to 1024"),
        ({"max_bad_fraction": 1.5}, order.Host(), "max_bad_fraction is 1.5: expected 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(loader, host, message, data):
    with pytest.raises(ValueError, match=message):
        pipeline.train_batches(data, SAMPLE, AUGMENT, dataclasses.replace(LOADER, **loader), host=host)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_host_that_is_none_of_them_is_refused(index):
    with pytest.raises(ValueError, match=r"host index is -?\d: expected 0..1 for 2 hosts"):
        order.Host(index, 2)


def test_neighbouring_samples_share_no_random_numbers(data):
    same = dataclasses.replace(data.take(np.zeros(8, int)), ids=data.ids[:8])  # one video under eight names
    [batch] = train(same, 1)
    assert len({images.tobytes() for images in batch["video"]}) == 8


def test_training_shrinks_larger_videos_and_leaves_others(data):
    def asked_of_the_reader(loader):
        asked = set()

        class Watching:
            def read(self, clip, choose, transform, short_side=None):
                asked.add(short_side)
                return data.reader.read(clip, choose, transform, short_side)

        train(dataclasses.replace(data, reader=Watching()), 1, loader)
        return asked

    assert asked_of_the_reader(LOADER) == {36}, "in proportion to 256 for 224"
    assert asked_of_the_reader(dataclasses.replace(LOADER, short_side=48)) == {48}


def test_the_sequence_has_no_end(data):
    batches = pipeline.train_batches(data, SAMPLE, AUGMENT, LOADER)
    batches.restore({**batches.state(), "position": 10**9})
    assert len(take(batches, 1)[0]["clip"]) == 8


def test_an_empty_data_set_is_refused(data):
    with pytest.raises(ValueError, match="there are no clips"):
        pipeline.eval_batches(data.take(np.arange(0)), SAMPLE, LOADER)


def test_too_little_shared_memory_is_said_before_workers_die_of_it(data, monkeypatch):
    monkeypatch.setattr(pipeline.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match=r"/dev/shm has 0 MiB free and the workers need .*--shm-size"):
        train(data, 1, dataclasses.replace(LOADER, workers=2))


class Counting:
    """Reads like the table's reader and writes down how often."""

    def __init__(self, reader, log):
        self.reader, self.log = reader, log

    def read(self, *arguments, **options):
        with self.log.open("a") as file:
            file.write(".")
        return self.reader.read(*arguments, **options)


@pytest.mark.parametrize("workers", [2, *slow(0)])
def test_no_more_is_read_ahead_than_promised(workers, data, tmp_path):
    log = tmp_path / "log"
    counted = dataclasses.replace(data, reader=Counting(data.reader, log))
    rows, chunk = 48, 16
    loader = config.LoaderConfig(batch_size=rows, workers=workers, read_ahead=1)
    batches = pipeline.train_batches(counted, SAMPLE, AUGMENT, loader)
    next(batches)
    time.sleep(4)
    batches.close()
    read = log.stat().st_size
    assert rows < read <= (1 + loader.read_ahead) * rows + (4 * workers or 2) * chunk


SCRIPT = """
import os, pathlib, signal, subprocess, sys, time
import clip_sets
from actionclip_jax import config
from actionclip_jax.data import pipeline

def main(directory, victim):
    data = clip_sets.make_table(clip_sets.make_clips(pathlib.Path(directory)))
    loader = config.LoaderConfig(batch_size=8, workers=2)
    batches = pipeline.train_batches(data, config.SampleConfig(frames=4, size=32), config.AugmentConfig(), loader)
    next(batches)
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    listed = subprocess.run(command, capture_output=True, text=True)
    workers = [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]
    print(*workers, flush=True)
    os.kill(workers[1] if victim == "worker" else os.getpid(), signal.SIGKILL)
    start = time.monotonic()
    try:
        while True:
            next(batches)
    except Exception as error:
        print(f"{time.monotonic() - start:.1f} {error}", flush=True)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_a_killed_worker_is_an_error_in_seconds_and_a_killed_parent_leaves_no_orphans(
    victim, video_directory, tmp_path
):
    done = run_script(tmp_path / "script.py", SCRIPT, video_directory, victim)
    workers, *rest = done.stdout.splitlines()
    assert len(workers.split()) == 2, done.stderr
    if victim == "worker":
        seconds, message = rest[0].split(maxsplit=1)
        assert float(seconds) < 5 and "terminated unexpectedly" in message
    deadline = time.monotonic() + 10
    while any_alive(workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any_alive(workers)


def any_alive(workers):
    return any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers.split())


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    clips=strategies.integers(1, 60),
    rows=strategies.integers(1, 6),
    hosts=strategies.integers(1, 5),
    seed=strategies.integers(0, 2**31),
)
def test_every_epoch_is_partitioned_among_the_hosts(clips, rows, hosts, seed):
    epochs = order.Epochs(clips, seed)
    size = rows * hosts
    shares = [order.HostExamples(rows, size, order.Host(index, hosts)) for index in range(hosts)]
    batches = -(-2 * clips // size)
    numbers = [share[number] for number in range(batches * rows) for share in shares]
    assert sorted(numbers) == list(range(batches * size)), "disjoint, and nothing left out"
    rows_in_order = [epochs.row(sample) for sample in range(2 * clips)]
    assert sorted(rows_in_order[:clips]) == sorted(rows_in_order[clips:]) == list(range(clips))


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(sample=strategies.integers(0, 10**12), attempt=strategies.integers(1, 20))
def test_a_replacement_is_a_clip_and_always_the_same(sample, attempt):
    first, second = (order.Epochs(22, 3).row(sample, attempt) for _ in range(2))
    assert first == second and 0 <= first < 22


def test_frames_are_drawn_anew_each_epoch_within_their_segments():
    chosen = {tuple(sampling.random_in_segments(12, 4, order.Epochs(22, 3).rng(sample))) for sample in range(50)}
    assert len(chosen) > 20 and all(3 * i <= frame < 3 * i + 3 for row in chosen for i, frame in enumerate(row))
