"""Lists of all kinds become the same table, and everything wrong with one is told at once."""

import json
import os
import pathlib
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from local_data import ANNOTATIONS, TEST_DATA, needs_annotations, needs_test_data

from actionclip_jax import config, files
from actionclip_jax.data import class_names, readers, sources, summary, table
from actionclip_jax.data.records import reader as records_reader
from actionclip_jax.data.sources import classes, problems


def read(path, check_files=True, **settings):
    return sources.open_source(config.SourceConfig(path=str(path), **settings), check_files)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def touch(folder, *names):
    for name in names:
        write(folder / name, b"")
    return folder


def rows(clips):
    """(id, labels as texts) of every clip."""
    return [
        (clip.id, tuple(clips.labels[x] for x in clip.labels)) for clip in map(clips.__getitem__, range(len(clips)))
    ]


def error_of(path, **settings):
    with pytest.raises(sources.SourceError) as caught:
        read(path, **settings)
    return str(caught.value)


# The official annotation files


@needs_annotations
@pytest.mark.parametrize(("fold", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_ucf101_has_its_official_sizes(fold, train, test):
    for split, size in (("train", train), ("test", test)):
        clips = read(ANNOTATIONS / "ucf101", False, split=split, fold=fold)
        assert (len(clips), len(clips.labels), clips.origin["kind"]) == (size, 101, "ucf101")
        assert clips.names[0] == "ApplyEyeMakeup" and clips.labels[0] == "apply eye makeup"
        assert all(
            clip_id.startswith(f"{clips.names[x]}/")
            for clip_id, x in zip(clips.ids, clips.label_ids[:, 0], strict=True)
        )
    by_file = read(ANNOTATIONS / "ucf101" / f"testlist0{fold}.txt", False, split_names=False)
    assert by_file.ids.tolist() == clips.ids.tolist() and by_file.labels == clips.names


@needs_annotations
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_hmdb51_has_its_official_sizes(fold):
    for split, size in (("train", 3570), ("test", 1530)):
        clips = read(ANNOTATIONS / "hmdb51", False, split=split, fold=fold)
        assert (len(clips), len(clips.labels), clips.origin["kind"]) == (size, 51, "hmdb51")
        assert np.bincount(clips.label_ids[:, 0]).tolist() == [size // 51] * 51
        assert all(clip_id.split("/")[0].replace("_", " ") == text for clip_id, (text,) in rows(clips))
        # the numbers of kick and kick_ball, and of sword and sword_exercise, are exchanged in these lists
        assert clips.origin["numbers_contradicting_folders"] == 4 * size // 51


@needs_annotations
def test_the_kinetics_list_of_the_source_has_400_labels_and_its_folders_name_them():
    clips = read(ANNOTATIONS / "kinetics" / "val_frame_folders_first2000.txt", False, split_names=False)
    assert (len(clips), len(clips.labels), clips.origin["kind"]) == (2000, 400, "frames")
    assert clips.reader == readers.FrameFolders("img_{:05d}.jpg", 1) and clips[0].frames == 360
    assert rows(clips)[0] == ("frames/ice_skating/99elfyHn6wo", ("ice skating",))


@needs_annotations
@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("kinetics/kinetics_400_labels.csv", 400),
        ("kinetics/label_map_k600.txt", 600),
        ("kinetics/label_map_k700.txt", 700),
        ("kinetics/k160_labels_split1.csv", 160),
        ("hmdb51/labels.csv", 51),
        ("something-something-v2/labels.csv", 174),
        ("ucf101/classInd.txt", 101),
        ("charades/Charades_v1_classes.txt", 157),
    ],
)
def test_every_label_file_in_circulation_is_read(file, count):
    found = problems.Problems(file)
    names = classes.read_classes(ANNOTATIONS / file, found).names
    found.check()
    assert len(names) == len(set(names)) == count
    assert len({class_names.split_name(name) for name in names}) == count


@needs_annotations
def test_something_something_mirrors_its_left_and_right_templates():
    names = classes.read_classes(ANNOTATIONS / "something-something-v2/labels.csv", problems.Problems("")).names
    changed = {
        name: x for name, own, x in zip(names, range(174), class_names.mirror_labels(names), strict=True) if own != x
    }
    pairs = [("Pulling something", "from left to right", "from right to left")]
    pairs += [("Pushing something", "from left to right", "from right to left")]
    pairs += [("Turning the camera", "left while filming something", "right while filming something")]
    for what, first, second in pairs:
        for one, other in ((first, second), (second, first)):
            assert names[changed.pop(f"{what} {one}")] == f"{what} {other}"
    assert list(changed.values()) == [-1]  # "pulling it right out": not flipped rather than flipped wrongly


@needs_annotations
def test_charades_keeps_videos_without_an_action_and_can_cut_actions_out():
    clips = read(ANNOTATIONS / "charades", False, split="test")
    assert (len(clips), len(clips.labels), clips.multi_label) == (1863, 157, True)
    assert sum(clip_labels == () for _, clip_labels in rows(clips)) == 49
    cut = read(ANNOTATIONS / "charades/Charades_v1_test.csv", False, intervals=True)
    assert len(cut) == 16691 and not np.isnan(cut.starts).any()


@needs_annotations
@needs_test_data
def test_folders_of_real_clips_and_the_official_list_agree():
    clips = read(TEST_DATA / "ucf101-5class", split="test")
    listed = read(
        ANNOTATIONS / "ucf101", split="test", videos=str(TEST_DATA / "ucf101-5class" / "test"), skip_missing=True
    )
    assert sorted(rows(clips)) == sorted(rows(listed)) and len(clips) == 70
    assert (listed.origin["listed"], listed.origin["missing"]) == (3783, 3713)
    assert listed.origin["first_missing"][0] == "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"


# Folders


def test_folders_name_the_classes_and_hidden_files_are_no_clips(tmp_path):
    touch(tmp_path, "BrushTeeth/a.mp4", "BrushTeeth/deep/er/b.AVI", "Archery/c.webm", "Archery/.d.mp4", "Archery/e.txt")
    touch(tmp_path, ".cache/f.mp4", "readme.txt")
    clips = read(tmp_path)
    assert rows(clips) == [
        ("Archery/c.webm", ("archery",)),
        ("BrushTeeth/a.mp4", ("brush teeth",)),
        ("BrushTeeth/deep/er/b.AVI", ("brush teeth",)),
    ]
    assert clips.paths[0] == str(tmp_path / "Archery/c.webm") and clips.names == ("Archery", "BrushTeeth")
    assert clips.reader == readers.VideoFiles() and clips.origin["kind"] == "folders"
    json.dumps(clips.origin)


def test_folders_of_splits_need_the_split_named(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "test/a/2.mp4")
    assert read(tmp_path, split="test").ids.tolist() == ["a/2.mp4"]
    missing = f"settings that are missing: 1\n    split (--split): expected a folder of {tmp_path}: test, train"
    assert missing in error_of(tmp_path)
    assert "split is 'val': expected a folder of" in error_of(tmp_path, split="val")


def test_a_label_file_gives_folders_their_numbers(tmp_path):
    touch(tmp_path / "v", "brush_teeth/a.mp4", "archery/b.mp4")
    write(tmp_path / "labels.csv", "id,name\n2,Archery\n1,juggling\n0,brush teeth\n")
    clips = read(tmp_path / "v", labels=str(tmp_path / "labels.csv"))
    assert clips.names == ("brush teeth", "juggling", "Archery") and clips.labels[2] == "archery"
    assert clips.label_ids.tolist() == [[2], [0]]


def test_folders_without_videos_and_videos_outside_are_told(tmp_path):
    touch(tmp_path, "a/1.mp4", "b/readme.txt", "stray.mp4")
    message = error_of(tmp_path)
    assert "class folders without a video: 1" in message and str(tmp_path / "b") in message
    assert "videos that lie beside the class folders: 1" in message and "stray.mp4" in message


def test_linked_folders_and_videos_are_part_of_a_class(tmp_path):
    disk = touch(tmp_path / "disk", "part/1.mp4", "part/deep/2.mp4", "3.mp4", "run/4.mp4")
    root = tmp_path / "videos"
    for place, target in (("walk/linked", disk / "part"), ("walk/3.mp4", disk / "3.mp4"), ("run", disk / "run")):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(target)
    assert read(root).ids.tolist() == ["run/4.mp4", "walk/3.mp4", "walk/linked/1.mp4", "walk/linked/deep/2.mp4"]


def test_links_to_nothing_are_missing_files(tmp_path):
    touch(tmp_path, "a/1.mp4", "b/2.mp4")
    (tmp_path / "b/3.mp4").symlink_to("gone.mp4")
    (tmp_path / "b/more").symlink_to("/gone")
    message = error_of(tmp_path)
    assert "(skip_missing, --skip-missing, leaves such clips out): 2\n    b/3.mp4 (a link to nothing)" in message
    assert "b/more (a link to nothing)" in message
    clips = read(tmp_path, skip_missing=True)
    assert clips.ids.tolist() == ["a/1.mp4", "b/2.mp4"] and clips.origin["missing"] == 2
    for name in ("a/1.mp4", "b/2.mp4"):
        (tmp_path / name).rename(tmp_path / f"{name}.away")
    (tmp_path / "a/4.mp4").symlink_to("gone.mp4")
    assert f"files missing below {tmp_path} (all of them): 3" in error_of(tmp_path, skip_missing=True)
    listed = write(tmp_path / "list.csv", "a/2.mp4,x\nb/3.mp4,x\n")
    assert "line 2: b/3.mp4 (a link to nothing)" in error_of(listed)
    (tmp_path / "c").symlink_to("/gone")
    assert f"links to nothing beside the class folders: 1\n    {tmp_path / 'c'}" in error_of(
        tmp_path, skip_missing=True
    )


def test_folders_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.mp4", "a/locked/2.mp4")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"files that cannot be read: 1\n    {tmp_path / 'a/locked'}: Permission denied" in error_of(tmp_path)


def test_file_names_that_are_not_utf_8_are_told_with_everything_else(tmp_path):
    name = os.fsdecode(b"a/caf\xe9.mp4")
    touch(tmp_path, name, "b/readme.txt")
    message = error_of(tmp_path)
    assert "file names that are not UTF-8 (rename the files): 1" in message and "caf\\udce9.mp4'" in message
    assert "class folders without a video: 1" in message
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("gone")
    message = error_of(tmp_path)
    assert message.encode() and "a/caf\\udce9.mp4 (a link to nothing)" in message


# CSV and text lists


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", "a b.mp4,RideBike\nc.mp4,archery\n"),
        ("list.csv", "label,video\nRideBike,a b.mp4\narchery,c.mp4\n"),
        ("list.csv", "Path;Class Name\na b.mp4;RideBike\nc.mp4;archery\n"),
        ("list.tsv", "a b.mp4\tRideBike\nc.mp4\tarchery\n"),
        ("list.csv", "a b.mp4,RideBike\rc.mp4,archery\r"),
        ("list.csv", "a b.mp4,RideBike\na b.mp4,RideBike\nc.mp4,archery\n./c.mp4,archery\n"),
        ("list.csv", "\ufeffFile,Class\r\na b.mp4,RideBike\r\nc.mp4,archery\r\n"),
        ("list.txt", "a b.mp4 RideBike\r\n\r\nc.mp4 archery\r\n"),
        ("list.txt", "a b.mp4 1\nc.mp4 0\n"),
        ("list.csv", "a b.mp4,1\nc.mp4,0\n"),
        ("list.csv", "a b.mp4,1.0\nc.mp4,0.0\n"),
        ("list.csv", "a b.mp4 1\nc.mp4 0\n"),
        ("list.csv", "a b.mp4 RideBike\nc.mp4 archery\n"),
    ],
)
def test_lists_of_paths_and_labels_are_read(name, content, tmp_path):
    touch(tmp_path, "a b.mp4", "c.mp4")
    write(tmp_path / "labels.txt", "archery\nRideBike\n")
    clips = read(write(tmp_path / name, content))
    assert rows(clips) == [("a b.mp4", ("ride bike",)), ("c.mp4", ("archery",))]
    assert clips.labels == ("archery", "ride bike")[:: 1 if clips.names[0] == "archery" else -1]
    assert clips.origin["kind"] == "csv" and str(tmp_path / name) in clips.origin["files"]


