"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(headings: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table; each row has a cell for each heading."""
    return [table_row(headings), "|---" * len(headings) + "|", *map(table_row, rows)]


def table_row(cells: Sequence[object]) -> str:
    """A line of a table."""
    return "".join(f"| {cell} " if cell != "" else "| " for cell in cells) + "|"
