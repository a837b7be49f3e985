"""Protocols that train before they test: few-shot and base-to-novel. What was killed goes on."""

import dataclasses
import logging
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax

from actionclip_jax import config, files, paths
from actionclip_jax.data import sources, subsets
from actionclip_jax.evaluation import metrics, protocols, published, report_markdown
from actionclip_jax.plots import charts
from actionclip_jax.training import loop, run_checkpoints

logger = logging.getLogger(__name__)

TEST = "test"  # begins the names of the sets that are tested with
BASE_SHOTS = 16  # training clips of every base class, as published


def few_shot(run: config.TrainConfig, shots: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    """Trains with K clips of every class for every K in `shots` and every seed, and tests each on run.data.test.

    The seed draws the clips and decides everything else random. run.workdir then holds a directory for each run,
    report.json, report.md and shots.png. Returns what report.json holds. Raises `loop.Interrupted` where a run is asked
    to stop; the same call goes on.
    """
    tested = describe_tests(plan(run, "few-shot", shots))
    out, rows = pathlib.Path(run.workdir), []
    for count in shots:
        trials = []
        for seed in seeds:
            name = f"{count}_shots_seed_{seed}"
            logger.info(f"{name}:")
            trials.append(train_and_test(variant(run, out / name, seed, count))["test"])
        rows.append({"shots": count, "trials": trials, "summary": metrics.mean_and_deviation(trials)})
    known = published.FEW_SHOT.get(run.data.train.kind, {})
    cells = []
    for row in rows:
        theirs = (dict(zip(published.SHOTS, values, strict=True)).get(row["shots"], "") for values in known.values())
        cells.append((row["shots"], report_markdown.spread(row["summary"]["top1"]), *theirs))
    lines = report_markdown.table(("training clips of a class", "top-1", *known), cells)
    content = {
        **describe("few-shot", run, seeds, tested),
        "results": rows,
        "published_shots": published.SHOTS,
        "published": known,
    }
    if jax.process_index() == 0:
        means, deviations = ([row["summary"]["top1"][name] for row in rows] for name in ("mean", "deviation"))
        chance = tested[0]["chance"]
        charts.shots_curve(out / "shots.png", shots, means, deviations, published.SHOTS, known, chance)
        write(out, content, [*lines, "", "![few-shot accuracy](shots.png)"])
    return content


def base_to_novel(run: config.TrainConfig, shots: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Trains with some clips of every base class for every seed, and tests on base and on novel classes.

    Base classes are those of run.data.train.base_classes or else half of all, drawn by run.data.train.seed and written
    to base_classes.txt. The harmonic mean is that of each seed. The rest as in `few_shot`.
    """
    tested = describe_tests(plan(run, "base-to-novel", [shots]))
    out, trials = pathlib.Path(run.workdir), []
    file = run.data.train.base_classes or write_base_classes(run, out / "base_classes.txt")
    part = {name: {"classes": name, "base_classes": file} for name in ("base", "novel")}
    data = dataclasses.replace(
        run.data,
        train=dataclasses.replace(run.data.train, **part["base"]),
        test=dataclasses.replace(run.data.test, **part["base"]),
        zero_shot=dataclasses.replace(run.data.test, **part["novel"]),
    )
    run = dataclasses.replace(run, data=data)
    for seed in seeds:
        logger.info(f"seed {seed}:")
        scores = train_and_test(variant(run, out / f"seed_{seed}", seed, shots))
        base, novel = scores["test"]["top1"], scores["zero_shot"]["top1"]
        trials.append({"base": base, "novel": novel, "harmonic mean": metrics.harmonic_mean(base, novel)})
    summary, known = metrics.mean_and_deviation(trials), published.beside("base-to-novel", run.data.train.kind)
    cells = [
        *((seed, *(f"{value:.2%}" for value in trial.values())) for seed, trial in zip(seeds, trials, strict=True)),
        ("mean ± deviation", *map(report_markdown.spread, summary.values())),
        *((f"published: {row.method}", "", "", f"{row.value}%") for row in known),
    ]
    lines = report_markdown.table(("seed", *summary), cells)
    content = {**describe("base-to-novel", run, seeds, tested), "shots": shots, "trials": trials, "summary": summary}
    content["published"] = [dataclasses.asdict(row) for row in known]
    if jax.process_index() == 0:
        write(out, content, lines)
    return content


def plan(run: config.TrainConfig, protocol: str, shots: Sequence[int]) -> list[protocols.Trial]:
    """The clips trained and tested with, after everything that can be checked before the first of the runs.

    Raises:
        ValueError: a configuration or data that cannot be measured by these protocols.
    """
    check(run)
    training, tests = run.data.train, {TEST: run.data.test}
    if protocol == "base-to-novel":
        training = dataclasses.replace(training, classes="base")
        halves = {"base_classes": training.base_classes, "seed": training.seed}
        tests = {
            f"{TEST}, {part} classes": dataclasses.replace(run.data.test, classes=part, **halves)
            for part in ("base", "novel")
        }
    sets = {f"training, {count} clips a class": dataclasses.replace(training, shots=count) for count in shots} | tests
    return [protocols.Trial(name, sources.open_source(one, check_files=False)) for name, one in sets.items()]


def check(run: config.TrainConfig) -> None:
    """Raises ValueError for a configuration that cannot be measured by these protocols."""
    paths.check_directory("--out", run.workdir)
    problems = config.run_problems(run)
    if not run.data.test.path:
        problems.append("data.test.path is empty: expected the clips to test with")
    if run.objective.loss == "multi_label":
        problems.append("objective.loss is 'multi_label': clips with several labels belong to no one class")
    if problems:
        raise config.ConfigError(problems)


def variant(run: config.TrainConfig, workdir: pathlib.Path, seed: int, shots: int) -> config.TrainConfig:
    """The run with so many clips of every class, drawn by the seed, and everything else random after that seed too."""
    data = dataclasses.replace(
        run.data,
        train=dataclasses.replace(run.data.train, shots=shots, seed=seed),
        loader=dataclasses.replace(run.data.loader, seed=seed),
    )
    return dataclasses.replace(run, data=data, seed=seed, workdir=str(workdir))


def train_and_test(run: config.TrainConfig) -> dict[str, Any]:
    """All scores of a run by data set; those of a run that was finished before are read from its directory.

    Of a finished run the model stays, and its checkpoints, several times as large, go.
    """
    workdir = pathlib.Path(run.workdir)
    file = workdir / "scores.json"
    if file.is_file():
        known = files.read_object(file)
        if not run_checkpoints.describe_changes(known["config"], run):
            logger.info(f"finished before: top-1 {known['scores']['test']['top1']:.1%}")
            return known["scores"]
        raise ValueError(f"{workdir} holds a finished run with other settings: choose another --out, or remove it")
    outcome = loop.train_whole(run)
    scores = {name: one.all_metrics() for name, one in outcome.scores.items()}
    if jax.process_index() == 0:
        files.write_json(file, {"config": config.to_dict(run), "scores": scores})
        shutil.rmtree(workdir / "checkpoints")
    return scores


def write_base_classes(run: config.TrainConfig, file: pathlib.Path) -> str:
    """Draws half of the classes and writes their names, one a line."""
    clips = sources.open_source(dataclasses.replace(run.data.train, shots=0))
    half = subsets.draw_half(len(clips.names), run.data.train.seed)
    if jax.process_index() == 0:
        files.write_text(file, "".join(f"{clips.names[index]}\n" for index in half))
    return str(file)


def describe_tests(trials: Sequence[protocols.Trial]) -> list[dict[str, Any]]:
    """The sets of a plan that are tested with, with the top-1 of answers drawn at random; JSON."""
    sizes = [(one.name, len(one.clips), len(one.clips.labels)) for one in trials if one.name.startswith(TEST)]
    return [{"name": name, "clips": clips, "classes": count, "chance": 1 / count} for name, clips, count in sizes]


def describe(
    protocol: str, run: config.TrainConfig, seeds: Sequence[int], tested: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What was done; JSON."""
    return {
        "program": f"actionclip-jax {metadata.version('actionclip-jax')}",
        "protocol": protocol,
        "seeds": list(seeds),
        "tested": list(tested),
        "config": config.to_dict(run),
    }


def write(out: pathlib.Path, content: Mapping[str, Any], lines: Sequence[str]) -> None:
    """report.json and report.md."""
    run, seeds = content["config"], ", ".join(map(str, content["seeds"]))
    head = [
        f"# {content['protocol']}: {run['init_from'] or 'random weights'} on {run['data']['train']['path']}",
        "",
        *lines,
        "",
        "The deviation is that over the seeds. Tested with:",
        "",
        *report_markdown.table(
            ("", "clips", "classes", "by chance"),
            [(one["name"], one["clips"], one["classes"], f"{one['chance']:.2%}") for one in content["tested"]],
        ),
        "",
        f"Seeds {seeds}; {run['data']['sample']['frames']} frames, one centre view, templates "
        f"{run['objective']['templates']}, class names split into words: {run['data']['train']['split_names']}. All "
        "settings are in report.json.",
    ]
    files.write_json(out / "report.json", content)
    files.write_text(out / "report.md", "\n".join(head) + "\n")
