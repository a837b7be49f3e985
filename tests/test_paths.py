"""What is no path on this machine is refused at the start, by the name of the option, and nothing is made of it."""

import pathlib

import pytest

from actionclip_jax import cli, config, paths
from actionclip_jax.data import sources

REMOTE = ["gs://bucket/x", "s3://bucket/x", "http://host/x", "https://host/x.mp4", "hf://owner/name", "az://c/x"]


@pytest.mark.parametrize("value", [*REMOTE, "file:///x", "GS://bucket", pathlib.Path("gs://bucket/x"), "abfss://a@b/c"])
def test_a_url_is_no_path(value):
    said = paths.problem("--out", value)
    assert said.startswith("--out is '") and "://" in said and "expected a path on this machine" in said


@pytest.mark.parametrize(
    "value",
    [
        "videos",
        "/data/x",
        "~/x",
        r"C:\videos",
        "C:/videos",
        "c://x",
        "ucf101:2.0.0",
        "owner/name",
        "run.py:/data/videos",
    ],
)
def test_paths_names_and_arguments_are_no_urls(value):
    assert paths.problem("--data", value) is None


def test_a_path_that_a_missing_variable_left_empty_is_refused():
    for empty in ("", " "):
        assert paths.problem("--workdir", empty) == "--workdir is empty: expected a path"


COMMANDS = {
    "SOURCE": ["prepare", "{}", "out"],
    "OUT": ["prepare", "{there}", "{}"],
    "DESTINATION": ["convert", "{there}", "{}"],
    "--workdir": ["train", "--config", "x.py", "--workdir", "{}"],
    "--config": ["train", "--config", "{}"],
    "--init-from": ["train", "--config", "x.py", "--init-from", "{}"],
    "--out": ["evaluate", "model", "--data", "{there}", "--out", "{}"],
    "--from": ["evaluate", "model", "--data", "{there}", "--interpolate", "0,1", "--from", "{}"],
    "--templates": ["evaluate", "model", "--data", "{there}", "--templates", "{}"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("value", ["gs://bucket/x", ""])
def test_the_commands_refuse_urls_and_nothing_by_the_name_of_the_option(name, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert cli.main([argument.format(value, there="there") for argument in COMMANDS[name]]) == 2
    said = capsys.readouterr().err
    assert f"{name} is {repr(value) if value else 'empty'}: expected a path" in said or f"{name} SHARES" in said
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "{}"],
        ["inspect", "there", "--labels", "{}"],
        ["inspect", "there", "--json", "{}"],
        ["convert", "{}", "out"],
        ["compile", "--config", "x.py", "--topology", "here", "--out", "{}"],
        ["demo", "--out", "{}"],
        ["evaluate", "model", "--data", "{}"],
        ["evaluate", "model", "--data", "there", "--features", "{}"],
        ["evaluate", "model", "--data", "there", "--protocol", "k600", "--class-lists", "x.txt", "{}"],
        ["evaluate", "{}", "--data", "there"],
        ["predict", "{}", "x.mp4", "--labels", "a,b"],
        ["predict", "model", "x.mp4", "{}", "--labels", "a,b"],
    ],
)
def test_a_url_is_refused_wherever_a_command_takes_a_path(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([argument.format("s3://bucket/x") for argument in arguments]) == 2
    assert "is 's3://bucket/x': expected a path on this machine" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_settings_are_checked_like_options():
    source = config.SourceConfig(path="gs://bucket/train", labels="s3://bucket/labels.txt")
    run = config.TrainConfig(data=config.DataConfig(train=source), workdir="", init_from="http://host/x.pt")
    said = "\n".join(config.run_problems(run))
    for start in ("workdir is empty", "init_from is 'http", "data.train.path is 'gs://", "data.train.labels is 's3://"):
        assert start in said
    with pytest.raises(ValueError, match=r"path is 'gs://bucket/train': expected a path"):
        sources.open_source(source)


def test_a_directory_to_write_must_be_possible(tmp_path):
    (tmp_path / "file").touch()
    paths.check_directory("--out", tmp_path / "new" / "newer")
    assert not (tmp_path / "new").exists()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"--out is .*file is no directory"):
            paths.check_directory("--out", place)


def test_a_file_to_read_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"--seen-classes is .*missing.txt': there is no such file"):
        paths.check_file("--seen-classes", tmp_path / "missing.txt")
    with pytest.raises(ValueError, match="a directory: expected a file"):
        paths.check_file("--seen-classes", tmp_path)
