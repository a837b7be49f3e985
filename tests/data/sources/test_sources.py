"""Official forms, records and paths of no known kind: a table comes of them, or all that is wrong is told at once."""

import json
import pathlib

import numpy as np
import pytest
from local_data import ANNOTATIONS, TEST_DATA, needs_annotations, needs_test_data
from source_files import error_of, read, rows, touch, write

from actionclip_jax.data import class_names, readers, summary, table
from actionclip_jax.data.records import reader as records_reader
from actionclip_jax.data.sources import classes, problems

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
