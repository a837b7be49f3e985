"""A training run, from configuration to model directory."""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Mapping

import jax
import numpy as np

from actionclip_jax import config, sharding, xla
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.data import bad_clips, clip_log
from actionclip_jax.evaluation import scoring
from actionclip_jax.plots import charts
from actionclip_jax.training import (
    export,
    goodput,
    journal,
    parameters,
    pretraining,
    profiling,
    resume,
    run_checkpoints,
    run_log,
    setup,
    stop_signal,
    train_step,
    wandb_run,
    watchdog,
    window,
    workdir,
)

logger = logging.getLogger(__name__)

NO_STEPS = range(0)


class TrainingError(ValueError):
    """A run that had to stop; the message says where it can go on."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    steps: int
    model: pathlib.Path | None  # the model directory, once the run came to its end
    scores: dict[str, scoring.Scores]  # of the exported weights, by data set
    clock: goodput.Clock  # of this and all starts before
    signal: int | None = None  # what stopped it before its end, if this process was told


class Interrupted(Exception):
    """A run that was asked to stop before its end; its state is saved, and the same call goes on."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"stopped after step {outcome.step} of {outcome.steps}")
        self.outcome = outcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aids:
    """What goes along with the loop, from its beginning to its end."""

    clock: goodput.Clock
    checkpoints: run_checkpoints.RunCheckpoints
    stop: stop_signal.StopSignal
    watchdog: watchdog.Watchdog
    journal: journal.Journal
    trace: profiling.StepTrace


def train(
    run: config.TrainConfig, *, dry_run: bool = False, began: float | None = None, profile: range = NO_STEPS
) -> Outcome:
    """Trains, or goes on with what run.workdir holds. Every process of a run makes the same call.

    SIGTERM or Ctrl-C to any of them ends the run after the step in hand, with a checkpoint.

    Args:
        run: the configuration.
        dry_run: compile, do one step on real data, say what it needs, and leave nothing behind.
        began: `time.perf_counter()` when the program started, for the account of where the time went.
        profile: the steps to be traced, counted from 1; of the run itself, not of its pre-training.

    Raises:
        ValueError: settings or data that cannot work, or a workdir that is in use, before anything compiles.
        TrainingError: the loss or the gradient is not finite any more, or nothing can be written any more.
    """
    clock = goodput.Clock(began)
    config.checked_run(run)
    wandb_run.check(run)
    if run.pretrain.epochs:
        below = pathlib.Path(run.workdir) / "pretrain"
        if not model_directory.is_model_directory(below / "model"):
            logger.info("image-text pre-training:")
            towers = train(pretraining.towers_run(run, below), dry_run=dry_run, began=began)
            clock = goodput.Clock()
            if towers.step < towers.steps and not dry_run:
                return towers
            logger.info("video training:")
        run = pretraining.after_pretraining(run, "" if dry_run else str(below / "model"))
    mesh = sharding.make_mesh(fsdp=run.sharding.fsdp, model=run.sharding.model)
    flop_rate = xla.matmul_rate(run.compute.dtype) * mesh.size
    with jax.set_mesh(mesh):
        work, state = setup.prepare(run, mesh, flop_rate)
        if profile:
            profiling.check(profile, work.spec.steps)
        if dry_run:
            return try_one_step(work, state, clock)
        with workdir.hold(work.workdir):
            return train_to_the_end(work, state, clock, profile)


def train_whole(run: config.TrainConfig) -> Outcome:
    """The same for what needs the model. Raises Interrupted where the run is asked to stop."""
    outcome = train(run)
    if outcome.model is None:
        raise Interrupted(outcome)
    return outcome


