"""Folders of videos as people have them: litter, other files, folders in folders, names that lost something."""

import json
import os
import pathlib
import unicodedata

import numpy as np
import pytest
import videos
from source_files import error_of, read, rows, touch, write

from actionclip_jax import cli
from actionclip_jax.data import readers, sources, video

NFC = unicodedata.normalize("NFC", "Čaj café")
NFD = unicodedata.normalize("NFD", "Čaj café")


def names_of(clips):
    return {clip.id: clips.labels[clip.labels and clip.labels[0]] for clip in map(clips.__getitem__, range(len(clips)))}


def test_every_playable_file_of_a_class_folder_is_a_clip_and_the_others_are_counted_and_named(tmp_path):
    playable = ("a.mpe", "b.qt", "c.DIVX", "d.m2v", "e.f4v", "f.mxf", "g.3g2", "h.h264")
    touch(tmp_path / "run", *playable, "poster.webp", "notes.txt")
    touch(tmp_path / "jump", "i.mp4", "i.srt")
    clips = read(tmp_path)
    assert len(clips) == 9
    told = clips.origin["passed_over"]
    assert (told["count"], told["of"], set(told["first"])) == (3, 12, {"i.srt", "notes.txt", "poster.webp"})
    assert "nested_classes" not in clips.origin
    assert "passed_over" not in read(touch(tmp_path / "clean", "x/a.mp4")).origin


def test_litter_is_no_class_and_refuses_no_set(tmp_path):
    touch(tmp_path, "run/a.mp4", "run/Thumbs.db", "run/.DS_Store", "run/._a.mp4", "run/@eaDir/a.mp4/x.mp4")
    touch(tmp_path, "__MACOSX/run/._a.mp4", "@eaDir/b.mp4", ".ipynb_checkpoints/c.mp4", "desktop.ini", "._d.mp4")
    clips = read(tmp_path)
    assert clips.labels == ("run",) and len(clips) == 1 and "passed_over" not in clips.origin


def test_a_class_folder_without_a_video_says_what_it_holds_instead(tmp_path):
    touch(tmp_path, "run/a.mp4", "jump/b.bin", "jump/c.bin")
    with pytest.raises(sources.SourceError, match=r"jump \(2 of 2 files passed over by their suffix: b.bin, c.bin\)"):
        read(tmp_path)


@pytest.fixture
def nested(tmp_path):
    return touch(tmp_path, "k400/archery/a.mp4", "k400/surfing/b.mp4", "ucf/archery/c.mp4", "ucf/diving/d.mp4")


def test_folders_that_become_one_class_are_told(nested):
    clips = read(touch(nested, "plain/e.mp4"))
    assert clips.labels == ("k400", "plain", "ucf")
    told = clips.origin["nested_classes"]
    assert (told["count"], told["first"]) == (2, ["k400: archery, surfing", "ucf: archery, diving"])
    assert "depth (--depth) 2" in told["advice"]


def test_depth_says_how_far_down_the_class_folders_lie(nested):
    clips = read(nested, depth=2)
    assert clips.labels == ("archery", "diving", "surfing") and "nested_classes" not in clips.origin
    assert names_of(clips) == {
        "k400/archery/a.mp4": "archery",
        "k400/surfing/b.mp4": "surfing",
        "ucf/archery/c.mp4": "archery",
        "ucf/diving/d.mp4": "diving",
    }
    assert read(nested, depth=1).labels == read(nested).labels == ("k400", "ucf")
    split = touch(nested.parent / "split", "train/k400/archery/a.mp4", "test/k400/surfing/b.mp4")
    assert read(split, split="train", depth=2).labels == ("archery",)


def test_a_depth_that_does_not_fit_is_explained(nested):
    with pytest.raises(sources.SourceError, match=r"directories without a class folder: 1\n.*--depth: 3"):
        read(nested, depth=3, kind="folders")
    touch(nested, "k400/stray.mp4")
    with pytest.raises(sources.SourceError, match=r"beside the class folders: 1\n.*stray.mp4"):
        read(nested, depth=2)
    with pytest.raises(sources.SourceError, match="depth is -1: expected 0 to"):
        read(nested, depth=-1)


