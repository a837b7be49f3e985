"""Configuration files: what is wrong is refused before anything starts, all of it at once."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

from actionclip_jax import config, sharding
from actionclip_jax.config import config_file, renamed
from actionclip_jax.models import action_clip
from actionclip_jax.training import expected, run_checkpoints, step_spec, train_step

CONFIGS = sorted(pathlib.Path(__file__).parents[2].glob("configs/*.py"))
TEXT = """
from actionclip_jax import config

def get_config({argument}):
    run = config.draft(config.TrainConfig())
    run.data.train.path = "clips.csv"
    {change}
    return run
"""


@pytest.fixture
def write(tmp_path):
    def write(change="", argument=""):
        file = tmp_path / "run.py"
        file.write_text(TEXT.format(change=change, argument=argument))
        return str(file)

    return write


def problems_of(call):
    with pytest.raises(config.ConfigError) as caught:
        call()
    return caught.value.problems


def test_the_command_line_changes_what_the_file_says(write):
    file = write("run.optim.lr = 0.5")
    run = config_file.load(
        file,
        [
            "--config.optim.lr=1e-5",
            "--config.optim.epochs",
            "7",
            "--config.data.augment.scales=(1, 0.5)",
            "--config.optim.decay_everything=false",
            "--config.workdir=a=b",
            '--config.optim.multipliers=((".*", 2),)',
        ],
    )
    assert (run.optim.lr, run.optim.epochs, run.data.augment.scales) == (1e-5, 7.0, (1.0, 0.5))
    assert run.optim.decay_everything is False and run.workdir == "a=b" and run.optim.multipliers == ((".*", 2.0),)
    assert config_file.load(file).optim.lr == 0.5


def test_typos_wrong_types_and_impossible_values_are_refused_together(write):
    file = write("run.optim.lrr = 1; run.objective.block = 'wide'; run.seed = -1")
    problems = problems_of(
        lambda: config_file.load(
            file,
            [
                "--config.optim.learning_rat=1",
                "--config.optim.clip_norm=much",
                "--config.objective.loss=hinge",
                "stray",
                "--config.data.loader.batch_size=7",
                "--config.optim.accumulate=2",
                "--config.compute.dtype=float8",
                "--config.optim.lr",
            ],
        )
    )
    text = "\n".join(problems)
    for wanted in (
        "--config.optim.learning_rat is unknown",
        "--config.optim.clip_norm=much: expected float",
        "'stray' is not understood",
        "--config.optim.lr has no value",
        "config.optim.lrr is unknown",
        "config.objective.block is 'wide': expected int",
        "seed is -1: expected at least 0",
        "objective.loss is 'hinge': expected one of exact",
        "data.loader.batch_size is 7: not a multiple of optim.accumulate (2)",
        "model: dtype is 'float8'",
    ):
        assert wanted in text, wanted
    assert len(problems) == 10


def test_an_override_of_nothing_suggests_what_may_be_meant(write):
    [problem] = problems_of(lambda: config_file.load(write(), ["--config.optim.weight_decai=1"]))
    assert problem == "--config.optim.weight_decai is unknown: did you mean optim.weight_decay?"


def test_a_file_that_fails_is_named_with_its_line(write, tmp_path):
    [problem] = problems_of(lambda: config_file.load(write("run.optin.lr = 1")))
    assert "run.py, line 7" in problem and "optin" in problem
    (tmp_path / "empty.py").write_text("")
    assert problems_of(lambda: config_file.load(str(tmp_path / "empty.py")))[0].endswith("no function get_config()")
    assert problems_of(lambda: config_file.load("nowhere.py")) == ["--config nowhere.py: there is no such file"]
    (tmp_path / "other.py").write_text("def get_config(): return 3")
    assert "returns int" in problems_of(lambda: config_file.load(str(tmp_path / "other.py")))[0]
    (tmp_path / "broken.py").write_text("def get_config(:")
    assert "SyntaxError" in problems_of(lambda: config_file.load(str(tmp_path / "broken.py")))[0]


def test_files_of_version_0_1_are_read_and_settings_renamed_since_are_told_together(tmp_path):
    file = tmp_path / "old.py"
    file.write_text(
        "from actionclip_jax.config import config_file\n"
        "def get_config():\n"
        "    run = config_file.default()\n"
        "    run.data['train'].update(path='clips.csv', seed=3)\n"
        "    run.optim.lr = 0.5\n"
        "    return run\n"
    )
    run = config_file.load(str(file))
    assert (run.data.train.path, run.data.train.seed, run.optim.lr) == ("clips.csv", 3, 0.5)
    file.write_text(file.read_text().replace("run.optim.lr = 0.5", "run.data.augment.update(grey=0.1)"))
    problems = problems_of(
        lambda: config_file.load(str(file), ["--config.optim.refresh_every=10", "--config.compute.remat=full"])
    )
    assert problems == [
        "--config.optim.refresh_every is unknown: it is now called optim.schedule_every",
        "config.data.augment.grey is unknown: it is now called data.augment.grayscale",
        f"model: remat is 'full': expected one of {', '.join(config.REMAT)} ('full' is now called 'nothing')",
    ]


def test_what_version_0_1_saved_is_read_by_the_names_of_today():
    saved = {"compute.remat": "none", "optim.refresh_every": 10, "optim.lr": 0.5}
    today = {"compute.remat": "everything", "optim.schedule_every": 10, "optim.lr": 0.5}
    assert renamed.translate(saved) == renamed.translate(today) == today
    fields = config_file.flatten(config.to_dict(config.TrainConfig()))
    assert set(renamed.FIELDS.values()) <= fields.keys() and not set(renamed.FIELDS) & fields.keys()
    assert set(renamed.VALUES["remat"].values()) == set(config.REMAT)


def test_a_run_saved_by_version_0_1_goes_on_with_the_same_settings():
    saved = config.to_dict(config.TrainConfig())
    for part, old, new in (("optim", "refresh_every", "schedule_every"), ("interpolation", "strength", "loss_weight")):
        saved[part][old] = saved[part].pop(new)
    saved["data"]["augment"]["grey"] = saved["data"]["augment"].pop("grayscale")
    saved["compute"]["remat"] = "none"
    saved = json.loads(json.dumps(saved))
    assert run_checkpoints.describe_changes(saved, config.TrainConfig()) == []
    saved["compute"]["remat"] = "full"
    changes = run_checkpoints.describe_changes(saved, config.TrainConfig())
    assert changes == ["compute.remat: 'nothing' then, 'everything' now"]


def test_settings_are_frozen_but_for_drafts_which_are_copies():
    run = config.TrainConfig()
    changed = config.draft(run)
    changed.model.image = config.ImageConfig(size=64)
    changed.model.image.patch = 8
    assert (changed.model.image.tokens, run.model.image.size, config.ModelConfig().image.patch) == (65, 224, 16)
    assert isinstance(changed, config.TrainConfig) and changed.optim is not run.optim
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.optim.lr = 1.0


def test_configurations_that_come_with_the_program_go_by_name(tmp_path, monkeypatch):
    by_path = config_file.load(str(CONFIGS[0].parent / "ucf101_few_shot.py") + ":8")
    monkeypatch.chdir(tmp_path)
    assert config_file.load("ucf101_few_shot:8") == by_path and by_path.data.train.shots == 8
    [problem] = problems_of(lambda: config_file.load("k400"))
    assert problem.startswith("--config k400: there is no such file, and the configurations that come")
    assert all(file.stem in problem for file in CONFIGS)


def test_a_file_may_take_an_argument(write):
    file = write("run.seed = int(argument)", argument="argument")
    assert config_file.load(f"{file}:5").seed == 5
    assert "takes no argument" in problems_of(lambda: config_file.load(f"{write()}:5"))[0]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["--config.optim.epochs=0"], "nothing to train"),
        (["--config.optim.epochs=5"], "optim.warmup_epochs is 5, of 5 epochs"),
        (["--config.interpolation.export=0.5"], "interpolation needs weights to start from"),
        (["--config.checkpoint.export=best"], "data.test.path is empty"),
        (["--config.objective.loss=multi_label", "--config.objective.computation=blockwise"], "blockwise tiles"),
        (["--config.pretrain.epochs=1"], "pretrain.source.path is empty"),
        (["--config.data.sample.size=32"], "data.sample.size is 32: the model takes 224 (model.image)"),
        (["--config.data.sample.resize=squash"], "data.sample.resize is squash: the model takes shortest"),
        (["--config.model.image.filter=bilinear"], "data.sample.filter is bicubic: the model takes bilinear"),
        (["--config.model.image.resize=longest"], "image.resize is 'longest': expected one of shortest, squash"),
        (
            ["--config.data.sample.resize=squash", "--config.data.sample.views_space=3"],
            "data.sample.views_space is 3: expected 1, as squashed frames have no crops",
        ),
        (["--config.data.sample.frames=16"], "expected model.frames, 8"),
        (['--config.optim.multipliers=(("(", 1.0),)'], "no regular expression"),
        (["--config.optim.ema=1.0"], "ema is 1.0"),
        (["--config.data.augment.hue=2.0"], "data.augment.hue is 2.0: expected 0 to 0.5"),
        (["--config.init_from=x", "--config.pretrain.epochs=1.0"], "exclude each other"),
        (["--config.optim.lr=1e999"], "optim.lr is inf: expected a finite number"),
        (["--config.optim.lr=" + "-" * 100_000 + "1"], "--config.optim.lr=[...]: expected float"),
        (["--config.data.loader.batch_size=1000000000000"], "batch_size is 1000000000000: a batch of more than"),
        (["--config.data.eval_batch_size=1000000000000"], "eval_batch_size is 1000000000000: a batch of more than"),
        (["--config.model.image.width=1000000000"], "ImageConfig.width is 1000000000: expected at most 16384"),
        (["--config.model.frames=1000000000"], "ModelConfig.frames is 1000000000: expected at most 4096"),
        (["--config.data.sample.views_time=1000000"], "views_time x views_space is 1000000 x 1: a clip of more than"),
        (["--config.data.loader.workers=1000000"], "workers is 1000000: expected -1 to 1024"),
    ],
)
def test_settings_that_cannot_work_are_refused(write, overrides, expected):
    assert any(expected in problem for problem in problems_of(lambda: config_file.load(write(), overrides)))


def test_a_run_survives_json_and_back():
    run = config.TrainConfig()
    assert config.from_dict(config.TrainConfig, json.loads(json.dumps(config.to_dict(run)))) == run


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_published_configuration_is_valid_and_traces_at_full_size(file):
    assert len(file.read_text().splitlines()) <= 40
    run = config_file.load(str(file))
    mesh = sharding.make_mesh()
    names = ("model", "compute", "objective", "optim", "interpolation", "sharding", "seed")
    spec = step_spec.StepSpec(
        **{name: getattr(run, name) for name in names}, augment=run.data.augment, steps=100, warmup=10
    )
    params = {
        path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in action_clip.param_shapes(run.model).items()
    }
    sample, rows = run.data.sample, 8
    label = ((rows, 157), jnp.uint8) if run.objective.loss == "multi_label" else ((rows,), jnp.int32)
    batch = {
        "video": jax.ShapeDtypeStruct((rows, sample.frames, sample.size, sample.size, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct(*label),
    }
    texts = jax.ShapeDtypeStruct((157, 16, expected.text_length(run)), jnp.int32)
    state = jax.eval_shape(lambda params: train_step.init_state(spec, params, {}), params)
    after, metrics = jax.eval_shape(train_step.make_train_step(spec, mesh), state, batch, texts)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert metrics["loss"].shape == ()


def test_published_configurations_are_the_recipe_of_the_paper():
    run = config_file.load(str(CONFIGS[0].parent / "k400_vit_b16_8f.py"))
    assert run.model == config.clip_model("ViT-B/16", "Transf")
    optim = run.optim
    assert (optim.lr, optim.beta1, optim.beta2, optim.eps, optim.weight_decay) == (5e-6, 0.9, 0.98, 1e-8, 0.2)
    assert (optim.epochs, optim.warmup_epochs, optim.clip_norm, optim.ema) == (50, 5, 0, 0)
    assert dict(optim.multipliers) == {"image/.*": 1.0, "text/.*|logit_scale": 1.0, "temporal/.*": 10.0}
    assert (run.objective.loss, run.objective.templates, run.data.loader.batch_size) == ("exact", "actionclip", 128)
    assert run.data.augment == config.AugmentConfig() and run.init_from == "openai/clip-vit-base-patch16"
