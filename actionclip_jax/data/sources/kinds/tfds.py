"""TFDS data sets prepared as ArrayRecord.

The files are read here rather than by `tfds.data_source`, whose `Video` feature imports TensorFlow when it is made
(tensorflow-datasets 4.9.10): features.json and dataset_info.json name the features and shards.
"""

import pathlib
import re
from typing import Any

from actionclip_jax import config, files, paths
from actionclip_jax.data import label_files
from actionclip_jax.data.sources import listing, problems, splits, tfds_records

NAME = re.compile(r"[a-z][a-z0-9_]*(/[A-Za-z0-9_.\-]+)?(:\d+\.\d+\.\d+|/\d+\.\d+\.\d+)?")


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """By name, below `videos` or where TFDS keeps its data sets, or the directory of a prepared one."""
    directory = find_directory(source, errors)
    info = errors.read(files.read_json, directory / "dataset_info.json")
    features = errors.read(files.read_json, directory / "features.json")
    split = source.split or "train"
    try:
        feature, label = _find_features(features.get("featuresDict", {}).get("features", {}), directory, errors)
        shards = _find_shards(source, directory, info, split, errors)
    except (LookupError, TypeError, AttributeError) as error:
        errors.fail(problems.UNREADABLE, f"{directory}: features.json or dataset_info.json is not TFDS's ({error!r})")
    entries = []
    records = tfds_records.open_shards(shards)
    for row in range(len(records)):
        example = tfds_records.parse(records[row])
        place, frames = f"{split}/{row}", len(example[feature].bytes_list.value)
        entries.append(listing.Entry(place, (place,), tuple(example[label].int64_list.value), frames=frames))
    label_file = directory / f"{label}.labels.txt"
    known = label_files.Classes(tuple(errors.read(files.read_lines, label_file)), 0, label_file)
    description = [directory / "dataset_info.json", directory / "features.json"]
    return listing.Listing(entries, None, description, tfds_records.TfdsReader(shards, feature), known)


def find_directory(source: config.SourceConfig, errors: problems.Problems) -> pathlib.Path:
    """The folder of the newest version; an error unless exactly one prepared data set is meant."""
    directory = pathlib.Path(source.path)
    if not directory.is_dir():
        root = paths.expand_home(source.videos or "~/tensorflow_datasets")
        directory = root / source.path.replace(":", "/")
        if not directory.is_dir():
            errors.fail(
                problems.NOT_THERE,
                f"{source.path}: no such file or directory; nor is a TFDS data set of that name prepared below {root} "
                "(say with videos, --videos, where else; prepare with `tfds build --file_format=array_record`)",
            )
    prepared = sorted((file.parent for file in directory.rglob("features.json")), key=_version)
    parents = {path.parent for path in prepared if path != directory}
    if not prepared or len(parents) > 1:
        there = ", ".join(path.relative_to(directory).as_posix() for path in prepared)
        errors.fail(
            "TFDS data sets that are not there or not one (prepare with `tfds build --file_format=array_record`)",
            f"{directory}: {f'holds {there}' if there else 'no features.json in it'}",
        )
    return prepared[-1]


def _version(directory: pathlib.Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", directory.name))


def _find_features(features: dict[str, Any], directory: pathlib.Path, errors: problems.Problems) -> tuple[str, str]:
    """The names of the video and of the label."""
    kinds = {name: feature["pythonClassName"].rpartition(".")[2] for name, feature in features.items()}
    videos = [
        name
        for name, kind in kinds.items()
        if kind == "Video" or (kind == "Sequence" and "image" in features[name]["sequence"]["feature"])
    ]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if len(videos) != 1 or len(labels) != 1:
        errors.fail(
            "TFDS data sets without just one feature Video (or Sequence of Image) and one ClassLabel",
            f"{directory}: {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}",
        )
    return videos[0], labels[0]


def _find_shards(
    source: config.SourceConfig, directory: pathlib.Path, info: dict[str, Any], split: str, errors: problems.Problems
) -> tuple[str, ...]:
    lengths = {item["name"]: item["shardLengths"] for item in info["splits"]}
    if split not in lengths:
        splits.reject(source, f"one of {', '.join(lengths)}", errors)
    count = len(lengths[split])
    names = [f"{info['name']}-{split}.array_record-{shard:05d}-of-{count:05d}" for shard in range(count)]
    if missing := [name for name in names if not (directory / name).is_file()]:
        errors.fail(
            "TFDS shards missing (prepare with `tfds build --file_format=array_record`)", f"{directory}: {missing[0]}"
        )
    return tuple(str(directory / name) for name in names)
