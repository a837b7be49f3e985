"""An early look at the clips: which cannot be decoded, how many there are of each class, and what training sees."""

import concurrent.futures
import logging
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from actionclip_jax import config, progress
from actionclip_jax.data import examples, table, workers
from actionclip_jax.training import preview

logger = logging.getLogger(__name__)

NAMED = 10  # classes or clips named in a message
LISTED = 30  # classes in the table of counts
SHEET = "look.png"


def find_broken(clips: table.ClipTable, sample: config.SampleConfig, checked: int) -> dict[int, str]:
    """Rows of clips that cannot be decoded, with the reasons; of more than `checked` clips, until each class has one.

    Raises:
        ValueError: classes none of whose clips can be decoded; they are named with a reason.
    """
    classes = rows_by_class(clips)
    if len(clips) <= checked:
        broken = decode(clips, sample, range(len(clips)))
    else:
        broken, waiting, place = {}, classes, 0
        while waiting:
            broken |= decode(clips, sample, [rows[place] for rows in waiting.values()])
            place += 1
            waiting = {
                label: rows for label, rows in waiting.items() if rows[place - 1] in broken and place < len(rows)
            }
    if lost := {label: rows for label, rows in classes.items() if broken.keys() >= set(rows)}:
        lines = [
            f"{clips.labels[label]!r}: {len(rows)}, such as {clips.ids[rows[0]]}: {broken[rows[0]]}"
            for label, rows in lost.items()
        ]
        raise ValueError("\n  ".join(["no clip of these classes can be decoded; repair or remove them:", *lines]))
    return broken


def rows_by_class(clips: table.ClipTable) -> dict[int, list[int]]:
    """The rows of each class that has clips, by the first label of clips that have several."""
    first = clips.label_ids[:, 0]
    return {int(label): np.flatnonzero(first == label).tolist() for label in np.unique(first[first >= 0])}


def decode(clips: table.ClipTable, sample: config.SampleConfig, rows: Sequence[int]) -> dict[int, str]:
    """The rows among these that cannot be decoded, with the reasons."""
    load, broken = examples.TestExamples(clips, sample), {}
    bar = progress.Progress("looking at the clips", len(rows))
    with concurrent.futures.ThreadPoolExecutor(workers.count_cores()) as pool:
        for row, bad in zip(rows, pool.map(lambda row: load(row)["bad"], rows), strict=True):
            bar.advance()
            if bad:
                broken[row] = bad[0][3]
    return broken


def tell_broken(clips: table.ClipTable, broken: dict[int, str]) -> None:
    """Says which clips are left out."""
    if broken:
        some = [f"  {clips.ids[row]}: {reason}" for row, reason in list(broken.items())[:NAMED]]
        more = [f"  and {len(broken) - NAMED} more"] if len(broken) > NAMED else []
        head = f"{len(broken)} of {len(clips)} clips cannot be decoded, and are left out:"
        logger.warning("\n".join([head, *some, *more]))


def count(clips: table.ClipTable) -> np.ndarray:
    """Clips of each class [C]."""
    return np.bincount(clips.label_ids[clips.label_ids >= 0], minlength=len(clips.labels))


def describe(train: table.ClipTable, test: table.ClipTable | None, rule: config.FinetuneRule) -> Iterator[str]:
    """Lines about the classes: their clips, and what is doubtful about that."""
    trained, held = count(train), count(test) if test else np.zeros(len(train.labels), int)
    width = max(map(len, train.labels[:LISTED]))
    yield f"{'class':{width}}  for training  held out"
    for label, name in enumerate(train.labels[:LISTED]):
        yield f"{name:{width}}  {trained[label]:12}  {held[label]:8}"
    if (more := len(train.labels) - LISTED) > 0:
        yield f"and {more} more classes"
    yield f"{'together':{width}}  {len(train):12}  {len(test) if test else 0:8}"
    some = trained[trained > 0]
    if some.max() >= rule.imbalance * some.min():
        largest, least = train.labels[trained.argmax()], train.labels[np.where(trained > 0, trained, np.inf).argmin()]
        yield (
            f"the classes are unequal: {some.max()} clips of {largest!r}, {some.min()} of {least!r}. Training sees all "
            "clips equally often; look at the accuracy of every class in the report"
        )
    yield from name_classes(train, (trained > 0) & (trained < rule.few_clips), f"fewer than {rule.few_clips} clips")
    yield from name_classes(train, trained == 0, "no clip to train with, and stay among the answers")
    if test:
        missing = "no held-out clip: their accuracy is not known"
        yield from name_classes(train, (trained > 0) & (held == 0), missing)


def name_classes(clips: table.ClipTable, which: np.ndarray, what: str) -> Iterator[str]:
    """A line about some classes [C] bool, if there are any."""
    names = [repr(clips.labels[label]) for label in np.flatnonzero(which)]
    if names:
        yield (
            f"{len(names)} of {len(clips.labels)} classes have {what}: {', '.join(names[:NAMED])}"
            f"{' ...' * (len(names) > NAMED)}"
        )


def draw(
    out: pathlib.Path, clips: table.ClipTable, sample: config.SampleConfig, augment: config.AugmentConfig, seed: int
) -> None:
    """Draws a contact sheet of what training will see."""
    pages, _ = preview.draw(out / SHEET, clips, sample, augment, seed, len(clips))
    for page in pages:
        logger.info(f"what training will see of some clips: {page}")


def choose_for_sheet(clips: table.ClipTable, most: int) -> table.ClipTable:
    """So many clips at most, of as many classes as possible and as alike in number as possible."""
    classes = rows_by_class(clips)
    turns = sorted((turn, label, row) for label, rows in classes.items() for turn, row in enumerate(rows))
    return clips.take(np.sort(np.array([row for _, _, row in turns[:most]], np.int64)))
