"""What lies in a prepared directory.

    OUT/dataset.json        labels, settings, where it all came from, and whether it is complete
    OUT/bad_clips.jsonl     clips that could not be prepared, with reasons
    OUT/shards/00000.array_record, 00000.json ...   the records, and who they are

A clip is a record that describes it, a msgpack map {id, labels, times, codec, group}, and behind it the records of its
frames: lists of `group` JPEG pictures, or of H.264 packets that each decode alone. Only what is wanted has to be read.
`times` are float64 seconds. ArrayRecord checks every record against a hash of its own, so a flipped byte is an error
rather than a wrong picture. A shard's list ends with a seal of its own: see check.py.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from actionclip_jax import files

VERSION = 1
DATASET = "dataset.json"  # a directory that holds it was made by `actionclip prepare`
BAD = "bad_clips.jsonl"
MAX_SHARDS = 100_000  # their names have five digits
MEND = "delete them and run the same `actionclip prepare` again"


def read_dataset(directory: pathlib.Path) -> dict[str, Any]:
    """What dataset.json says. Raises ValueError."""
    file = directory / DATASET
    dataset = read_json(file)
    if dataset.get("version") != VERSION:
        raise ValueError(f"{directory}: version {dataset.get('version')!r} of prepared data, expected {VERSION}")
    check_fields(file, dataset, {"complete": bool, "shards": int, "labels": list, "names": list})
    check_fields(file, dataset, {"multi_label": bool, "origin": dict})
    texts = (*dataset["labels"], *dataset["names"])
    if not all(isinstance(text, str) for text in texts) or len(texts) != 2 * len(dataset["labels"]):
        raise ValueError(f"{file} is damaged: its labels and names are not as many texts")
    if not 0 <= dataset["shards"] <= MAX_SHARDS:
        raise ValueError(f"{file} is damaged: it says {dataset['shards']} shards")
    return dataset


def read_finished(directory: pathlib.Path) -> dict[str, Any]:
    """What dataset.json says of a directory that is complete. Raises ValueError."""
    dataset = read_dataset(directory)
    if not dataset["complete"]:
        raise ValueError(f"{directory} is not finished: run the same `actionclip prepare` again, it goes on there")
    return dataset


def read_list(directory: pathlib.Path, number: int) -> dict[str, Any]:
    """The list of a shard. Raises ValueError where it or its shard is missing or damaged, as far as the size tells."""
    file, data = (shard_file(directory, number, suffix) for suffix in ("json", "array_record"))
    for path in (file, data):
        if not path.is_file():
            raise ValueError(f"{path} is missing")
    shard = files.read_object(file)
    check_fields(file, shard, {"bytes": int, "sha256": str, "clips": list, "bad": list})
    for clip in shard["clips"]:
        check_fields(file, clip, {"id": str, "record": int, "labels": list, "frames": int})
    if (size := data.stat().st_size) != shard["bytes"]:
        raise ValueError(f"{data} has {size} bytes, expected {shard['bytes']}")
    return shard


def check_fields(file: pathlib.Path, content: dict[str, Any], expected: Mapping[str, type]) -> None:
    """Raises ValueError unless every name is there with a value of its type."""
    for name, kind in expected.items():
        if not isinstance(content, dict) or not isinstance(content.get(name), kind):
            raise ValueError(f"{file} is damaged: it has no good {name!r}")


def file_digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shard_file(directory: pathlib.Path, number: int, suffix: str) -> pathlib.Path:
    """Where a shard's records (array_record) or its list (json) are."""
    return directory / "shards" / f"{number:05d}.{suffix}"


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object. Raises ValueError."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: expected a directory made by `actionclip prepare`")
    return files.read_object(path)


def bad_lines(lists: Iterable[dict[str, Any]]) -> str:
    """The content of bad_clips.jsonl, from the lists of all shards."""
    return "".join(f"{to_json(entry)}\n" for shard in lists for entry in shard["bad"])


def to_json(content: Any, **options: Any) -> str:
    """JSON that shows letters of all scripts as they are."""
    return json.dumps(content, ensure_ascii=False, **options)
