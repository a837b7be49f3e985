"""Breaks things and looks what happens: `python benchmarks/faults/run.py [GROUP ...]`, a table of pass and fail.

Every fault is really injected: processes are killed, bytes are flipped, disks are full. Exit code 0 if all passed.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import checkpoints
import harness
import launchers
import peers
import rich.console
import rich.markup
import rich.table
import runs
import untrusted

GROUPS: dict[str, list[harness.Fault]] = {
    "runs": runs.FAULTS,
    "checkpoints": checkpoints.FAULTS,
    "peers": peers.FAULTS,
    "launchers": launchers.LAUNCHERS,
    "weights": untrusted.CHECKPOINTS,
    "videos": untrusted.VIDEOS,
    "lists": untrusted.LISTS,
    "configs": untrusted.CONFIGS,
}
CONSOLE = rich.console.Console(width=160, highlight=False)


def main() -> None:
    """Reads the command line, injects, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; all without")
    parser.add_argument("--only", default="", metavar="TEXT", help="faults whose name contains this")
    parser.add_argument("--json", type=pathlib.Path, help="write the results here as well")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}; expected some of {', '.join(GROUPS)}")
    rows = [
        inject(group, fault)
        for group in options.groups or GROUPS
        for fault in GROUPS[group]
        if options.only in fault.name
    ]
    table = rich.table.Table("group", "fault", "should", "happened", "s", "")
    for row in rows:
        colour = "green" if row["passed"] else "bold red"
        mark = f"[{colour}]{'pass' if row['passed'] else 'FAIL'}"
        cells = (rich.markup.escape(str(row[name])) for name in ("group", "fault", "expected", "happened", "seconds"))
        table.add_row(*cells, mark)
    CONSOLE.print(table)
    failed = sum(not row["passed"] for row in rows)
    CONSOLE.print(f"{len(rows) - failed} of {len(rows)} passed")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(failed) or not rows)


def inject(group: str, fault: harness.Fault) -> dict[str, object]:
    """The result of one fault, as a row of the table; says so at once."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="actionclip-fault-") as folder:
        try:
            happened, passed = fault.inject(pathlib.Path(folder)), True
        except Exception as error:  # whatever went wrong is the result
            happened, passed = f"{type(error).__name__}: {error}", False
    seconds = round(time.perf_counter() - begin, 1)
    CONSOLE.print(f"{'pass' if passed else 'FAIL'}  {group}: {fault.name}  ({seconds} s)", markup=False)
    named = {"group": group, "fault": fault.name, "expected": fault.expected}
    return {**named, "happened": shorten(happened), "seconds": seconds, "passed": passed}


def shorten(text: str) -> str:
    """At most 500 characters, the last ones of what is longer."""
    return text if len(text) <= 500 else f"... {text[-500:]}"


if __name__ == "__main__":
    main()
