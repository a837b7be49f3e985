"""`actionclip predict --timeline`: segments that hold, annotated copies, and videos that are still being written."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tiny
import videos

from actionclip_jax import cli
from actionclip_jax.data import video
from actionclip_jax.plots import captions

ASKED = ["--labels", "archery,playing the violin,surfing", "--templates", "none", "--timeline", "--window", "1"]
LOW = ["--threshold", "0.34"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("timelines") / "model", tiny.model_config("Transf"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Four seconds."""
    return videos.write(tmp_path_factory.mktemp("timelines") / "clip.ts", frames=100)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def read(path):
    return video.read_frames(path, np.arange, lambda image: image)


def test_several_videos_are_annotated_under_numbers(model, clip, tmp_path, capsys):
    other = videos.write(tmp_path / "other.mp4", frames=60, rotation=90)
    (tmp_path / "empty.mp4").touch()
    out = tmp_path / "out.mp4"
    assert run("predict", model, clip, tmp_path / "empty.mp4", other, *ASKED, *LOW, "--annotate", out) == 1
    said = capsys.readouterr().err
    assert f"wrote {out} ({clip})" in said and f"wrote {tmp_path / 'out-2.mp4'} ({other})" in said
    for source, copy in ((clip, out), (other, tmp_path / "out-2.mp4")):
        theirs, ours = read(source), read(copy)
        np.testing.assert_allclose(ours.timestamps, theirs.timestamps, atol=1e-3)
        assert [videos.read_number(image) for image in ours.images] == list(range(len(theirs.images)))
        above, below = (
            np.mean(
                [np.abs(a[rows].astype(int) - b[rows]).mean() for a, b in zip(ours.images, theirs.images, strict=True)]
            )
            for rows in (slice(0, 40), slice(40, 64))
        )
        assert below > 3 * above  # the strip is 24 rows high


def test_a_copy_that_cannot_be_written_is_told_and_the_rest_is_kept(model, clip, tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(captions, "draw_strip", fail)
    out = ["--annotate", tmp_path / "out.mp4", "--json", tmp_path / "out.json"]
    assert run("predict", model, clip, *ASKED, *out) == 1
    assert "not annotated:" in capsys.readouterr().err and not (tmp_path / "out.mp4").exists()
    assert json.loads((tmp_path / "out.json").read_text())["results"][0]["windows"]


def test_smoothing_stands_in_the_json_and_leaves_the_probabilities(model, clip, tmp_path):
    contents = []
    for name, options in (("plain", []), ("smooth", ["--smooth", "1", "--min-length", "0.5"])):
        assert run("predict", model, clip, *ASKED, *LOW, *options, "--json", tmp_path / name) == 0
        contents.append(json.loads((tmp_path / name).read_text()))
    plain, smooth = contents
    assert (plain["smooth"], plain["min_length"]) == (0, 0) and (smooth["smooth"], smooth["min_length"]) == (1, 0.5)
    assert plain["results"][0]["probabilities"] == smooth["results"][0]["probabilities"]
    assert all(part["end"] - part["start"] >= 0.5 for part in smooth["results"][0]["segments"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--timeline", "--smooth", "0.4"], "smooth 0.4 s changes nothing: windows are 2.5 s apart"),
        (["--timeline", "--smooth", "-1"], "'-1' is not a number above 0"),
        (["--smooth", "1", "--min-length", "1"], "--smooth, --min-length: only with --timeline"),
        (["--annotate", "a.mp4"], "--annotate: only with --timeline"),
        (["--follow"], "--follow: only with --timeline"),
        (["--timeline", "--annotate", "a.avi"], "--annotate a.avi: expected a name ending in .mp4, .mov, .mkv"),
        (["--timeline", "--idle", "3", "--json-lines", "-"], "--idle, --json-lines: only with --follow"),
        (["--timeline", "--follow", "--json", "-", "--json-lines", "-"], "cannot both write to standard output"),
    ],
)
def test_options_that_make_no_sense_are_explained(options, message, model, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("predict", model, clip, "--labels", "a,b", *options) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_one_video_is_followed(model, clip, capsys):
    assert run("predict", model, clip, "other.ts", "--labels", "a,b", "--timeline", "--follow") == 2
    assert "--follow: follows one video, and 2 were given" in capsys.readouterr().err


def test_following_ends_with_what_the_finished_file_gives(model, clip, tmp_path, capsys):
    outs = {name: tmp_path / f"{name}.json" for name in ("whole", "live")}
    assert run("predict", model, clip, *ASKED, *LOW, "--json", outs["whole"]) == 0
    whole = capsys.readouterr().out.splitlines()
    live = ["--follow", "--idle", "0.3", "--json-lines", tmp_path / "lines", "--annotate", tmp_path / "out.mp4"]
    assert run("predict", model, clip, *ASKED, *LOW, "--json", outs["live"], *live) == 0
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()] == [line.split() for line in whole]
    assert "ended at 0:04.0 with 13 windows" in printed.err and (tmp_path / "out.mp4").exists()
    ours, theirs = (json.loads(outs[name].read_text())["results"][0] for name in ("live", "whole"))
    assert (
        ours["dropped"] == 0
        and ours["windows"] == theirs["windows"]
        and len(ours["segments"]) == len(theirs["segments"])
    )
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert [line["window"] for line in lines if "window" in line] == ours["windows"]
    assert [line["segment"] for line in lines if "segment" in line] == ours["segments"]
    assert lines[-1] == {"end": 4.0, "dropped": 0, "note": None}


def test_lines_of_a_pipe_go_to_standard_output(model, clip, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert run("predict", model, pipe, *ASKED, "--follow", "--annotate", tmp_path / "out.mp4") == 2
    assert "--annotate reads the video again, which a pipe cannot be" in capsys.readouterr().err
    thread = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    thread.start()
    assert run("predict", model, pipe, *ASKED, "--follow", "--max-lag", "60", "--json-lines", "-") == 0
    thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len([line for line in lines if "window" in line]) == 13 and lines[-1]["end"] == 4


def test_what_cannot_be_followed_fails_with_what_to_use(model, tmp_path, capsys):
    path = videos.write(tmp_path / "whole.mp4", frames=30)
    assert run("predict", model, path, *ASKED, "--follow") == 2
    assert "record MPEG-TS (.ts)" in capsys.readouterr().err


def test_ctrl_c_ends_it_with_what_came_so_far(model, clip, tmp_path):
    command = "import sys; from actionclip_jax import cli; sys.exit(cli.main())"
    out = tmp_path / "out.json"
    given = [model, str(clip), *ASKED, "--follow", "--idle", "600", "--json", str(out), "--json-lines", "-"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(
        [sys.executable, "-c", command, "predict", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert '"window"' in process.stdout.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "stopped at 0:04.0" in said and len(json.loads(out.read_text())["results"][0]["windows"]) == 13
