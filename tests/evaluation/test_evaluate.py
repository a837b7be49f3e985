"""Protocols and reports: every clip counted, stopped and gone on with, the same on any number of devices."""

import csv
import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import tiny
import videos
from local_data import ANNOTATIONS, needs_annotations

import actionclip_jax
from actionclip_jax import cli, config, progress, sharding
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.data import readers, sources, subsets, table, test_views
from actionclip_jax.data.shapes import sample_set
from actionclip_jax.evaluation import (
    clip_encoder,
    evaluate,
    features,
    metrics,
    pictures,
    protocols,
    published,
    report,
    report_markdown,
    scoring,
)
from actionclip_jax.experiments import interpolation
from actionclip_jax.inference import class_scores

CLASSES = 48  # of the sample's test split, with a clip each


def save_model(directory, seed=0, **changes):
    return tiny.save_model(directory, dataclasses.replace(tiny.model_config(**changes), frames=2), seed)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A random model in a directory."""
    return save_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def source(sample):
    return config.SourceConfig(path=sample, kind="sample", split="test")


def make_settings(out, **changes):
    loader = config.LoaderConfig(batch_size=16, workers=0)
    return config.EvaluationConfig(**{"out": out, "templates": "none", "loader": loader, **changes})


def without_times(content):
    return {name: value for name, value in content.items() if name not in ("seconds", "date")}


def in_files(clips, labels, multi_label=False):
    """A table of clips (id, labels) that lie nowhere."""
    rows = [table.Clip(name, f"{name}.mp4", ids) for name, ids in clips]
    return table.make_table(rows, labels, readers.VideoFiles(), multi_label=multi_label, origin={"kind": "folders"})


# the trials


@needs_annotations
@pytest.mark.parametrize(
    ("name", "clips", "classes"), [("ucf101", (3783, 3734, 3696), 101), ("hmdb51", (1530, 1530, 1530), 51)]
)
def test_official_splits(name, clips, classes):
    trials = protocols.plan("splits", config.SourceConfig(path=str(ANNOTATIONS / name)), check_files=False)
    assert tuple(len(trial.clips) for trial in trials) == clips
    assert all(len(trial.clips.labels) == classes for trial in trials)
    united = subsets.unite([trial.clips for trial in trials])
    assert sorted(united.ids) == sorted({clip for trial in trials for clip in trial.clips.ids.tolist()})


@needs_annotations
def test_official_halves_and_classes_seen_in_kinetics():
    source = config.SourceConfig(path=str(ANNOTATIONS / "ucf101"), split="test")
    halves = protocols.plan("half", source, check_files=False)
    assert [len(trial.clips.labels) for trial in halves] == [50] * 10
    whole = protocols.plan("full", source, check_files=False)[0]
    names = np.array(whole.clips.labels)
    assert set(halves[3].clips.labels) == set(names[np.random.RandomState(3).permutation(101)[:50]])
    unseen = protocols.without_classes(whole, ANNOTATIONS / "kinetics" / "kinetics_400_labels.csv")
    assert len(unseen.clips.labels) == 101 - 19


@needs_annotations
def test_draws_of_new_kinetics_600_classes(tmp_path):
    names = (ANNOTATIONS / "kinetics" / "label_map_k600.txt").read_text().splitlines()
    rows = "".join(f'"{name}",{index:011d},0,10,validate\n' for index, name in enumerate(names))
    (tmp_path / "validate.csv").write_text(f"label,youtube_id,time_start,time_end,split\n{rows}")
    draws = [ANNOTATIONS / "kinetics" / f"k160_labels_split{number}.csv" for number in (1, 2, 3)]
    source = config.SourceConfig(path=str(tmp_path / "validate.csv"), kind="kinetics")
    trials = protocols.plan("k600", source, draws, check_files=False)
    assert [(len(trial.clips), len(trial.clips.labels)) for trial in trials] == [(160, 160)] * 3
    assert all(not set(names[:1]) & set(trial.clips.labels) for trial in trials)  # abseiling is one of the 400


@needs_annotations
def test_charades():
    source = config.SourceConfig(path=str(ANNOTATIONS / "charades"), split="test")
    (trial,) = protocols.plan("multi-label", source, check_files=False)
    assert (len(trial.clips), len(trial.clips.labels)) == (1863, 157)
    with pytest.raises(ValueError, match="several labels, which protocol 'full' is not for"):
        protocols.plan("full", source, check_files=False)


def test_a_protocol_refuses_what_it_is_not_for(source):
    with pytest.raises(ValueError, match="'splits' is for ucf101 and hmdb51"):
        protocols.plan("splits", dataclasses.replace(source, split="test"))
    with pytest.raises(ValueError, match="needs class lists"):
        protocols.plan("k600", source)
    with pytest.raises(ValueError, match="has no class lists"):
        protocols.plan("full", source, [pathlib.Path("some.csv")])
    with pytest.raises(ValueError, match="one label, which protocol 'multi-label' is not for"):
        protocols.plan("multi-label", source)


def test_united_tables_hold_each_clip_once_and_no_labels():
    one, two = in_files([("b", (0,)), ("a", (1,))], "xy"), in_files([("a", (0,)), ("c", (0,))], "z")
    united = subsets.unite([one, two])
    assert united.ids.tolist() == ["b", "a", "c"] and united[1].labels == () and united.paths[2] == "c.mp4"


def test_every_protocol_is_described():
    assert tuple(protocols.ABOUT) == config.PROTOCOLS


def test_published_numbers_stand_beside_the_right_protocols():
    assert published.beside("splits", "ucf101")[0].value == 73.8
    assert published.beside("k600", "whatever")[0].value == 68.1
    assert published.beside("full", published.known_set("kinetics", 400))[0].value == 81.1
    assert published.beside("full", published.known_set("kinetics", 700)) == ()
    assert published.beside("multi-label", "charades")[0].value == 44.3


# a whole evaluation


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model, sample):
    """An undisturbed evaluation of all kinds of scores: settings and report."""
    out = tmp_path_factory.mktemp("whole") / "out"
    seen = out.parent / "seen.txt"
    seen.write_text("a red circle moving up\nsomething that is not there\n")
    settings = make_settings(out, seen=seen, threshold=0.5, save_features=True)
    source = config.SourceConfig(path=sample, kind="sample", split="test")
    return settings, evaluate.evaluate(model, source, settings)


def test_scores_equal_those_of_predicting_each_video(whole, model, source):
    content = whole[1]
    clips = sources.open_source(source)
    predictor = actionclip_jax.load(model)
    results = predictor.predict(clips.paths.tolist(), clips.labels, templates="none")
    right = [clips.labels[clips.label_ids[row, 0]] == one.top(1)[0][0] for row, one in enumerate(results)]
    (trial,) = content["trials"]
    assert (trial["clips"], trial["scored"], trial["classes"]) == (CLASSES, CLASSES, CLASSES)
    assert trial["scores"]["top1"] == pytest.approx(np.mean(right))
    five = [clips.labels[clips.label_ids[row, 0]] in dict(one.top(5)) for row, one in enumerate(results)]
    assert trial["scores"]["top5"] == pytest.approx(np.mean(five))
    assert trial["without_seen_classes"]["classes"] == CLASSES - 1 == trial["without_seen_classes"]["scored"]


def test_the_report_says_what_was_done(whole, source):
    settings, content = whole
    assert content == json.loads((settings.out / "report.json").read_text())
    lines = (settings.out / "report.md").read_text()
    for told in (
        "templates | none (1)",
        "frames, views | 2, 1x1",
        "class names split into words | yes",
        "scores | softmax of 100 x similarity, averaged over views",
        "Without clips",
        "| by chance |  |  |  | 2.08% | 10.42% | 2.08% |",
        "95% confidence intervals",
        "| class | clips | accuracy | most often taken for |",
    ):
        assert told in lines
    for picture in ("classes.png", "confusion.png", "coverage.png", "worst.png"):
        assert (settings.out / picture).read_bytes().startswith(b"\x89PNG") and picture in lines
    assert content["model"]["weights_sha256"] and content["data"]["label_texts_sha256"]


def test_the_report_counts_and_scores_every_class_with_its_interval(whole):
    settings, content = whole
    (trial,) = content["trials"]
    assert list(trial["intervals"]) == list(trial["scores"]) and trial["chance"] == 1 / CLASSES
    assert all(low <= trial["scores"][name] <= high for name, (low, high) in filter(all, trial["intervals"].items()))
    rows = list(csv.DictReader((settings.out / "classes.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == list(trial["per_class"])
    for row in rows:
        name = row["class"]
        assert (int(row["clips"]), float(row["score"])) == (1, trial["per_class"][name])
        assert [float(row["low"]), float(row["high"])] == pytest.approx(trial["intervals_per_class"][name], abs=1e-6)
        assert bool(row["taken_for"]) == (trial["per_class"][name] < 1) and row["taken_for"] != name
    table = (settings.out / "report.md").read_text().split("## Classes, all\n\n")[1].splitlines()[2 : 2 + CLASSES]
    shares = [float(line.split(" | ")[2].split("%")[0]) for line in table]
    assert shares == sorted(shares, reverse=True) and len(shares) == CLASSES


def test_a_bar_in_a_label_does_not_break_a_table():
    assert report_markdown.table(["a|b"], [["c"]]) == ["| a\\|b |", "| --- |", "| c |"]


@pytest.fixture
def mistaken(source):
    """The sample's first clips, all taken for one another class, one more surely than the one before; 2 x 3 views."""
    clips = sources.open_source(source)
    rows = np.arange(4)
    probabilities = np.full((4, CLASSES), 0.001, np.float32)
    targets = clips.label_ids[rows, 0]
    probabilities[rows, (targets + 1) % CLASSES] = (0.5, 0.6, 0.7, 0.8)
    probabilities[2] = np.eye(CLASSES)[targets[2]]  # this one is right
    scores = scoring.Scores(clips.labels, 4, 4, {"top1": 0.25}, probabilities, targets, rows)
    return protocols.Trial("all", clips), scores


