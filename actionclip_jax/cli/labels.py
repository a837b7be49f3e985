"""Options that say which labels to choose from."""

import argparse
import pathlib
import re

from actionclip_jax.cli import arguments, terminal


def add_options(parser: argparse.ArgumentParser) -> None:
    """--labels or --labels-file, of which `check` wants one, and whether joined names are split into words."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--labels", help='texts to choose from, separated by commas: "archery, surfing"')
    group.add_argument(
        "--labels-file",
        type=arguments.path,
        metavar="FILE",
        help="the same: one a line, `number name`, CSV or TSV with a column `name`, or JSON",
    )
    parser.add_argument(
        "--split-names",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="ApplyEyeMakeup -> apply eye makeup (default: yes)",
    )


def check(options: argparse.Namespace) -> None:
    """Raises ValueError where no labels are given."""
    if options.labels is None and options.labels_file is None:
        raise ValueError('--labels "archery, surfing" or --labels-file FILE is missing: the texts to choose from')


def read(options: argparse.Namespace) -> tuple[str, ...]:
    """The labels as they are spelt; says what the model will read instead. Raises ValueError."""
    from actionclip_jax.data import class_names as names
    from actionclip_jax.inference import choices

    called = f"--labels-file {options.labels_file}" if options.labels_file else "--labels"
    given = _read_file(options) if options.labels_file else _read_list(options.labels)
    labels = choices.checked_class_names(given, called)
    if options.split_names and (line := names.describe_splitting(labels)):
        terminal.say(line)
    if len(labels) == 1:
        terminal.say(f"{labels[0]!r} is the only label, so its probability is 1 whatever a video shows")
    return labels


def _read_file(options: argparse.Namespace) -> tuple[str, ...]:
    from actionclip_jax.data import label_files

    path = options.labels_file
    try:
        classes = label_files.read(path)
    except OSError as error:
        raise ValueError(f"--labels-file {path}: {error.strerror}; expected {label_files.KNOWN}") from None
    for note in classes.notes:
        terminal.say(note)
    if classes.texts:
        options.split_names = False  # these are the words the prompts are to say
    return classes.texts or classes.names


def _read_list(labels: str) -> list[str]:
    if "," not in labels and pathlib.Path(labels).is_file():
        raise ValueError(f"--labels {labels}: is a file: expected texts, or --labels-file {labels}")
    if re.match(r"""\s*\[?["']""", labels):
        raise ValueError(f"--labels {labels}: expected texts without brackets and quotes: archery, surfing")
    return labels.split(",")
