"""Gives the clips of a list their label indices, and the classes their texts."""

import dataclasses

from actionclip_jax.data import labels
from actionclip_jax.data.sources import classes, listing, problems


@dataclasses.dataclass(frozen=True)
class Labelling:
    """The classes as the table will have them, and where the source's labels stand among them."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    indices: dict[listing.Label, int | None]


def label_clips(
    listed: listing.Listing, chosen: classes.Classes | None, split_names: bool, found: problems.Problems
) -> Labelling:
    """The classes as the label file `chosen` has them, else as the source says, else all names there are, sorted.

    A label file with as many texts as there are names, none of them equal, holds other words for them, in their order.
    """
    used = dict.fromkeys(label for entry in listed.entries for label in entry.labels)
    known = listed.known or chosen
    names = tuple(sorted(label for label in used if isinstance(label, str)))
    reworded = (
        chosen and len(names) == len(used) == len(chosen.names) and set(chosen.find_all(names).values()) == {None}
    )
    if known is None or (not listed.known and reworded):
        if len(names) < len(used):
            found.fail(
                "lists of numbered labels without a label file beside them (name it with labels, --labels)", found.what
            )
        known = classes.Classes(names)
    indices = known.find_all(used)
    _report_unknown(listed, known, indices, found)
    renamed = rename_classes(known, None if known is chosen else chosen, split_names, found)
    places = {label: None if index is None else renamed.indices[index] for label, index in indices.items()}
    return dataclasses.replace(renamed, indices=places)


def rename_classes(
    known: classes.Classes, chosen: classes.Classes | None, split_names: bool, found: problems.Problems
) -> Labelling:
    """The source's classes, by index, as the label file `chosen` orders or words them."""
    names = texts = known.names
    places = dict(enumerate(range(len(names))))
    if chosen is not None:
        by_name = labels.match_names(names, chosen.names)
        if None not in by_name:  # the same classes, perhaps in another order, perhaps among others
            names = texts = chosen.names
            places = dict(enumerate(by_name))
        elif len(chosen.names) == len(names) and all(place in (None, index) for index, place in enumerate(by_name)):
            texts = chosen.names  # other words for the same classes
        else:
            found.add(
                "label files that neither name all classes of the source nor give it as many texts in its order",
                f"{chosen.file}: {len(chosen.names)} labels for {len(names)} classes, "
                f"without {names[by_name.index(None)]!r}",
            )
    return Labelling(names, _split_texts(texts, found) if split_names else texts, places)


def _report_unknown(
    listed: listing.Listing,
    known: classes.Classes,
    indices: dict[listing.Label, int | None],
    found: problems.Problems,
) -> None:
    last = known.first + len(known.names) - 1
    for entry in listed.entries:
        for label in entry.labels:
            if indices[label] is None and isinstance(label, int):
                found.add(f"labels out of range ({known.first} to {last} have a name)", f"{entry.where}: {label}")
            elif indices[label] is None:
                found.add(f"labels that are none of the {len(known.names)} known", f"{entry.where}: {label!r}")


def _split_texts(texts: tuple[str, ...], found: problems.Problems) -> tuple[str, ...]:
    spelt: dict[str, str] = {}
    for text in texts:
        words = labels.split_name(text)
        if spelt.setdefault(words, text) != text:
            found.add(
                "classes that become equal once their names are split (turn split_names off, --no-split-names)",
                f"{spelt[words]!r} and {text!r} -> {words!r}",
            )
    return tuple(map(labels.split_name, texts))
