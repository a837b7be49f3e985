"""Options of the commands that open a data set."""

import argparse
import typing

from actionclip_jax import config
from actionclip_jax.cli import arguments

if typing.TYPE_CHECKING:
    from actionclip_jax.data import table


def add_options(
    parser: argparse.ArgumentParser, *, flag: str = "", seeds: str = "--shots and of the half drawn"
) -> None:
    """SOURCE, or the flag, and what else says which clips are meant: the fields of `config.SourceConfig`.

    `seeds` says what --seed is of.
    """
    default, place = config.SourceConfig(), "list or annotation file, directory, or TFDS name"
    if flag:
        parser.add_argument(flag, dest="path", default="", metavar="SOURCE", help=place)
    else:
        parser.add_argument("path", metavar="SOURCE", help=place)
    group = parser.add_argument_group("data set")
    add = group.add_argument
    known = arguments.choice_or_own(config.SOURCES)
    kinds = f"of SOURCE (default: recognised): {', '.join(config.SOURCES)}, or your own reader, package.module:read"
    add("--kind", type=known, metavar="KIND", default=default.kind, help=kinds)
    add(
        "--videos", default="", metavar="DIR", help="where the files of a list are (default: beside it); TFDS: data_dir"
    )
    add("--labels", default="", metavar="FILE", help="label texts: one a line, or a CSV with columns id,name")
    add("--split", default="", help="train, validation or test, where SOURCE holds several")
    levels = "of a directory: how many levels below it the class folders lie; 0: each video's own folder (default: 1)"
    add("--depth", type=arguments.natural, default=default.depth, metavar="N", help=levels)
    add("--fold", type=int, default=default.fold, help="of UCF101 and HMDB51: 1, 2 or 3 (default: 1)")
    add(
        "--split-names",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="ApplyEyeMakeup -> apply eye makeup (default: yes)",
    )
    add(
        "--ignore-columns",
        default="",
        metavar="NAME,NAME",
        help="of a list: columns that say nothing of its clips; others that are not known are refused",
    )
    add("--skip-missing", action="store_true", help="leave out clips whose file is missing; otherwise an error")
    add(
        "--frame-template", default=default.frame_template, help=f"of frame folders (default: {default.frame_template})"
    )
    add("--first-frame", type=int, default=default.first_frame, help="number of a folder's first frame (default: 1)")
    add("--intervals", action="store_true", help="Charades: a clip for each annotated action")
    add("--only", default="", metavar="FILE", help="keep the clips whose ids FILE names, in lines or a column id")
    add("--shots", type=arguments.positive, default=0, help="keep so many clips of every class")
    add("--classes", choices=config.CLASSES, default="all", help="base: those of --base-classes, or half by --seed")
    add("--base-classes", default="", metavar="FILE", help="names of the base classes")
    add("--seed", type=int, default=0, help=f"of {seeds} (default: 0)")


def paths_of(options: argparse.Namespace, flag: str = "SOURCE") -> dict[str, str | None]:
    """The options that name files or directories, as they are called; None for those not given."""
    given = {"--videos": options.videos, "--labels": options.labels, "--only": options.only}
    given["--base-classes"] = options.base_classes
    return {flag: options.path, **{name: value or None for name, value in given.items()}}


def read_options(options: argparse.Namespace) -> config.SourceConfig:
    """The data set the options ask for."""
    names = config.to_dict(config.SourceConfig())
    return config.SourceConfig(**{name: getattr(options, name) for name in names})


def open_table(options: argparse.Namespace) -> "table.ClipTable":
    """The clips the options ask for."""
    from actionclip_jax.data import sources  # takes a second, which not every command has to pay

    return sources.open_source(read_options(options))
