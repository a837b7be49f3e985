"""`actionclip prepare` and `actionclip inspect`, as typed."""

import json
import shutil

import clip_sets
import numpy as np
import pytest
import videos
from PIL import Image

from actionclip_jax import cli, config
from actionclip_jax.data import sources
from actionclip_jax.evaluation import evaluate, protocols


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def folders(video_directory, tmp_path):
    """A directory of videos by class: 8 of ApplyEyeMakeup, 7 of YoYo and 7 of TaiChi."""
    for clip in clip_sets.make_clips(video_directory):
        folder = tmp_path / "videos" / ("ApplyEyeMakeup", "YoYo", "TaiChi")[clip.labels[0]]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, folder)
    return tmp_path / "videos"


def test_inspect_counts_and_draws(folders, tmp_path, capsys):
    assert (
        run(
            "inspect",
            folders,
            "--sheet",
            tmp_path / "out" / "sheet.png",
            "--json",
            tmp_path / "found.json",
            "--samples",
            3,
        )
        == 0
    )
    printed = capsys.readouterr()
    assert "22 clips of 3 classes" in printed.out and "apply eye makeup: 8" in printed.out
    assert "clips of a class: 7 to 8" in printed.out and "split_names: True" in printed.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["clips_per_class"] == {"apply eye makeup": 8, "tai chi": 7, "yo yo": 7}
    assert np.asarray(Image.open(tmp_path / "out" / "sheet.png")).std() > 10
    assert f"wrote {tmp_path / 'out' / 'sheet.png'}" in printed.err


def test_prepare_then_inspect_gives_the_same_clips(folders, tmp_path, capsys):
    assert run("prepare", folders, tmp_path / "out", "--workers", 1, "--frames", 4) == 0
    assert "22 clips, " in capsys.readouterr().err
    assert run("inspect", tmp_path / "out", "--verify", "--json", tmp_path / "found.json") == 0
    printed = capsys.readouterr()
    assert "every shard is as it was written" in printed.err and "4 to 4 frames a clip, 88 in all" in printed.out
    assert json.loads((tmp_path / "found.json").read_text())["clips_per_class"]["yo yo"] == 7
    assert run("prepare", folders, tmp_path / "out", "--workers", 1, "--frames", 4) == 0
    assert "1 shards were finished before and kept" in capsys.readouterr().err


def test_names_stay_joined_and_classes_few_on_request(folders, tmp_path, capsys):
    assert run("inspect", folders, "--no-split-names", "--shots", 2, "--seed", 3) == 0
    printed = capsys.readouterr().out
    assert "6 clips of 3 classes" in printed and "ApplyEyeMakeup: 2" in printed
    (tmp_path / "base.txt").write_text("YoYo\ntai chi\n")
    assert run("inspect", folders, "--classes", "novel", "--base-classes", tmp_path / "base.txt") == 0
    assert "8 clips of 1 classes" in capsys.readouterr().out


def test_bad_videos_make_the_exit_code_one_and_are_named(folders, tmp_path, capsys):
    (folders / "YoYo" / "empty.mp4").write_bytes(b"")
    (folders / "YoYo" / "notes.mp4").write_text("no video")
    videos.write_audio_only(folders / "TaiChi" / "sound.mp4")
    assert run("prepare", folders, tmp_path / "out", "--workers", 1) == 1
    assert "3 clips could not be used" in capsys.readouterr().err
    videos.write(folders / "YoYo" / "empty.mp4", 3)
    assert run("prepare", folders, tmp_path / "out", "--workers", 1, "--retry-bad") == 1
    printed = capsys.readouterr().err
    assert "2 clips could not be used" in printed and "23 clips" in printed
    (folders / "YoYo" / "empty.mp4").write_bytes(b"")
    run("prepare", folders, tmp_path / "out", "--workers", 1, "--overwrite")
    reasons = [json.loads(line) for line in (tmp_path / "out" / "bad_clips.jsonl").read_text().splitlines()]
    assert {entry["id"] for entry in reasons} == {"YoYo/empty.mp4", "YoYo/notes.mp4", "TaiChi/sound.mp4"}
    assert run("inspect", folders, "--sheet", tmp_path / "sheet.png", "--samples", 25, "--size", 32) == 1
    printed = capsys.readouterr().err
    assert "cannot be decoded: YoYo/empty.mp4: the file is empty" in printed
    assert (tmp_path / "sheet-3.png").exists(), "12 clips a page"


def test_prepare_and_whoever_reads_the_shards_say_which_videos_have_notes(folders, tmp_path, capsys):
    videos.cut(videos.write(folders / "YoYo" / "half.mp4", 90, mux={"movflags": "faststart"}))
    assert run("prepare", folders, tmp_path / "out", "--workers", 1) == 0
    expected = "1 of 23 videos have notes: YoYo/half.mp4: truncated: "
    assert expected in " ".join(capsys.readouterr().err.split())
    assert run("inspect", tmp_path / "out") == 0
    assert expected in " ".join(capsys.readouterr().out.split())
    clips = sources.open_source(config.SourceConfig(path=str(tmp_path / "out")))
    settings = config.EvaluationConfig(out=tmp_path / "report")
    noted = evaluate.read_notes([protocols.Trial("all", clips)], settings)
    assert list(noted) == ["YoYo/half.mp4"], "so that the report counts it"