def test_text_lists_may_hold_labels_of_several_words(tmp_path):
    touch(tmp_path, "x/a b.mp4")
    assert rows(read(write(tmp_path / "list.txt", "x/a b.mp4 riding a bike\n"))) == [("x/a b.mp4", ("riding a bike",))]


def test_csv_rows_may_have_intervals_frames_and_ids(tmp_path):
    touch(tmp_path / "videos", "a.mp4")
    content = "path,label,start,end,frames,id\na.mp4,x,0.5,2,30,first\na.mp4,y,2,,,\n"
    clips = read(write(tmp_path / "list.csv", content), videos=str(tmp_path / "videos"))
    path = str(tmp_path / "videos/a.mp4")
    assert [clips[0], clips[1]] == [
        table.Clip("first", path, (0,), 0.5, 2.0, 30),
        table.Clip("a.mp4@2.0-", path, (1,), 2.0, None, None),
    ]


def test_absolute_paths_and_several_folders_are_found(tmp_path):
    touch(tmp_path, "one/a.mp4", "two/b.mp4")
    listed = write(tmp_path / "lists/list.csv", f"{tmp_path}/one/a.mp4,x\n../two/b.mp4,x\n")
    assert len(read(listed)) == 2


def test_all_problems_of_a_list_are_told_at_once(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    content = (
        "path,label,start,end\na.mp4,Run,,\na.mp4,run,,\nmissing.mp4,run,,\nb.mp4,Run,3,2\nb.mp4,Run,-1,2\nb.mp4,,,\n"
    )
    message = error_of(write(tmp_path / "list.csv", content))
    assert message.startswith(f"the data set '{tmp_path}/list.csv' (csv) cannot be used:\n")
    assert "clips listed twice, and not alike: 1\n    line 3: a.mp4, as line 2" in message
    advice = "(skip_missing, --skip-missing, leaves such clips out)"
    assert f"files missing below {tmp_path} {advice}: 1\n    line 4: missing.mp4" in message
    assert "intervals that begin before 0 or do not end later: 2\n    line 5: 3.0 to 2.0\n    line 6: -1.0" in message
    assert "malformed lines: 1\n    line 7: b.mp4,,," in message
    assert "equal once their names are split (reword one): 1\n    'Run' and 'run' -> 'run'" in message


def test_of_many_problems_five_examples_are_given(tmp_path):
    touch(tmp_path, "a.mp4")
    message = error_of(write(tmp_path / "list.csv", "a.mp4,x\n" + "".join(f"{n}.mp4,x\n" for n in range(12))))
    assert "out): 12\n    line 2: 0.mp4" in message and "line 6: 4.mp4\n    and 7 more" in message


def test_missing_files_can_be_left_out_unless_all_are(tmp_path):
    listed = write(tmp_path / "list.csv", "a.mp4,x\nb.mp4,y\nc.mp4,x\n")
    where = f"below {tmp_path} (all of them: say with videos, --videos, where they are): 3"
    assert where in error_of(listed) and where in error_of(listed, skip_missing=True)
    touch(tmp_path, "c.mp4")
    clips = read(listed, skip_missing=True)
    assert clips.ids.tolist() == ["c.mp4"] and clips.labels == ("x", "y")
    assert (clips.origin["listed"], clips.origin["missing"]) == (3, 2)
    assert clips.origin["first_missing"] == ["a.mp4", "b.mp4"]


def test_one_id_names_one_clip(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    listed = write(tmp_path / "list.csv", "path,label,id\na.mp4,x,1\nb.mp4,x,1\n")
    assert "ids given to two clips: 1\n    line 3: 1, as line 2" in error_of(listed)


@pytest.mark.parametrize("folder", ["x" * 300, "loop", "a.mp4"])
def test_folders_that_cannot_be_there_are_missing(folder, tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "loop").symlink_to("loop")
    listed = write(tmp_path / "list.csv", f"a.mp4,x\n{folder}/b.mp4,x\n")
    assert f"leaves such clips out): 1\n    line 2: {folder}/b.mp4" in error_of(listed)


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_other_encodings_and_empty_lists_are_told(name, tmp_path):
    assert f"{name}, line 2: not UTF-8" in error_of(write(tmp_path / name, b"a.mp4,x\ncaf\xe9.mp4,x\n"), kind="csv")
    assert "lists without a clip: 1" in error_of(write(tmp_path / name, ""), kind="csv")


def test_labels_that_are_not_in_the_label_file_are_told(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    names = str(write(tmp_path / "names.txt", "run\njump\n"))
    listed = write(tmp_path / "list.csv", "a.mp4,0\nb.mp4,2\n")
    assert "labels out of range (0 to 1 have a name): 1\n    line 2: 2" in error_of(listed, labels=names)
    assert "labels that are numbers, without a label file" in error_of(listed)
    listed = write(tmp_path / "list.csv", "a.mp4,Run\nb.mp4,fly\n")
    assert "labels that are none of the 2 known: 1\n    line 2: 'fly'" in error_of(listed, labels=names)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "id,name\n0,a\n1,a\n", "the name 'a' is given twice"),
        ("l.csv", "id,name\n0,a\n0,b\n", "the number 0 is given twice"),
        ("l.csv", "id,name\n0,a\n2,b\n", "2 numbers from 0 to 2: expected 0, 1, 2 ... or 1, 2, 3"),
        ("l.csv", "id,name\n0,a\nx,b\n", "not every id is a number"),
        ("l.txt", "2 a\n3 b\n", "2 numbers from 2 to 3"),
        ("l.txt", "", "l.txt: holds no label"),
        ("l.txt", b"caf\xe9\n", "line 1: not UTF-8"),
        ("l.json", '{"a": {"b": 1}}', "expected JSON of the form [name, ...], {name: number}"),
        ("l.json", '{"a": 0, "a": 1}', "the name 'a' stands twice in one object"),
        ("l.json", "{", "files that cannot be read"),
    ],
)
def test_label_files_that_contradict_themselves_are_told(name, content, message, tmp_path):
    touch(tmp_path, "a.mp4")
    listed = write(tmp_path / "list.csv", "a.mp4,0\n")
    assert message in error_of(listed, labels=str(write(tmp_path / name, content)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", b"a.mp4,x\nb.\0mp4,y\n", r"l.csv, line 2: holds '\x00', which no text has"),
        ("l.csv", b"a.mp4,x\nb.mp4,\x1b[2Jy\n", r"l.csv, line 2: holds '\x1b', which no text has"),
        ("l.csv", b"a.mp4,x\nb.mp4,\xc2\x9b2Jy\n", r"l.csv, line 2: holds '\x9b', which no text has"),
        ("l.csv", b'a.mp4,x\nb.mp4,"y\nc.mp4,z\n', "l.csv, line 3: not a CSV file"),
        ("l.json", b"[" * 100_000, "l.json: not a JSON file"),
        ("l.csv", b"path,label,frames\na.mp4,x," + b"9" * 30, "malformed lines: 1\n    line 2: a.mp4,x,999"),
        ("l.csv", b"a.mp4,0\nb.mp4," + b"9" * 5000, "labels that are no numbers of classes: 1\n    line 2: 999"),
        ("l.json", b'{"a": {"annotations": {"label": 5, "segment": [0, 1]}}}', "malformed entries: 1\n    a: "),
    ],
)
def test_what_no_list_holds_is_told_with_its_line(name, content, message, tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    told = error_of(write(tmp_path / name, content))
    assert message in told and len(told) < 2000


def test_lists_have_a_size(tmp_path, monkeypatch):
    listed = write(tmp_path / "l.csv", "a.mp4,x\n" * 100)
    monkeypatch.setattr(files, "MAX_LINES", 99)
    assert "l.csv: 100 lines, and a text file may have 99" in error_of(listed)
    os.truncate(listed, 1 << 30)
    assert "l.csv: 1073741824 bytes, and a text file may have" in error_of(listed)


def test_label_files_hold_short_labels_and_are_files(tmp_path):
    touch(tmp_path, "a.mp4")
    listed = write(tmp_path / "l.csv", "a.mp4,x\n")
    told = error_of(listed, labels=str(write(tmp_path / "names.txt", "x\n" + "y" * 10_000)))
    assert "names.txt: more than 1000 characters: 'yyy" in told and len(told) < 500
    os.mkfifo(tmp_path / "pipe.txt")
    assert "pipe.txt: not a file" in error_of(listed, labels=str(tmp_path / "pipe.txt"))


@pytest.mark.parametrize("template", ["{0.x}", "{0.__class__}{:d}", "{:0999999999d}", "{}{}", "img.jpg", "{1}"])
def test_names_of_frames_hold_one_number_and_nothing_else(template, tmp_path):
    listed = write(tmp_path / "l.txt", "a 1 0\n")
    assert f"frame_template is {template!r}: expected" in error_of(listed, kind="frames", frame_template=template)


@pytest.mark.slow
def test_two_hundred_thousand_lines_take_seconds(tmp_path):
    touch(tmp_path, *(f"{folder}/{number}.mp4" for folder in range(4) for number in range(50)))
    lines = [f"{number % 4}/{number % 50}.mp4,{number},{number + 1},{number % 4}\n" for number in range(200_000)]
    listed = write(tmp_path / "list.csv", "path,start,end,label\n" + "".join(lines))
    write(tmp_path / "labels.txt", "a\nb\nc\nd\n")
    began = time.monotonic()
    assert len(read(listed)) == 200_000
    assert time.monotonic() - began < 30  # about 3 on a quiet machine


# Frame folders


def test_frame_folders_may_hold_spaces_and_a_lost_dash_is_put_back(tmp_path):
    touch(tmp_path, "ride bike/x/f_003.png", "run/-abc/f_003.png")
    write(tmp_path / "kinetics_400_labels.csv", "id,name\n0,run\n1,ride bike\n")
    listed = write(tmp_path / "val.txt", "ride bike/x 4 1\nrun/abc 4 0\n")
    clips = read(listed, frame_template="f_{:03d}.png", first_frame=0)
    assert rows(clips) == [("ride bike/x", ("ride bike",)), ("run/abc", ("run",))]
    assert clips.reader == readers.FrameFolders("f_{:03d}.png", 0) and clips[0].frames == 4
    assert clips.paths[1] == str(tmp_path / "run/-abc")
    assert (clips.origin["repaired"], clips.origin["first_repaired"]) == (1, ["run/abc"])


def test_frame_folders_that_do_not_fit_their_list_are_told(tmp_path):
    touch(tmp_path, "a/img_00002.jpg", "b/img_00002.jpg", "c/x")
    listed = write(tmp_path / "val.txt", "a 2 0\nb 3 0\nc 0 0\nc 1\nd 2 -1\n")
    message = error_of(listed, labels=str(write(tmp_path / "names.txt", "run\n")))
    assert "folders without their last frame: 1\n    line 2: b/img_00003.jpg" in message
    assert "folders without a frame: 1\n    line 3: c 0" in message
    assert "malformed lines (expected: folder frames label): 1\n    line 4: c 1" in message
    assert "labels out of range (0 to 0 have a name): 1\n    line 5: -1" in message
    assert "files missing" in message


@pytest.mark.parametrize(
    ("files", "first_frame", "told"),
    [
        (range(1, 11), 1, "a/img_00006.jpg"),
        (range(10), 1, "a/img_00000.jpg"),  # numbered from 0
        (range(1, 6), 1, None),
        (range(5), 0, None),
    ],
)
def test_frame_folders_that_hold_more_than_their_list_says_are_told(files, first_frame, told, tmp_path):
    touch(tmp_path, *(f"a/img_{number:05d}.jpg" for number in files))
    listed = write(tmp_path / "val.txt", "a 5 0\n")
    clips = read(listed, labels=str(write(tmp_path / "names.txt", "run\n")), first_frame=first_frame)
    lines = [line for line in summary.notices(clips.origin) if "folders hold more frames than their list" in line]
    assert lines == ([f"1 folders hold more frames than their list says, which are not used: {told}"] if told else [])


def test_several_label_files_beside_a_list_are_ambiguous(tmp_path):
    touch(tmp_path, "a/img_00001.jpg")
    for name in ("one_labels.csv", "two_labels.csv"):
        write(tmp_path / name, "id,name\n0,run\n")
    message = error_of(write(tmp_path / "val.txt", "a 1 0\n"))
    assert "several label files" in message and "one_labels.csv, two_labels.csv" in message


# The official forms


def write_ucf101(folder):
    write(folder / "classInd.txt", "1 YoYo\r\n2 Archery\r\n")
    write(folder / "trainlist01.txt", "YoYo/v_1.avi 1\r\nArchery/v_2.avi 2\r\n")
    write(folder / "testlist01.txt", "Archery/v_3.avi\r\n")
    return folder


def test_ucf101_files_lie_in_class_folders_or_side_by_side(tmp_path):
    lists = write_ucf101(tmp_path / "lists")
    for layout in (("YoYo/v_1.avi", "Archery/v_2.avi"), ("v_1.avi", "v_2.avi")):
        videos = touch(tmp_path / str(len(layout[0])), *layout)
        clips = read(lists, split="train", videos=str(videos))
        assert rows(clips) == [("YoYo/v_1.avi", ("yo yo",)), ("Archery/v_2.avi", ("archery",))]
        assert clips.paths.tolist() == [str(videos / name) for name in layout]


def test_a_label_file_may_word_or_order_the_classes_anew(tmp_path):
    lists = write_ucf101(tmp_path)
    order = write(tmp_path / "order.txt", "archery\nbowling\nyo yo\n")
    words = write(tmp_path / "words.txt", "1 playing with a yo-yo\n2 shooting arrows\n")
    named = write(tmp_path / "named.csv", "name,text\nArchery,shooting arrows\nYo Yo,a yo-yo\n")
    clips = read(lists, False, split="test", labels=str(order))
    assert clips.labels == ("archery", "bowling", "yo yo") and clips.label_ids.tolist() == [[0]]
    clips = read(lists, False, split="test", labels=str(words))
    assert clips.labels[1] == "shooting arrows" and clips.names[1] == "Archery" and clips.label_ids.tolist() == [[1]]
    clips = read(lists, False, split="test", labels=str(named))
    assert clips.labels == ("shooting arrows", "a yo-yo") and clips.label_ids.tolist() == [[0]]
    for content in ("archery\nplaying with a yo-yo\n", "playing with a yo-yo\nshooting arrows\n"):
        message = error_of(lists, split="test", labels=str(write(tmp_path / "mixed.txt", content)))
        assert "label files that do not name all classes" in message and "YoYo" in message
        assert "| playing with a yo-yo" in message


def test_ucf101_lists_that_contradict_themselves_are_told(tmp_path):
    lists = write_ucf101(tmp_path)
    write(tmp_path / "trainlist01.txt", "YoYo/v_1.avi 2\nv_2.avi 1\nSwing/v_3.avi 1\n")
    message = error_of(lists, split="train", kind="ucf101")
    assert "label numbers that are not those of the folder: 1\n    line 1: YoYo/v_1.avi 2" in message
    assert "also its number): 1\n    line 2: v_2.avi 1" in message
    assert "none of the 2 known: 1\n    line 3: 'Swing'" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "validation"}, "split is 'validation': expected one of train, test"),
        ({}, "settings that are missing: 1\n    split (--split): expected one of train, test"),
        ({"split": "test", "fold": 2}, "expected testlist02.txt, found classInd.txt, testlist01.txt, trainlist01.txt"),
        ({"split": "test", "fold": 4}, "fold is 4: expected 1 to 3"),
        ({"split": "test", "intervals": True}, "intervals is True: only charades have it, not ucf101"),
        ({"split": "test", "videos": "/nowhere"}, "folders of videos that are not there: 1\n    /nowhere"),
        ({"kind": "ucf"}, "kind is 'ucf': expected one of auto, folders"),
        ({"classes": "half"}, "classes is 'half': expected one of all, base, novel"),
        ({"shots": -1}, "shots is -1: expected at least 0"),
        ({"split": "test", "base_classes": "x.txt"}, "base_classes is 'x.txt', but classes is 'all'"),
        ({"split": "test", "labels": "x.txt"}, "labels (--labels) is 'x.txt': there is no such file"),
        (
            {"split": "test", "classes": "base", "base_classes": "/"},
            "base_classes (--base-classes) is '/': there is no such file",
        ),
        ({"frame_template": "img.jpg"}, "frame_template is 'img.jpg': expected a place for a number"),
    ],
)
def test_settings_that_cannot_be_are_told_with_what_can(settings, message, tmp_path):
    assert message in error_of(write_ucf101(tmp_path), **settings)


