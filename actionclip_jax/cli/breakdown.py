"""Where the time of a compiled step goes, as a table and a picture."""

import pathlib
from collections.abc import Sequence
from typing import Any

import rich.table

from actionclip_jax.cli import terminal

Row = dict[str, Any]
LEAST = 0.001  # of the step: less is shown in one row


def show(report: dict[str, Any], path: pathlib.Path) -> None:
    """Prints and draws a report's breakdown, or says that there is none."""
    from actionclip_jax.plots import charts

    if not report.get("breakdown"):
        terminal.say(f"the compiler of {report['topology']['name']} estimates no cycles: nothing to break down")
        return
    terminal.CONSOLE.print(table(report["breakdown"]))
    charts.breakdown(path, report["breakdown"])
    terminal.say(f"wrote {path}")


def table(rows: Sequence[Row]) -> rich.table.Table:
    """Milliseconds by part and kind, the most first, for each pass; all rows sum to the compiler's estimate."""
    from actionclip_jax.aot import breakdown

    made = rich.table.Table("part", "kind", title="where the compiler's estimate goes, in milliseconds")
    for name in (*breakdown.PASSES, "in all", "of peak", "scheduled"):
        made.add_column(name, justify="right")
    made.add_column("fused with it")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["part"], row["kind"]), []).append(row)
    shown = {names: group for names, group in groups.items() if total(group) >= LEAST * total(rows)}
    for names, group in sorted(shown.items(), key=lambda item: -total(item[1])):
        share = of_peak(group) if "product" in names else ""
        fused = dict.fromkeys(name for row in group for name in row["fused"])
        made.add_row(*names, *times(group), share, scheduled(group), ", ".join(fused))
    small = [row for row in rows if (row["part"], row["kind"]) not in shown]
    made.add_row("less than that", "", *times(small), "", scheduled(small))
    made.add_section()
    made.add_row("all", "", *times(rows), "", scheduled(rows))
    return made


def of_peak(rows: Sequence[Row]) -> str:
    """The share of the device's peak in the seconds of these rows."""
    return f"{sum(row['of_peak'] * row['seconds'] for row in rows) / total(rows):.0%}"


def scheduled(rows: Sequence[Row]) -> str:
    """Milliseconds of instructions, where they are known."""
    known = [row["scheduled"] for row in rows if "scheduled" in row]
    return f"{1000 * sum(known):.2f}" if known else ""


def times(rows: Sequence[Row]) -> list[str]:
    """Milliseconds of each pass, and of all."""
    from actionclip_jax.aot import breakdown

    passes = [total([row for row in rows if row["pass"] == name]) for name in breakdown.PASSES]
    return [f"{1000 * seconds:.2f}" if seconds else "" for seconds in (*passes, total(rows))]


def total(rows: Sequence[Row]) -> float:
    """Seconds of all rows."""
    return sum(row["seconds"] for row in rows)