def test_the_worst_clips_are_the_surest_mistakes_as_the_model_saw_them(mistaken):
    trial, scores = mistaken
    sample = config.SampleConfig(frames=3, size=48, views_time=2, views_space=3)
    rows = pictures.worst_clips(trial, scores, sample)
    assert [row.ranked[0][1] for row in rows] == pytest.approx([0.8, 0.6, 0.5])
    clips = trial.clips
    seen = test_views.read_clips(lambda *how: clips.reader.read(clips[3], *how), sample)
    np.testing.assert_array_equal(rows[0].images, seen.clips[1], err_msg="the middle crop of the first clip")
    name, true = clips[3].id, clips.labels[scores.targets[3]]
    assert rows[0].title.splitlines() == [
        f"{name}; shown is clip 1 of 2, crop 2 of 3, the probabilities are the mean of all",
        f"true: {true} (0.1%)",
        f"predicted: {clips.labels[scores.targets[3] + 1]} (80.0%)",
    ]
    assert rows[0].right == [true]


def test_with_several_labels_a_mistake_is_a_best_label_that_the_clip_has_not(sample, tmp_path):
    videos_of = sample_set.examples(pathlib.Path(sample), "test")[:3]
    rows = [
        table.Clip(f"{place}", str(path), ids)
        for place, (path, ids) in enumerate(zip(videos_of, ((0, 1), (1,), ()), strict=True))
    ]
    clips = table.make_table(rows, ("x", "y", "z"), readers.VideoFiles(), multi_label=True, origin={"kind": "charades"})
    probabilities = np.array([[0.9, 0.2, 0.8], [0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], np.float32)
    targets = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], np.uint8)
    values = {"mean_average_precision": 0.5}
    scores = scoring.Scores(clips.labels, 3, 3, values, probabilities, targets, np.arange(3))
    trial, seen = protocols.Trial("all", clips), config.SampleConfig(frames=2, size=32)
    worst = pictures.worst_clips(trial, scores, seen)
    assert [row.title.splitlines() for row in worst] == [
        ["1", "true: y (20.0%)", "predicted: x (70.0%)"],
        ["2", "true: none of the classes", "predicted: y (60.0%)"],
    ]
    assert pictures.draw_pictures(tmp_path, trial, scores, None, seen) == ["classes.png", "worst.png"]
    described = report.describe(report.Measured("all", scores, None), None)
    assert described["clips_per_class"] == {"x": 1, "y": 2, "z": 0}
    assert described["chance"] == described["by_chance"]["mean_average_precision"] == pytest.approx(0.5)
    lines = report_markdown.class_lines(described)
    assert "| class | clips | average precision | by chance |" in lines and lines[-4].startswith("| z | 0 |  |  |")


