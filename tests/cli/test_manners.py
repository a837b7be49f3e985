"""What a terminal shows of the commands themselves: their list, their help, their settings."""

import dataclasses
import os
import subprocess
import sys

import pytest

import actionclip_jax
from actionclip_jax import cli, config
from actionclip_jax.cli import inspect
from actionclip_jax.config import config_file, meanings


def shown(capsys, *arguments):
    """Standard output of a command line that only shows something."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code == 0
    return capsys.readouterr().out


def listed(text):
    """The commands of a list, each with what is said of it."""
    lines = text.split("  COMMAND\n")[1].split("\n\n")[0].splitlines()
    assert all(line[:4].isspace() and not line[4].isspace() for line in lines), "a line each"
    return dict(line.split(maxsplit=1) for line in lines)


@pytest.fixture
def commands(capsys):
    return list(listed(shown(capsys, "--help")))


def test_alone_it_lists_the_commands_with_a_line_each_and_has_done_nothing(capsys):
    assert cli.main([]) == 2
    said = capsys.readouterr()
    found = listed(said.err)
    assert not said.out and {"predict", "train", "evaluate", "convert", "demo"} <= set(found)
    assert all(len(meaning) > 10 for meaning in found.values()) and "--version" in said.err


def test_a_module_is_run_like_the_command():
    run = subprocess.run(
        [sys.executable, "-m", "actionclip_jax", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"actionclip {actionclip_jax.__version__}\n"


@pytest.mark.parametrize("columns", ["40", "80", "200", None])
def test_no_line_of_any_help_is_wider_than_80_columns(columns, commands, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    for arguments in ([], *([command] for command in commands)):
        wide = [line for line in shown(capsys, *arguments, "--help").splitlines() if len(line) > 80]
        assert not wide, arguments


def test_every_command_says_how_to_hear_what_libraries_warn_of(commands, capsys):
    for arguments in ([], *([command] for command in commands)):
        assert "--verbose" in shown(capsys, *arguments, "--help")


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["inspect", "x"], "2"),
        (["inspect", "x", "--verbose"], "1"),
        (["--verbose", "inspect", "x"], "1"),
    ],
)
def test_libraries_are_silent_unless_asked_to_speak(arguments, level, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    seen = []
    monkeypatch.setattr(inspect, "execute", lambda options: seen.append(os.environ.get("TF_CPP_MIN_LOG_LEVEL")) or 0)
    assert cli.main(arguments) == 0 and seen == [level]


def test_who_set_the_level_of_libraries_keeps_it(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setattr(inspect, "execute", lambda options: 0)
    assert cli.main(["inspect", "x"]) == 0 and os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def parts_of(part):
    """All classes of settings within one, with itself."""
    yield type(part)
    for field in dataclasses.fields(part):
        if dataclasses.is_dataclass(value := getattr(part, field.name)):
            yield from parts_of(value)


def test_every_setting_has_a_meaning():
    others = (
        config.RecordConfig,
        config.SampleSetConfig,
        config.TimelineConfig,
        config.EvaluationConfig,
        config.FinetuneRule,
        config.FinetuneConfig,
    )
    for kind in {*parts_of(config.TrainConfig()), *others}:
        said = meanings.of_fields(kind)
        parts = {name for name, value in vars(kind).items() if dataclasses.is_dataclass(value)}
        assert set(said) == {field.name for field in dataclasses.fields(kind)}
        assert not [name for name, meaning in said.items() if not meaning and name not in parts], kind


def test_train_shows_every_setting_with_its_flag_default_and_meaning(tmp_path, capsys):
    file = tmp_path / "run.py"
    file.write_text(
        "from actionclip_jax import config\n\n\ndef get_config():\n    run = config.draft(config.TrainConfig())\n"
        "    run.data.train.path = 'my clips'\n    run.optim.lr = 0.5\n    return run\n"
    )
    place = str(tmp_path / "run")
    assert cli.main(["train", "--config", str(file), "--show", "--workdir", place, "--config.optim.epochs=30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    flags = [line.strip("'").split("=")[0] for line in lines if line.strip("'").startswith("--config.")]
    assert flags and set(flags) == {
        f"--config.{name}" for name in config_file.flatten(config.to_dict(config.TrainConfig()))
    }
    assert "--config.optim.lr=0.5  (default: 5e-06)" in lines and "--config.optim.beta1=0.9  (the default)" in lines
    assert "--config.optim.epochs=30.0  (default: 50.0)" in lines
    assert "'--config.data.train.path=my clips'  (default: '')" in lines, "as a shell takes it"
    place_in_text = lines.index(f"--config.workdir={place}  (default: 'outputs/train')")
    assert lines[place_in_text + 1].endswith("; or --workdir")
    after = lines[lines.index("--config.compute.dtype=float32  (the default)") + 1]
    assert after.startswith("    ") and after.endswith("one of float32, bfloat16")
    assert not (tmp_path / "run").exists()


def test_the_flags_shown_make_the_same_run_of_any_other():
    run = config_file.load("sample")
    flags = [f"--config.{one.path}={one.value}" for part in meanings.sections(run, run) for one in part.settings]
    assert config_file.load("ucf101", flags) == run
