"""The embedded sample data set has the classes it promises, is always the same, and survives interruptions."""

import itertools
import json

import numpy as np
import pytest

from actionclip_jax import config, progress
from actionclip_jax.data import sources, video
from actionclip_jax.data.shapes import drawing, inventory, sample_set
from actionclip_jax.data.sources import problems

SMALL = config.SampleSetConfig(train_clips=2, test_clips=1, unseen_clips=1, still_clips=1, size=32, frames=3)
SIZES = {"train": (48, 96), "test": (48, 48), "unseen": (24, 24), "stills": (72, 72)}


def make(directory, settings=SMALL, processes=1, **options):
    sample_set.make_sample_set(directory, settings, processes=processes, **options)
    return directory


def read(directory, split, **options):
    return sources.open_source(config.SourceConfig(path=str(directory), split=split, **options))


def read_all(path):
    return video.read_frames(path, np.arange, lambda image: image)


def contents(directory):
    return {
        file.relative_to(directory).as_posix(): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sets") / "small")


def test_the_default_set_has_the_sizes_it_is_known_for():
    files = {split: inventory.list_files(split, config.SampleSetConfig()) for split in inventory.SPLITS}
    sizes = {split: (len({file.label for file in listed}), len(listed)) for split, listed in files.items()}
    assert sizes == {"train": (48, 2160), "test": (48, 288), "unseen": (24, 288), "stills": (72, 1440)}
    everything = list(itertools.chain(*files.values()))
    assert len({file.place for file in everything}) == len({file.seed for file in everything}) == 4176


@pytest.mark.parametrize("split", SIZES)
@pytest.mark.parametrize("kind", ["sample", "auto"])
def test_every_split_has_its_classes_and_clips(small, split, kind):
    clips = read(small, split, kind=kind)
    assert (len(clips.labels), len(clips), clips.origin["kind"]) == (*SIZES[split], "sample")
    assert clips.labels == clips.names == tuple(sorted(clips.labels))
    assert len(set(np.bincount(clips.label_ids[:, 0]))) == 1
    for row in range(0, len(clips), 17):
        color, shape, direction, _ = clips.ids[row].rpartition("/")[2].split("_")
        ending = inventory.SIDES[direction] if split == "stills" else f"moving {direction}"
        assert clips.labels[clips.label_ids[row, 0]] == f"a {color} {shape} {ending}"
        assert clips.paths[row] == str(small / clips.ids[row])


def test_held_out_combinations_are_in_neither_train_nor_test():
    train, test, unseen = (set(inventory.list_classes(split)) for split in ("train", "test", "unseen"))
    assert train == test and not train & unseen
    assert train | unseen == set(itertools.product(drawing.COLORS, drawing.SHAPES, drawing.DIRECTIONS))


def test_every_word_of_the_held_out_is_seen_with_others_and_every_two_words_in_stills():
    words = (drawing.COLORS, drawing.SHAPES, drawing.DIRECTIONS)
    seen, unseen = inventory.list_classes("train"), inventory.list_classes("unseen")
    for place in range(3):
        assert {some[place] for some in seen} == {some[place] for some in unseen} == set(words[place])
    assert not {some[:2] for some in seen} & {some[:2] for some in unseen}
    assert sorted(inventory.list_classes("stills")) == sorted(itertools.product(*words))


def test_clips_have_the_frames_and_size_asked_for_and_stills_one_frame(small):
    for split, length in (("train", 3), ("test", 3), ("unseen", 3), ("stills", 1)):
        for path in read(small, split).paths[::25]:
            frames = read_all(path)
            assert frames.length == length and frames.images[0].shape == (32, 32, 3) and frames.note is None


@pytest.mark.parametrize("side", drawing.DIRECTIONS)
def test_a_still_shows_its_shape_on_its_side(side, tmp_path):
    for seed in range(12):
        drawing.write_still_shape(tmp_path / "still.mp4", "circle", "red", side, size=(64, 64), seed=seed)
        image = read_all(tmp_path / "still.mp4").images[0].astype(int)
        y, x = np.argwhere(image[:, :, 0] - image[:, :, 1] > 100).mean(0) - 32
        out = np.dot((x, y), drawing.DIRECTIONS[side])
        assert out > 4 and out + 1 > min(abs(x), abs(y))


def test_the_files_do_not_depend_on_the_number_of_processes(small, tmp_path):
    told = []
    with progress.shown_by(lambda task, done, *_: told.append(done)):
        assert contents(make(tmp_path / "set", processes=2)) == contents(small)
    assert told[-1] == 240 and len(told) > 2


def test_another_seed_gives_other_videos():
    first, second = (inventory.list_files("test", config.SampleSetConfig(seed=seed)) for seed in (0, 1))
    assert not {file.seed for file in first} & {file.seed for file in second}


def test_what_was_interrupted_goes_on_and_keeps_whole_files(small, tmp_path):
    def interrupt(*told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress.shown_by(interrupt):
        make(tmp_path / "set")
    whole = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.mp4")}
    assert 0 < len(whole) < 240 and not (tmp_path / "set" / "sample.json").exists()
    missing = next(name for name in contents(small) if name.endswith(".mp4") and not (tmp_path / "set" / name).exists())
    (tmp_path / "set" / f"{missing}.partial").write_bytes(b"half a vid")
    with pytest.raises(ValueError, match="made with other settings"):
        make(tmp_path / "set", config.SampleSetConfig())
    assert contents(make(tmp_path / "set")) == contents(small)
    assert {file: file.stat().st_mtime_ns for file in whole} == whole


def test_a_finished_set_is_left_alone(small):
    before = {file: file.stat().st_mtime_ns for file in small.rglob("*")}
    with progress.shown_by(lambda *told: pytest.fail("wrote something")):
        make(small)
    assert {file: file.stat().st_mtime_ns for file in small.rglob("*")} == before


def test_other_settings_are_refused_with_what_differs(small):
    with pytest.raises(ValueError) as caught:
        make(small, config.SampleSetConfig(train_clips=2, test_clips=1, unseen_clips=1, still_clips=1, size=32))
    assert str(caught.value) == (
        f"{small} is a sample data set made with other settings: choose another directory, or delete this one\n"
        "  frames: 3 then, 16 now"
    )


def test_a_place_taken_by_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match="exists and is no sample data set: choose another directory"):
            make(place)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_impossible_settings_are_told_at_once(tmp_path):
    with pytest.raises(config.ConfigError) as caught:
        make(tmp_path / "set", config.SampleSetConfig(train_clips=0, size=31, seed=-1))
    assert caught.value.problems == [
        "train_clips is 0: expected at least 1",
        "size is 31: expected at least 32",
        "seed is -1: expected at least 0",
        "size is 31: expected an even number",
    ]
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("split", ["val", ""])
def test_a_wrong_split_is_refused_with_those_there_are(split, tmp_path):
    with pytest.raises(problems.SourceError, match="expected one of train, test, unseen, stills"):
        read(tmp_path / "set", split, kind="sample")
    assert not (tmp_path / "set").exists()


def test_a_source_that_is_not_there_yet_is_made(small, tmp_path, monkeypatch):
    def make_small(directory, settings, **options):
        assert settings == config.SampleSetConfig()
        real(directory, SMALL, **options)

    real = sample_set.make_sample_set
    monkeypatch.setattr(sample_set, "make_sample_set", make_small)
    clips = read(tmp_path / "set", "unseen", kind="sample")
    assert len(clips) == 24 and contents(tmp_path / "set") == contents(small)
    assert json.loads((tmp_path / "set" / "sample.json").read_text())["frames"] == 3


@pytest.mark.parametrize(("direction", "opposite"), [("left", "right"), ("up", "down")])
@pytest.mark.parametrize("frames", [1, 15, 16])
def test_backwards_a_path_is_exactly_that_of_the_opposite_direction(direction, opposite, frames):
    for seed in range(20):
        radius, centers = drawing.draw_path(np.random.default_rng(seed), direction, (64, 48), frames)
        mirrored = drawing.draw_path(np.random.default_rng(seed), opposite, (64, 48), frames)
        assert radius == mirrored[0]
        np.testing.assert_array_equal(centers[::-1], mirrored[1])


@pytest.mark.parametrize("codec", drawing.ENCODERS)
def test_backwards_a_video_decodes_to_exactly_the_same_frames(codec, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "ENCODERS", {codec: drawing.ENCODERS[codec]})
    frames = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    decoded = []
    for name, some in (("forwards", frames), ("backwards", frames[::-1])):
        drawing.write_frames(tmp_path / f"{name}.mp4", some, 16)
        decoded.append(np.stack(read_all(tmp_path / f"{name}.mp4").images))
    np.testing.assert_array_equal(decoded[0], decoded[1][::-1])