def test_saved_features_serve_other_labels_without_the_videos(whole, model, source, tmp_path, monkeypatch):
    settings, content = whole
    monkeypatch.setattr(clip_encoder.ClipEncoder, "__call__", None)  # nothing is encoded
    labels = tmp_path / "labels.json"
    clips = sources.open_source(source)
    labels.write_text(json.dumps({name: name.replace("moving", "going") for name in clips.names}))
    again = make_settings(tmp_path / "again", features=settings.out / "features")
    same = evaluate.evaluate(model, source, again)
    assert same["trials"][0]["scores"]["top1"] == content["trials"][0]["scores"]["top1"]
    other = evaluate.evaluate(model, dataclasses.replace(source, labels=str(labels)), again)
    assert "a red circle going up" in other["trials"][0]["per_class"]
    assert other["data"]["label_texts_sha256"] != same["data"]["label_texts_sha256"]
    halves = evaluate.evaluate(model, source, dataclasses.replace(again, protocol="half"))
    assert halves["summary"]["top1"]["trials"] == 10 and halves["trials"][0]["classes"] == CLASSES // 2


def test_saved_features_of_other_constants_or_another_activation_are_refused(whole, model, tmp_path):
    settings, _ = whole
    for name, changes in (
        ("halves", {"image": dataclasses.replace(tiny.model_config().image, mean=(0.5,) * 3, std=(0.5,) * 3)}),
        ("gelu", {"activation": "gelu"}),
    ):
        weights = model_directory.load(model)
        weights.model = dataclasses.replace(weights.model, **changes)
        model_directory.save(tmp_path / name, weights)
        again = make_settings(tmp_path / "again", features=settings.out / "features")
        other = evaluate.load_model(str(tmp_path / name), again)
        with pytest.raises(ValueError, match=r"features of (other weights|the activation quick_gelu)"):
            evaluate.clip_features(other, [], again)


