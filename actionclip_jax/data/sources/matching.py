"""Finds the class that each label of a source means: by its name or its number, never by its place among others."""

import dataclasses
import itertools
import re
from collections.abc import Collection, Mapping, Sequence

from actionclip_jax.data import class_names, label_files, numbers
from actionclip_jax.data.sources import listing, problems

BEFORE = re.compile(r"[(\[]?c?(\d{1,9})[)\]]?[\W_]*")  # a number before a name ...
BEHIND = re.compile(r"[\W_]*[(\[]?(\d{1,9})[)\]]?$")  # ... and behind it
COUNTED = re.compile(r"[(\[]?c?(\d{1,9})(?:_+|[.)\]]\s*|\s+-\s+)(?=[^\W\d])")  # as no text begins: 1_a, 1. a, (1) a
BEGINS = re.compile(r"\d+[_\-.)]")  # as few texts do: 1-on-1
NUMERIC = re.compile(r"c?-?\d+([.,]\d+)*")
SHOWN = 10  # lines of two lists side by side


@dataclasses.dataclass(frozen=True)
class Match:
    """The class a label means."""

    index: int
    doubt: str = ""  # why somebody should look at it


def are_numbers(listed: listing.Listing) -> bool:
    """Whether all labels are numbers, which a label file has to give names."""
    used = {label for entry in listed.entries for label in entry.labels}
    return bool(used) and all(isinstance(label, int) or numbers.read_class(label) is not None for label in used)


def name_classes(used: Sequence[listing.Label], errors: problems.Problems) -> label_files.Classes:
    """The classes of a source without a label file: its own names, sorted, or in the order of the numbers before them.

    Numbers alone are no names.
    """
    names = sorted({label for label in used if isinstance(label, str)})
    if len(names) < len(set(used)) or (names and all(map(NUMERIC.fullmatch, names))):
        errors.fail(
            "labels that are numbers, without a label file beside them (name it with labels, --labels)",
            f"{errors.what}: {', '.join(map(str, used[:SHOWN]))}",
        )
    numbered = {int(match[1]): name[match.end() :] for name in names if (match := COUNTED.match(name))}
    words = [word for _, word in sorted(numbered.items())]
    counted = len(words) == len(names) > 1 and label_files.count_up(list(numbered))
    if counted and all(words) and len(set(words)) == len(words):
        return label_files.Classes(tuple(words), min(numbered))
    return label_files.Classes(tuple(names))


def match(
    used: Sequence[listing.Label], known: label_files.Classes, errors: problems.Problems
) -> dict[listing.Label, Match]:
    """The class of every label for which there is one."""
    names = [label for label in used if isinstance(label, str)]
    places = dict(zip(names, class_names.match_names(names, known.names), strict=True))
    numbered = [(name, number) for name in names if (number := numbers.read_class(name)) is not None]
    if set(places.values()) == {None} and len(numbered) == len(names):
        return _match_numbers(dict(numbered), known, errors)
    matches = _match_numbers({label: label for label in used if isinstance(label, int)}, known, errors)
    left = [name for name, index in places.items() if index is None]
    for name, index in zip(left, class_names.match_letters(left, known.names), strict=True):
        matches |= _match_without_number(name, known) if index is None else {name: Match(index, "spelt otherwise")}
    for name, index in places.items():
        if index is not None:
            matches[name] = Match(index, "" if known.file else _doubt(name))
    _check_distinct(matches, known, errors)
    return matches


def _doubt(name: str) -> str:
    """Why a name may not be meant as a text for the model."""
    return "a number" if NUMERIC.fullmatch(name) else "begins with a number" if BEGINS.match(name) else ""


def _match_numbers(
    numbered: Mapping[listing.Label, int], known: label_files.Classes, errors: problems.Problems
) -> dict[listing.Label, Match]:
    if not numbered:
        return {}
    count, first = len(known.names), known.first
    if first is None:  # the label file does not say it; but 0 or the number of its names tell
        there = set(numbered.values())
        if not there & {0, count} and there < set(range(count)):
            errors.fail(
                "label files that do not number their names, which may begin with 0 or with 1 (a CSV id,name says it)",
                f"{known.file}: {count} names, and the labels are {min(there)} to {max(there)}",
            )
        first = 1 if count in there and 0 not in there else 0
    return {label: Match(number - first) for label, number in numbered.items() if 0 <= number - first < count}


def _match_without_number(name: str, known: label_files.Classes) -> dict[listing.Label, Match]:
    """{name: match} of a name with a number before or behind that of a class; {} if it is none either."""
    for number in (BEFORE.match(name), BEHIND.search(name)):
        if number is None:
            continue
        [index] = class_names.match_names([name[: number.start()] + name[number.end() :]], known.names)
        if index is not None:
            contradicts = known.first is not None and int(number[1]) != index + known.first
            doubt = f"its number is not {index + known.first}, the label file's" if contradicts else ""
            return {name: Match(index, doubt if known.file else "its number is left out")}
    return {}


def _check_distinct(matches: dict[listing.Label, Match], known: label_files.Classes, errors: problems.Problems) -> None:
    """Two labels that are not the same words may be meant as two classes."""
    first: dict[int, listing.Label] = {}
    for label, one in matches.items():
        other = first.setdefault(one.index, label)
        if other != label and not class_names.same_words(str(other), str(label)):
            errors.add("classes that two labels mean", f"{other!r} and {label!r}: {known.names[one.index]!r}")


def side_by_side(unknown: Collection[object], names: Collection[str]) -> str:
    """Two lists as lines of a message, a pair a line."""
    left, right = (sorted(map(str, some))[:SHOWN] for some in (unknown, names))
    rows = [["there", "label file"], *itertools.zip_longest(left, right, fillvalue="")]
    width = min(40, max(len(one) for one, _ in rows))
    lines = [f"      {one:{width}} | {other}" for one, other in rows]
    hidden = [len(some) - SHOWN for some in (unknown, names)]
    if max(hidden) > 0:
        lines.append(f"      and {max(hidden[0], 0)} more  | and {max(hidden[1], 0)} more")
    return "\n".join(lines)
