"""`actionclip evaluate`."""

import argparse
import pathlib
import typing
from collections.abc import Sequence
from typing import Any

import rich.box
import rich.table

from actionclip_jax import config, paths
from actionclip_jax.cli import arguments, processes, source, terminal, train

if typing.TYPE_CHECKING:
    from actionclip_jax.evaluation import protocols


def add(commands: Any) -> None:
    """actionclip evaluate MODEL --data SOURCE"""
    parser = commands.add_parser(
        "evaluate",
        usage="actionclip evaluate MODEL --data SOURCE [--protocol NAME] [options]\n       "
        "actionclip evaluate MODEL --protocol few-shot --config FILE [options]\n       "
        "[--config.part.field=value ...]\n       "
        "actionclip evaluate MODEL --interpolate 0:1:0.1 --from MODEL\n       "
        "--data SOURCE [options]",
        help="how good a model is, by the protocols of the field",
        description="Measures a model on a list of clips and writes a report that says all a number depends on. "
        "Goes on where it was interrupted.",
        epilog="Exit code: 0 done, 1 some clips could not be decoded, 2 nothing done; where it trains, "
        f"{train.EXIT_CODES}",
    )
    parser.set_defaults(execute=execute, takes_settings=True)
    arguments.add_model(parser, more="; with --config, -: what it says")
    add = parser.add_argument
    add("--protocol", choices=config.PROTOCOLS, default="full", help="see docs/evaluation.md (default: full)")
    add("--out", metavar="DIR", default="outputs/evaluation", help="(default: %(default)s)")
    add("--class-lists", nargs="+", type=arguments.path, default=[], metavar="FILE", help="of the protocol k600")
    add_training(parser.add_argument_group("few-shot and base-to-novel: training from MODEL, then testing"))
    add_interpolation(parser.add_argument_group("weights between two checkpoints"))
    add_measuring(parser)
    arguments.add_computation(parser)
    arguments.add_activation(parser)
    arguments.add_trust(parser)
    source.add_options(parser, flag="--data")
    processes.add_options(parser)


def add_training(group: argparse._ArgumentGroup) -> None:
    """Options of the protocols that train."""
    add, counts = group.add_argument, "training clips (default: 2 4 8 16, or 16)"
    add("--config", metavar="FILE", help="how to train, and on what: see configs/hmdb51_few_shot.py")
    add("--clips-per-class", nargs="+", metavar="N", type=arguments.positive, help=counts)
    add(
        "--seeds", nargs="+", metavar="N", type=arguments.natural, default=[0, 1, 2], help="a run each (default: 0 1 2)"
    )