def test_labels_that_are_the_same_text_are_refused(model, tmp_path):
    tested = evaluate.load_model(model, make_settings(tmp_path))
    with pytest.raises(ValueError, match="'a red circle' and 'A  Red Circle' are the same text"):
        tested.encode_classes(["a red circle", "surfing", "A  Red Circle"], "none")


def test_a_dry_run_refuses_labels_that_are_the_same_text(tmp_path, capsys):
    for place in ("rock & roll/a.mp4", "rock &amp; roll/b.mp4"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).touch()
    assert cli.main(["evaluate", "none", "--data", str(tmp_path), "--dry-run"]) == 2
    assert "'rock & roll' and 'rock &amp; roll' are the same text" in capsys.readouterr().err


def test_saved_features_of_other_weights_or_clips_are_refused(whole, source, tmp_path):
    settings, _ = whole
    other = save_model(tmp_path / "other", seed=1)
    again = make_settings(tmp_path / "again", features=settings.out / "features")
    with pytest.raises(ValueError, match="features of other weights"):
        evaluate.evaluate(other, source, again)
    _, found = features.load(settings.out / "features")
    with pytest.raises(ValueError, match="1 of 2 clips have no saved features, such as 'unknown'"):
        found.of(np.array([found.ids[0], "unknown"], table.TEXT))
    for content in ("", "[]", '{"ids": 3}', "[" * 100_000):
        (tmp_path / "features.json").write_text(content)
        with pytest.raises(ValueError, match="there are no saved features"):
            features.load(tmp_path)
    damaged = shutil.copytree(settings.out / "features", tmp_path / "damaged")
    (damaged / "part-000000.npz").write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match=r"part-000000.npz: damaged .*; encode the clips again"):
        features.load(damaged)
    np.savez(damaged / "part-000000.npz", clip=np.array([10**6]), mask=np.ones(1, bool), features=np.zeros((1, 1, 4)))
    with pytest.raises(ValueError, match="parts that do not belong to its list"):
        features.load(damaged)
    np.savez_compressed(damaged / "part-000000.npz", features=np.zeros(10**7))
    with pytest.raises(ValueError, match=r"part-000000.npz: damaged \(its arrays are larger than the file\)"):
        features.load(damaged)