def test_damage_makes_the_exit_code_one(folders, tmp_path, capsys):
    run("prepare", folders, tmp_path / "out", "--workers", 1)
    shard = tmp_path / "out" / "shards" / "00000.array_record"
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    assert run("inspect", tmp_path / "out", "--verify") == 1
    printed = capsys.readouterr().err
    assert "is damaged: its SHA-256 is not" in printed and "run the same `actionclip prepare` again" in printed


def test_parts_say_how_many_shards_are_there_and_what_completes_them(folders, tmp_path, capsys):
    (folders / "YoYo" / "empty.mp4").write_bytes(b"")
    prepare = ["prepare", folders, tmp_path / "out", "--workers", 1, "--frames", 2, "--shard-clips", 6]
    assert run(*prepare, "--shard", "1/2") == 0
    assert "2 of 4 shards of" in (said := capsys.readouterr().err) and "--merge" not in said
    assert run(*prepare, "--merge") == 2
    said = capsys.readouterr().err
    assert "00000.json is missing" in said and "00002.json is missing" in said and "00001" not in said
    assert run(*prepare, "--shard", "0/2") == 0, "a clip that cannot be used is no failure of its part"
    said = " ".join(capsys.readouterr().err.split())
    assert "4 of 4 shards" in said and "with --merge in place of --shard 0/2" in said
    assert run(*prepare, "--merge") == 1
    assert "1 clips could not be used" in capsys.readouterr().err
    assert run(*prepare, "--verify") == 0
    assert "every shard is as it was written" in capsys.readouterr().err
    (tmp_path / "out" / "shards" / "00002.array_record").unlink()
    for command in ((*prepare, "--verify"), ("inspect", tmp_path / "out", "--verify")):
        assert run(*command) == 1
        assert "00002.array_record is missing" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["2/2", "0/0", "-1/2", "1", "1/", "a/2", "1/2/3"])
def test_a_part_that_is_none_is_refused(part, folders, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("prepare", folders, tmp_path / "out", f"--shard={part}")
    assert ended.value.code == 2
    assert f"argument --shard: '{part}'" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_part_is_not_merged_or_verified_at_once(folders, tmp_path, capsys):
    for other in (["--merge"], ["--verify"], ["--engine", "beam"]):
        with pytest.raises(SystemExit):
            run("prepare", folders, tmp_path / "out", "--shard", "0/2", *other)
        assert "not allowed with argument --shard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "nowhere"], "nowhere"),
        (["inspect", "{folders}", "--sheet", "sheet.jpg"], "--sheet sheet.jpg: expected a name ending in .png"),
        (["inspect", "{folders}", "--verify"], "--verify goes with a directory made by `actionclip prepare`"),
        (["inspect", "{folders}", "--shots", "50"], "too few clips for 50 shots of every class"),
        (["inspect", "{folders}", "--fold", "2"], "fold is 2: only ucf101, hmdb51 have it"),
        (["prepare", "{folders}", "{out}", "--quality", "200"], "quality is 200: expected 1 to 100"),
        (["prepare", "{folders}", "{folders}"], "lies in SOURCE"),
        (["prepare", "{folders}", "{folders}/shards"], "lies in SOURCE"),
        (["prepare", "{folders}", ""], "OUT is empty: expected a path"),
        (["prepare", "{folders}", "."], "OUT is the current directory"),
        (["prepare", "{folders}", "{folders}/.."], "was not made by `actionclip prepare`"),
        (["prepare", "{folders}", "{out}", "--quality", "200", "--shard", "0/2"], "quality is 200: expected 1 to 100"),
        (["prepare", "{folders}", "{out}", "--shard", "0/2", "--overwrite"], "--overwrite does not go with --shard"),
        (["prepare", "{folders}", "{out}", "--merge", "--overwrite"], "--overwrite does not go with --merge"),
        (["prepare", "{folders}", "{out}", "--merge", "--retry-bad"], "--retry-bad does not go with --merge"),
        (["prepare", "{folders}", "{out}", "--merge"], "dataset.json is missing"),
        (["prepare", "{folders}", "{out}", "--verify"], "dataset.json is missing"),
        (
            ["prepare", "{folders}", "{out}", "--beam.runner=FlinkRunner"],
            "--beam.runner=FlinkRunner goes with --engine",
        ),
        (
            ["prepare", "{folders}", "{out}", "--engine", "beam", "--workers", "2"],
            "--workers goes without --engine beam",
        ),
        (["prepare", "{folders}", "{out}", "--bean.runner=Flink"], "unrecognized arguments: "),
        (["inspect", "{folders}", "--json", "{folders}"], "cannot be written (Is a directory)"),
        (["inspect", "nowhere", "--json", "{out}.json"], "nowhere"),
        (["inspect", "{folders}", "--verify", "--sheet", "{out}.png"], "--verify goes with a directory made by"),
        (
            ["predict", "nowhere", "{folders}", "--labels", "a,b", "--sheet", "{out}.png", "--json", "{out}.json"],
            "nowhere",
        ),
    ],
)
def test_mistakes_are_explained_and_nothing_is_written(arguments, message, folders, tmp_path, capsys):
    filled = [argument.format(folders=folders, out=tmp_path / "out") for argument in arguments]
    before = sorted(tmp_path.rglob("*"))
    assert run(*filled) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