def add_interpolation(group: argparse._ArgumentGroup) -> None:
    """Options of measuring weights between two checkpoints."""
    add = group.add_argument
    add("--interpolate", metavar="SHARES", help="0:1:0.1 (first, last, step) or 0,0.5,1; 1 is MODEL")
    add("--from", dest="first", metavar="MODEL", help="the weights at 0, such as those of plain CLIP")
    add("--seen-data", default="", metavar="SOURCE", help="clips of the classes trained with, scored too")


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Options that say how clips and labels become scores."""
    add, views = parser.add_argument, "T clips over time x S crops (default: 1x1)"
    add("--frames", type=arguments.positive, default=0, help="frames of a clip (default: the model's)")
    add("--views", type=arguments.views, default=(1, 1), metavar="TxS", help=views)
    add("--templates", default="actionclip", help="actionclip (16), none, or a file with one a line")
    add("--prob-average", choices=config.AVERAGES, default="templates", help="(default: templates)")
    add("--scores", choices=config.SCORES, default="softmax", help="of similarities (default: softmax)")
    add("--seen-classes", type=arguments.path, metavar="FILE", help="measure once more without these classes")
    add("--threshold", type=float, metavar="P", help='below this probability the answer is "none of these"')
    add("--save-features", action="store_true", help="keep the clips' features, in DIR/features")
    saved = "use saved features: other labels or protocols in seconds"
    add("--features", type=arguments.path, metavar="DIR", help=saved)
    add("--dry-run", action="store_true", help="print the trials with their counts and stop; needs no videos")
    add("--batch-size", type=arguments.positive, help="clips encoded at once (default: 8 a device)")
    workers = "decoding processes; -1: one a CPU core; 0: threads (default: by the device)"
    add("--workers", type=int, metavar="N", help=workers)


def execute(options: argparse.Namespace) -> int:
    """Does what the protocol asks for."""
    check_options(options)
    terminal.set_up_jax()
    if options.protocol in config.TRAINING_PROTOCOLS:
        return train_and_test(options)
    if options.dry_run:
        return try_out(options)
    arguments.make_ready(options.model, options.first)
    processes.join(options)
    code = interpolate(options) if options.interpolate else measure(options)
    processes.part()
    return code


def try_out(options: argparse.Namespace) -> int:
    """What --dry-run does: every check that needs neither the videos nor the weights."""
    from actionclip_jax.evaluation import evaluate, protocols

    settings = read_settings(options)
    if options.interpolate:
        _, sets = plan_interpolation(options, settings, check_files=False)
        trials = [protocols.Trial(name, clips) for name, clips in sets.items()]
    else:
        trials = evaluate.plan(source.read_options(options), settings, check_files=False)
    print_trials(trials)
    return 0


def check_options(options: argparse.Namespace) -> None:
    """Raises ValueError for options that the protocol does not know, or misses, and paths that are none."""
    check_paths(options)
    trains, problems = options.protocol in config.TRAINING_PROTOCOLS, []
    if trains != bool(options.config):
        problems.append(
            f"--config FILE {'is missing: it' if trains else 'is for few-shot and base-to-novel:'} says how to train"
        )
    if trains == bool(options.path):
        problems.append(f"--data SOURCE {'is told by --config' if trains else 'is missing'}")
    if options.settings and not trains:
        problems.append(f"{options.settings[0]} is not understood")
    if options.clips_per_class and not trains:
        problems.append("--clips-per-class is for few-shot and base-to-novel")
    if bool(options.interpolate) != bool(options.first):
        problems.append("--interpolate SHARES and --from MODEL go together")
    if options.interpolate and options.protocol != "full":
        problems.append("--interpolate goes with the protocol full")
    if options.interpolate and (options.features or options.save_features or options.threshold is not None):
        problems.append("--features, --save-features and --threshold do not go with --interpolate")
    if options.seen_data and not options.interpolate:
        problems.append("--seen-data goes with --interpolate")
    if options.protocol == "base-to-novel" and len(options.clips_per_class or [1]) > 1:
        problems.append("--clips-per-class is one number for base-to-novel")
    if problems:
        raise ValueError("\n  ".join(["the options do not go together:", *problems] if len(problems) > 1 else problems))


def check_paths(options: argparse.Namespace) -> None:
    """Raises ValueError for options that can be no paths."""
    paths.check(
        {
            "MODEL": options.model,
            "--from": options.first,
            "--out": options.out,
            "--config": options.config,
            **(source.paths_of(options, "--data") if options.path else {}),
            "--seen-data": options.seen_data or None,
            "--seen-classes": options.seen_classes,
            "--class-lists": options.class_lists,
            "--templates": options.templates,
            "--features": options.features,
        }
    )
    options.out = pathlib.Path(options.out)


def read_settings(options: argparse.Namespace) -> config.EvaluationConfig:
    """The options as settings of an evaluation."""
    import jax

    workers = options.workers
    if workers is None:
        # where the CPU computes as well, processes gain nothing over threads and take seconds to start
        workers = 0 if jax.default_backend() == "cpu" else -1
    settings = config.EvaluationConfig(
        out=options.out,
        protocol=options.protocol,
        class_lists=tuple(options.class_lists),
        frames=options.frames,
        views=options.views,
        templates=options.templates,
        average=options.prob_average,
        scores=options.scores,
        seen=options.seen_classes,
        threshold=options.threshold,
        features=options.features,
        save_features=options.save_features,
        loader=config.LoaderConfig(batch_size=options.batch_size or 8 * jax.device_count(), workers=workers),
        compute=arguments.read_computation(options),
        activation=options.activation,
        trust_code=options.trust_code,
    )
    return config.checked_evaluation(settings)


def measure(options: argparse.Namespace) -> int:
    """A protocol that needs nothing but the clips' features."""
    from actionclip_jax.evaluation import evaluate

    settings, clips = read_settings(options), source.read_options(options)
    with terminal.progress_line():
        content = evaluate.evaluate(options.model, clips, settings)
    if not content:  # another process reports
        return 0
    print_report(content)
    found = "says what was done, how sure the scores are, and how good the model is at each class"
    terminal.say(f"{content['seconds']} seconds; {settings.out / 'report.md'} {found}")
    return terminal.EXIT_FAILED if any(trial["undecodable"] for trial in content["trials"]) else 0


def interpolate(options: argparse.Namespace) -> int:
    """Scores of the weights between two checkpoints."""
    from actionclip_jax.checkpoints import load
    from actionclip_jax.evaluation import evaluate
    from actionclip_jax.experiments import interpolation

    settings = read_settings(options)
    shares, sets = plan_interpolation(options, settings, check_files=True)
    first = load.read_any(options.first, trust_code=options.trust_code)
    model = evaluate.load_model(options.model, settings)
    with terminal.progress_line():
        interpolation.sweep(first, model, sets, shares, settings)
    terminal.say(f"wrote {settings.out / 'interpolation.json'} and interpolation.png")
    if noted := sorted(settings.out.glob("notes_*.jsonl")):
        terminal.say(f"some videos have notes (truncated, damaged ...): {', '.join(file.name for file in noted)}")
    if bad := sorted(settings.out.glob("bad_clips_*.jsonl")):
        terminal.tell(f"[bold red]some clips could not be decoded:[/] {', '.join(file.name for file in bad)}")
        return terminal.EXIT_FAILED
    return 0


