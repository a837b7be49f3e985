"""A model as mteb, the benchmark harness, calls it: for tasks of videos, of texts, and of videos and texts."""

import bisect
import hashlib
import pathlib
import tempfile
import typing
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    import datasets
    from mteb.models import abs_encoder, model_meta
except ImportError as error:
    raise ImportError(f"mteb_adapter needs mteb: pip install 'actionclip-jax[mteb]' ({error})") from error

from actionclip_jax import checkpoints, config, text
from actionclip_jax.data import test_views, video
from actionclip_jax.data.video import given
from actionclip_jax.inference import batching, predict

if typing.TYPE_CHECKING:
    from mteb.abstasks import task_metadata as tasks
    from torch.utils import data


class Encoder(abs_encoder.AbsEncoder):
    """Embeds the rows of mteb's data sets, texts or videos, as [N, E] of unit norm; similarity is the dot product.

    An encoder is what mteb calls a model that embeds; the one of this package is `encoder.VideoTextEncoder`.

    Videos are read from their files, not by mteb's decoder, so that frames and pixels are those of `Predictor.predict`
    with one view; what decodes of a damaged file counts. A text beyond the tower's tokens loses its last words.

    Args:
        model: what `actionclip_jax.load` returns.
        name: "organization/model", the name mteb stores results under.
        templates: prompts for the candidate labels of zero-shot tasks; a label is then the mean of its embeddings, made
            unit again. None by default, because mteb's labels are sentences already ("a video of archery"), which a
            template would wrap a second time; texts of other tasks, captions for instance, are never put into them.
            mteb takes one embedding a label, so this is not ActionCLIP's protocol, the mean of the templates'
            probabilities: that is `predict`'s.
    """

    def __init__(
        self, model: predict.Predictor, name: str, *, templates: Sequence[str] = text.TEMPLATES["none"]
    ) -> None:
        self.model, self.templates = model, text.checked_templates(templates)
        self.mteb_model_meta = describe(model, name, self.templates)

    def encode(
        self, inputs: "data.DataLoader", *, task_metadata: "tasks.TaskMetadata", batch_size: int = 32, **options: Any
    ) -> np.ndarray:
        """Rows with a column `text` or `video` -> float32 [N, E]; mteb's other options change nothing here.

        Raises:
            ValueError: both columns or neither; for a video that cannot be used, the VideoError that says why.
        """
        rows = typing.cast(datasets.Dataset, inputs.dataset)  # what mteb's loaders go over
        columns = {"text", "video"} & set(rows.features)
        if columns == {"video"}:
            return self.encode_videos(rows, batch_size)
        if columns != {"text"}:
            raise ValueError(f"columns {list(rows.features)}: expected text or video, and one of them only")
        texts = [row for batch in inputs for row in batch["text"]]
        has_labels = task_metadata.type.lower().endswith("zeroshotclassification")  # mteb spells it in two ways
        return self.encode_texts(texts, self.templates if has_labels else text.TEMPLATES["none"])

    def encode_texts(self, texts: Sequence[str], templates: Sequence[str]) -> np.ndarray:
        """N texts in P templates -> float32 [N, E], the unit mean over the templates."""
        prompts = [self.shorten(prompt) for prompt in text.fill(texts, templates)]
        shape = (len(texts), len(templates), self.model.config.embed_width)
        means = self.model.encode_text(prompts).reshape(shape).mean(axis=1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def shorten(self, prompt: str) -> str:
        """The text, or as many of its first words as the text tower has positions for."""
        spec = self.model.config.text
        words = text.clean(prompt, spec.cleaning).split()

        def count(kept: int) -> int:
            return len(self.model.tokenizer(" ".join(words[:kept]), verbose=False)["input_ids"])

        if count(len(words)) <= spec.context:
            return prompt
        return " ".join(words[: bisect.bisect_right(range(len(words)), spec.context, key=count) - 1])

    def encode_videos(self, rows: datasets.Dataset, batch_size: int) -> np.ndarray:
        """N rows with a video each -> float32 [N, E]."""
        files = rows.select_columns("video").cast_column("video", datasets.Video(decode=False))
        batch_size = min(batch_size, len(files))
        sample = config.sample_for(self.model.config)
        features = []
        for start in range(0, len(files), batch_size):
            with tempfile.TemporaryDirectory() as directory:
                batch = enumerate(files[start : start + batch_size]["video"], start)
                placed = [given.of_path(place(file, pathlib.Path(directory, str(row)))) for row, file in batch]
                clips = []
                for _, read in test_views.read_ahead(placed, sample):
                    if isinstance(read, video.VideoError):
                        raise read  # mteb wants an embedding of every row
                    clips.append(read.clips[0])
            filled = batching.fill(np.stack(clips), batch_size)  # one compilation for all batches
            features.append(self.model.encode_video(filled)[: len(clips)])
        return np.concatenate(features)


def place(file: dict[str, Any], directory: pathlib.Path) -> str:
    """Where a video is on disk: its own path or, if the data set holds its bytes, a new file in a new directory."""
    if file["bytes"] is None:
        return file["path"]
    directory.mkdir()
    path = directory / pathlib.Path(file["path"] or "video").name
    path.write_bytes(file["bytes"])
    return str(path)


def describe(model: predict.Predictor, name: str, templates: tuple[str, ...]) -> model_meta.ModelMeta:
    """What mteb stores with results; the revision is a digest of all that decides them, so that none is mixed up."""
    decisive = (model.config, model.compute, checkpoints.digest(model.params))
    size = sum(param.size for param in model.params.values())
    return model_meta.ModelMeta(
        loader=None,
        name=name,
        revision=hashlib.sha256(repr(decisive).encode()).hexdigest(),
        release_date=None,
        languages=["eng-Latn"],
        n_parameters=size,
        n_embedding_parameters=model.params["text/token/embedding"].size,
        memory_usage_mb=round(4 * size / 2**20),  # parameters are float32
        max_tokens=model.config.text.context,
        embed_dim=model.config.embed_width,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["JAX"],
        similarity_fn_name="dot",
        use_instructions=False,
        training_datasets=None,
        modalities=["text", "video"],
        experiment_kwargs={"templates": list(templates)} if templates != text.TEMPLATES["none"] else None,
    )
