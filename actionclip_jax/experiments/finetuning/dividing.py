"""Which clips are trained with and which are held out, written down as lists."""

import csv
import dataclasses
import io
import logging
import os
import pathlib

import numpy as np

from actionclip_jax import config, files
from actionclip_jax.data import clip_lists, held_out, sources, summary, table
from actionclip_jax.data.records import reader
from actionclip_jax.evaluation import protocols
from actionclip_jax.experiments.finetuning import look

logger = logging.getLogger(__name__)

TRAINED, HELD_OUT, CLASSES = "train.csv", "held_out.csv", "classes.csv"  # in the directory of the run


@dataclasses.dataclass(frozen=True)
class Parts:
    """The clips, and the sources that read them again."""

    train: table.ClipTable
    test: table.ClipTable | None  # None: nothing is held out
    train_source: config.SourceConfig
    test_source: config.SourceConfig


def divide(request: config.FinetuneConfig, sample: config.SampleConfig) -> Parts:
    """Opens the data, leaves out what cannot be decoded, holds clips out, and writes the lists of both parts.

    Raises:
        ValueError: data that cannot be trained with.
    """
    out, clips = pathlib.Path(request.out), open_labelled(request.data)
    broken = look.find_broken(clips, sample, request.rule.checked_clips)
    look.tell_broken(clips, broken)
    whole = clips.take(np.setdiff1d(np.arange(len(clips)), list(broken)))
    write_classes(out / CLASSES, clips)
    own = dataclasses.replace(request.data, shots=0)  # the lists have them
    if request.test.path:
        test_source = dataclasses.replace(request.test, labels=request.test.labels or str(out / CLASSES))
        test = open_labelled(test_source)
        if test.labels != clips.labels:
            raise ValueError(f"--val {request.test.path} has other classes: {test.labels}, expected {clips.labels}")
        train = without_test(whole, test)
    else:
        held = held_out.draw(whole, request.held_out, request.seed)
        train, test = whole.take(np.flatnonzero(~held)), whole.take(np.flatnonzero(held))
        test_source = dataclasses.replace(own, only=str(out / HELD_OUT))
        tell_drawn(request, whole, held)
    clip_lists.write(out / TRAINED, train)
    train_source = dataclasses.replace(own, only=str(out / TRAINED))
    if not len(test):
        return Parts(train, None, train_source, config.SourceConfig())
    clip_lists.write(out / HELD_OUT, test)
    return Parts(train, test, train_source, test_source)


def open_labelled(source: config.SourceConfig) -> table.ClipTable:
    """The clips of a data set, with what there is to say of it. Raises ValueError for clips without a label."""
    clips = sources.open_source(source)
    protocols.check_labelled(clips, source.path)
    logger.info(f"{source.path}: {len(clips)} clips of {len(clips.labels)} classes")
    for line in summary.notices(clips.origin):
        logger.warning(line)
    return clips


def write_classes(path: pathlib.Path, clips: table.ClipTable) -> None:
    """A label file of the classes with the texts the model reads, without numbers: only names mean classes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows([("name", "text"), *zip(clips.names, clips.labels, strict=True)])
    files.write_text(path, text.getvalue())


def tell_drawn(request: config.FinetuneConfig, clips: table.ClipTable, held: np.ndarray) -> None:
    """Says what was held out, and whether clips of one video may be on both sides."""
    if not held.any():
        why = "no class has clips of two videos" if request.held_out else "as asked for (--val 0)"
        logger.warning(f"nothing is held out, {why}: how good the model becomes will not be known")
        return
    _, told = held_out.source_videos(clips)
    apart = (
        f"clips cut from one video are on one side ({told})"
        if told
        else "no name tells which clips were cut from one video: if some were, they may be on both sides, and the "
        "accuracy will be too high (--val LIST names others)"
    )
    logger.info(
        f"{held.sum()} of {len(clips)} clips are held out, drawn by seed {request.seed} from every class: "
        f"{pathlib.Path(request.out) / HELD_OUT} (--val takes it again); {apart}"
    )


def without_test(train: table.ClipTable, test: table.ClipTable) -> table.ClipTable:
    """The training clips that are no test clips. Says how many were, and how many are cut from the same videos."""
    tested = set(places(test))
    twice = np.array([place in tested for place in places(train)], bool)
    if twice.any():
        logger.warning(f"{twice.sum()} of {len(train)} clips are held-out ones (--val) too, and are not trained with")
    train = train.take(np.flatnonzero(~twice))
    if not len(train):
        raise ValueError("--val holds out every clip: nothing is left to train with")
    (videos, told), (others, _) = held_out.source_videos(train), held_out.source_videos(test)
    if shared := sum(video in set(others) for video in videos):
        logger.warning(
            f"{shared} of {len(train)} clips are cut from the same videos as held-out ones ({told or 'one file'}): the "
            "accuracy will be too high"
        )
    return train


def places(clips: table.ClipTable) -> list[tuple[str, str]]:
    """Where the clips of a data set are, comparable with those of others: a file, and the part of it."""
    shards = clips.reader.directory if isinstance(clips.reader, reader.Records) else ""
    files_of = [os.path.realpath(os.path.join(shards, path)) for path in clips.paths.tolist()]  # noqa: PTH118
    intervals = [f"{start}-{end}" for start, end in zip(clips.starts.tolist(), clips.ends.tolist(), strict=True)]
    return list(zip(files_of, intervals, strict=True))
