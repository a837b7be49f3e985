"""The notebook runs from its first cell to its last."""

import pathlib

import nbclient
import nbformat
import tiny

from actionclip_jax.checkpoints import sample

NOTEBOOK = pathlib.Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


def shown(cell):
    """What a cell shows, by kind."""
    return {kind: text for output in cell.outputs for kind, text in output.get("data", {}).items()}


def test_the_notebook_runs_and_shows_its_predictions(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny.save_model(sample.model(), tiny.model_config("Transf"))  # training it would take minutes
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "it is kept without results"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    results = [shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert results[0]["text/plain"].startswith("Predictor(")
    assert results[1]["text/html"].count("<img") == 4  # the frames of a clip
    assert "missing.mp4" in results[4]["text/plain"]
    assert "<table" in results[3]["text/html"]
    assert (tmp_path / "folders" / "long.mp4").is_file()
