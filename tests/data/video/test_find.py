"""Finding videos: by name, in directories, by globs; what is passed over is told."""

import json
import os
import pathlib
import unicodedata

import pytest
import tiny
import videos

from actionclip_jax import cli
from actionclip_jax.data import video
from actionclip_jax.data.video import find

NFC = unicodedata.normalize("NFC", "café")
NFD = unicodedata.normalize("NFD", "café")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("find") / "model", tiny.model_config())


def touch(*names):
    for name in names:
        pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(name).touch()


def names(*inputs):
    return [str(item) for item in find.find_videos(inputs)[0]]


def predict(model, *arguments):
    return cli.main(["predict", str(model), *map(str, arguments), "--labels", "a,b", "--templates", "none"])


def test_inputs_may_be_files_directories_and_globs(tmp_path):
    touch("b.mp4", "a.AVI", "deep/er/c.webm", "deep/d.mkv", "deep/notes.txt", "deep/._d.mkv", "odd.bin")
    everything = ["a.AVI", "b.mp4", "deep/d.mkv", "deep/er/c.webm"]
    assert names(".") == everything
    assert names("**/*") == everything
    assert names("*.mp4", "deep") == ["b.mp4", "deep/d.mkv", "deep/er/c.webm"]
    assert names("deep/**/*.webm") == names("d*/e*") == ["deep/er/c.webm"]
    assert names("odd.bin", "b.mp4", ".", str(tmp_path / "b.mp4")) == ["odd.bin", "b.mp4", "a.AVI", *everything[2:]]
    assert names(str(tmp_path / "d*")) == [str(tmp_path / "deep/d.mkv"), str(tmp_path / "deep/er/c.webm")]


def test_linked_directories_are_entered_once_and_hidden_ones_are_not():
    touch("set/a/1.mp4", "set/z/2.mp4", "set/.trash/3.mp4", "beside/4.mp4", "beside/.cache/5.mp4", "beside/6")
    links = {"set/a/loop": "..", "set/a/above": "../..", "set/a/other": "../z", "set/y": "../beside", "set/x": "y"}
    links |= {"set/gone.mp4": "nowhere", "set/gone": "nowhere", "set/gone.txt": "nowhere"}
    for link, target in links.items():
        pathlib.Path(link).symlink_to(target)
    everything = ["set/a/1.mp4", "set/gone", "set/gone.mp4", "set/x/4.mp4", "set/z/2.mp4"]
    for given in ("set", "se*", "./set/"):
        assert names(given) == everything
    assert names("**/*.mp4") == sorted(["beside/4.mp4", *everything[:1], *everything[2:3], *everything[4:]])
    assert names("set/.trash", "beside/.cache/*") == [
        "set/.trash/3.mp4",
        "beside/.cache/5.mp4",
    ]


def test_an_input_without_a_video_is_an_error_in_its_place():
    touch("a.mp4", "notes/x.txt", "z.mp4")
    found, _ = find.find_videos(["a.mp4", "notes", "nowhere.mp4", "*.mov", "a**b", "z.mp4"])
    assert [str(found[0]), str(found[-1])] == ["a.mp4", "z.mp4"]
    errors = {error.path: error.reason for error in found[1:-1]}
    assert errors["notes"] == "a directory without a file that is a video by its suffix"
    assert (errors["nowhere.mp4"], errors["*.mov"]) == ("no such file", "no video matches")
    assert len(errors) == 4 and errors["a**b"]


def test_a_directory_that_cannot_be_listed_is_named_and_the_others_are_searched(monkeypatch):
    touch("open/a.mp4", "open/shut/b.mp4", "shut/c.mp4")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names("shut", "open") == ["shut: Permission denied", "open/shut: Permission denied", "open/a.mp4"]


def test_files_passed_over_by_their_suffix_are_counted_and_named():
    touch("clips/a.mp4", "clips/a.srt", "clips/deep/poster.webp", "b.mkv", "notes.txt")
    found, passed_over = find.find_videos(["clips", "*"])
    assert [path.name for path in found] == ["a.mp4", "b.mkv"]
    assert [path.name for path in passed_over] == ["a.srt", "poster.webp", "notes.txt"]
    told = find.describe_passed_over(passed_over, 2)
    assert told == "3 of 5 files passed over by their suffix: a.srt, poster.webp, notes.txt"


