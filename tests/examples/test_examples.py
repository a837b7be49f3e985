"""The scripts in examples/ do what their first lines say."""

import dataclasses
import importlib.util
import pathlib

import clip_sets
import pytest
import tiny

from actionclip_jax import config
from actionclip_jax.checkpoints import model_directory

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_predict_in_python_prints_a_line_a_video(video_directory, tmp_path, capsys):
    model = tiny.save_model(tmp_path / "model", tiny.model_config())
    (tmp_path / "videos").mkdir()
    for number in (0, 1):
        (tmp_path / "videos" / f"{number}.mp4").write_bytes((video_directory / f"0{number}.mp4").read_bytes())
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    load("predict_in_python").main(model, str(tmp_path / "videos"), "archery, surfing")
    first, second, broken = capsys.readouterr().out.splitlines()
    for line in (first, second):
        assert line.split()[0] in ("0.mp4", "1.mp4") and "archery" in line and "surfing" in line
    assert "broken.mp4" in broken and "not used" in broken


def test_train_on_folders_gives_a_plain_clip_a_temporal_transformer(tmp_path):
    run = load("train_on_folders").configure(tiny.save_model(tmp_path / "model", tiny.model_config()), "data", "run")
    assert config.run_problems(run) == [] and run.model.temporal.head == "Transf"


@pytest.mark.slow
def test_train_on_folders_trains_and_measures(video_directory, tmp_path, one_device, capsys):
    model = tiny.save_model(tmp_path / "model", tiny.model_config("Transf"))
    for clip in clip_sets.make_clips(video_directory, 12):
        part = "test" if int(clip.id) >= 9 else "train"
        place = tmp_path / "data" / part / clip_sets.LABELS[clip.labels[0]] / f"{clip.id}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pathlib.Path(clip.path).read_bytes())
    example = load("train_on_folders")
    run = example.configure(model, str(tmp_path / "data"), str(tmp_path / "run"))
    loader = dataclasses.replace(run.data.loader, batch_size=8, workers=0)
    data, optim = dataclasses.replace(run.data, loader=loader), dataclasses.replace(run.optim, steps=2)
    example.train_and_test(dataclasses.replace(run, data=data, optim=optim))
    assert "3 videos of 3 classes" in capsys.readouterr().out
    assert model_directory.is_model_directory(tmp_path / "run" / "model")
