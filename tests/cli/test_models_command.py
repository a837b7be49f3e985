"""Models by name: what is listed, and the one that is made here."""

import dataclasses
import json
import multiprocessing
import os
import pathlib
import re
import signal
import time

import clip_sets
import pytest
import tiny
from signals import signal_after_the_first_step

import actionclip_jax
from actionclip_jax import checkpoints, cli, config
from actionclip_jax.checkpoints import errors, released, sample
from actionclip_jax.experiments import sample_model

LETTERS = re.compile("[0-9a-f]*")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def quick(monkeypatch):
    """Training is replaced by random weights of a tiny model."""
    calls = []

    def train(workdir):
        calls.append(workdir)
        tiny.save_model(workdir / "model", tiny.model_config("Transf"))
        return 0.97

    monkeypatch.setattr(sample_model, "train", train)
    return calls


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_every_model_is_listed_with_all_that_is_known_and_no_more(capsys):
    assert run("models") == 0
    printed = capsys.readouterr().out
    for model in released.MODELS:
        assert all(known in printed for known in (model.name, model.size, model.licence, model.score, model.sha256))
    assert printed.count("not published") == sum(not m.sha256 for m in released.MODELS[1:]) + sum(
        not m.score for m in released.MODELS
    )
    assert run("models", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(released.BY_NAME) and listed[1]["score"] is None


def test_the_list_is_sound():
    assert len(released.BY_NAME) == len(released.MODELS)
    for model in released.MODELS[1:]:
        assert model.size in config.SIZES and (model.where.startswith("https://") or model.hub)
        assert LETTERS.fullmatch(model.sha256) and len(model.sha256) in (0, 8, 64)
        assert model.hub or model.frames


def test_one_model_is_described_and_a_mistyped_one_suggested(capsys):
    assert run("models", "actionclip-vit-b-16-8f") == 0
    assert "actionclip convert FILE models/actionclip-vit-b-16-8f --frames 8" in capsys.readouterr().out
    assert run("models", "clip-vit-b-61") == 2
    assert "did you mean clip-vit-b-16" in capsys.readouterr().err
    assert run("models", "clip-vit-b-16", "--make") == 2
    assert "actionclip models sample --make" in capsys.readouterr().err


def test_the_first_command_of_a_stranger_predicts_example_videos_and_says_what_to_change(quick, capsys):
    assert run("predict", "sample") == 0
    said = capsys.readouterr()
    assert said.out.count("unseen/") == 6 and "a red square moving" in said.out and len(quick) == 1
    assert "takes two to four minutes" in said.err and "97.0% right on unseen classes" in said.err
    assert said.err.rstrip().splitlines()[-2].startswith("  actionclip predict clip-vit-b-16 VIDEO --labels")
    assert run("predict", "sample", "--labels", "a dog, a cat", "--json", "out.json") == 0
    assert json.loads(pathlib.Path("out.json").read_text())["labels"] == ["a dog", "a cat"] and len(quick) == 1


def test_videos_and_labels_are_asked_for_where_there_are_no_examples(quick, capsys):
    for arguments, message in (
        (["predict", "clip-vit-b-16"], "VIDEO is missing"),
        (["predict", "sample", "clip.mp4"], "--labels-file FILE is missing"),
        (["predict", "model", "clip.mp4"], "--labels-file FILE is missing"),
    ):
        assert run(*arguments) == 2
        assert message in capsys.readouterr().err and not quick


def test_the_sample_model_is_made_wherever_a_model_is_taken(quick, tmp_path, monkeypatch):
    assert repr(actionclip_jax.load("sample")).startswith("Predictor(ViT 128x2/8@32")
    assert run("convert", "sample", "copy") == 0 and (tmp_path / "copy" / "config.json").is_file()
    assert len(quick) == 1
    asked = []
    monkeypatch.setattr(sample_model, "make", lambda: asked.append("made"))
    run("evaluate", "sample", "--data", "nowhere")
    run("train", "--config", "videos_from_scratch", "--init-from", "sample", "--dry-run")
    run("train", "--config", "videos_from_scratch", "--config.init_from=sample", "--dry-run")
    assert asked == ["made"] * 3


def test_what_lies_here_under_that_name_is_taken(quick, tmp_path):
    tiny.save_model(tmp_path / "sample", tiny.model_config())
    assert "meanP" in repr(actionclip_jax.load("sample")) and not quick


def test_the_sample_model_is_made_again_where_the_recipe_changed(quick, monkeypatch):
    first = sample_model.make()
    assert sample_model.make() == first and len(quick) == 1
    monkeypatch.setattr(config, "SampleSetConfig", lambda: clip_sets.SAMPLE)
    assert sample_model.make() != first and len(quick) == 2


def test_the_sample_model_says_how_to_make_it_where_nothing_does():
    with pytest.raises(errors.CheckpointError, match="`actionclip models sample --make` makes it"):
        checkpoints.read_any("sample")


def make_slowly(cache, queue):
    os.environ["XDG_CACHE_HOME"] = cache

    def train(workdir):
        queue.put("began")
        time.sleep(1)
        tiny.save_model(workdir / "model", tiny.model_config("Transf"))
        return 1.0

    sample_model.train = train
    sample_model.make()
    queue.put("made" if sample.is_made() else "missing")


def test_two_processes_make_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    started = [context.Process(target=make_slowly, args=(str(tmp_path / "cache"), queue)) for _ in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert sorted(queue.get(timeout=1) for _ in range(3)) == ["began", "made", "made"]


@pytest.mark.slow
def test_a_making_that_was_stopped_goes_on(monkeypatch, one_device, tmp_path):
    """The real training, of a few steps; stopped after the first."""
    small = dataclasses.replace(clip_sets.SAMPLE, train_clips=1)
    monkeypatch.setattr(config, "SampleSetConfig", lambda: small)
    short = tmp_path / "short.py"
    short.write_text(SHORT)
    monkeypatch.setattr(sample, "recipe", lambda: str(short))
    with signal_after_the_first_step(signal.SIGINT), pytest.raises(KeyboardInterrupt):
        actionclip_jax.load("sample")
    assert (sample.directory() / "run" / "pretrain").is_dir() and not sample.is_made()
    model = actionclip_jax.load("sample")
    assert sample.is_made() and not (sample.directory() / "run").exists()
    assert len(model.predict(sample_model.example_videos(), sample_model.class_names()).predicted) == 6


SHORT = f"""
import runpy

def get_config():
    run = runpy.run_path({str(pathlib.Path(__file__).parents[2] / "configs" / "sample.py")!r})["get_config"]()
    run.pretrain.epochs, run.pretrain.warmup_epochs, run.pretrain.batch_size = 1.0, 0.0, 24
    run.optim.steps = 2
    run.log_every = 1
    run.data.loader.batch_size = 24
    return run
"""
