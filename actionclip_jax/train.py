"""A training run, from configuration to model directory."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from actionclip_jax import (
    charts,
    checkpoint,
    compiler,
    config,
    evaluation,
    flops,
    initial,
    optim,
    run_checkpoints,
    run_config,
    run_log,
    run_setup,
    sharding,
    stop_signal,
    training,
)
from actionclip_jax.models import action_clip

Say = Callable[[str], None]
Progress = Callable[[str, int, int, str], None]  # told what is being done, how far it is, of how much, and numbers


class TrainingError(ValueError):
    """A run that had to stop; the message says where it can go on."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    steps: int
    model: pathlib.Path | None  # the model directory, once the run came to its end
    scores: dict[str, evaluation.Scores]  # of the exported weights, by data set
    seconds: dict[str, float]  # by run_log.BUCKETS


def train(
    run: run_config.TrainConfig,
    *,
    say: Say = lambda line: None,
    progress: Progress = lambda task, done, total, line: None,
    dry_run: bool = False,
) -> Outcome:
    """Trains, or goes on with what run.workdir holds. Every process of a run makes the same call.

    Args:
        run: the configuration.
        say: told what people should know, a line each.
        progress: told of every step.
        dry_run: compile, do one step on real data, say what it needs, and leave nothing behind.

    Raises:
        ValueError: settings or data that cannot work, before anything compiles.
        TrainingError: the loss or the gradient is not finite any more.
    """
    run_config.checked(run)
    if jax.process_index():  # one process speaks for all
        say, progress = lambda line: None, lambda task, done, total, line: None
    if run.pretrain.epochs:
        workdir = pathlib.Path(run.workdir) / "pretrain"
        if not checkpoint.is_model_directory(workdir / "model"):
            say("image-text pre-training:")
            towers = train(run_setup.pretraining(run, workdir), say=say, progress=progress, dry_run=dry_run)
            if towers.step < towers.steps and not dry_run:
                return towers
            say("video training:")
        run = run_setup.after_pretraining(run, "" if dry_run else str(workdir / "model"))
    clock = run_log.Clock()
    with clock.measure("start"):
        mesh = sharding.make_mesh(fsdp=run.sharding.fsdp, model=run.sharding.model)
        flop_rate = flops.matmul_rate(run.compute.dtype) * mesh.size
    with jax.set_mesh(mesh):
        with clock.measure("start"):
            trainer = Trainer(run, mesh, flop_rate, clock, say, progress)
        with clock.measure("compile"):
            step = trainer.compile()
        return trainer.try_one_step(step) if dry_run else trainer.run_to_the_end(step)


