"""Opens a data set of any kind."""

import dataclasses
import functools
import hashlib
import pathlib
import re

import numpy as np

from actionclip_jax import config, entry_points, paths
from actionclip_jax.data import class_names, clip_lists, label_files, subsets, table
from actionclip_jax.data.records import reader
from actionclip_jax.data.sources import auto, classes, collect, labelling, matching, own, problems
from actionclip_jax.data.sources.kinds import (
    charades,
    folders,
    frames,
    hmdb51,
    kinetics,
    lists,
    sample,
    something,
    tfds,
    ucf101,
)

FILES = {"labels": "--labels", "base_classes": "--base-classes", "only": "--only"}
FRAME_TEMPLATE = re.compile(r"[^{}]*\{(:0?\d?\dd?|:d)?\}[^{}]*")  # of all that str.format knows, a number of a width
KINDS = {
    "folders": folders.read,
    "csv": lists.read,
    "frames": frames.read,
    "ucf101": ucf101.read,
    "hmdb51": hmdb51.read,
    "kinetics": kinetics.read,
    "something": something.read,
    "charades": charades.read,
    "tfds": tfds.read,
    "sample": sample.read,
}
USED_BY = {  # settings that mean something to these kinds only
    "split": ("folders", "csv", "ucf101", "hmdb51", "kinetics", "something", "charades", "tfds", "sample"),
    "depth": ("folders",),
    "fold": ("ucf101", "hmdb51"),
    "ignore_columns": ("csv", "kinetics"),
    "videos": ("csv", "frames", "ucf101", "hmdb51", "kinetics", "something", "charades", "tfds"),
    "frame_template": ("frames",),
    "first_frame": ("frames",),
    "intervals": ("charades",),
}


def open_source(source: config.SourceConfig, check_files: bool = True) -> table.ClipTable:
    """The clips of a data set. Without `check_files` official annotations can be read where the videos are not.

    Raises:
        SourceError: everything wrong with the settings, the list or the files.
        ValueError: a subset that cannot be had.
    """
    given = {name: str(paths.expand_home(value)) for name in config.SOURCE_PATHS if (value := getattr(source, name))}
    source = dataclasses.replace(source, **given)
    errors = problems.Problems(f"the data set {source.path!r}")
    _check_choices(source, errors)
    errors.check()
    kind = auto.recognise(source, errors) if source.kind == "auto" else source.kind
    errors.what += f" ({kind})"
    _check_use(source, kind, errors)
    errors.check()
    clips = _open_records(source, errors) if kind == "records" else _open_list(source, kind, errors, check_files)
    clips = dataclasses.replace(clips, origin={**config.to_dict(source), "kind": kind, **clips.origin})
    if source.only:
        clips = errors.read(functools.partial(clip_lists.take_listed, clips), pathlib.Path(source.only))
    if source.classes != "all":
        clips = subsets.base_or_novel(clips, source.classes, source.base_classes, source.seed)
    if source.shots:
        clips = subsets.few_shot(clips, source.shots, source.seed)
    return clips


def _check_choices(source: config.SourceConfig, errors: problems.Problems) -> None:
    try:
        config.check_data(source)
    except config.ConfigError as error:
        for problem in error.problems:
            errors.add(problems.WRONG, problem)
    if not source.path:
        errors.add(problems.MISSING, "path (SOURCE): expected a list, a directory or the name of a TFDS data set")
    if not FRAME_TEMPLATE.fullmatch(source.frame_template):
        errors.add(
            problems.WRONG, f"frame_template is {source.frame_template!r}: expected a place for a number, like {{:05d}}"
        )


def _check_use(source: config.SourceConfig, kind: str, errors: problems.Problems) -> None:
    honoured = own.uses(kind) if entry_points.is_name(kind) else ()
    for name, kinds in USED_BY.items():
        value = getattr(source, name)
        if kind not in kinds and name not in honoured and value != getattr(config.SourceConfig, name):
            added = f"; it would say so itself: uses = ({name!r},)" if entry_points.is_name(kind) else ""
            errors.add(problems.UNUSED, f"{name} is {value!r}: only {', '.join(kinds)} have it, not {kind}{added}")
    for name, flag in FILES.items():
        file = pathlib.Path(getattr(source, name))
        if getattr(source, name) and (file.is_dir() or not file.exists()):
            errors.add(problems.WRONG, f"{name} ({flag}) is {str(file)!r}: there is no such file")
    if source.base_classes and source.classes == "all":
        errors.add(problems.UNUSED, f"base_classes is {source.base_classes!r}, but classes is 'all'")


def _open_list(source: config.SourceConfig, kind: str, errors: problems.Problems, check_files: bool) -> table.ClipTable:
    listed = own.read(kind, source, errors) if entry_points.is_name(kind) else KINDS[kind](source, errors)
    chosen = classes.read_classes(pathlib.Path(source.labels), errors) if source.labels else None
    if not (listed.known or chosen) and matching.are_numbers(listed):
        folder = listed.files[0].parent if listed.files else listed.videos
        listed.known = classes.find_beside(folder, errors, but=listed.files) if folder else None
    labelled = labelling.label_clips(listed, chosen, source.split_names, errors)
    clips = collect.collect(listed, labelled, errors, check_files=check_files, skip_missing=source.skip_missing)
    read = [*listed.files, *(some.file for some in (listed.known, chosen) if some and some.file)]
    hashes = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in read}
    bare = kinetics.count_bare_names(clips) if kind == "kinetics" else {}
    return dataclasses.replace(clips, origin={"files": hashes, **clips.origin, **bare})


def _open_records(source: config.SourceConfig, errors: problems.Problems) -> table.ClipTable:
    clips = errors.read(reader.open_records, pathlib.Path(source.path))
    chosen = classes.read_classes(pathlib.Path(source.labels), errors) if source.labels else None
    pairs = zip(clips.labels, clips.names, strict=True)
    # other texts than the names came from a label file when this was prepared: they stay, and split if they were split
    kept = chosen is None and any(text not in (name, class_names.split_name(name)) for text, name in pairs)
    was_split = source.split_names or bool(kept and clips.origin.get("split_names"))
    stored = label_files.Classes(clips.labels if kept else clips.names)
    renamed = labelling.rename_classes(stored, chosen, source.split_names, errors)
    errors.check()
    places = np.array([*renamed.indices.values(), -1], np.int32)  # the last stands for "no label"
    noted = {name: value for name, value in clips.origin.items() if name == "noted"}  # not by the list, but here
    return dataclasses.replace(
        clips,
        label_ids=places[clips.label_ids],
        labels=renamed.texts,
        names=renamed.names if chosen else clips.names,
        origin={"prepared": clips.origin, "split_names": was_split, **noted},
    )
