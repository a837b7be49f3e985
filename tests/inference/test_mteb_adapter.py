"""mteb runs a zero-shot task on a model and finds what the model itself says of the same files."""

import json

import numpy as np
import pytest
import scipy.special
import tiny
import videos

from actionclip_jax import config, text
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.data import video
from actionclip_jax.inference import predict
from actionclip_jax.models import action_clip

LABELS = ("a video of archery", "a video of surfing", "a video of playing piano")
COUNT = 5


@pytest.fixture(scope="module")
def mteb():
    return pytest.importorskip("mteb", reason="mteb is not installed: pip install '.[mteb]'")


@pytest.fixture
def mteb_adapter(mteb):
    from actionclip_jax.inference import mteb_adapter

    return mteb_adapter


@pytest.fixture(scope="module")
def model():
    spec = tiny.model_config()
    rng = np.random.default_rng(0)
    params = {
        path: rng.normal(0, 0.1, shape).astype(np.float32) + path.endswith("scale")
        for path, shape in action_clip.param_shapes(spec).items()
    }
    weights = model_directory.Weights(spec, params, text.default_tokenizer(), {}, {})
    return predict.Predictor(weights, config.ComputeConfig())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("videos")
    return [videos.write(directory / f"{n}.mp4", 20 + 7 * n, first=150 * n) for n in range(COUNT)]


@pytest.fixture(scope="module")
def expected(model, files):
    """Of every video, from its file: its probabilities and what the model saw."""
    return model.predict(files, LABELS, templates="none", keep_images=True)


@pytest.fixture
def rows(mteb, files, expected):
    """Videos as paths and as bytes, labelled as the model labels them, but for the first: it never finds label 1."""
    import datasets

    stored = [str(path) if n % 2 else {"path": path.name, "bytes": path.read_bytes()} for n, path in enumerate(files)]
    labels = [int(result.probabilities.argmax()) for result in expected]
    assert set(labels) == {0, 2}
    labels[0] = 1
    features = datasets.Features({"video": datasets.Video(), "label": datasets.ClassLabel(names=list(LABELS))})
    return datasets.Dataset.from_dict({"video": stored, "label": labels}, features=features)


@pytest.fixture
def task(mteb, rows):
    from mteb.abstasks import task_metadata, zeroshot_classification

    class Task(zeroshot_classification.AbsTaskZeroShotClassification):
        input_column_name = "video"
        metadata = task_metadata.TaskMetadata(
            name="LocalZeroShot",
            description="A few generated videos.",
            dataset={"path": "local", "revision": "1"},
            type="VideoZeroshotClassification",
            category="v2t",
            eval_langs=["eng-Latn"],
            main_score="accuracy",
            modalities=["video", "text"],
        )

        def load_data(self, **options):
            self.dataset, self.data_loaded = {"test": rows}, True

        def get_candidate_labels(self):
            return list(LABELS)

    return Task()


def test_a_zero_shot_task_gives_the_models_own_probabilities_and_their_accuracy(
    mteb, mteb_adapter, model, task, expected, tmp_path
):
    encoder = mteb_adapter.Encoder(model, "local/tiny")
    assert isinstance(encoder, mteb.EncoderProtocol)
    options = {"cache": None, "encode_kwargs": {"batch_size": 2}, "prediction_folder": tmp_path}
    result = mteb.evaluate(encoder, task, **options)
    (scores,) = result.task_results[0].scores["test"]
    assert scores["accuracy"] == (COUNT - 1) / COUNT
    stored = json.loads(next(tmp_path.rglob("*.json")).read_text())["default"]["test"]
    probabilities = np.stack([result.probabilities for result in expected])
    np.testing.assert_allclose(scipy.special.softmax(100 * np.array(stored), axis=1), probabilities, atol=1e-5)


def test_videos_are_embedded_from_the_frames_that_predict_sees(mteb_adapter, model, rows, expected):
    embeddings = mteb_adapter.Encoder(model, "local/tiny").encode_videos(rows, batch_size=2)
    assert (embeddings.shape, embeddings.dtype) == ((COUNT, 64), np.float32)
    seen = np.stack([result.images for result in expected])
    np.testing.assert_allclose(embeddings, model.encode_video(seen), atol=1e-6)


def test_templates_are_for_the_labels_of_zero_shot_tasks_and_kept_apart_in_results(mteb_adapter, model, task):
    from mteb import _create_dataloaders

    plain = mteb_adapter.Encoder(model, "local/tiny")
    encoder = mteb_adapter.Encoder(model, "local/tiny", templates=("a photo of {}", "{}, an action"))
    inputs = _create_dataloaders._create_dataloader_from_texts(list(LABELS))
    where = {"hf_split": "test", "hf_subset": "default"}
    retrieval = task.metadata.model_copy(update={"type": "Any2AnyRetrieval"})
    embeddings = encoder.encode(inputs, task_metadata=task.metadata, **where)
    means = model.encode_classes(LABELS, encoder.templates).mean(axis=1)
    np.testing.assert_allclose(embeddings, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    for other, metadata in ((encoder, retrieval), (plain, task.metadata)):
        embeddings = other.encode(inputs, task_metadata=metadata, **where)
        np.testing.assert_allclose(embeddings, model.encode_text(LABELS), atol=1e-6)
    assert plain.mteb_model_meta.revision == encoder.mteb_model_meta.revision
    assert plain.mteb_model_meta.experiment_name != encoder.mteb_model_meta.experiment_name


def test_a_text_too_long_keeps_the_words_that_fit(mteb_adapter, model):
    encoder = mteb_adapter.Encoder(model, "local/tiny")
    assert encoder.shorten("Surfing, alone") == "Surfing, alone"
    assert encoder.shorten("surfing " * 75) == "surfing " * 75
    assert encoder.shorten("surfing " * 76) == encoder.shorten("surfing " * 500) == " ".join(["surfing"] * 75)
    assert encoder.shorten("x1" * 100) == ""


def test_rows_that_cannot_be_embedded_are_refused(mteb_adapter, model, rows, task):
    import datasets
    from torch.utils import data

    encoder = mteb_adapter.Encoder(model, "local/tiny")
    both = data.DataLoader(rows.add_column("text", ["a caption"] * COUNT))
    with pytest.raises(ValueError, match=r"'video', 'label', 'text'\]: expected text or video, and one"):
        encoder.encode(both, task_metadata=task.metadata, hf_split="test", hf_subset="default")
    broken = datasets.Dataset.from_dict(
        {"video": [{"path": "broken.mp4", "bytes": b"nothing"}]},
        features=datasets.Features({"video": datasets.Video()}),
    )
    with pytest.raises(video.VideoError, match=r"0/broken\.mp4: cannot be opened as a video"):
        encoder.encode_videos(broken, batch_size=2)
