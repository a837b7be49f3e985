"""Gives the clips of a list their label indices, and the classes their texts."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from actionclip_jax.data import class_names, label_files
from actionclip_jax.data.sources import listing, matching, problems

SHOWN = 10  # pairs of a label and its text that are always told


@dataclasses.dataclass(frozen=True)
class Labelling:
    """The classes as the table will have them, and where the source's labels stand among them."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    indices: Mapping[listing.Label, int]
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)  # what people should look at; JSON


def label_clips(
    listed: listing.Listing, chosen: label_files.Classes | None, split_names: bool, errors: problems.Problems
) -> Labelling:
    """The classes as the source says, else as the label file `chosen` has them, else all names there are, sorted."""
    used = list(dict.fromkeys(label for entry in listed.entries for label in entry.labels))
    known = listed.known or chosen or matching.name_classes([*used, *listed.other_labels], errors)
    matches = matching.match(used, known, errors)
    if unknown := [label for label in used if label not in matches]:
        where = {label: entry.where for entry in reversed(listed.entries) for label in entry.labels}
        for label in unknown:
            errors.add(_describe_unknown(label, known), f"{where[label]}: {label!r}")
        meant = {match.index for match in matches.values()}
        left = [name for index, name in enumerate(known.names) if index not in meant]
        errors.add("labels beside the names nothing has", f"{known.file}\n{matching.side_by_side(unknown, left)}")
    renamed = rename_classes(known, None if known is chosen else chosen, split_names, errors)
    indices = {label: renamed.indices[matches[label].index] for label in used if label in matches}
    notes = {
        **_describe_pairs(indices, matches, renamed.texts),
        "label_files": [note for some in (listed.known, chosen) if some for note in some.notes],
    }
    return dataclasses.replace(renamed, indices=indices, notes=notes)


def _describe_unknown(label: listing.Label, known: label_files.Classes) -> str:
    if isinstance(label, str):
        return f"labels that are none of the {len(known.names)} known"
    first = known.first or 0
    return f"labels out of range ({first} to {first + len(known.names) - 1} have a name)"


def _describe_pairs(
    indices: Mapping[listing.Label, int], matches: Mapping[listing.Label, matching.Match], texts: Sequence[str]
) -> dict[str, Any]:
    """Which text a label of the source became: the first pairs by the number of the class, and all doubtful ones."""
    pairs = {str(label): texts[index] for label, index in sorted(indices.items(), key=lambda pair: pair[1])}
    doubts = {str(label): match.doubt for label, match in matches.items()}
    return {
        "count": len(pairs),
        "pairs": dict(itertools.islice(pairs.items(), SHOWN)),
        "doubtful": {label: f"{text} ({doubts[label]})" for label, text in pairs.items() if doubts.get(label)},
    }


def rename_classes(
    known: label_files.Classes, chosen: label_files.Classes | None, split_names: bool, errors: problems.Problems
) -> Labelling:
    """The source's classes, by index, as the label file `chosen` orders or words them."""
    unchanged: dict[listing.Label, int] = {index: index for index in range(len(known.names))}
    if chosen is None:
        return Labelling(known.names, _texts(known, split_names, errors), unchanged)
    places = class_names.match_names(known.names, chosen.names)
    moved: dict[listing.Label, int] = {index: place for index, place in enumerate(places) if place is not None}
    if len(moved) == len(places):  # the same classes, perhaps in another order, perhaps among others
        return Labelling(chosen.names, _texts(chosen, split_names, errors), moved)
    numbered = None not in (known.first, chosen.first) and len(chosen.names) == len(known.names)
    if not numbered or any(place not in (None, index) for index, place in enumerate(places)):
        missing = [name for name, place in zip(known.names, places, strict=True) if place is None]
        left = [name for index, name in enumerate(chosen.names) if index not in places]
        errors.add(
            "label files that do not name all classes (other words for them go into a CSV with the columns name,text)",
            f"{chosen.file}\n{matching.side_by_side(missing, left)}",
        )
    return Labelling(known.names, _texts(chosen, split_names, errors), unchanged)


def _texts(words: label_files.Classes, split_names: bool, errors: problems.Problems) -> tuple[str, ...]:
    """What the prompts will say: a file's own texts as they are, names split into words if asked to."""
    if words.texts or not split_names:
        return words.texts or words.names
    spelt: dict[str, str] = {}
    for name in words.names:
        text = class_names.split_name(name)
        if spelt.setdefault(text, name) != name:
            same = spelt[text].casefold() == name.casefold()
            advice = "reword one" if same else "turn split_names off, --no-split-names"
            errors.add(
                f"classes that become equal once their names are split ({advice})",
                f"{spelt[text]!r} and {name!r} -> {text!r}",
            )
    return class_names.as_texts(words.names, split_names)
