"""How accuracy is measured: a protocol is a list of trials, and a trial a table of clips among its own classes."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from actionclip_jax import config, paths
from actionclip_jax.data import sources, subsets, summary, table

HALVES = 10  # draws of the `half` protocol, with the seeds 0 to 9
FOLDS = (1, 2, 3)
ABOUT = {
    "full": "every class, every clip of the list",
    "splits": "the three official test splits of UCF101 or HMDB51",
    "half": f"{HALVES} halves of the classes, numpy.random.RandomState(seed).permutation(C)[: C // 2] for seeds 0 to 9",
    "k600": "the classes of each of several class lists, such as the three draws of 160 new Kinetics-600 classes",
    "multi-label": "several labels a clip: mean average precision over the whole list",
    "few-shot": "training on K clips a class for several K and seeds, tested on all clips of the test list",
    "base-to-novel": "training on K clips of every base class, tested on base and on novel classes, for several seeds",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One measurement."""

    name: str
    clips: table.ClipTable


def plan(
    protocol: str, source: config.SourceConfig, class_lists: Sequence[pathlib.Path] = (), *, check_files: bool = True
) -> list[Trial]:
    """The trials of one of `config.SCORING_PROTOCOLS`.

    Raises:
        ValueError: a data set that the protocol is not for.
    """
    if (protocol == "k600") != bool(class_lists):
        needs = "needs class lists" if protocol == "k600" else "has no class lists"
        raise ValueError(f"protocol {protocol!r} {needs} (--class-lists FILE ...): k600 restricts the classes to each")
    for file in class_lists:
        paths.check_file("--class-lists", file)
    if protocol == "splits":
        trials = plan_splits(source, check_files)
    else:
        clips = sources.open_source(source, check_files=check_files)
        of_lists = [
            Trial(file.stem, subsets.take_classes(clips, subsets.named_classes(clips, file))) for file in class_lists
        ]
        trials = plan_halves(clips) if protocol == "half" else of_lists or [Trial("all", clips)]
    for trial in trials:
        if trial.clips.multi_label != (protocol == "multi-label"):
            has = "several labels" if trial.clips.multi_label else "one label"
            raise ValueError(f"a clip of {source.path} has {has}, which protocol {protocol!r} is not for")
        check_labelled(trial.clips, source.path)
    return trials


def class_names(trials: Sequence[Trial]) -> list[str]:
    """Those of all trials, each once, in alphabetical order."""
    return sorted({name for trial in trials for name in trial.clips.labels})


def notices(trials: Sequence[Trial]) -> list[str]:
    """What should be looked at in the data of trials, each line once."""
    return list(dict.fromkeys(line for trial in trials for line in summary.notices(trial.clips.origin)))


def check_labelled(clips: table.ClipTable, path: str) -> None:
    """Raises ValueError for clips that every answer would be wrong for."""
    if unlabelled := int((clips.label_ids[:, 0] < 0).sum()) * (not clips.multi_label):
        raise ValueError(f"{unlabelled} clips of {path} have no label: they can be predicted, not evaluated")


def plan_splits(source: config.SourceConfig, check_files: bool) -> list[Trial]:
    """The test split of each fold."""
    trials = []
    for fold in FOLDS:
        one = dataclasses.replace(source, fold=fold, split=source.split or "test")
        clips = sources.open_source(one, check_files=check_files)
        if clips.origin["kind"] not in sources.USED_BY["fold"]:
            raise ValueError(
                f"protocol 'splits' is for {' and '.join(sources.USED_BY['fold'])}, and {source.path} is of the kind "
                f"{clips.origin['kind']!r}: give the directory of the official lists, with --videos that of the files"
            )
        trials.append(Trial(f"split {fold}", clips))
    return trials


def plan_halves(clips: table.ClipTable) -> list[Trial]:
    """Halves of the classes."""
    if len(clips.labels) < 2:
        raise ValueError("a single class cannot be halved")
    halves = [subsets.draw_half(len(clips.labels), seed) for seed in range(HALVES)]
    return [Trial(f"half {seed}", subsets.take_classes(clips, half)) for seed, half in enumerate(halves)]


def without_classes(trial: Trial, seen: pathlib.Path) -> Trial | None:
    """The trial without clips and classes named in a file of classes seen in training; None if nothing is left."""
    left = np.setdiff1d(np.arange(len(trial.clips.labels)), subsets.known_classes(trial.clips, seen))
    return Trial(trial.name, subsets.take_classes(trial.clips, left)) if len(left) else None


def check_seen(trials: Sequence[Trial], seen: pathlib.Path) -> None:
    """Raises ValueError for a file that names no class of any trial, or all classes of each: a misspelt one, say."""
    paths.check_file("--seen-classes", seen)
    left = [len(trial.clips.labels) - len(subsets.known_classes(trial.clips, seen)) for trial in trials]
    if not any(left):
        raise ValueError(f"{seen} (--seen-classes) names every class of the data set: nothing is left without them")
    if left == [len(trial.clips.labels) for trial in trials]:
        raise ValueError(f"{seen} (--seen-classes) names no class of the data set")