def test_a_file_or_suffix_that_is_named_is_not_passed_over():
    touch("clips/a.mp4", "clips/moving.webp", "clips/b.txt")
    for given in (["clips", "clips/moving.webp"], ["clips", "clips/*.webp"]):
        found, passed_over = find.find_videos(given)
        assert [path.name for path in found] == ["a.mp4", "moving.webp"]
        assert [path.name for path in passed_over] == ["b.txt"]


def test_what_systems_leave_in_folders_is_neither_video_nor_passed_over():
    litter = ("__MACOSX/set/._a.mp4", "__MACOSX/b.mp4", "@eaDir/a.mp4/c.mp4", ".ipynb_checkpoints/d.mp4", "._a.mp4")
    touch("set/a.mp4", *(f"set/{name}" for name in (*litter, ".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r")))
    found, passed_over = find.find_videos(["set", "**/*"])
    assert ([str(path) for path in found], passed_over) == (["set/a.mp4"], [])
    assert names("set/__MACOSX") == ["set/__MACOSX/b.mp4"]  # which was named


def test_a_tilde_is_the_home_directory_only_where_there_is_one(monkeypatch):
    monkeypatch.setenv("HOME", str(pathlib.Path("home").absolute()))
    touch("~backup.mp4", "~root", "home/a.mp4")
    assert names("~backup.mp4", "~root") == ["~backup.mp4", "~root"]
    assert names("*.mp4") == ["~backup.mp4"]
    assert names("~/a.mp4") == [str(pathlib.Path("home/a.mp4").absolute())]
    assert names("~nobody.such.mp4") == ["~nobody.such.mp4: no such file"]


@pytest.mark.parametrize(("asked", "there"), [(NFC, NFD), (NFD, NFC), (NFC, NFC)])
def test_names_are_found_whatever_their_unicode_normal_form(asked, there):
    touch(f"{there}/{there}.mp4")
    for given in (f"{asked}/{asked}.mp4", asked, f"{asked}/*.mp4", f"*/{asked}*"):
        assert names(given) == [f"{there}/{there}.mp4"]


def test_the_file_spelt_as_asked_for_goes_before_one_that_only_reads_the_same():
    touch(f"{NFC}.mp4", f"{NFD}.mp4")
    assert names(f"{NFD}.mp4") == [f"{NFD}.mp4"] and names(f"{NFC}.mp4") == [f"{NFC}.mp4"]


def test_an_empty_input_is_an_error_that_says_which(directory, capsys):
    touch("a.mp4")
    with pytest.raises(ValueError, match="VIDEO 2 is empty"):
        find.find_videos(["a.mp4", ""])
    assert predict(directory, "") == 2 and "VIDEO is empty: expected a path" in capsys.readouterr().err


@pytest.mark.parametrize("timeline", [[], ["--timeline"]])
def test_the_command_predicts_what_is_there_and_names_what_is_not_in_order(timeline, directory, tmp_path, capsys):
    videos.write(tmp_path / "good.mp4", 8)
    touch("set/notes.txt")
    given = ["gone.mp4", "good.mp4", "*.mov", "set", "good.mp4", *timeline, "--json", "out.json"]
    assert predict(directory, *given) == 1
    printed = capsys.readouterr().err
    for line in ("gone.mp4: no such file", "*.mov: no video matches", "3 of 4 videos could not be used"):
        assert line in printed
    assert "1 of 2 files passed over by their suffix: notes.txt" in printed
    results = json.loads(pathlib.Path("out.json").read_text())["results"]
    assert [result["video"] for result in results] == ["gone.mp4", "good.mp4", "*.mov", "set"]
    assert ["error" in result for result in results] == [True, False, True, True]


def test_the_command_fails_where_nothing_at_all_can_be_predicted(directory, tmp_path, capsys):
    assert predict(directory, "gone.mp4", "*.mov") == 2
    assert "no video found for: gone.mp4, *.mov" in capsys.readouterr().err
    (tmp_path / "empty.mp4").touch()
    assert predict(directory, "empty.mp4", "gone.mp4") == 2
    assert "2 of 2 videos could not be used" in capsys.readouterr().err


def test_every_suffix_is_one_that_the_formats_read_here_can_have():
    assert len(set(video.SUFFIXES)) == len(video.SUFFIXES)
    for suffix in (".mpe", ".qt", ".m2v", ".divx", ".f4v", ".mxf", ".3g2", ".y4m"):
        assert find.looks_like_video(pathlib.Path(f"a{suffix.upper()}"))
    for suffix in (".webp", ".avif", ".png", ".jpg", ".txt", ".srt", ".mp3", ""):
        assert not find.looks_like_video(pathlib.Path(f"a{suffix}"))