class Trainer:
    """A run with everything it works with, made before anything compiles."""

    def __init__(
        self,
        run: run_config.TrainConfig,
        mesh: jax.sharding.Mesh,
        flop_rate: float,
        clock: run_log.Clock,
        say: Say,
        progress: Progress,
    ) -> None:
        self.run, self.mesh, self.flop_rate = run, mesh, flop_rate
        self.clock, self.say, self.progress = clock, say, progress
        self.workdir = pathlib.Path(run.workdir).expanduser().absolute()
        sharding.check_rows(run.data.loader.batch_size // run.optim.accumulate, mesh)
        places = sharding.param_shardings(action_clip.param_shapes(run.model), mesh)
        tables = run_setup.open_tables(run, say)
        self.clips = len(tables["train"])
        self.spec = run_setup.step_spec(run, tables["train"])
        self.batches = run_setup.train_batches(run, tables["train"], self.workdir)
        start = initial.initial_weights(run.model, run.init_from, run.seed, places, say)
        self.tokenizer, self.provenance = start.tokenizer, start.provenance
        self.evaluators = run_setup.evaluators(run, tables, start.tokenizer, mesh, self.workdir)
        self.state = run_setup.first_state(self.spec, start, places, mesh)
        tokens = run_setup.token_table(run, start.tokenizer, tables["train"])
        self.text_length = tokens.shape[-1]
        self.texts = run_setup.place_texts(self.spec, self.state.params, tokens, mesh)
        self.scores: dict[str, evaluation.Scores] = {}

    def compile(self) -> jax.stages.Compiled:
        """The step of this run; says where it runs and what it needs."""
        data = self.run.data
        step = training.compile_step(self.spec, self.mesh, self.state, self.texts, data.sample, data.loader.batch_size)
        axes = " x ".join(f"{name} {size}" for name, size in self.mesh.shape.items())
        memory = compiler.describe_memory(step)
        self.say(f"{self.mesh.size} devices ({axes}) of {jax.process_count()} processes; {memory}")
        return step

    def try_one_step(self, step: jax.stages.Compiled) -> Outcome:
        """What --dry-run does once everything is compiled."""
        try:
            with self.clock.measure("data_wait"):
                batch = self.next_batch()
            with self.clock.measure("step"):
                _, metrics = step(self.state, batch, self.texts)
                metrics = jax.device_get(metrics)
        finally:
            self.batches.close()
        self.say(f"one of {self.spec.steps} steps done, loss {metrics['loss']:.4f}; nothing was written")
        return Outcome(1, self.spec.steps, None, {}, self.clock.summary())

    def run_to_the_end(self, step: jax.stages.Compiled) -> Outcome:
        """Trains from where the run stands, evaluates, saves and exports."""
        self.checkpoints = run_checkpoints.RunCheckpoints(self.workdir, self.run.checkpoint)
        with self.clock.measure("checkpoint"):
            done = self.resume()
        self.log = run_log.RunLog(self.workdir, done, writes=jax.process_index() == 0)
        try:
            with stop_signal.StopSignal() as stop:
                done = self.loop(step, done, stop)
            if done < self.spec.steps:
                self.say(f"stopped after step {done} of {self.spec.steps}; the same command goes on from there")
                return Outcome(done, self.spec.steps, None, self.scores, self.clock.summary())
            model = self.finish(done)
        finally:
            self.batches.close()
            with self.clock.measure("checkpoint"):
                self.checkpoints.close()
            self.log.close()
        seconds = self.clock.summary()
        if jax.process_index() == 0:
            (self.workdir / "time.json").write_text(json.dumps(seconds, indent=2) + "\n", encoding="utf-8")
        return Outcome(done, self.spec.steps, model, self.scores, seconds)

    def resume(self) -> int:
        """Goes to the newest checkpoint, if there is one; returns the steps done."""
        latest = self.checkpoints.latest
        if latest is None:
            return 0
        described = self.checkpoints.describe(latest)
        changes = run_checkpoints.describe_changes(described["config"], self.run)
        if models := [line for line in changes if line.startswith("model.")]:
            raise ValueError("\n  ".join([f"{self.workdir} holds a run of another model:", *models]))
        self.state = self.checkpoints.restore(latest, self.state)
        self.batches.restore(described["data"])
        self.say(f"goes on from step {latest} of {self.workdir}")
        if changes:
            self.say("\n  ".join(["with other settings than before:", *changes]))
        return latest

    def next_batch(self) -> dict[str, jax.Array]:
        """The next batch, spread over the devices."""
        batch = next(self.batches)
        return sharding.place_batch({name: batch[name] for name in ("video", "label")}, self.mesh)

    def loop(self, step: jax.stages.Compiled, done: int, stop: stop_signal.StopSignal) -> int:
        """Steps until the end or the signal; returns how many are done."""
        run, steps = self.run, self.spec.steps
        save_every, evaluate_every = (
            self.steps_in(epochs) for epochs in (run.checkpoint.every_epochs, run.eval_every_epochs)
        )
        window: list[dict[str, jax.Array]] = []  # metrics since the last row
        since = time.perf_counter()
        while done < steps and not stop.wanted:
            before = time.perf_counter()
            batch = self.next_batch()
            # a batch that came while the devices were still busy was not waited for
            idle = not window or window[-1]["loss"].is_ready()
            self.clock.add("data_wait" if idle else "step", time.perf_counter() - before)
            with self.clock.measure("step"):
                with jax.transfer_guard("disallow"):
                    self.state, metrics = step(self.state, batch, self.texts)
                if window:  # at most two steps are under way, so that the host never runs far ahead
                    window[-1]["loss"].block_until_ready()
            window.append(metrics)
            done += 1
            if done % run.log_every == 0 or done == steps:
                with self.clock.measure("step"):
                    rows = jax.device_get(window)
                self.write_row(done, rows, time.perf_counter() - since)
                self.check_finite(done, rows[-1])
                window, since = [], time.perf_counter()
            pause = time.perf_counter()
            score = None
            if self.evaluators and (done == steps or (evaluate_every and done % evaluate_every == 0)):
                score = self.evaluate(done)
            if score is not None or done == steps or (save_every and done % save_every == 0):
                self.save(done, score)
            since += time.perf_counter() - pause
        if stop.wanted and done < steps and self.checkpoints.latest != done:
            self.save(done, None)
        return done

    def steps_in(self, epochs: float) -> int:
        """Steps in so many epochs, at least one; 0 stays 0, which means never."""
        return max(1, round(epochs * self.clips / self.run.data.loader.batch_size)) if epochs else 0

    def write_row(self, done: int, window: list[dict[str, Any]], seconds: float) -> None:
        """Logs the window: losses and accuracies are its means, the rest its last values."""
        batch_size, run = self.run.data.loader.batch_size, self.run
        values = {name: float(value) for name, value in window[-1].items()}
        for name in values:
            if name.startswith(("loss", "top1", "gradient_norm")):
                values[name] = float(np.mean([metrics[name] for metrics in window]))
        for part, multiplier in self.spec.parts().items():
            values[f"learning_rate/{part}"] = values["learning_rate"] * multiplier
        rate = len(window) * batch_size / seconds
        texts = 1.0 if run.objective.loss != "multi_label" else self.texts.shape[0] / batch_size
        work = flops.train_clip(run.model, run.objective, run.data.sample.frames, texts, self.text_length)
        values |= {
            "epoch": done * batch_size / self.clips,
            "clips_per_second": rate,
            "model_flop_utilisation": rate * work / self.flop_rate,
        }
        self.log.write(done, {**values, "seconds": self.clock.summary()})
        line = f"loss {values['loss']:.3f}, {rate:.3g} clips/s"
        self.progress("training", done, self.spec.steps, line)

    def check_finite(self, done: int, metrics: dict[str, Any]) -> None:
        """Raises TrainingError after too many steps in a row that had to be skipped."""
        in_row = int(metrics["skipped_in_row"])
        if in_row >= self.run.optim.max_skipped:
            latest = self.checkpoints.latest
            where = (
                "there is no checkpoint yet" if latest is None else f"last good one: {self.checkpoints.path(latest)}"
            )
            raise TrainingError(
                f"step {done}: neither loss nor gradient was finite in the last {in_row} steps; {where}. "
                "Lower optim.lr, set optim.clip_norm, or look at the data"
            )

    def weights(self, state: training.TrainState) -> training.Params:
        """What is evaluated and exported: averaged if averages are kept, and moved towards the initial weights."""
        params = state.ema or state.params
        share = 1 - self.run.interpolation.export
        return optim.interpolate(state.initial, params, share) if share else params

    def evaluate(self, done: int) -> float:
        """Scores the data sets; returns the number that says which checkpoint is best."""
        with self.clock.measure("evaluation"):
            params, values = self.weights(self.state), {}
            for name, evaluator in self.evaluators.items():
                total, scored = len(evaluator.clips), 0

                def count(clips: int, name: str = name, total: int = total) -> None:
                    nonlocal scored
                    scored += clips
                    self.progress(f"evaluating {name}", scored, total, "")

                self.scores[name] = evaluator(params, count)
                values[name] = self.scores[name].summary()
                numbers = ", ".join(f"{label} {value:.1%}" for label, value in self.scores[name].values.items())
                self.say(f"step {done}, {name}: {numbers} of {self.scores[name].scored} clips")
        self.log.write(done, {"evaluation": values, "epoch": done * self.run.data.loader.batch_size / self.clips})
        return next(iter(self.scores.values())).headline

    def save(self, done: int, score: float | None) -> None:
        """Starts to write a checkpoint."""
        described = {"config": config.to_dict(self.run), "data": self.batches.state()}
        with self.clock.measure("checkpoint"):
            self.checkpoints.save(done, self.state, described, score)

    def finish(self, done: int) -> pathlib.Path:
        """Exports the model and draws the curves."""
        if self.run.checkpoint.export == "best" and self.checkpoints.best not in (None, done):
            with self.clock.measure("checkpoint"):
                best = self.checkpoints.best
                self.state = self.checkpoints.restore(best, self.state)
            self.say(f"the best weights are those of step {best}")
            self.scores = {}
        if self.evaluators and not self.scores:
            self.evaluate(done)
        with self.clock.measure("checkpoint"):
            model = self.export(done)
        if jax.process_index() == 0:
            curves = self.workdir / "curves.png"
            charts.training_curves(curves, self.log.rows())
            self.say(f"wrote {model} and {curves}")
        return model

    def export(self, done: int) -> pathlib.Path:
        """Writes the model directory, whose weights are gathered on this host one by one."""
        everywhere = sharding.everywhere(self.mesh)
        gather = jax.jit(lambda array: array, out_shardings=everywhere)
        params = {path: np.asarray(gather(array)) for path, array in self.weights(self.state).items()}
        provenance = {
            "source": "training",
            "steps": done,
            "initial": self.provenance,
            "config": config.to_dict(self.run),
        }
        model = self.workdir / "model"
        weights = checkpoint.Weights(self.run.model, params, self.tokenizer, provenance, {})
        checkpoint.save(model, weights, overwrite=True)
        return model
