"""docs/extending.md works as it stands: its head, data set, templates and loss train, are saved and load again."""

import dataclasses
import json
import pathlib
import shutil
import sys

import numpy as np
import own_code
import pytest
import tiny
import training_runs

import actionclip_jax
from actionclip_jax import cli, config, text
from actionclip_jax.aot import compile, sweep, topologies
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.config import config_file, settings
from actionclip_jax.data import sources
from actionclip_jax.models import flops
from actionclip_jax.training import loop, run_log

HEAD = "my_package.heads:Perceiver"
TINY = {
    "image": config.ImageConfig(size=32, patch=16, width=64, depth=1, heads=1),
    "text": config.TextConfig(width=64, depth=1, heads=1),
    "embed_width": 64,
    "frames": 2,
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The current directory, with the files that the guide shows."""
    own_code.forget()
    own_code.write_guide(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    own_code.forget()


@pytest.fixture
def run(package, sample):
    """The guide's configuration for a tiny model and the sample videos."""
    source = sources.open_source(config.SourceConfig(sample, kind="sample", split="train"))
    lines = [f"{clip.path}\t{source.labels[clip.labels[0]]}" for clip in (source[i] for i in range(len(source)))]
    pathlib.Path("videos.tsv").write_text("\n".join(lines), encoding="utf-8")
    run = config.draft(config_file.load("my_run.py"))
    for name, value in TINY.items():
        setattr(run.model, name, value)
    run.data.sample.frames, run.data.sample.size = 2, 32
    run.data.loader.batch_size, run.data.loader.workers = 16, 0
    run.optim.steps, run.log_every, run.workdir = 2, 1, "outputs"
    return config.from_dict(config.TrainConfig, settings.values(run))


def command(*arguments):
    own_code.forget()
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.usefixtures("one_device")
def test_the_guide_trains_saves_and_loads(run, package, told, capsys):
    outcome = loop.train(run)
    rows = [row for row in run_log.read_rows(package / "outputs" / "metrics.jsonl") if "loss" in row]
    assert len(rows) == 2 and all(np.isfinite(row["loss"]) and 0 <= row["top1/video_to_text"] <= 1 for row in rows)
    described = model_directory.load_config(outcome.model)
    provenance = json.loads((outcome.model / "provenance.json").read_text())["config"]
    assert described.temporal.head == HEAD and provenance["objective"]["templates"] == "my_package.prompts:TEMPLATES"
    video = (package / "videos.tsv").read_text().split("\t")[0]
    asked = ["--labels", "a red square moving left,surfing", "--json", "out.json"]

    assert command("predict", outcome.model, video, *asked) == 2
    assert "code that does not belong to this program, my_package.heads:Perceiver" in capsys.readouterr().err
    assert "my_package" not in sys.modules

    assert command("predict", outcome.model, video, *asked, "--trust-code") == 0
    assert "trained with the templates my_package.prompts:TEMPLATES, and other ones" in capsys.readouterr().err
    named = ["--templates", "my_package.prompts:TEMPLATES"]
    assert command("predict", outcome.model, video, *asked, "--trust-code", *named) == 0
    assert "note:" not in capsys.readouterr().err
    loaded = actionclip_jax.load(outcome.model, trust_code=True)
    again = loaded.predict(video, ["a red square moving left", "surfing"], templates=("{}", "a video of {}"))
    assert again.probabilities.sum() == pytest.approx(1)

    assert command("convert", outcome.model, "back.pt", "--to", "actionclip") == 2
    assert "--trust-code" in capsys.readouterr().err
    assert command("convert", outcome.model, "back.pt", "--to", "actionclip", "--trust-code") == 2
    assert f"it has no names for the temporal head {HEAD}" in capsys.readouterr().err
    assert command("convert", outcome.model, "copy", "--trust-code") == 0

    listed = ["--kind", "my_package.sources:read"]
    for arguments in (["evaluate", outcome.model, "--data", "videos.tsv"], ["finetune", outcome.model, "videos.tsv"]):
        assert command(*arguments, *listed, "--out", "other") == 2
        assert "--trust-code" in capsys.readouterr().err
    data = ["--data", "videos.tsv", *listed, "--templates", "my_package.prompts:TEMPLATES"]
    assert command("evaluate", outcome.model, *data, "--out", "evaluation", "--trust-code") == 0
    report = json.loads(pathlib.Path("evaluation/report.json").read_text())
    assert report["model"]["temporal_head"] == HEAD and report["settings"]["template_texts"][2] == "somebody is {}"

    heads = package / "my_package" / "heads.py"
    heads.write_text(heads.read_text() + "\n# changed\n")
    own_code.forget()
    told.clear()
    actionclip_jax.load(outcome.model, trust_code=True)
    assert any("the file that my_package.heads:Perceiver is in has changed" in line for line in told)
    shutil.rmtree(package / "my_package")
    assert command("predict", outcome.model, video, *asked, "--trust-code") == 2
    assert "there is no module 'my_package'" in capsys.readouterr().err


@pytest.mark.usefixtures("one_device")
def test_weights_to_start_from_need_trust_unless_the_run_names_their_head(run, package):
    model = loop.train(run).model
    change = config.to_dict(run) | {"init_from": str(model), "workdir": "second"}
    loop.train(config.from_dict(config.TrainConfig, change))  # which names the head itself
    change |= {"workdir": "third", "model": change["model"] | {"temporal": config.to_dict(config.TemporalConfig())}}
    own_code.forget()
    with pytest.raises(ValueError, match="Nothing was imported"):
        loop.train(config.from_dict(config.TrainConfig, change))
    loop.train(config.from_dict(config.TrainConfig, change | {"trust_code": True}))


def test_the_guides_data_set_reports_mistakes_and_refuses_what_it_does_not_honour(package):
    pathlib.Path("videos.tsv").write_text("a.mp4 archery\nb.mp4\tsurfing\n")
    with pytest.raises(sources.SourceError) as raised:
        sources.open_source(config.SourceConfig("videos.tsv", kind="my_package.sources:read"))
    assert "lines without a tab: 1" in str(raised.value) and "line 1: a.mp4 archery" in str(raised.value)
    with pytest.raises(sources.SourceError, match=r"split is 'test'.*uses = \('split',\)"):
        sources.open_source(config.SourceConfig("videos.tsv", kind="my_package.sources:read", split="test"))


def test_the_guides_templates_are_those_of_the_file(package):
    assert text.load_templates("my_package.prompts:TEMPLATES") == ("{}", "a video of {}", "somebody is {}")


def test_compile_counts_the_products_of_the_head_and_compiles_again_after_a_change(run, package):
    expect = config.ExpectConfig(clips=100, classes=5, text_tokens=16)
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, expect=expect))
    reports = sweep.ReportCache(package / "reports", 0.4)
    report = reports(compile.Plan(run, topologies.describe("here")))
    depth, width, frames = run.model.temporal.depth, run.model.embed_width, run.model.frames
    head = 2 * frames * width**2 + 2 * 2 * depth * frames * width  # of a clip: keys, and twice all queries
    assert flops.temporal_head(run.model, frames) == head
    plain = dataclasses.replace(run.model, temporal=config.TemporalConfig())
    others = flops.train_clip(plain, run.objective, frames, 1.0, 16)
    assert report["flops"]["model"] == run.data.loader.batch_size * (others + 3 * head)
    heads = package / "my_package" / "heads.py"
    heads.write_text(heads.read_text() + "\n# changed\n")
    reports(compile.Plan(run, topologies.describe("here")))
    assert len(list((package / "reports").iterdir())) == 2