def try_one_step(work: setup.Setup, state: train_step.TrainState, clock: goodput.Clock) -> Outcome:
    """What --dry-run does."""
    with contextlib.closing(work.batches):
        logger.info(parameters.totals(state.params, work.spec.multipliers))
        step = compile_step(work, state, clock)
        batch = place(work, next(work.batches))
        clock.lap("data_wait")
        _, metrics = step(state, batch, work.texts)
        metrics = jax.device_get(metrics)
        clock.lap("step")
    logger.info(f"one of {work.spec.steps} steps done, loss {metrics['loss']:.4f}; nothing was written")
    return Outcome(1, work.spec.steps, None, {}, clock)


def train_to_the_end(work: setup.Setup, state: train_step.TrainState, clock: goodput.Clock, profile: range) -> Outcome:
    """Trains from where the run stands, and exports the model."""
    position, model = resume.Position(state), None
    checkpoints = run_checkpoints.RunCheckpoints(work.workdir, work.run.checkpoint, work.mesh)
    try:
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(stop_signal.StopSignal())
            dog = stack.enter_context(watchdog.Watchdog(work.run.hang_seconds))
            stack.callback(checkpoints.close)
            stack.callback(work.batches.close)
            resume.resume(work, checkpoints, position, clock)
            log = stack.enter_context(contextlib.closing(journal.Journal(work, clock, position.done)))
            trace = stack.enter_context(profiling.StepTrace(work.workdir, profile, position.done, dog.other))
            parameters.write(work.workdir, position.state.params, work.spec.multipliers)
            aids = Aids(clock=clock, checkpoints=checkpoints, stop=stop, watchdog=dog, journal=log, trace=trace)
            try:
                loop(work, aids, position)
                model = finish(work, aids, position)
            except stop_signal.Stopped:
                save(work, aids, position)
                so_far = f"stopped after step {position.done} of {work.spec.steps}"
                logger.info(f"{so_far}; the same command goes on from there")
    except (OSError, bad_clips.TooManyBadClips) as error:
        raise TrainingError(f"step {position.done}: {error}; {checkpoints.where_to_go_on()}") from error
    clock.lap("checkpoint")
    goodput.write(work.workdir, clock)
    return Outcome(position.done, work.spec.steps, model, position.scores, clock, stop.received)


def loop(work: setup.Setup, aids: Aids, position: resume.Position) -> None:
    """Saves, evaluates and steps, until the end. Raises Stopped where the run is asked to stop."""
    step = compile_step(work, position.state, aids.clock)
    metrics = window.MetricsWindow()
    while True:
        with metrics.paused():
            if work.saves_after(position.done):
                save(work, aids, position)
            if work.evaluates_after(position.done) and position.done not in aids.checkpoints.scores:
                evaluate(work, aids, position, position.done)
        if position.done == work.spec.steps:
            return
        aids.stop.check()
        with aids.trace.step(position.done + 1, metrics.wait):
            rows = next(work.batches)
            batch = place(work, rows)
            # a batch that came while the devices were still busy was not waited for
            aids.clock.lap("step" if metrics.is_busy() else "data_wait")
            with jax.transfer_guard("disallow"):
                position.state, of_step = step(position.state, batch, work.texts)
            metrics.add(of_step)
        position.done += 1
        aids.journal.batch(rows)
        if position.done % work.run.log_every == 0 or position.done == work.spec.steps:
            history, seconds = metrics.take()
            with metrics.paused():
                aids.journal.steps(position.done, history, seconds)
            check_finite(work, aids, position, history[-1])
        aids.clock.lap("step")
        aids.watchdog.step()


def compile_step(work: setup.Setup, state: train_step.TrainState, clock: goodput.Clock) -> jax.stages.Compiled:
    """The step; says where it runs and what it needs. The first batch is made meanwhile."""
    work.batches.start()
    clock.lap("start")
    data = work.run.data
    traced = train_step.trace_step(work.spec, work.mesh, state, work.texts, data.sample, data.loader.batch_size)
    step = traced.lower().compile()
    axes = " x ".join(f"{name} {size}" for name, size in work.mesh.shape.items())
    memory = xla.describe_memory(step)
    logger.info(f"{work.mesh.size} devices ({axes}) of {jax.process_count()} processes; {memory}")
    clock.lap("compile")
    return step