@pytest.mark.parametrize("change", ["templates", "seen"])
def test_wrong_files_are_found_before_a_clip_is_decoded(change, model, source, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_encoder.ClipEncoder, "__call__", None)
    with pytest.raises((ValueError, OSError), match=r"missing\.txt"):
        evaluate.evaluate(model, source, make_settings(tmp_path / "out", **{change: tmp_path / "missing.txt"}))


class Killed(Exception):
    """As if the process had died."""


def test_a_killed_evaluation_goes_on_where_it_was(whole, model, source, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_encoder, "PART_CLIPS", 16)  # a batch a part
    settings = dataclasses.replace(whole[0], out=tmp_path / "out")

    def kill(task, done, total, line):
        if done == 32:
            raise Killed

    with pytest.raises(Killed), progress.shown_by(kill):
        evaluate.evaluate(model, source, settings)
    with pytest.raises(ValueError, match="holds features of 16 of 48 clips"):
        features.load(settings.out / "features")
    shown = []
    with progress.shown_by(lambda task, done, *_: shown.append(done)):
        content = evaluate.evaluate(model, source, settings)
    assert shown == [16, 32, 48]
    assert without_times(content) == without_times(whole[1])
    # another model neither goes on with these nor removes them
    with pytest.raises(ValueError, match="features of other settings"):
        evaluate.evaluate(save_model(tmp_path / "other", seed=1), source, settings)
    assert len(features.load(settings.out / "features")[1].ids) == CLASSES


def test_a_directory_of_somebody_else_is_not_touched(model, source, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="holds something else"):
        evaluate.evaluate(model, source, make_settings(tmp_path, save_features=True))
    assert (tmp_path / "features" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(("names", "said"), [("nothing known", "names no class"), (None, "names every class")])
def test_a_file_of_seen_classes_that_changes_nothing_or_all_is_refused(names, said, model, source, tmp_path):
    file = tmp_path / "seen.txt"
    file.write_text(names or "\n".join(sources.open_source(source).labels))
    with pytest.raises(ValueError, match=said):
        evaluate.evaluate(model, source, make_settings(tmp_path / "out", seen=file))


def test_one_device_computes_what_eight_do_and_no_clip_is_lost(model, source):
    """48 clips in batches of 40: the last one is filled up."""
    clips, weights = sources.open_source(source), model_directory.load(model)
    loader = config.LoaderConfig(batch_size=40, workers=0)
    found = []
    for devices in (jax.devices(), jax.devices()[:1]):
        mesh = sharding.make_mesh(devices)
        sample = config.SampleConfig(2, 32, 2, 3)
        encoder = clip_encoder.ClipEncoder(clips, weights.model, config.ComputeConfig(), sample, loader, mesh=mesh)
        with jax.set_mesh(mesh):
            found.append(encoder(sharding.replicate(weights.params, mesh), "encoding"))
    assert found[0].decoded.all() and found[0].values.shape == (CLASSES, 6, 64)
    np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-5)


