"""What a data set holds, in numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import clip_log, table

STATISTICS = {"least": np.min, "most": np.max, "all": np.sum}
NOTICED = ("labels_read", "passed_over", "nested_classes", "noted")  # of a table's origin, what `notices` tells
SHOWN = 10  # classes printed at each end


def summarise(data: table.ClipTable) -> dict[str, Any]:
    """Counts of clips, classes and frames, and where they come from; JSON."""
    labels = data.label_ids[data.label_ids >= 0]
    counts = np.bincount(labels, minlength=len(data.labels)).tolist()
    known = data.frame_counts[data.frame_counts >= 0]
    return {
        "clips": len(data),
        "classes": len(data.labels),
        "multi_label": data.multi_label,
        "labels_per_clip": round(len(labels) / max(len(data), 1), 3),
        "clips_without_label": int((data.label_ids < 0).all(axis=1).sum()),
        "clips_per_class": dict(zip(data.labels, counts, strict=True)),
        "frames": {name: int(count(known)) for name, count in STATISTICS.items()} if len(known) else None,
        "origin": data.origin,
    }


def describe(findings: dict[str, Any]) -> Iterator[str]:
    """The findings as lines for people."""
    counts = findings["clips_per_class"]
    several = f", {findings['labels_per_clip']} labels a clip" if findings["multi_label"] else ""
    yield f"{findings['clips']} clips of {findings['classes']} classes{several}"
    if findings["clips_without_label"]:
        yield f"{findings['clips_without_label']} clips have no label"
    if frames := findings["frames"]:
        yield f"{frames['least']} to {frames['most']} frames a clip, {frames['all']} in all"
    if counts:
        values = sorted(counts.values())
        yield f"clips of a class: {values[0]} to {values[-1]}, median {values[len(values) // 2]}"
    for number, (label, count) in enumerate(counts.items()):
        if number < SHOWN or number >= len(counts) - SHOWN:
            yield f"  {number:4} {label}: {count}"
        elif number == SHOWN:
            yield f"  ... {len(counts) - 2 * SHOWN} more ..."
    yield from notices(findings["origin"])
    yield "origin:"
    yield from describe_origin(findings["origin"], "  ")


def notices(origin: dict[str, Any]) -> Iterator[str]:
    """What whoever uses a data set should look at: how its labels were read, and what was left out of it."""
    read = origin.get("labels_read", {})
    yield from read.get("label_files", ())
    doubtful = read.get("doubtful", {})
    pairs = {label: text for label, text in read.get("pairs", {}).items() if label.lower() != text}
    if pairs:
        yield f"labels, and the texts the model reads for them ({read['count']} in all):"
        yield from (f"  {label} -> {text}" for label, text in pairs.items() if label not in doubtful)
    for label, text in doubtful.items():
        yield f"please check the label {label!r}: it is read as {text}"
    for name, what in (("missing", "are not there"), ("repeated", "repeat others")):
        if count := origin.get(name):
            examples = ", ".join(origin[f"first_{name}"])
            yield f"{count} of the clips listed {what}, and are left out: {examples}{' ...' if count > 5 else ''}"
    if passed := origin.get("passed_over"):
        examples = ", ".join(passed["first"]) + (" ..." if passed["count"] > len(passed["first"]) else "")
        yield f"{passed['count']} of {passed['of']} files passed over by their suffix: {examples}"
    if count := origin.get("larger_folders"):
        examples = ", ".join(origin["first_larger_folders"])
        yield f"{count} folders hold more frames than their list says, which are not used: {examples}"
    if count := origin.get("named_by_video"):
        yield f"{count} clips are files named by the video's id alone: they are taken to be cut already"
    if noted := origin.get("noted"):
        yield clip_log.describe_notes(noted["notes"], noted["clips"], "the lists of its shards")
    if nested := origin.get("nested_classes"):
        examples = "; ".join(nested["first"])
        yield f"{nested['count']} class folders hold folders of videos ({examples}): {nested['advice']}"


def describe_origin(origin: dict[str, Any], indent: str) -> Iterator[str]:
    """What is not as usual, a line each."""
    usual = {**config.to_dict(config.SourceConfig()), "split_names": None}  # that is always worth saying
    for name, value in origin.items():
        if name in NOTICED:
            continue
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from describe_origin(value, f"{indent}  ")
        elif value not in (usual.get(name), 0, [], {}):
            yield f"{indent}{name}: {value}"