def place(work: setup.Setup, rows: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """This host's rows of a batch, spread over the devices with those of the others."""
    return sharding.place_batch({name: rows[name] for name in ("video", "label")}, work.mesh)


def save(work: setup.Setup, aids: Aids, position: resume.Position) -> None:
    """Starts to write a checkpoint, unless there is one of this step."""
    if aids.checkpoints.current == position.done:
        return
    aids.watchdog.other()
    aids.clock.lap("step")
    aids.checkpoints.save(
        position.done,
        position.state,
        {
            "config": config.to_dict(work.run),
            "data": work.batches.state(),
            "time": aids.clock.state(),
            "code": config.code_digests(work.run),
        },
    )
    aids.clock.lap("checkpoint")


def evaluate(work: setup.Setup, aids: Aids, position: resume.Position, step: int) -> None:
    """Scores the data sets with the weights, which are those of `step`. Raises Stopped like `loop`."""

    def after_batch() -> None:
        aids.watchdog.other()
        aids.stop.check()

    weights = export.final_weights(work.run, work.mesh, position.state)
    for name, evaluator in work.evaluators.items():
        position.scores[name] = evaluator(weights, f"evaluating {name}", after_batch)
        numbers = ", ".join(f"{label} {value:.1%}" for label, value in position.scores[name].metrics.items())
        logger.info(f"step {step}, {name}: {numbers} of {position.scores[name].scored} clips")
    if step not in aids.checkpoints.scores:
        aids.journal.evaluation(step, position.scores)
        aids.checkpoints.scores[step] = next(iter(position.scores.values())).primary
    aids.clock.lap("evaluation")
    goodput.write(work.workdir, aids.clock)


def check_finite(work: setup.Setup, aids: Aids, position: resume.Position, metrics: window.StepMetrics) -> None:
    """Raises TrainingError after too many steps in a row that had to be skipped."""
    in_row = int(metrics["skipped_in_row"])
    if in_row >= work.run.optim.max_skipped:
        raise TrainingError(
            f"step {position.done}: neither loss nor gradient was finite in the last {in_row} steps; "
            f"{aids.checkpoints.where_to_go_on()}. Lower optim.lr, set optim.clip_norm, or look at the data"
        )


def finish(work: setup.Setup, aids: Aids, position: resume.Position) -> pathlib.Path:
    """Exports the model and draws the curves."""
    checkpoints, step = aids.checkpoints, position.done
    if work.run.checkpoint.export == "best" and checkpoints.best not in (None, step):
        step, position.scores = checkpoints.best, {}
        like = train_step.release(position.state)  # before, so that there never need be room for two
        position.state = checkpoints.restore(step, like, checkpoints.describe(step))
        logger.info(f"the best weights are those of step {step}")
        aids.clock.lap("checkpoint")
    if work.evaluators and not position.scores:
        evaluate(work, aids, position, step)
    model = export.export_model(work, position.state, position.done)
    tell_notes(work)
    if jax.process_index() == 0:
        curves = work.workdir / "curves.png"
        charts.training_curves(curves, run_log.read_rows(work.workdir / run_log.FILE), aids.clock.seconds)
        logger.info(f"wrote {model} and {curves}")
    return model


def tell_notes(work: setup.Setup) -> None:
    """Says of each data set how many of its videos something is wrong with, although they were used."""
    sizes = {"train": work.train_clips, **{name: len(one.clips) for name, one in work.evaluators.items()}}
    for part, size in sizes.items():
        if notes := clip_log.read_notes(work.workdir, part):
            where = work.workdir / f"notes_{part}.jsonl"
            logger.warning(f"{part}: {clip_log.describe_notes(notes, size, str(where))}")
