"""`actionclip finetune`: what it decides and refuses, and that a stopped run ends like an unbroken one."""

import dataclasses
import json
import re
import shutil
import signal

import clip_sets
import numpy as np
import pytest
import tiny
from local_data import TEST_DATA, needs_test_data
from signals import signal_after_the_first_step
from slow import slow

from actionclip_jax import checkpoints, cli, config
from actionclip_jax.config import config_file
from actionclip_jax.data import sources
from actionclip_jax.experiments.finetuning import look, planning, rule, run

CLASSES = ("Archery", "Surfing", "PlayingPiano")
TRAINED_HERE = {
    "source": "training",
    "config": {"optim": {"lr": 5e-4}},
    "initial": {
        "source": "model",
        "source_source": "training",
        "source_config": {"optim": {"lr": 2e-3}},
        "source_initial": {"source": "random initialisation", "seed": 0},
    },
}
TUNED_HERE = {
    "source": "training",
    "config": {"optim": {"lr": 1e-3}},
    "initial": {"source": "clip", "source_source": "ViT-B-16.pt", "source_format": "openai"},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random model in a directory."""
    return tiny.save_model(tmp_path_factory.mktemp("models") / "model", tiny.model_config("Transf"))


@pytest.fixture(scope="module")
def plain_clip(tmp_path_factory):
    """One without a temporal head."""
    return tiny.save_model(tmp_path_factory.mktemp("models") / "clip", tiny.model_config())


@pytest.fixture
def videos(video_directory, tmp_path):
    """Four videos of each of three classes, in folders."""
    return lay_out(video_directory, tmp_path / "videos", 12)


def lay_out(video_directory, root, count):
    for clip in clip_sets.make_clips(video_directory, count):
        place = root / CLASSES[clip.labels[0]] / f"{clip.id}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, place)
    return root


def finetune(model, source, out, *options):
    quick = ("--epochs", "2", "--batch-size", "4", "--templates", "none")
    return cli.main(["finetune", model, str(source), "--out", str(out), *quick, *map(str, options)])


def request(**changes):
    return dataclasses.replace(config.FinetuneConfig(model="m", data=config.SourceConfig("videos")), **changes)


def params_of(model):
    return {path: np.asarray(value) for path, value in checkpoints.read_any(model).params.items()}


def same(first, second):
    return first.keys() == second.keys() and all((first[path] == second[path]).all() for path in first)


# the rule


@pytest.mark.parametrize(
    ("provenance", "changes", "rate", "why"),
    [
        ({"source": "ViT-B-16.pt", "format": "openai"}, {}, 5e-6, "the published rate for .* of the format openai"),
        (TUNED_HERE, {}, 5e-6, "the published rate for .* of the format openai"),
        ({"source": "test"}, {}, 5e-6, "nothing says how these weights were made"),
        (TRAINED_HERE, {}, 6e-4, "0.3 of 0.002, with which this program first trained the model"),
        (TRAINED_HERE, {"from_scratch": True}, 2e-3, "random weights, and the model's first training had 0.002"),
        (TUNED_HERE, {"from_scratch": True}, 5e-4, "random weights"),
        (TRAINED_HERE, {"batch_size": 8}, 3e-4, "the square root of 8/32"),
        (TRAINED_HERE, {"batch_size": 128}, 6e-4, "0.3 of 0.002"),
        (TUNED_HERE, {"lr": 3e-5}, 3e-5, r"as asked for \(the rule: 5e-06\)"),
    ],
)
def test_the_learning_rate_follows_where_the_weights_come_from(provenance, changes, rate, why):
    pace = rule.choose(request(**changes), provenance, 1000, 1)
    assert pace.optim.lr == pytest.approx(rate) and re.search(why, pace.reasons[1])
    published = provenance is not TRAINED_HERE and "from_scratch" not in changes
    assert pace.optim.multipliers == (config.OptimConfig().multipliers if published else ((".*", 1.0),))
    assert pace.optim.clip_norm == (0.0 if published else 1.0)


@pytest.mark.parametrize(
    ("clips", "epochs", "why"),
    [
        (3, 200, "so many that there are 200 steps"),  # of 3 clips each
        (100, 64, "so many that there are 200 steps"),
        (200, 50, "as published"),
        (10_000, 50, "as published"),
        (20_000, 25, "500,000 clips seen are enough"),
        (240_436, 10, "2,404,360 clips seen are enough"),
    ],
)
def test_the_epochs_follow_the_size_of_the_set(clips, epochs, why):
    pace = rule.choose(request(), {}, clips, 1)
    assert pace.optim.epochs == epochs and why in pace.reasons[2]
    assert pace.optim.warmup_epochs == pytest.approx(epochs / 10)
    assert pace.optim.epochs * clips / pace.batch_size >= 199


@pytest.mark.parametrize(
    ("asked", "clips", "devices", "chosen", "why"),
    [
        (0, 1000, 1, 32, "the rule's number"),
        (0, 20, 1, 20, "instead of 32: the set has 20"),
        (0, 20, 8, 16, "instead of 32: the set has 20"),
        (0, 5, 8, 8, "instead of 32: the set has 5"),
        (0, 1000, 6, 30, "instead of 32: the 6 devices share it"),
        (0, 2, 1, 2, "the set has 2"),
        (64, 20, 1, 20, "instead of 64: the set has 20"),
        (64, 1000, 1, 64, "as asked for"),
        (12, 1000, 8, 12, "as asked for"),  # which is refused later, as 8 devices cannot share it
    ],
)
def test_a_batch_is_no_larger_than_the_set_and_goes_round_the_devices(asked, clips, devices, chosen, why):
    batch_size, said = rule.choose_batch(request(batch_size=asked), clips, devices)
    assert batch_size == chosen and why in said


# the early look


def test_a_class_of_broken_videos_is_refused_by_name(model, videos, tmp_path, one_device, capsys):
    for file in (videos / "Surfing").iterdir():
        file.write_bytes(b"no video")
    assert finetune(model, videos, tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "no clip of these classes can be decoded" in told and "'surfing': 4, such as Surfing/01.mp4" in told
    assert not (tmp_path / "out" / "config.py").exists()


def test_broken_videos_are_left_out_and_named(model, videos, tmp_path, one_device, capsys):
    (videos / "Surfing" / "01.mp4").write_bytes(b"no video")
    assert finetune(model, videos, tmp_path / "out", "--plan") == 0
    told = capsys.readouterr().err
    assert "1 of 12 clips cannot be decoded, and are left out:\n  Surfing/01.mp4" in told
    listed = (tmp_path / "out" / "train.csv").read_text() + (tmp_path / "out" / "held_out.csv").read_text()
    assert "Surfing/01.mp4" not in listed and listed.count(".mp4,Archery") == 4


def test_of_a_large_set_a_clip_of_every_class_is_looked_at(videos, monkeypatch):
    clips, looked_at = sources.open_source(config.SourceConfig(str(videos))), []
    sample = config.SampleConfig(frames=2, size=32)
    decode = look.decode
    monkeypatch.setattr(
        look, "decode", lambda clips, sample, rows: looked_at.append(list(rows)) or decode(clips, sample, rows)
    )
    (videos / "Surfing" / "01.mp4").write_bytes(b"no video")
    broken = look.find_broken(clips, sample, 5)
    first = [rows[0] for rows in look.rows_by_class(clips).values()]
    second = look.rows_by_class(clips)[2][1]
    assert looked_at == [first, [second]] and list(broken) == [look.rows_by_class(clips)[2][0]]


def test_unequal_and_small_classes_are_named():
    clips = clip_sets.make_table([clip_sets.table.Clip(str(row), "x", (row // 50,)) for row in range(105)])
    held = clips.take(np.arange(10))
    lines = list(look.describe(clips, held, config.FinetuneRule()))
    assert "archery                  50        10" in lines
    text = "\n".join(lines)
    assert "the classes are unequal: 50 clips of 'archery', 5 of 'playing piano'" in text
    assert "1 of 3 classes have fewer than 8 clips: 'playing piano'" in text
    assert "2 of 3 classes have no held-out clip: their accuracy is not known: 'surfing', 'playing piano'" in text


# from beginning to end


def test_it_trains_measures_before_and_after_and_says_what_is_next(model, videos, tmp_path, one_device, capsys):
    out = tmp_path / "out"
    assert finetune(model, videos, out, "--plan") == 0
    said = capsys.readouterr().err
    assert "3 of 12 clips are held out, drawn by seed 0 from every class" in said
    assert "no name tells which clips were cut from one video" in said
    assert "nothing was trained: the same command without --plan does that" in said
    assert (out / "look.png").stat().st_size > 10_000 and not (out / "model").exists()
    assert (out / "classes.csv").read_text().splitlines()[3] == "Surfing,surfing"
    planned = config_file.load(str(out / "config.py"))
    assert planned.model == tiny.model_config("Transf") and planned.init_from == model
    assert (planned.optim.epochs, planned.data.loader.batch_size) == (2, 4)

    assert finetune(model, videos, out) == 0
    printed = capsys.readouterr()
    report = json.loads((out / "report.json").read_text())
    assert report["before"]["clips"] == report["after"]["clips"] == 3 and report["training_clips"] == 9
    assert report["before"]["scores"].keys() == report["after"]["scores"].keys()
    for name in ("before/report.md", "after/report.md", "after/confusion.png", "curves.png", "report.md"):
        assert (out / name).is_file()
    assert "| by chance | 33.33% | 33.33% |" in printed.out and "| playing piano |" in printed.out
    predict, measure = f"actionclip predict {out}/model", f"actionclip evaluate {out}/model --data SOURCE"
    assert predict in printed.out and measure in printed.out
    assert f"actionclip train --config {out}/config.py" in printed.out
    labels = ["--labels-file", str(out / "classes.csv")]
    assert cli.main(["predict", str(out / "model"), str(videos / "Archery" / "00.mp4"), *labels]) == 0
    assert "playing piano" in capsys.readouterr().out

    assert finetune(model, videos, out) == 0
    assert "goes on from step 4 of" in capsys.readouterr().err  # which is the last
    assert finetune(model, videos, out, "--lr", "1e-3", "--val", "0.3") == 2
    refused = capsys.readouterr().err
    assert "holds a fine-tuning with other options" in refused
    assert "lr: 0.0 then, 0.001 now" in refused and "held_out: 0.1 then, 0.3 now" in refused


@pytest.mark.parametrize("goes_on", ["train", *slow("finetune")])
def test_a_stopped_run_ends_like_an_unbroken_one(goes_on, model, videos, tmp_path, one_device, capsys):
    stopped, unbroken = tmp_path / "stopped", tmp_path / "unbroken"
    with signal_after_the_first_step(signal.SIGTERM):
        assert finetune(model, videos, stopped, "--lr", "1e-3") == 75
    assert not (stopped / "model").exists()
    if goes_on == "finetune":
        assert finetune(model, videos, stopped, "--lr", "1e-3") == 0
    else:
        assert cli.main(["train", "--config", str(stopped / "config.py")]) == 0
    assert "goes on from step" in capsys.readouterr().err
    assert finetune(model, videos, unbroken, "--lr", "1e-3") == 0
    assert same(params_of(stopped / "model"), params_of(unbroken / "model"))
    assert not same(params_of(stopped / "model"), params_of(model))


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [("towers", ("text/", "image/")), *slow(("text", ("text/",)), ("image", ("image/",)))],
)
def test_what_is_frozen_stays_bit_for_bit(freeze, frozen, model, videos, tmp_path, one_device):
    assert finetune(model, videos, tmp_path / "out", "--freeze", freeze, "--lr", "1e-3", "--val", "0") == 0
    before, after = params_of(model), params_of(tmp_path / "out" / "model")
    for path, value in before.items():
        assert (value == after[path]).all() == path.startswith(frozen), path
    saved = next((tmp_path / "out" / "checkpoints").iterdir())
    held = json.loads((saved / "state" / "_METADATA").read_text())["tree_metadata"]
    moments = [path for path in held if "opt_state" in path]
    assert moments and not [path for path in moments if any(f"'{part}" in path for part in frozen)]


def test_one_clip_a_class_is_trained_with_and_said(model, video_directory, tmp_path, one_device, capsys):
    videos = lay_out(video_directory, tmp_path / "videos", 3)
    assert finetune(model, videos, tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "nothing is held out, no class has clips of two videos" in said.err
    assert "batch of 3 clips instead of 4: the set has 3" in said.err
    assert "3 of 3 classes have fewer than 8 clips" in said.err
    assert "None were held out, so there is no accuracy to report." in said.out
    assert config_file.load(str(tmp_path / "out" / "config.py")).data.test.path == ""


def test_one_class_is_refused(model, videos, tmp_path, one_device, capsys):
    for name in CLASSES[1:]:
        shutil.rmtree(videos / name)
    assert finetune(model, videos, tmp_path / "out") == 2
    assert "clips of one class, 'archery'" in capsys.readouterr().err


# held-out clips that are given


def test_held_out_clips_may_be_a_list_whose_clips_are_not_trained_with(model, videos, tmp_path, one_device, capsys):
    assert finetune(model, videos, tmp_path / "first", "--plan", "--seed", "3") == 0
    held = tmp_path / "first" / "held_out.csv"
    assert finetune(model, videos, tmp_path / "out", "--plan", "--val", held) == 0
    assert "3 of 12 clips are held-out ones (--val) too, and are not trained with" in capsys.readouterr().err
    assert (tmp_path / "out" / "train.csv").read_text() == (tmp_path / "first" / "train.csv").read_text()
    first, second = (config_file.load(str(tmp_path / name / "config.py")) for name in ("first", "out"))
    tests = [sources.open_source(one.data.test) for one in (first, second)]
    assert sorted(tests[0].paths.tolist()) == sorted(tests[1].paths.tolist()) and tests[0].labels == tests[1].labels


def test_held_out_clips_may_be_another_split_and_lack_classes(model, videos, tmp_path, one_device, capsys):
    root = tmp_path / "both"
    shutil.copytree(videos, root / "train")
    shutil.copytree(videos / "Archery", root / "test" / "Archery")
    for file in (root / "train" / "Archery").iterdir():
        file.rename(file.with_name(f"other_{file.name}"))
    assert finetune(model, root, tmp_path / "out", "--plan", "--split", "train", "--val-split", "test") == 0
    said = capsys.readouterr().err
    assert "2 of 3 classes have no held-out clip: their accuracy is not known" in said
    planned = config_file.load(str(tmp_path / "out" / "config.py"))
    train, test = (sources.open_source(part) for part in (planned.data.train, planned.data.test))
    assert (len(train), len(test)) == (12, 4)
    assert train.labels == test.labels == ("archery", "playing piano", "surfing")  # among all of which it is measured


def test_held_out_clips_of_another_class_are_refused(model, videos, tmp_path, one_device, capsys):
    shutil.copytree(videos / "Archery", tmp_path / "test" / "Juggling")
    assert finetune(model, videos, tmp_path / "out", "--val", tmp_path / "test") == 2
    assert "labels that are none of the 3 known" in capsys.readouterr().err


def test_clips_of_one_video_on_both_sides_are_said(model, videos, tmp_path, one_device, capsys):
    for place, clip in (("train", 1), ("test", 2)):
        for name in CLASSES:
            file = tmp_path / place / name / f"v_{name}_g01_c0{clip}.avi"
            file.parent.mkdir(parents=True)
            shutil.copy(next((videos / name).iterdir()), file)
    assert finetune(model, tmp_path / "train", tmp_path / "out", "--plan", "--val", tmp_path / "test") == 0
    told = capsys.readouterr().err
    assert "3 of 3 clips are cut from the same videos as held-out ones (names as those of UCF101)" in told


def test_a_few_clips_of_every_class_are_divided_too(model, videos, tmp_path, one_device):
    assert finetune(model, videos, tmp_path / "out", "--plan", "--shots", "3", "--val", "0.4") == 0
    planned = config_file.load(str(tmp_path / "out" / "config.py"))
    assert [len(sources.open_source(part)) for part in (planned.data.train, planned.data.test)] == [6, 3]


# the model


def test_a_plain_clip_keeps_its_mean_unless_a_head_is_asked_for(plain_clip, videos, tmp_path, one_device, capsys):
    assert finetune(plain_clip, videos, tmp_path / "mean", "--plan") == 0
    assert "temporal head meanP, as the model has it" in capsys.readouterr().err
    assert finetune(plain_clip, videos, tmp_path / "out", "--plan", "--head", "Transf", "--frames", "2") == 0
    planned = config_file.load(str(tmp_path / "out" / "config.py"))
    assert planned.model.temporal == config.TemporalConfig(head="Transf", heads=2)
    assert planned.model.frames == planned.data.sample.frames == 2
    assert finetune(plain_clip, videos, tmp_path / "none", "--plan", "--freeze", "towers") == 2
    assert "the head meanP has no parameters" in capsys.readouterr().err


def test_more_frames_than_the_model_has_positions_for_are_refused(model, videos, tmp_path, one_device, capsys):
    assert finetune(model, videos, tmp_path / "out", "--plan", "--frames", "9") == 2
    assert "data.sample.frames is 9: model.temporal.positions has 8" in capsys.readouterr().err


def test_random_weights_of_the_same_architecture_are_trained_to_compare_with(model, videos, tmp_path, one_device):
    assert finetune(model, videos, tmp_path / "out", "--from-scratch") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["before"] is None and report["after"]["clips"] == 3 and report["from_scratch"]
    trained = checkpoints.read_any(tmp_path / "out" / "model")
    assert trained.model == tiny.model_config("Transf")
    assert rule.first_rate(trained.provenance) == config_file.load(str(tmp_path / "out" / "config.py")).optim.lr


def test_colours_stay_where_they_tell_classes_apart(model, sample, tmp_path, one_device, told):
    data = config.SourceConfig(sample, kind="sample", split="train")
    planning.plan(request(model=model, data=data, out=str(tmp_path), epochs=1.0, templates="none"))
    planned = config_file.load(str(tmp_path / "config.py"))
    assert planned.data.augment.jitter == planned.data.augment.grayscale == 0
    assert "colours are not changed in training: some class names differ in nothing but a colour" in told


@pytest.mark.slow
def test_clips_with_several_labels_are_trained_and_measured_as_such(model, videos, tmp_path, one_device, capsys):
    (tmp_path / "Charades_v1_classes.txt").write_text("c000 Running\nc001 Eating a sandwich\n")
    rows = ["id,actions,length"]
    for number, file in enumerate(sorted(videos.glob("*/*.mp4"))):
        file.rename(tmp_path / file.name)
        rows.append(f"{file.stem},{'c000 0.0 0.4;' if number % 3 else ''}c001 0.0 0.4,0.48")
    (tmp_path / "Charades_v1_train.csv").write_text("\n".join(rows) + "\n")
    assert finetune(model, tmp_path / "Charades_v1_train.csv", tmp_path / "out") == 0
    assert config_file.load(str(tmp_path / "out" / "config.py")).objective.loss == "multi_label"
    assert "| mAP |" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.many_devices
def test_all_devices_train_and_measure(model, videos, tmp_path, capsys):
    assert finetune(model, videos, tmp_path / "out", "--batch-size", "16") == 0
    assert "batch of 8 clips instead of 16: the set has 9" in capsys.readouterr().err
    assert finetune(model, videos, tmp_path / "other", "--batch-size", "6") == 2
    assert "6 clips cannot be spread over 8 devices" in capsys.readouterr().err


# what cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from-scratch", "--freeze", "text"], "random weights would stay as they are"),
        (["--batch-size", "1"], "contrastive loss compares clips"),
        (["--val", "/nowhere/at/all"], "no such file or directory"),
        (["--templates", "nowhere.txt"], "and found neither"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_compiles(
    options, message, model, videos, tmp_path, one_device, capsys
):
    assert finetune(model, videos, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err


def test_a_directory_of_another_run_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="holds another run"):
        run.finetune(request(out=str(tmp_path)))


def test_a_share_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["finetune", "m", "videos", "--val", "1.5"])
    assert "1.5 is no share" in capsys.readouterr().err


@needs_test_data
def test_real_clips_of_ucf101_are_divided_by_their_groups(model, tmp_path, one_device, capsys):
    options = ["--split", "train", "--plan", "--epochs", "1", "--templates", "none"]
    command = ["finetune", model, str(TEST_DATA / "ucf101-5class"), "--out", str(tmp_path), *options]
    assert cli.main(command) == 0
    assert "20 of 180 clips are held out" in (said := capsys.readouterr().err) and "names as those of UCF101" in said
    planned = config_file.load(str(tmp_path / "config.py"))
    groups = [
        {name.rpartition("_c")[0] for name in sources.open_source(part).ids.tolist()}
        for part in (planned.data.train, planned.data.test)
    ]
    assert len(groups[0]) == 80 and len(groups[1]) == 10 and not groups[0] & groups[1]
