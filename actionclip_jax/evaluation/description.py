"""Everything that a number in a report depends on: the model, the data, and how it was measured; JSON."""

import hashlib
from collections.abc import Sequence
from typing import Any

from actionclip_jax import config, text
from actionclip_jax.evaluation import protocols
from actionclip_jax.inference import class_scores, encoder


def describe_model(name: str, model: encoder.VideoTextEncoder) -> dict[str, Any]:
    """Which weights were measured."""
    return {
        "source": name,
        "size": config.size_name(model.config),
        "temporal_head": model.config.temporal.head,
        "weights_sha256": model.digests["weights"],
        "provenance": {key: value for key, value in model.provenance.items() if key != "dtypes"},
    }


def describe_data(trials: Sequence[protocols.Trial], source: config.SourceConfig) -> dict[str, Any]:
    """Which lists and label texts were used, and what is missing from the lists; every list by its SHA-256."""
    origins = [trial.clips.origin for trial in trials]
    ids = [clip for trial in trials for clip in trial.clips.ids.tolist()]
    return {
        **{key: value for key, value in config.to_dict(source).items() if key in ("path", "videos", "labels", "split")},
        "kind": origins[0]["kind"],
        "files": {file: digest for origin in origins for file, digest in origin.get("files", {}).items()},
        "missing": max(origin.get("missing", 0) or 0 for origin in origins),
        "clip_ids_sha256": text_digest(ids),
        "label_texts_sha256": text_digest(protocols.class_names(trials)),
    }


def describe_settings(
    settings: config.EvaluationConfig,
    sample: dict[str, Any],
    source: config.SourceConfig,
    scaling: class_scores.Scaling,
) -> dict[str, Any]:
    """Everything that accuracies silently depend on."""
    return {
        "protocol": settings.protocol,
        "about": protocols.ABOUT[settings.protocol],
        "frames": sample["frames"],
        "views": f"{sample['views_time']}x{sample['views_space']}",
        "templates": settings.templates,
        "template_texts": list(text.load_templates(settings.templates)),
        "split_names": source.split_names,
        "prob_average": settings.average,
        "scores": settings.scores,
        "scale": scaling.scale,
        "bias": scaling.bias,
        "dtype": sample["dtype"],
        "class_lists": [str(file) for file in settings.class_lists],
        "seen_classes": str(settings.seen or ""),
        "threshold": settings.threshold,
        "features": str(settings.features or ""),
    }


def text_digest(texts: Sequence[str]) -> str:
    """SHA-256 of texts, one a line."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