COPIES = """
from flax import nnx
from actionclip_jax.models import temporal

class Mean(nnx.Module):
    def __init__(self, model, compute, *, rngs):
        pass

    def __call__(self, x, key=None):
        return x.mean(axis=1)

class Copy(temporal.Transf):
    pass
"""


@pytest.mark.parametrize(("theirs", "own"), [("meanP", "Mean"), ("Transf", "Copy")])
def test_a_copy_of_a_head_gives_the_same_numbers_bit_for_bit(theirs, own, package):
    own_code.write(package, "my_package/heads.py", COPIES)
    frames = training_runs.make_batch(0, rows=2)["video"]
    models = [tiny.model_config(head) for head in (theirs, f"my_package.heads:{own}")]
    features, losses, products = [], [], []
    for model in models:
        params = tiny.random_params(models[0])
        weights = model_directory.Weights(model, params, text.default_tokenizer(), {}, {})
        features.append(actionclip_jax.Predictor(weights, config.ComputeConfig()).encode_video(frames))
        _, history = training_runs.run(training_runs.make_spec(model=model), 2, params=params)
        losses.append([step["loss"] for step in history])
        products.append(flops.encode_video(model, 4))
    np.testing.assert_array_equal(*features)
    np.testing.assert_array_equal(*losses)
    assert products[0] == pytest.approx(products[1], rel=1e-5)  # which counts the sums of norms as well