def test_a_list_file_needs_no_split(tmp_path):
    assert "the path already is one list" in error_of(write_ucf101(tmp_path) / "testlist01.txt", split="test")


def test_the_folders_of_hmdb51_lists_decide_where_numbers_contradict(tmp_path):
    write(tmp_path / "labels.csv", "id,name\n0,kick ball\n1,kick\n")
    listed = write(tmp_path / "trainlist_split1.txt", "kick/a.avi 0\nkick/b.avi 1\nkick_ball/c.avi 0\n")
    clips = read(listed, False)
    assert [text for _, (text,) in rows(clips)] == ["kick", "kick", "kick ball"]
    assert clips.origin["numbers_contradicting_folders"] == 1


def test_hmdb51_is_read_in_its_official_form(tmp_path):
    write(tmp_path / "brush_hair_test_split1.txt", "a!.avi 1 \nb.avi 2 \nc.avi 0 \n")
    write(tmp_path / "run_test_split1.txt", "d.avi 2 \n")
    videos = touch(tmp_path / "videos", "brush_hair/a!.avi", "brush_hair/b.avi", "d.avi")
    train, test = (read(tmp_path, split=split, videos=str(videos)) for split in ("train", "test"))
    assert rows(train) == [("brush_hair/a!.avi", ("brush hair",))]
    assert rows(test) == [("brush_hair/b.avi", ("brush hair",)), ("run/d.avi", ("run",))]
    assert test.paths[1] == str(videos / "d.avi") and len(test.origin["files"]) == 2
    write(tmp_path / "run_test_split1.txt", "d.avi 3\n")
    assert "run_test_split1.txt, line 1: d.avi 3" in error_of(tmp_path, split="test", videos=str(videos))
    assert "split is 'val': expected one of train, test" in error_of(tmp_path, split="val")


KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
ride bike,abcdefghijk,1,11,train,0
ride bike,-bcdefghijk,120,130,train,0
run,_xy_z,0,10,train,0
run,11111111111,5,15,train,0
"""


def test_kinetics_is_read_as_csv_whatever_its_files_are_called(tmp_path):
    touch(tmp_path, "ride bike/abcdefghijk_000001_000011.mp4", "ride_bike/-bcdefghijk.mkv", "_xy_z_000000_000010.webm")
    touch(tmp_path, "run/11111111111.mp4")
    write(tmp_path / "kinetics-400_train.csv", KINETICS)
    clips = read(tmp_path, split="train")
    assert clips.origin["kind"] == "kinetics"
    assert rows(clips) == [
        ("abcdefghijk_000001_000011", ("ride bike",)),
        ("-bcdefghijk_000120_000130", ("ride bike",)),
        ("_xy_z_000000_000010", ("run",)),
        ("11111111111_000005_000015", ("run",)),
    ]
    assert [pathlib.Path(path).suffix for path in clips.paths] == [".mp4", ".mkv", ".webm", ".mp4"]
    told = "2 clips are files named by the video's id alone: they are taken to be cut already"
    assert told in list(summary.notices(clips.origin))


def test_kinetics_ids_that_lost_their_dash_are_repaired(tmp_path):
    touch(tmp_path, "run/-bcdefghijk_000001_000011.mp4")
    listed = write(tmp_path / "val.csv", "label,youtube_id,time_start,time_end,split\nrun,bcdefghijk,1,11,val\n")
    origin = read(listed).origin
    assert origin["repaired"] == 1 and not [line for line in summary.notices(origin) if "alone" in line]


def test_kinetics_test_lists_have_no_labels(tmp_path):
    touch(tmp_path, "abc_000001_000011.mp4")
    listed = write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split\nabc,1,11,test\n")
    names = write(tmp_path / "names.txt", "run\n")
    clips = read(listed, labels=str(names))
    assert rows(clips) == [("abc_000001_000011", ())] and clips.labels == ("run",)


def test_kinetics_is_read_as_json(tmp_path):
    item = {"annotations": {"label": "run", "segment": [1.0, 11.0]}, "duration": 10.0, "subset": "train", "url": ""}
    content = {"abc": item, "def": {**item, "subset": "validate"}, "ghi": {"subset": "train"}}
    listed = write(tmp_path / "kinetics.json", json.dumps(content))
    assert "malformed entries: 1\n    ghi: {'subset': 'train'}" in error_of(listed)
    listed = write(tmp_path / "kinetics.json", json.dumps({name: content[name] for name in ("abc", "def")}))
    assert rows(read(listed, False, split="val")) == [("def_000001_000011", ("run",))]
    assert "split is 'test'" in error_of(listed, split="test")
    assert "expected one of train, validation" in error_of(listed, split="test")


def test_malformed_kinetics_rows_are_told(tmp_path):
    listed = write(tmp_path / "val.csv", "label,youtube_id,time_start,time_end\nrun,abc,1\n,abc,1,2\nrun,abc,x,2\n")
    assert "malformed lines: 3\n    line 2: run,abc,1" in error_of(listed)
    listed = write(tmp_path / "val.csv", "label,id\nrun,abc\n")
    assert "val.csv: youtube_id, time_start, time_end" in error_of(listed, kind="kinetics")


def test_something_something_labels_are_templates_without_brackets(tmp_path):
    lists = tmp_path / "labels"
    train = [
        {"id": "7", "label": "pushing a cup", "template": "Pushing [something] left", "placeholders": ["a cup"]},
        {"id": "8", "label": "holding it", "template": "Holding [something]", "placeholders": ["it"]},
    ]
    write(lists / "something-something-v2-train.json", json.dumps(train))
    write(lists / "something-something-v2-test.json", json.dumps([{"id": "9"}]))
    write(lists / "something-something-v2-labels.json", '{"Pushing something left": "0", "Holding something": "1"}')
    videos = touch(tmp_path / "videos", "7.webm", "8.mp4", "9.webm")
    clips = read(lists, split="train", videos=str(videos))
    assert rows(clips) == [("7", ("Pushing something left",)), ("8", ("Holding something",))]
    assert clips.labels == ("Pushing something left", "Holding something") and clips.origin["kind"] == "something"
    assert clips.paths[1] == str(videos / "8.mp4")
    assert rows(read(lists, split="test", videos=str(videos))) == [("9", ())]
    listed = write(lists / "validation.json", json.dumps([*train, {"label": "no id"}]))
    assert "malformed entries: 1\n    entry 3" in error_of(listed, videos=str(videos))


def test_a_charades_clip_has_the_labels_of_all_actions_in_it(tmp_path):
    write(tmp_path / "Charades_v1_classes.txt", "c000 Holding clothes\nc001 Closing a door\nc002 Running\n")
    content = "id,subject,actions,length\nAAAAA,X,c000 0.00 5.00;c001 4.00 8.00;c002 8.00 9.50,10\nBBBBB,X,,3\n"
    write(tmp_path / "Charades_v1_train.csv", content)
    touch(tmp_path, "AAAAA.mp4", "BBBBB.mp4")
    clips = read(tmp_path, split="train")
    assert [clips[row].labels for row in range(2)] == [(0, 1, 2), ()] and clips.multi_label
    cut = read(tmp_path, split="train", intervals=True)
    assert [(clip.labels, clip.start, clip.end) for clip in map(cut.__getitem__, range(3))] == [
        ((0, 1), 0.0, 5.0),
        ((0, 1), 4.0, 8.0),
        ((2,), 8.0, 9.5),
    ]
    write(tmp_path / "Charades_v1_train.csv", content.replace("c002 8.00", "c002 9.50"))
    cut = read(tmp_path, split="train", intervals=True)
    assert len(cut) == 2 and cut.origin["actions_without_duration"] == 1
    write(tmp_path / "Charades_v1_train.csv", content.replace("c002 8.00", "c002"))
    assert "malformed lines: 1\n    line 2: AAAAA" in error_of(tmp_path, split="train")


# Subsets, records, and paths of no known kind


def test_subsets_are_taken_and_recorded(tmp_path):
    touch(tmp_path, *(f"{name}/{number}.mp4" for name in "abcd" for number in range(5)))
    base = write(tmp_path / "base.txt", "b\nd\n")
    clips = read(tmp_path, shots=2, classes="novel", base_classes=str(base), seed=1)
    assert clips.labels == ("a", "c") and np.bincount(clips.label_ids[:, 0]).tolist() == [2, 2]
    assert {name: clips.origin[name] for name in ("shots", "classes", "seed")} == {
        "shots": 2,
        "classes": "novel",
        "seed": 1,
    }
    with pytest.raises(ValueError, match=r"too few clips for 9 shots"):
        read(tmp_path, shots=9)


@pytest.mark.parametrize("split_when_prepared", [True, False])
def test_names_of_records_are_split_as_asked_whatever_was_prepared(split_when_prepared, tmp_path, monkeypatch):
    touch(tmp_path / "videos", "ApplyEyeMakeup/a.mp4", "YoYo/b.mp4")
    write(tmp_path / "shards/dataset.json", "{}")
    stored = read(tmp_path / "videos", split_names=split_when_prepared)
    monkeypatch.setattr(records_reader, "open_records", lambda path: stored)
    for split_names, expected in ((False, ("ApplyEyeMakeup", "YoYo")), (True, ("apply eye makeup", "yo yo"))):
        opened = read(tmp_path / "shards", split_names=split_names)
        assert opened.labels == expected and opened.origin["split_names"] == split_names
        assert opened.names == ("ApplyEyeMakeup", "YoYo") and opened.label_ids.tolist() == [[0], [1]]


@pytest.mark.parametrize("split_when_prepared", [True, False])
def test_texts_that_a_label_file_gave_records_are_kept(split_when_prepared, tmp_path, monkeypatch):
    touch(tmp_path / "videos", "YoYo/a.mp4")
    write(tmp_path / "classInd.txt", "1 YoYo\n")
    write(tmp_path / "testlist01.txt", "YoYo/a.mp4\n")
    words = str(write(tmp_path / "words.txt", "1 PlayingWithAToy\n"))
    stored = read(
        tmp_path, split="test", videos=str(tmp_path / "videos"), labels=words, split_names=split_when_prepared
    )
    write(tmp_path / "shards/dataset.json", "{}")
    monkeypatch.setattr(records_reader, "open_records", lambda path: stored)
    opened = read(tmp_path / "shards", split_names=False)
    assert opened.labels == stored.labels and opened.names == ("YoYo",)
    assert opened.origin["split_names"] == split_when_prepared  # what the texts are, though it was not asked for
    assert read(tmp_path / "shards").labels == ("playing with a toy",)


def test_records_keep_their_texts_and_may_be_given_others(tmp_path, monkeypatch):
    write(tmp_path / "dataset.json", "{}")
    clips = [table.Clip("a", "x", (0,)), table.Clip("b", "y", (1,)), table.Clip("c", "z", ())]
    stored = table.make_table(clips, ["yo yo", "Archery"], None, names=["YoYo", "Archery"], origin={"kind": "csv"})
    monkeypatch.setattr(records_reader, "open_records", lambda path: stored)
    opened = read(tmp_path)
    assert (opened.labels, opened.names, opened.origin["kind"]) == (("yo yo", "archery"), stored.names, "records")
    assert opened.origin["prepared"] == {"kind": "csv"}
    assert read(tmp_path, split_names=False).labels == ("YoYo", "Archery")
    opened = read(tmp_path, labels=str(write(tmp_path / "order.txt", "archery\nbowling\nyo yo\n")))
    assert opened.labels == ("archery", "bowling", "yo yo") and opened.label_ids.tolist() == [[2], [0], [-1]]
    assert "do not name all classes" in error_of(tmp_path, labels=str(write(tmp_path / "words.txt", "a toy\na bow\n")))
    words = write(tmp_path / "words.json", '{"YoYo": "a toy", "archery": "a bow"}')
    opened = read(tmp_path, labels=str(words))
    assert opened.labels == ("a toy", "a bow") and opened.label_ids.tolist() == [[0], [1], [-1]]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "holds no file; expected a directory with a folder of videos for each class, or a list"),
        ({"a.mp4": "", "b.AVI": "", "readme.md": ""}, "2 videos, but not in a folder for each class; expected "),
        ({"a.mp4": "", "list.csv": "a.mp4,run\n"}, "/CLASS/VIDEO, or the list itself, if it is one of list.csv"),
        (
            {"a/1.npy": "", "b/x.txt": ""},
            "no video in its folders (a, b) or in theirs; expected a directory with a folder",
        ),
        ({f"{number}.npy": "" for number in range(6)}, "no video among its files (0.npy, 1.npy, 2.npy, 3.npy,"),
        ({"readme.md": ""}, "or a directory that holds one of: dataset.json (records); features.json (tfds);"),
    ],
)
def test_a_directory_of_no_known_kind_is_told_with_what_it_holds(files, told, tmp_path):
    for name, content in files.items():
        write(tmp_path / name, content)
    message = error_of(tmp_path)
    assert f"paths whose kind is not recognised: 1\n    {tmp_path}: " in message and told in message


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "a.MP4",
            b"\0\0\0\x18ftypmp42\xff",
            "a.MP4: is a video; expected a directory with a folder of videos for each",
        ),
        ("a.bin", b"\x93NUMPY\x01\0v\0", "a.bin: not a text file but a binary one"),
        ("a.txt", "a\n".encode("utf-16"), "its first line is 'a'; expected lines `path label` (csv)"),
        (
            "classInd.txt",
            "1 YoYo\n",
            "is the list of classes; expected its directory with split (--split), or trainlist01",
        ),
        ("Charades_v1_classes.txt", "c000 Run\n", "is the list of classes; expected its directory"),
        ("labels.csv", "id,name\n0,run\n", "its columns are id, name: labels, which go with labels (--labels)"),
        ("a.json", "{}", "is JSON of no known form; expected {id: {annotations, subset}} (kinetics)"),
        ("a.txt", "a.mp4;run\n", "its lines are separated by ';'; expected lines `path label` (csv)"),
        ("a.txt", "one\n", "its first line is 'one'; expected lines `path label` (csv)"),
        ("a.txt", " \n", "lists without a clip: 1"),
        ("a.csv", "", "holds no line with a clip; expected path,label"),
        ("a.csv", "path,label\n", "holds no line with a clip"),
        ("a.csv", "a.mp4|run\n", "a.csv: separated by '|'; expected path,label"),
        ("a.csv", "vid,verb,x\n1,2,3\n", "the headings are vid, verb, x: expected one of path, video, file, "),
        ("a.csv", "vid,verb\na.mp4,run\n", "video_path, clip and one of label, class, name"),
        ("a.csv", "vid,action\na.mp4,run\n", "path: expected one of path, video, file"),
        ("a.csv", "a.mp4\n", "malformed lines (expected: path,label): 1"),
    ],
)
def test_a_file_that_is_no_list_is_told_with_what_it_is(name, content, told, tmp_path):
    message = error_of(write(tmp_path / name, content))
    assert told in message and str(tmp_path / name) in message


def test_a_path_that_is_not_there_is_told(tmp_path):
    assert "nowhere.csv: no such file or directory" in error_of(tmp_path / "nowhere.csv")
    message = error_of("nothere", videos=str(tmp_path), fold=2)
    assert "nothere: no such file or directory; nor is a TFDS data set of that name prepared below" in message
    assert "tfds build" in message and "fold" not in message
    assert "No such file" in error_of(tmp_path / "nowhere.csv", kind="csv")
    assert "nowhere: no such file" in error_of(tmp_path / "nowhere", kind="ucf101", split="test")


# TFDS


def write_tfds(folder, feature):
    """Writes a prepared data set without TensorFlow: 3 videos of 3, 5 and 4 frames, in two shards."""
    import cv2
    from array_record.python import array_record_module
    from tensorflow_datasets import proto

    folder.mkdir(parents=True)
    shards = [[(3, 0), (5, 1)], [(4, 0)]]
    for number, shard in enumerate(shards):
        file = folder / f"tiny-train.array_record-{number:05d}-of-00002"
        writer = array_record_module.ArrayRecordWriter(str(file), "group_size:1")
        for length, label in shard:
            example = proto.tf_example_pb2.Example()
            for frame in range(length):
                _, picture = cv2.imencode(".png", np.full((8, 12, 3), 10 * frame + label, np.uint8))
                example.features.feature["clip"].bytes_list.value.append(picture.tobytes())
            example.features.feature["action"].int64_list.value.append(label)
            writer.write(example.SerializeToString())
        writer.close()
    features = {
        "clip": feature,
        "action": {"pythonClassName": "tensorflow_datasets.core.features.class_label_feature.ClassLabel"},
    }
    write(folder / "features.json", json.dumps({"featuresDict": {"features": features}}))
    write(folder / "action.labels.txt", "YoYo\nArchery\n")
    write_splits(folder, "train")


def write_splits(folder, name):
    info = {"name": "tiny", "version": "1.0.0", "splits": [{"name": name, "shardLengths": ["2", "1"]}]}
    write(folder / "dataset_info.json", json.dumps(info))
    return folder


VIDEO = {"pythonClassName": "tensorflow_datasets.core.features.video_feature.Video", "video": {}}
PICTURES = {
    "pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
    "sequence": {"feature": {"image": {}}},
}


@pytest.mark.parametrize("feature", [VIDEO, PICTURES])
def test_tfds_is_read_by_directory_and_by_name(feature, tmp_path):
    write_tfds(tmp_path / "tiny" / "1.0.0", feature)
    for settings in (
        {"path": tmp_path / "tiny" / "1.0.0"},
        {"path": tmp_path / "tiny", "split": "train"},
        {"path": "tiny", "videos": str(tmp_path)},
        {"path": "tiny:1.0.0", "videos": str(tmp_path), "kind": "tfds"},
    ):
        clips = read(**settings)
        assert rows(clips) == [("train/0", ("yo yo",)), ("train/1", ("archery",)), ("train/2", ("yo yo",))]
        assert clips.frame_counts.tolist() == [3, 5, 4] and clips.origin["kind"] == "tfds"
    reader = pickle.loads(pickle.dumps(clips.reader))
    for row, length in enumerate((3, 5, 4)):
        frames = reader.read(clips[row], lambda count: np.array([count - 1, 0]), lambda image: image)
        assert frames.length == length and frames.images[0].shape == (8, 12, 3)
        assert frames.images[0][0, 0, 0] == 10 * (length - 1) + clips[row].labels[0]


def test_tfds_data_sets_that_cannot_be_read_are_told(tmp_path):
    folder = tmp_path / "tiny" / "1.0.0"
    write_tfds(folder, VIDEO)
    assert "split is 'test': expected one of train" in error_of(folder, split="test")
    (tmp_path / "ucf101").mkdir()
    assert "no features.json in it" in error_of("ucf101", videos=str(tmp_path))
    assert "split (--split): expected one of validation" in error_of(write_splits(folder, "validation"))
    write_splits(folder, "train")
    (folder / "tiny-train.array_record-00001-of-00002").unlink()
    assert "TFDS shards missing" in error_of(folder)
    features = json.loads((folder / "features.json").read_text())
    del features["featuresDict"]["features"]["clip"]
    write(folder / "features.json", json.dumps(features))
    assert "without just one feature Video" in error_of(folder) and "action (ClassLabel)" in error_of(folder)


def test_reading_tfds_imports_neither_tensorflow_nor_jax(tmp_path):
    write_tfds(tmp_path / "1.0.0", VIDEO)
    code = f"""
import sys
import numpy as np
from actionclip_jax import config
from actionclip_jax.data import sources
assert "etils" not in sys.modules, "it costs every command 70 ms"
clips = sources.open_source(config.SourceConfig(path={str(tmp_path)!r}))
frames = clips.reader.read(clips[0], lambda length: np.arange(length), lambda image: image)
assert frames.length == 3
print([name for name in ("tensorflow", "jax", "torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
