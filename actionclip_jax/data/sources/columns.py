"""The columns of a list: every heading is known, or refused by name."""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from actionclip_jax import files
from actionclip_jax.data import headings, numbers
from actionclip_jax.data.sources import problems

HEADINGS = {  # of each field, spelt as `files.normalise_heading` does
    "path": headings.PATH,
    "label": ("label", "class", "name", "action", "category", "class_name", "label_name", "class_id", "label_id"),
    "start": ("start", "begin", "from", "t_start", "onset"),
    "end": ("end", "stop", "finish", "to", "t_end", "until"),
    "start_frame": ("start_frame", "frame_start", "begin_frame", "first_frame"),
    "end_frame": ("end_frame", "frame_end", "stop_frame"),
    "frames": ("frames", "num_frames", "frame_count", "n_frames", "total_frames"),
    "split": ("split", "subset", "partition", "set"),
    "id": ("id", "clip_id"),
}
UNIT = re.compile(r"^(time_)|(_(time|timestamp|s|secs?|seconds?))$")  # start_time, time_start, start_sec are starts
CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d*)?)")
ADVICE = "(rename them, or leave them out with ignore_columns, --ignore-columns)"
NO_TIME = "is no time: expected seconds, mm:ss or hh:mm:ss.s"


def split_names(ignored: str) -> set[str]:
    """The headings that `ignore_columns` names."""
    return {files.normalise_heading(name) for name in ignored.split(",") if name.strip()}


def find_fields(
    rows: Sequence[Sequence[str]], ignored: AbstractSet[str], errors: problems.Problems
) -> dict[str, int] | None:
    """Where each field stands in rows; None where the first is no header. Raises SourceError for unknown headings."""
    header = rows[0]
    fields = [_field(cell) for cell in header]
    if "path" not in fields and "label" not in fields:
        return None
    places: dict[str, int] = {}
    unknown: list[str] = []
    for place, (cell, field) in enumerate(zip(header, fields, strict=True)):
        if files.normalise_heading(cell) in ignored or (not cell and _says_nothing(rows[1:], place)):
            continue
        if field is None:
            unknown.append(cell)
        elif field in places:
            errors.add(f"two columns of one kind {ADVICE}", f"{header[places[field]]!r} and {cell!r}: {field}")
        else:
            places[field] = place
    if unknown:
        known = "; ".join(", ".join(names) for names in HEADINGS.values())
        for cell in unknown[:-1]:
            errors.add(f"columns that are not known {ADVICE}", repr(cell))
        errors.add(f"columns that are not known {ADVICE}", f"{unknown[-1]!r}\n    known are {known}")
    if strange := ignored - set(map(files.normalise_heading, header)):
        errors.add("columns to leave out that the list does not have", ", ".join(sorted(strange)))
    for field in ("path", "label"):
        if field not in places:
            errors.add("columns that are missing", f"{field}: expected one of {', '.join(HEADINGS[field])}")
    for one, other in (("start", "start_frame"), ("end", "end_frame"), ("start", "end_frame"), ("end", "start_frame")):
        if one in places and other in places:
            both = f"{header[places[one]]!r} and {header[places[other]]!r}"
            errors.add(f"seconds and frame numbers in one list {ADVICE}", both)
    errors.check()
    return places


def _says_nothing(rows: Sequence[Sequence[str]], place: int) -> bool:
    """Whether a column without a heading is empty, or numbers the rows as pandas does."""
    cells = [row[place] for row in rows if place < len(row)]
    return not any(cells) or cells == [str(number) for number in range(len(cells))]


def _field(heading: str) -> str | None:
    """The field a heading means."""
    spelt = files.normalise_heading(heading)
    known = {name: field for field, names in HEADINGS.items() for name in names}
    plain = UNIT.sub("", spelt)
    return known.get(spelt) or (known.get(plain) if known.get(plain) in ("start", "end") else None)


def read_seconds(text: str) -> float | None:
    """`2.5`, `00:02` and `1:00:02.5` as seconds; None for nothing. Raises ValueError."""
    if not text:
        return None
    if clock := CLOCK.fullmatch(text):
        hours, minutes, seconds = int(clock[1] or 0), int(clock[2]), float(clock[3])
        if seconds >= 60 or (clock[1] and minutes >= 60):
            raise ValueError(f"{text} {NO_TIME}")
        return 3600 * hours + 60 * minutes + seconds
    try:
        if "_" not in text:  # which Python would take for a grouping of digits
            return float(text)
    except ValueError:
        pass
    raise ValueError(f"{text} {NO_TIME}")


def read_frame(text: str) -> float | None:
    """A frame number; None for nothing. Raises ValueError."""
    if not text:
        return None
    if (frame := numbers.read_natural(text)) is None:
        raise ValueError(f"{text} is no frame number")
    return float(frame)
