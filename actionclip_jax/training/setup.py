"""What a training run consists of, made from its configuration before anything compiles."""

import contextlib
import dataclasses
import functools
import logging
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import filelock
import jax
import numpy as np
import transformers
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding

from actionclip_jax import config, sharding, text
from actionclip_jax.data import bad_clips, order, pipeline, sources, summary, table
from actionclip_jax.evaluation import clip_encoder, scoring
from actionclip_jax.inference import encoder
from actionclip_jax.training import initial, optim, train_step

logger = logging.getLogger(__name__)


def pretraining(run: config.TrainConfig, workdir: pathlib.Path) -> config.TrainConfig:
    """The run before the run: trains the towers alone on single frames, without a temporal head."""
    change, plan = dataclasses.replace, run.pretrain
    return change(
        run,
        model=change(run.model, temporal=config.TemporalConfig(), frames=1, shift=False, joint=False),
        data=change(
            run.data,
            train=plan.source,
            test=config.SourceConfig(),
            zero_shot=config.SourceConfig(),
            sample=change(run.data.sample, frames=1),
            loader=change(run.data.loader, batch_size=plan.batch_size),
        ),
        objective=config.ObjectiveConfig(loss="normalized", templates="none"),  # captions are whole texts
        optim=change(
            run.optim,
            lr=plan.lr,
            epochs=plan.epochs,
            warmup_epochs=plan.warmup_epochs,
            steps=0,
            multipliers=plan.multipliers,
            accumulate=1,
        ),
        interpolation=config.InterpolationConfig(),
        checkpoint=change(run.checkpoint, export="last"),
        pretrain=config.PretrainConfig(),
        workdir=str(workdir),
    )


def after_pretraining(run: config.TrainConfig, towers: str) -> config.TrainConfig:
    """The run itself, starting from the towers in a model directory; in a dry run there are none: empty."""
    return dataclasses.replace(
        run,
        init_from=towers,
        pretrain=config.PretrainConfig(),
        interpolation=run.interpolation if towers else config.InterpolationConfig(),
    )


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps other runs out of the workdir. A process that dies lets go of it.

    Raises:
        ValueError: another run is there.
    """
    with contextlib.ExitStack() as stack:
        free = True
        if not jax.process_index():
            workdir.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(filelock.FileLock(workdir / ".lock", blocking=False))
            except filelock.Timeout:
                free = False
            except NotImplementedError:  # a file system without locks, as some network ones are
                pass
        if jax.process_count() > 1:
            free = bool(multihost_utils.broadcast_one_to_all(np.asarray(free)))
        if not free:
            raise ValueError(f"{workdir}: another run is using it; wait for its end, or give another --workdir")
        yield


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


def step_spec(run: config.TrainConfig, clips: int, share: float) -> train_step.StepSpec:
    """What a step computes when training on so many clips; `share` of all (clip, class) pairs belong together."""
    steps, warmup = optim.count_steps(run.optim, clips, run.data.loader.batch_size)
    return train_step.StepSpec(
        run.model,
        run.compute,
        run.data.augment,
        run.objective,
        run.optim,
        run.interpolation,
        steps,
        warmup,
        run.seed,
        log_odds=math.log(share / (1 - share)) if 0 < share < 1 else 0.0,
    )


def token_table(
    run: config.TrainConfig, tokenizer: transformers.PreTrainedTokenizerBase, clips: table.ClipTable
) -> np.ndarray:
    """Token ids [C, P, L] of all classes in all templates."""
    templates = text.load_templates(run.objective.templates)
    return text.cut_padding(text.token_table(tokenizer, clips.labels, templates, run.model.text.context))


def texts_per_clip(run: config.TrainConfig, classes: int) -> float:
    """How many texts a step encodes for each clip: its own, or with several labels those of all classes."""
    return classes / run.data.loader.batch_size if run.objective.loss == "multi_label" else 1.0


def describe_state(
    spec: train_step.StepSpec,
    params: Mapping[str, jax.Array | jax.ShapeDtypeStruct],
    loaded: Sequence[str],
    places: Mapping[str, NamedSharding],
    mesh: Mesh,
) -> train_step.TrainState:
    """Shapes and places of the state of a run; `loaded` are the paths of what it takes over from a CLIP."""
    shapes = jax.eval_shape(functools.partial(make_state, spec, loaded), params)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        sharding.tree_shardings(shapes, places, mesh),
    )


def make_state(spec: train_step.StepSpec, loaded: Sequence[str], params: train_step.Params) -> train_step.TrainState:
    """The state before the first step, which keeps the initial weights where training interpolates."""
    interpolation = spec.interpolation
    kept = loaded if interpolation.strength or interpolation.export < 1 else ()
    return train_step.init_state(spec, params, {path: params[path] for path in kept})


def first_state(
    spec: train_step.StepSpec, start: initial.Initial, places: Mapping[str, NamedSharding], mesh: Mesh
) -> train_step.TrainState:
    """The state before the first step, spread over the devices."""
    described = describe_state(spec, start.params, start.loaded, places, mesh)
    make = jax.jit(
        functools.partial(make_state, spec, start.loaded),
        out_shardings=jax.tree.map(lambda leaf: leaf.sharding, described),
    )
    return make(start.params)


def place_texts(spec: train_step.StepSpec, params: train_step.Params, tokens: np.ndarray, mesh: Mesh) -> jax.Array:
    """The token ids of all prompts or, of a frozen text tower, their embeddings, on every device."""
    everywhere = sharding.everywhere(mesh)
    if spec.objective.text == "trained":
        return jax.device_put(tokens, everywhere)

    def encode(params: train_step.Params, tokens: jax.Array) -> jax.Array:
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
    found = {}
    for name, clips in tables.items():
        if name != "train":
            report = bad_clips.report_file(workdir, name, order.this_host())
            encode = clip_encoder.ClipEncoder(
                clips, run.model, run.compute, data.sample, loader, mesh=mesh, report=report
            )
            found[name] = scoring.Evaluator(encode, tokenizer, run.objective.templates)
    return found
