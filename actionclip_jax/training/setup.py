"""What a training run consists of, made from its configuration before anything compiles."""

import dataclasses
import logging
import math
import pathlib
from typing import Any

import jax
import numpy as np
import transformers
from jax.sharding import Mesh

from actionclip_jax import config, entry_points, paths, sharding, text
from actionclip_jax.data import bad_clips, order, pipeline, sources, summary, table
from actionclip_jax.evaluation import clip_encoder, scoring
from actionclip_jax.inference import encoder
from actionclip_jax.models import flops
from actionclip_jax.training import first_state, initial, optim, own_losses, places, step_spec, train_step

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run works with, all of it made before anything compiles."""

    run: config.TrainConfig
    mesh: Mesh
    workdir: pathlib.Path
    spec: step_spec.StepSpec
    train_clips: int
    batches: pipeline.Batches  # of the training clips: this host's part
    evaluators: dict[str, scoring.Evaluator]  # by data set
    tokenizer: transformers.PreTrainedTokenizerBase
    provenance: dict[str, Any]  # of the weights the run starts from
    texts: jax.Array  # what a clip's text is drawn from: token ids [C, P, L], or embeddings [C, P, E] if frozen
    clip_flops: float  # of a training step, for each of its clips
    flop_rate: float  # FLOP a second that all devices can do

    def epochs(self, step: int) -> float:
        """How many epochs so many steps are."""
        return step * self.run.data.loader.batch_size / self.train_clips

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due: before each evaluation too, as a machine taken away should cost neither."""
        return self.is_due(step, self.run.checkpoint.every_epochs) or self.is_due(step, self.run.eval_every_epochs)

    def evaluates_after(self, step: int) -> bool:
        """Whether an evaluation is due."""
        return bool(self.evaluators) and self.is_due(step, self.run.eval_every_epochs)

    def is_due(self, step: int, every_epochs: float) -> bool:
        """Whether what is done every so many epochs, and at the end, is to be done after this step."""
        every = max(1, round(every_epochs * self.train_clips / self.run.data.loader.batch_size))
        return step == self.spec.steps or bool(every_epochs and step and step % every == 0)


