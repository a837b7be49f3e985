"""Markdown for reports."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table; cells are written as `str` has them."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def percent(mean: float, deviation: float) -> str:
    """`71.24% ± 0.31%` of 0.7124 and 0.0031."""
    return f"{mean:.2%} ± {deviation:.2%}"
