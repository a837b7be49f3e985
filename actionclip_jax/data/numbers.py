"""Whole numbers as lists, tables and label files spell them."""

import re

WHOLE = re.compile(r"(-?\d+)(?:\.0*)?")  # tables with gaps in a column turn 3 into 3.0
CLASS = re.compile(r"c?(\d+)")  # Charades calls its classes c000, c001 ...
DIGITS = 9  # of a class or a frame
MAX_DIGITS = 18  # more fit no 64 bits


def is_number(text: str) -> bool:
    """Whether a field of a list is a whole number; negative ones are reported later as out of range."""
    return bool(re.fullmatch(rf"-?\d{{1,{MAX_DIGITS}}}", text))


def is_whole(text: str) -> bool:
    """Whether a cell of a table is a whole number of any size, 3 or 3.0."""
    return bool(WHOLE.fullmatch(text))


def read_whole(text: str) -> int | None:
    """A cell's number; None for one that fits no 64 bits, and where there is none."""
    number = WHOLE.fullmatch(text)
    return int(number[1]) if number and is_number(number[1]) else None


def read_natural(text: str) -> int | None:
    """A cell's number from 0 on, of at most nine digits; None for anything else."""
    number = WHOLE.fullmatch(text)
    return int(number[1]) if number and number[1].isdecimal() and len(number[1]) <= DIGITS else None


def read_class(text: str) -> int | None:
    """A class called by its number, 12 or c012; None for anything else."""
    number = CLASS.fullmatch(text)
    return int(number[1]) if number and len(number[1]) <= DIGITS else None