def test_depth_0_takes_the_folder_that_a_video_lies_in(nested):
    clips = read(touch(nested, "plain/e.mp4", "k400/archery/more/f.mp4"), depth=0)
    assert names_of(clips)["plain/e.mp4"] == "plain" and names_of(clips)["k400/archery/more/f.mp4"] == "more"
    assert clips.labels == ("archery", "diving", "more", "plain", "surfing") and "nested_classes" not in clips.origin


def test_inspect_takes_a_depth_and_tells_of_nested_folders(nested, capsys):
    assert cli.main(["inspect", str(nested)]) == 0
    printed = capsys.readouterr().out
    assert "k400: archery, surfing" in printed and "--depth" in printed
    assert cli.main(["inspect", str(nested), "--depth", "2"]) == 0
    printed = capsys.readouterr().out
    assert "4 clips of 3 classes" in printed and "nested" not in printed


@pytest.mark.parametrize(("listed", "there"), [(NFC, NFD), (NFD, NFC)])
def test_files_of_a_list_are_found_whatever_their_unicode_normal_form(listed, there, tmp_path):
    touch(tmp_path, f"{there}/{there}.mp4", "plain/a.mp4")
    (tmp_path / "list.csv").write_text(f"path,label\n{listed}/{listed}.mp4,tea\n{listed}/{listed},tea\nplain/a,run\n")
    clips = read(tmp_path / "list.csv")
    assert clips.origin["repeated"] == 1  # both spellings lead to one file
    assert clips.paths[0] == str(tmp_path / there / f"{there}.mp4") and pathlib.Path(clips.paths[0]).exists()
    assert clips.origin["repaired"] == 0


def test_class_folders_beside_the_list_of_classes_are_folders(tmp_path):
    touch(tmp_path, "YoYo/a.avi", "Archery/b.avi")
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 YoYo\n")
    clips = read(tmp_path)
    assert (clips.origin["kind"], clips.labels) == ("folders", ("archery", "yo yo"))


def test_a_home_directory_that_is_none_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "~backup", "run/a.mp4")
    assert len(read("~backup")) == 1


@pytest.mark.parametrize("dashes", ["-", "--", "---"])
def test_leading_dashes_that_a_list_lost_are_put_back_and_counted(dashes, tmp_path):
    touch(tmp_path, f"{dashes}abc.mp4", "def.mp4")
    (tmp_path / "list.csv").write_text("path,label\nabc.mp4,run\ndef.mp4,jump\n")
    clips = read(tmp_path / "list.csv")
    assert clips.paths[0] == str(tmp_path / f"{dashes}abc.mp4")
    assert (clips.origin["repaired"], clips.origin["first_repaired"]) == (1, ["abc.mp4"])


def test_a_name_that_lost_dashes_is_repaired_only_where_one_file_can_be_meant(tmp_path):
    touch(tmp_path, "-abc.mp4", "--abc.mp4", "--def.mp4")
    (tmp_path / "list.csv").write_text("path,label\nabc.mp4,run\n-def.mp4,jump\n-abc.mp4,jump\n")
    with pytest.raises(sources.SourceError, match=r"files missing below .*: 1\n    line 2: abc.mp4"):
        read(tmp_path / "list.csv")
    clips = read(tmp_path / "list.csv", skip_missing=True)
    assert [pathlib.Path(path).name for path in clips.paths] == ["--def.mp4", "-abc.mp4"]


def test_a_clip_is_cut_by_the_clock_of_its_file(tmp_path):
    videos.write(tmp_path / "late.mkv", 10, pts=[1500 + 40 * number for number in range(10)], audio=True)
    (tmp_path / "list.csv").write_text("path,label,start,end\nlate.mkv,run,1.6,1.7\nlate.mkv,run,0,1\n")
    clips = read(tmp_path / "list.csv")
    assert clips.reader.read(clips[0], np.arange, videos.read_number).images in ([3, 4], [2, 3, 4])
    with pytest.raises(video.VideoError, match="has no frame from 0 s to 1 s"):
        clips.reader.read(clips[1], np.arange, videos.read_number)


def test_prepare_takes_directories_whose_name_begins_with_a_tilde(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("~videos/run").mkdir(parents=True)
    videos.write(tmp_path / "~videos/run/a.mp4", 5)
    assert cli.main(["prepare", "~videos", "~shards", "--workers", "1"]) == 0
    assert (tmp_path / "~shards/dataset.json").exists()


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
