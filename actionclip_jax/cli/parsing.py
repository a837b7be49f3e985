"""How the commands' parsers look and what all of them have."""

import argparse
import shutil
from typing import Any

WIDEST_HELP = 80  # columns: longer lines are hard to read, and most terminals show no more


class HelpFormatter(argparse.HelpFormatter):
    """Fills the terminal, but no more than WIDEST_HELP columns."""

    def __init__(self, prog: str, **options: Any) -> None:
        columns = min(shutil.get_terminal_size().columns, WIDEST_HELP)
        options.setdefault("width", columns - 2)  # argparse leaves two free as well
        super().__init__(prog, **options)


class Parser(argparse.ArgumentParser):
    """A parser of the program or of one of its commands; `--verbose` may stand before and after the command."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", HelpFormatter)
        super().__init__(**options)
        self.add_argument(
            "--verbose",
            action="store_true",
            default=argparse.SUPPRESS,  # or else a command would take back what was said before it
            help="show what libraries warn of (XLA, absl and others)",
        )
