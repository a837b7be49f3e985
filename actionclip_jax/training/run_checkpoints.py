"""The state of a run on disk: everything needed to go on as if nothing had happened, and proof that it is unharmed.

A checkpoint is one atomic Orbax checkpoint. Orbax restores a file with a changed byte, or of another dtype, without a
word, so beside the state are kept a digest of every array and one of the description itself.
"""

import contextlib
import hashlib
import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any, TypedDict

import jax
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from actionclip_jax import config, paths
from actionclip_jax.checkpoints import errors
from actionclip_jax.config import config_file, renamed
from actionclip_jax.training import agreement, described_arrays, digests, preservation, train_step

logger = logging.getLogger(__name__)

LONGEST_REASON = 200  # characters: of a missing array Orbax lists every array there should be


class Description(TypedDict, total=False):
    """What is saved beside a state; JSON."""

    config: dict[str, Any]
    data: dict[str, Any]  # position of the training data
    time: dict[str, Any]  # state of `goodput.Clock`
    arrays: dict[str, described_arrays.DescribedArray]  # by path
    code: dict[str, str]  # digests of the files of the user's own code, by its name in the settings


class SaveError(OSError):
    """A checkpoint that could not be written."""


class RunCheckpoints:
    """WORKDIR/checkpoints/STEP: the training state, and beside it the data position, configuration and digests.

    Writing goes on in the background while training does. All processes of a run make the same calls.
    """

    def __init__(self, workdir: pathlib.Path, settings: config.CheckpointConfig, mesh: Mesh) -> None:
        workdir = paths.expand_home(workdir).absolute()
        self.directory, self.damaged = workdir / "checkpoints", workdir / "damaged_checkpoints"
        self.scores: dict[int, float] = {}  # by step; the caller adds them
        self._settings, self._digest = settings, digests.Digester(mesh)
        self._checkpointer = self._open()
        self._writing: Any = None  # Orbax's handle of the checkpoint being written
        self.current: int | None = None  # the step of the checkpoint saved or restored last

    def _open(self) -> ocp.training.Checkpointer:
        return ocp.training.Checkpointer(
            str(self.directory),
            # this program says when to save
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),  # ty: ignore[invalid-argument-type] Orbax names two classes so
            preservation_policy=preservation.KeepNewestAndBest(self._settings, self.scores),
            cleanup_tmp_directories=True,
        )

    @property
    def steps(self) -> list[int]:
        """The steps there are checkpoints of, ascending; one being written may be among them."""
        return [point.step for point in self._checkpointer.checkpoints]

    @property
    def best(self) -> int | None:
        """The step of the checkpoint with the highest score, the newest of equals."""
        return next(iter(preservation.best_first(self.steps, self.scores)), None)

    def save(self, step: int, state: train_step.TrainState, described: Description) -> None:
        """Starts to write; `described` is JSON. Waits only for the checkpoint before.

        Raises:
            SaveError: the one before could not be written.
        """
        arrays = described_arrays.describe(state, self._digest(state))
        try:
            self._finish_writing()
            self._writing = self._checkpointer.save_checkpointables_async(
                step, {"state": state}, force=True, custom_metadata=seal({**described, "arrays": arrays})
            )
        except jax.errors.JaxRuntimeError:
            raise  # another process was lost
        except Exception as error:  # of a full disk Orbax and its storage libraries raise anything
            raise SaveError(f"a checkpoint could not be written ({errors.first_line(error)})") from error
        self.current = step

    def exist(self) -> bool:
        """Whether there are any, unharmed or not."""
        return bool(agreement.seen_anywhere(self.steps))

    def restore_newest(
        self, like: train_step.TrainState, check: Callable[[Description], None]
    ) -> tuple[int, train_step.TrainState, Description] | None:
        """Step, state and description of the newest unharmed checkpoint; None if there is none at all.

        Newer ones that are damaged are set aside in WORKDIR/damaged_checkpoints, which is said.

        Args:
            like: shapes, dtypes and places of the arrays (jax.ShapeDtypeStruct with a sharding, or arrays).
            check: given the description, raises ValueError if this run cannot go on from it.

        Raises:
            ValueError: the arrays saved are not those of this run, or none of the checkpoints is unharmed.
        """
        damaged: dict[int, str] = {}
        for step in agreement.seen_anywhere(self.steps):
            try:
                described = self.describe(step)
                check(described)
                state = self.restore(step, like, described)
            except agreement.DamagedError as error:
                damaged[step] = str(error)
                continue
            for other, why in damaged.items():
                logger.warning(
                    f"the checkpoint of step {other} is damaged ({why}): set aside as {self._set_aside(other)}"
                )
            self.current = step
            return step, state, described
        if damaged:
            listed = "".join(f"\n  {step}: {why}" for step, why in damaged.items())
            raise ValueError(
                f"{self.directory}: every checkpoint is damaged:{listed}\nmove that directory away to start over"
            )
        return None

    def describe(self, step: int) -> Description:
        """What was saved beside the state. Raises DamagedError."""
        description, why = None, ""
        try:
            description = unseal(self._checkpointer.checkpointables_metadata(step).custom_metadata)
        except Exception as error:  # of a damaged checkpoint Orbax raises anything, a bare AssertionError among it
            why = errors.first_line(error)
        description = agreement.held_everywhere(description, why)
        agreement.require_alike(seal(description)["sha256"])
        return description

    def restore(self, step: int, like: train_step.TrainState, described: Description) -> train_step.TrainState:
        """The state of a checkpoint, spread over the devices as `like`, on whatever devices it was saved.

        Raises:
            ValueError: it holds other arrays than `like`; all differences are listed.
            DamagedError: it does not hold what was saved.
        """
        if differences := described_arrays.differences(described["arrays"], described_arrays.describe(like)):
            where = self.path(step)
            raise ValueError("\n  ".join([f"{where} does not fit this run (saved, then expected):", *differences]))
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        state, why = None, ""
        try:
            state = read_alone(self.path(step), {"state": abstract})["state"]
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise  # nothing the checkpoint is to blame for
        except Exception as error:
            why = errors.first_line(error)[:LONGEST_REASON]
        state = agreement.held_everywhere(state, why)
        saved, now = described["arrays"], self._digest(state)
        changed = [path for path, digest in now.items() if digest != saved[path].get("digest")]
        agreement.require_everywhere(not changed, f"changed since it was written: {', '.join(changed)}")
        return state

    def path(self, step: int) -> pathlib.Path:
        """Where a checkpoint is."""
        return self.directory / str(step)

    def close(self) -> None:
        """Waits until everything is written. Raises SaveError if something could not be."""
        try:
            self._finish_writing()
            self._checkpointer.close()
        except jax.errors.JaxRuntimeError:
            raise
        except Exception as error:
            raise SaveError(f"a checkpoint could not be written ({errors.first_line(error)})") from error

    def where_to_go_on(self) -> str:
        """The newest checkpoint, for messages."""
        whole = [path for path in self.directory.iterdir() if path.name.isdecimal()] if self.directory.is_dir() else []
        newest = max(whole, key=lambda path: int(path.name), default=None)
        return "there is no checkpoint yet" if newest is None else f"last good checkpoint: {newest}"

    def _finish_writing(self) -> None:
        """Waits for the checkpoint being written: Orbax ends its thread and closes its files only when asked so."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _set_aside(self, step: int) -> pathlib.Path:
        """Moves a checkpoint out of the way."""
        there = {path.name for path in self.damaged.iterdir()} if self.damaged.is_dir() else set()
        names = (str(step), *(f"{step}-{number}" for number in range(2, len(there) + 3)))
        place = self.damaged / next(name for name in names if name not in there)
        agreement.require_everywhere(True, "")  # nobody reads it any more, and all have chosen the name
        if not jax.process_index():
            self.damaged.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # where this process is the one that does not see it
                self.path(step).rename(place)
        agreement.require_everywhere(True, "")
        self._checkpointer.reload()
        return place


def seal(described: Description) -> dict[str, Any]:
    """A description with a digest of itself; JSON."""
    text = json.dumps(described, sort_keys=True)
    return {"described": json.loads(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def unseal(sealed: Any) -> Description:
    """The description. Raises ValueError if it is not what was sealed."""
    if not isinstance(sealed, dict) or seal(sealed.get("described", {})) != sealed:
        raise ValueError("its description has changed since it was written")
    return sealed["described"]


def read_alone(path: pathlib.Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds, read without waiting for the other processes.

    Orbax lets them wait for each other, in vain if one of them cannot read: here each is told that it is the only one.
    """
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=this, active_processes={this})
    with ocp.Context(multiprocessing_options=alone if jax.process_count() > 1 else None):
        return ocp.load_checkpointables(str(path), wanted)


def describe_changes(saved: dict[str, Any], run: config.TrainConfig | config.FinetuneConfig) -> list[str]:
    """How settings differ from those saved, a line for each. One that came later had its default."""
    usual, now = (
        config_file.flatten(json.loads(json.dumps(config.to_dict(each))))  # tuples become lists, as in the saved one
        for each in (type(run)(), run)
    )
    then = usual | renamed.translate(config_file.flatten(saved))
    return [f"{name}: {then[name]!r} then, {now.get(name)!r} now" for name in then if then[name] != now.get(name)]