def test_a_model_with_a_bias_is_scored_by_its_own_scale_on_any_devices_as_predict_does(source, tmp_path):
    model = save_model(tmp_path / "model", logit_bias=True)  # which begins with a scale of 10 and a bias of -10
    clips, weights = sources.open_source(source), model_directory.load(model)
    predictor, loader = actionclip_jax.load(model), config.LoaderConfig(batch_size=40, workers=0)
    for kind, said in (("softmax", "softmax of 10 x similarity"), ("sigmoid", "sigmoid of 10 x similarity - 10")):
        results = predictor.predict(
            clips.paths.tolist(), clips.labels, templates="none", absolute=kind == "sigmoid"
        ).predicted
        expected = np.stack([one.probabilities for one in results])
        for devices in (jax.devices(), jax.devices()[:1]):
            mesh, sample = sharding.make_mesh(devices), config.SampleConfig(2, 32)
            how = {"mesh": mesh, "report": None}
            encode = clip_encoder.ClipEncoder(clips, weights.model, config.ComputeConfig(), sample, loader, **how)
            evaluator = scoring.Evaluator(encode, weights.tokenizer, "none", kind=kind)
            with jax.set_mesh(mesh):
                found = evaluator(sharding.replicate(weights.params, mesh))
            np.testing.assert_allclose(found.probabilities, expected, rtol=1e-4)
        out = tmp_path / kind
        content = evaluate.evaluate(model, source, make_settings(out, scores=kind))
        assert content["trials"][0]["scores"]["calibration_error"] == pytest.approx(
            metrics.calibration_error(expected, clips.label_ids[:, 0]), abs=1e-6
        )
        assert (content["settings"]["scale"], content["settings"]["bias"]) == (pytest.approx(10), -10)
        assert f"{said}, averaged over views" in (out / "report.md").read_text()


def test_bad_clips_and_classes_without_clips_are_counted_and_named(model, sample, tmp_path, capsys):
    """A folder a class: two videos, a broken one, and a class that holds nothing but the broken one."""
    good = sample_set.examples(pathlib.Path(sample), "test")[:2]
    for index, name in enumerate(("first class", "second class")):
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / "good.mp4").write_bytes(pathlib.Path(good[index]).read_bytes())
    (tmp_path / "videos" / "third class").mkdir()
    (tmp_path / "videos" / "third class" / "bad.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    command = ["evaluate", model, "--data", str(tmp_path / "videos"), "--out", str(out), "--templates", "none"]
    assert cli.main([*command, "--workers", "0"]) == 1
    (trial,) = json.loads((out / "report.json").read_text())["trials"]
    assert (trial["clips"], trial["scored"], trial["undecodable"], trial["classes_without_clips"]) == (3, 2, 1, 1)
    assert trial["per_class"]["third class"] is None
    (named,) = [json.loads(line) for line in (out / "bad_clips_evaluation.jsonl").read_text().splitlines()]
    assert named["id"] == "third class/bad.mp4"
    assert "2 of 3" in capsys.readouterr().out and not (out / evaluate.UNFINISHED).exists()


@pytest.mark.slow
def test_an_evaluation_says_which_videos_have_notes_also_one_that_goes_on_or_reads_saved_features(
    model, sample, tmp_path, capsys, monkeypatch
):
    for index, path in enumerate(sample_set.examples(pathlib.Path(sample), "test", 12)):
        (tmp_path / "videos" / f"class {index % 2}").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "videos" / f"class {index % 2}" / f"{index}.mp4")
    videos.cut(videos.write(tmp_path / "videos" / "class 0" / "0.mp4", frames=90, mux={"movflags": "faststart"}))
    out = tmp_path / "out"
    command = ["evaluate", model, "--data", str(tmp_path / "videos"), "--templates", "none", "--workers", "0"]
    usual = [*command, "--out", str(out), "--save-features", "--batch-size", "8"]
    monkeypatch.setattr(clip_encoder, "PART_CLIPS", 1)
    add = features.Store.add

    def stop_after_one(store, number, part):
        if number == 1:
            raise ValueError("stopped")
        return add(store, number, part)

    monkeypatch.setattr(features.Store, "add", stop_after_one)
    assert cli.main(usual) == 2
    monkeypatch.setattr(features.Store, "add", add)
    capsys.readouterr()
    for arguments in (usual, [*command, "--out", str(tmp_path / "again"), "--features", str(out / "features")]):
        assert cli.main(arguments) == 0
        told = " ".join(capsys.readouterr().err.split())
        assert "1 of 12 videos have notes: class 0/0.mp4: truncated: " in told and "notes_evaluation.jsonl" in told
        report_file = pathlib.Path(arguments[arguments.index("--out") + 1]) / "report.json"
        assert json.loads(report_file.read_text())["data"]["noted"] == 1
        assert "| clips with notes (truncated, damaged ...) | 1 |" in report_file.with_suffix(".md").read_text()
    (named,) = [json.loads(line) for line in (out / "notes_evaluation.jsonl").read_text().splitlines()]
    assert named["id"] == "class 0/0.mp4" and named["note"].startswith("truncated: ")
    assert not (out / "bad_clips_evaluation.jsonl").exists()


