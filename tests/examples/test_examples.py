"""The scripts in examples/ do what their first lines say."""

import importlib.util
import pathlib

import clip_sets
import pytest
import tiny

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


@pytest.mark.slow
def test_train_on_folders_trains_and_measures(video_directory, tmp_path, one_device, capsys):
    model = tiny.save_model(tmp_path / "model", tiny.model_config("Transf"))
    for clip in clip_sets.make_clips(video_directory, 12):
        place = tmp_path / "data" / clip_sets.LABELS[clip.labels[0]] / f"{clip.id}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pathlib.Path(clip.path).read_bytes())
    quick = {"epochs": 1.0, "batch_size": 4, "workers": 0}
    load("train_on_folders").main(model, str(tmp_path / "data"), str(tmp_path / "run"), **quick)
    before, after = capsys.readouterr().out.splitlines()
    assert before.startswith("before: top-1 accuracy ") and after.endswith("% of 3 videos")
    assert model_directory.is_model_directory(tmp_path / "run" / "model")
