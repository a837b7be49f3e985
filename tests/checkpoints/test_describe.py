"""`convert --describe`: what a checkpoint is, without converting it."""

import pytest
import siglip_reference
import tiny
import torch
import torch_reference

from actionclip_jax import cli


def test_what_was_recognised_is_told_with_every_setting_and_nothing_is_written(tmp_path, capsys):
    siglip_reference.save_siglip(tmp_path / "siglip", "siglip2")
    assert cli.main(["convert", str(tmp_path / "siglip"), "--describe"]) == 0
    said = capsys.readouterr()
    for line in ("image.pooling = attention  (CLIP's ViT-B/16: class_token)", "image.depth = 2", "text.pad = 0\n"):
        assert line in said.out
    assert "tokenizer: that beside the weights" in said.err and "note: no file beside the weights says how" in said.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["siglip"]


def test_weights_without_their_tokenizer_are_described_and_what_is_missing_said(tmp_path, capsys):
    siglip_reference.save_siglip(tmp_path, "siglip")
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    assert cli.main(["convert", str(tmp_path), "--describe"]) == 0
    said = capsys.readouterr()
    assert "text.cleaning = canonical" in said.out and "note: cannot be converted yet: " in said.err


def test_a_model_directory_and_a_file_without_settings_are_described(tmp_path, capsys):
    tiny.save_model(tmp_path / "model", tiny.model_config())
    assert cli.main(["convert", str(tmp_path / "model"), "--describe"]) == 0
    assert "image.width = 128" in capsys.readouterr().out
    torch.save(torch_reference.source_checkpoint(tiny.source_config("Transf")), tmp_path / "source.pt")
    assert cli.main(["convert", str(tmp_path / "source.pt"), "--describe", "--frames", "5"]) == 0
    said = capsys.readouterr()
    assert "frames = 5" in said.out and "temporal.head = Transf" in said.out and "tokenizer: that of CLIP" in said.err


@pytest.mark.parametrize("others", [["--to", "openai"], ["--verify"], ["--image-size", "64"]])
def test_it_does_not_go_with_what_writes(others, tmp_path, capsys):
    assert cli.main(["convert", str(tmp_path), "out", "--describe"]) == 2
    assert cli.main(["convert", str(tmp_path), "--describe", *others]) == 2
    assert capsys.readouterr().err.count("--describe converts nothing: not together with") == 2