def prepare(run: config.TrainConfig, mesh: Mesh, flop_rate: float) -> tuple[Setup, train_step.TrainState]:
    """Opens the data and loads the weights; the mesh is set. Returns the state before the first step as well.

    Raises:
        ValueError: settings or data that cannot work.
    """
    paths.check_directory("workdir", run.workdir)
    workdir = paths.expand_home(run.workdir).absolute()
    sharding.check_rows(run.data.loader.batch_size // run.optim.accumulate, mesh)
    where = places.choose(run.model, run.sharding, mesh)
    tables = open_tables(run)
    clips = tables["train"]
    spec = make_spec(run, len(clips), clips.label_frequency)
    if run.model.logit_bias and run.objective.loss != "sigmoid":
        logger.warning(
            f"note: objective.loss {run.objective.loss} trains the model and not its logit_bias, so its absolute "
            "probabilities may be far off afterwards: sigmoid trains both"
        )
    batches = train_batches(run, clips, workdir)
    start = initial.initial_weights(run.model, run.init_from, run.seed, where.kept, trust_code=run.trust_code)
    tests = evaluators(run, tables, start.tokenizer, mesh, workdir)
    state = first_state.make(spec, start, mesh)
    tokens = token_table(run, start.tokenizer, clips)
    texts = texts_per_clip(run, tokens.shape[0])
    work = Setup(
        run=run,
        mesh=mesh,
        workdir=workdir,
        spec=spec,
        train_clips=len(clips),
        batches=batches,
        evaluators=tests,
        tokenizer=start.tokenizer,
        provenance=start.provenance,
        texts=place_texts(spec, state.params, tokens, mesh),
        clip_flops=flops.train_clip(run.model, run.objective, run.data.sample.frames, texts, tokens.shape[-1]),
        flop_rate=flop_rate,
    )
    return work, state


def open_tables(run: config.TrainConfig) -> dict[str, table.ClipTable]:
    """The clips of `train` and, where configured, `test` and `zero_shot`. Raises ValueError for unusable ones."""
    tables = {}
    for name in ("train", "test", "zero_shot"):
        source = getattr(run.data, name)
        if source.path:
            tables[name] = sources.open_source(source)
            logger.info(f"{name}: {len(tables[name])} clips of {len(tables[name].labels)} classes from {source.path}")
            for line in summary.notices(tables[name].origin):
                logger.warning(line)
    for name, clips in tables.items():
        if clips.multi_label != (run.objective.loss == "multi_label"):
            has = "several labels" if clips.multi_label else "one label"
            raise ValueError(f"data.{name}: a clip has {has}, which objective.loss {run.objective.loss!r} cannot use")
    check_classes(tables["train"], run.objective.loss)
    return tables


def check_classes(clips: table.ClipTable, loss: str) -> None:
    """Raises ValueError for a training set in which there is nothing to tell apart."""
    # with several labels a clip is compared with all classes there are, else with those of other clips
    classes = np.arange(len(clips.labels)) if clips.multi_label else np.unique(clips.label_ids[:, 0])
    if len(classes) == 1 and classes[0] >= 0:
        raise ValueError(
            f"data.train: {len(clips)} clips of one class, {clips.labels[classes[0]]!r}, and objective.loss {loss!r} "
            "learns by telling classes apart: expected at least two"
        )


def make_spec(run: config.TrainConfig, clip_count: int, label_frequency: float) -> step_spec.StepSpec:
    """What a step computes when training on so many clips; of all (clip, class) pairs this part belongs together.

    Raises ValueError for a loss of the user's own that cannot be computed.
    """
    if entry_points.is_name(run.objective.loss):
        own_losses.check(run.objective.loss, run.data.loader.batch_size, run.model.embed_width)
    steps, warmup = optim.count_steps(run.optim, clip_count, run.data.loader.batch_size)
    odds = label_frequency / (1 - label_frequency) if 0 < label_frequency < 1 else 1.0
    return step_spec.StepSpec(
        model=run.model,
        compute=run.compute,
        augment=run.data.augment,
        objective=run.objective,
        optim=run.optim,
        interpolation=run.interpolation,
        sharding=run.sharding,
        steps=steps,
        warmup=warmup,
        seed=run.seed,
        log_odds=math.log(odds),
    )


def token_table(
    run: config.TrainConfig, tokenizer: transformers.PreTrainedTokenizerBase, clips: table.ClipTable
) -> np.ndarray:
    """Token ids [C, P, L] of all classes in all templates."""
    templates = text.load_templates(run.objective.templates)
    tokens = text.token_table(tokenizer, clips.labels, templates, run.model.text)
    return text.cut_padding(tokens, run.model.text)


def texts_per_clip(run: config.TrainConfig, classes: int) -> float:
    """How many texts a step encodes for each clip: its own, or with several labels those of all classes."""
    return classes / run.data.loader.batch_size if run.objective.loss == "multi_label" else 1.0


def place_texts(spec: step_spec.StepSpec, params: step_spec.Params, tokens: np.ndarray, mesh: Mesh) -> jax.Array:
    """The token ids of all prompts or, of a frozen text tower, their embeddings, on every device."""
    everywhere = sharding.everywhere(mesh)
    if spec.objective.text == "trained":
        return jax.device_put(tokens, everywhere)

    def encode(params: step_spec.Params, tokens: jax.Array) -> jax.Array:
        return encoder.encode_texts(spec.build(params), tokens)

    return jax.jit(encode, out_shardings=everywhere)(params, tokens)


def train_batches(run: config.TrainConfig, clips: table.ClipTable, workdir: pathlib.Path) -> pipeline.Batches:
    """This host's part of the training batches; clips that cannot be decoded are named in a file."""
    host, data = order.this_host(), run.data
    return pipeline.train_batches(
        clips, data.sample, data.augment, data.loader, host=host, report=bad_clips.report_file(workdir, "train", host)
    )


def evaluators(
    run: config.TrainConfig,
    tables: dict[str, table.ClipTable],
    tokenizer: transformers.PreTrainedTokenizerBase,
    mesh: Mesh,
    workdir: pathlib.Path,
) -> dict[str, scoring.Evaluator]:
    """One for each data set to be tested with."""
    data = run.data
    loader = dataclasses.replace(data.loader, batch_size=data.eval_batch_size or data.loader.batch_size)
    made = {}
    for name, clips in tables.items():
        if name != "train":
            report = bad_clips.report_file(workdir, name, order.this_host())
            encode = clip_encoder.ClipEncoder(
                clips, run.model, run.compute, data.sample, loader, mesh=mesh, report=report
            )
            made[name] = scoring.Evaluator(encode, tokenizer, run.objective.templates)
    return made