def plan_interpolation(
    options: argparse.Namespace, settings: config.EvaluationConfig, *, check_files: bool
) -> tuple[list[float], dict]:
    """The shares and the clips by name, after all checks that need no weights."""
    from actionclip_jax import text
    from actionclip_jax.data import sources
    from actionclip_jax.evaluation import protocols
    from actionclip_jax.experiments import interpolation

    shares = interpolation.parse_shares(options.interpolate)
    paths.check_directory("--out", settings.out)
    text.load_templates(settings.templates)
    wanted = {"": source.read_options(options)}
    if options.seen_data:
        wanted["seen data"] = config.SourceConfig(path=options.seen_data, split_names=options.split_names)
    sets = {name: sources.open_source(one, check_files=check_files) for name, one in wanted.items()}
    for name, clips in sets.items():
        protocols.check_labelled(clips, wanted[name].path)
    parts = interpolation.seen_and_unseen(sets.pop(""), settings.seen)
    return shares, {**sets, **parts}


def train_and_test(options: argparse.Namespace) -> int:
    """A protocol that trains."""
    from actionclip_jax.config import config_file
    from actionclip_jax.evaluation import published
    from actionclip_jax.experiments import few_shot

    overrides = [f"{config_file.PREFIX}workdir={options.out}"]
    if options.model != "-":
        overrides.append(f"{config_file.PREFIX}init_from={options.model}")
    if options.trust_code:
        overrides.append(f"{config_file.PREFIX}trust_code=true")
    run = config_file.load(options.config, [*overrides, *options.settings])
    usual = list(published.SHOTS) if options.protocol == "few-shot" else [few_shot.BASE_SHOTS]
    counts = options.clips_per_class or usual
    if options.dry_run:
        print_trials(few_shot.plan(run, options.protocol, counts))
        return 0
    arguments.make_ready(run.init_from)
    processes.join(options)

    def work() -> None:
        if options.protocol == "few-shot":
            few_shot.few_shot(run, counts, options.seeds)
        else:
            few_shot.base_to_novel(run, counts[0], options.seeds)

    if code := train.supervise(work):
        return code
    report = (options.out / "report.md").read_text(encoding="utf-8")
    terminal.CONSOLE.print(terminal.visible(report), markup=False)
    return 0


def print_trials(trials: "Sequence[protocols.Trial]") -> None:
    """What would be measured."""
    from actionclip_jax.evaluation import protocols

    for line in protocols.notices(trials):
        terminal.say(line)
    table = rich.table.Table("trial", "clips", "classes", "classes without clips")
    for trial in trials:
        used = len({label for row in trial.clips.label_ids.tolist() for label in row if label >= 0})
        classes = len(trial.clips.labels)
        table.add_row(trial.name, str(len(trial.clips)), str(classes), str(classes - used))
    terminal.CONSOLE.print(table)


def print_report(content: dict[str, Any]) -> None:
    """The tables of report.md."""
    from actionclip_jax.evaluation import report_markdown

    columns = report_markdown.metric_names(content["trials"])
    # narrow, so that all columns there can be have room in a terminal of 80
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", min_width=len("by chance"))
    table.add_column("classes")
    table.add_column("scored")
    for name in columns:
        table.add_column(report_markdown.TITLES[name], justify="right", min_width=len("answered"))
    for trial in content["trials"]:
        both = [(trial["name"], trial)]
        if unseen := trial.get("without_seen_classes"):
            both.append(("  unseen only", unseen))
        for name, row in both:
            cells = [report_markdown.percentage(row["scores"].get(name)) for name in columns]
            table.add_row(name, str(row["classes"]), f"{row['scored']} of {row['clips']}", *cells)
    for name, cells in report_markdown.chance_rows(content["trials"], columns):
        table.add_row(name, "", "", *cells)
    if summary := content.get("summary"):
        cells = [f"{x['mean']:.2%} ±{x['deviation']:.2%}" if (x := summary.get(name)) else "" for name in columns]
        table.add_row("mean ±", "", "", *cells)
    for row in content["published"]:
        table.add_row(f"published: {row['method']}", "", row["note"], f"{report_markdown.published_value(row)}%")
    terminal.CONSOLE.print(table)
    for name, value in report_markdown.what_was_done(content).items():
        terminal.say(f"{name}: {value}")