def test_labels_that_become_equal_are_refused(model, sample, tmp_path):
    for name in ("PlayGuitar", "play_guitar"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="classes that become equal once their names are split"):
        evaluate.evaluate(model, config.SourceConfig(path=str(tmp_path)), make_settings(tmp_path / "out"))


def test_several_labels_a_clip_are_scored_by_mean_average_precision():
    clips = in_files([("a", (0, 2)), ("b", (1,)), ("c", (0,))], ("x", "y", "z", "w"), multi_label=True)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 1, 8))
    classes = rng.normal(size=(4, 1, 8)) / 50
    found = features.Features(clips.ids, values.astype(np.float32), np.array([True, True, True]))
    scores = scoring.score(clips, found, classes.astype(np.float32), class_scores.Scaling(), kind="sigmoid")
    np.testing.assert_array_equal(scores.targets, [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
    assert scores.primary == pytest.approx(metrics.nan_mean(scores.by_class()))
    described = report.describe(report.Measured("all", scores, None), None)
    assert described["per_class"]["w"] is None and "top1" not in described["scores"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--data SOURCE is missing"),
        (["--data", "x", "--config", "y"], "--config FILE is for few-shot and base-to-novel"),
        (["--protocol", "few-shot"], "--config FILE is missing"),
        (["--data", "x", "--interpolate", "0:1:0.5"], "go together"),
        (["--data", "x", "--clips-per-class", "2"], "is for few-shot"),
        (["--data", "x", "--frobnicate"], "--frobnicate is not understood"),
        (["--data", "x", "--threshold", "1.5"], "threshold is 1.5: expected 0 to 1"),
        (["--data", "x", "--features", "f", "--save-features"], "nothing to save"),
        (["--data", "x", "--features", "f", "--views", "2x1"], "frames and views of their own"),
        (["--data", "/no/such/place"], "no such file or directory"),
    ],
)
def test_options_that_make_no_sense(options, said, capsys):
    assert cli.main(["evaluate", "model", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_dry_run_counts_without_videos(tmp_path, capsys):
    (tmp_path / "list.csv").write_text("path,label\na.mp4,surfing\nb.mp4,archery\nc.mp4,archery\n")
    assert cli.main(["evaluate", "model", "--data", str(tmp_path / "list.csv"), "--dry-run"]) == 0
    shown = capsys.readouterr().out.split("all")[1]
    assert [word for word in shown.split() if word.isdecimal()] == ["3", "2", "0"]


def test_a_dry_run_refuses_what_the_real_run_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("list.csv").write_text("path,label\na.mp4,surfing\nb.mp4,archery\nc.mp4,archery\n")
    pathlib.Path("a file").write_text("neither known\n")
    for name in "abc":
        pathlib.Path(f"{name}.mp4").touch()
    there = sorted(path.name for path in tmp_path.iterdir())
    for options, said in (
        ("--seen-classes missing.txt", "--seen-classes is 'missing.txt': there is no such file"),
        ("--seen-classes .", "--seen-classes is '.', a directory: expected a file"),
        ("--protocol k600 --class-lists missing.txt", "--class-lists is 'missing.txt': there is no such file"),
        ("--labels missing.txt", "labels (--labels) is 'missing.txt': there is no such file"),
        ("--templates missing.txt", "templates 'missing.txt': expected actionclip or none, or a text file"),
        ("--features missing", "missing: there are no saved features"),
        ("--threshold 2", "threshold is 2.0: expected 0 to 1"),
        ("--features f --views 2x1", "frames and views of their own"),
        ("--batch-size 7", "7 clips cannot be spread over"),
        ("--workers -5", "workers is -5"),
        ("--attention cudnn", "attention cudnn computes in bfloat16 only"),
        ("--out list.csv", "--out is 'list.csv', but"),
        ("--interpolate 0:2:1 --from x", "expected shares from 0 to 1"),
        ("--interpolate 0,1 --from x --seen-classes missing.txt", "--seen-classes is 'missing.txt'"),
        ("--interpolate 0,1 --from x --seen-data missing.csv", "missing.csv: no such file"),
    ):
        for dry in (["--dry-run"], []):
            assert cli.main(["evaluate", "model", "--data", "list.csv", *options.split(), *dry]) == 2
            told = capsys.readouterr().err
            assert said in told and "[Errno" not in told, (options, dry, told)
    assert sorted(path.name for path in tmp_path.iterdir()) == there


# weights between two checkpoints


@pytest.mark.slow
def test_weights_between_two_checkpoints(model, sample, tmp_path, monkeypatch):
    other = save_model(tmp_path / "other", seed=1, head="Transf")  # with a head that the first has not
    out, seen = tmp_path / "out", tmp_path / "seen.txt"
    clips = sources.open_source(config.SourceConfig(path=sample, kind="sample", split="test"))
    seen.write_text("\n".join(clips.labels[:20]))
    command = ["evaluate", other, "--interpolate", "0:1:0.5", "--from", model, "--data", sample, "--split", "test"]
    command += ["--kind", "sample", "--seen-classes", str(seen), "--templates", "none", "--out", str(out)]
    assert cli.main([*command, "--workers", "0"]) == 0
    found = json.loads((out / "interpolation.json").read_text())
    assert list(found["scores"]) == ["0.0", "0.5", "1.0"] and set(found["scores"]["0.5"]) == {"seen", "unseen"}
    assert (out / "interpolation.png").is_file()
    # the end is the model itself
    settings = make_settings(tmp_path / "end")
    rows = subsets.take_classes(clips, np.arange(20))
    content = evaluate.evaluate(other, config.SourceConfig(path=sample, kind="sample", split="test"), settings)
    halves = interpolation.seen_and_unseen(clips, seen)
    assert len(halves["seen"]) == len(rows) == 20 and len(halves["unseen"]) == CLASSES - 20
    assert content["trials"][0]["clips"] == CLASSES
    # done is done
    monkeypatch.setattr(clip_encoder.ClipEncoder, "__call__", None)
    assert cli.main([*command, "--workers", "0"]) == 0


def test_shares():
    assert interpolation.parse_shares("0:1:0.25") == [0, 0.25, 0.5, 0.75, 1]
    assert interpolation.parse_shares("0,1") == [0, 1]
    for wrong in ("0:1", "0:1:0", "-1,0", "0:2:0.5", "0:1:0.3", "0:1:1e-9", "0:inf:1", "half", ""):
        with pytest.raises(ValueError, match=r"expected shares|not of the form"):
            interpolation.parse_shares(wrong)
