"""The state of a run on disk: everything needed to go on as if nothing had happened, and proof that it is unharmed.

A checkpoint is one atomic Orbax checkpoint. Orbax restores a file with a changed byte, or of another dtype, without a
word, so beside the state are kept a digest of every array and one of the description itself.
"""

import contextlib
import hashlib
import json
import logging
import pathlib
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from actionclip_jax import config, paths
from actionclip_jax.checkpoints import errors
from actionclip_jax.config import config_file, renamed
from actionclip_jax.training import digests, train_step

logger = logging.getLogger(__name__)

MESSAGE_BYTES = 400  # of what a process tells the others
LONGEST_REASON = 200  # characters: of a missing array Orbax lists every array there should be


class DamagedError(ValueError):
    """A checkpoint that is not what was saved."""


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

    def _open(self) -> ocp.training.Checkpointer:
        return ocp.training.Checkpointer(
            self.directory,
            # this program says when to save
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=KeepNewestAndBest(self._settings, self.scores),
            cleanup_tmp_directories=True,
        )

    @property
    def steps(self) -> list[int]:
        """The steps there are checkpoints of, ascending; one being written may be among them."""
        return [point.step for point in self._checkpointer.checkpoints]

    @property
    def best(self) -> int | None:
        """The step of the checkpoint with the greatest score, the newest of equals."""
        return next(iter(best_first(self.steps, self.scores)), None)

    def save(self, step: int, state: train_step.TrainState, described: dict[str, Any]) -> None:
        """Starts to write; `described` is JSON. Waits only for the checkpoint before.

        Raises:
            SaveError: the one before could not be written.
        """
        described = {**described, "arrays": describe_arrays(state, self._digest(state))}
        try:
            self._finish_writing()
            self._writing = self._checkpointer.save_checkpointables_async(
                step, {"state": state}, force=True, custom_metadata=seal(described)
            )
        except jax.errors.JaxRuntimeError:
            raise  # another process was lost
        except Exception as error:  # of a full disk Orbax and its storage libraries raise anything
            raise SaveError(f"a checkpoint could not be written ({errors.first_line(error)})") from error

    def restore_newest(
        self, like: train_step.TrainState, fits: Callable[[dict[str, Any]], None]
    ) -> tuple[int, train_step.TrainState, dict[str, Any]] | None:
        """Step, state and description of the newest unharmed checkpoint; None if there is none at all.

        Newer ones that are damaged are set aside in WORKDIR/damaged_checkpoints, which is said.

        Args:
            like: arrays, or their shapes and dtypes, with the places where they shall live.
            fits: given the description, raises ValueError if this run cannot go on from it.

        Raises:
            ValueError: the arrays saved are not those of this run, or none of the checkpoints is unharmed.
        """
        damaged: dict[int, str] = {}
        for step in seen_anywhere(self.steps):
            try:
                described = self.describe(step)
                fits(described)
                state = self.restore(step, like, described)
            except DamagedError as error:
                damaged[step] = str(error)
                continue
            for other, why in damaged.items():
                logger.warning(
                    f"the checkpoint of step {other} is damaged ({why}): set aside as {self._set_aside(other)}"
                )
            return step, state, described
        if damaged:
            listed = "".join(f"\n  {step}: {why}" for step, why in damaged.items())
            raise ValueError(
                f"{self.directory}: every checkpoint is damaged:{listed}\nmove that directory away to start over"
            )
        return None

    def describe(self, step: int) -> dict[str, Any]:
        """What was saved beside the state. Raises DamagedError."""
        described, why = None, ""
        try:
            described = unseal(self._checkpointer.checkpointables_metadata(step).custom_metadata)
        except Exception as error:  # of a damaged checkpoint Orbax raises anything, a bare AssertionError among it
            why = errors.first_line(error)
        require_everywhere(described is not None, why)
        require_alike(described)
        return described

    def restore(self, step: int, like: train_step.TrainState, described: Mapping[str, Any]) -> train_step.TrainState:
        """The state of a checkpoint, spread over the devices as `like`, on whatever devices it was saved.

        Raises:
            ValueError: it holds other arrays than `like`; all differences are listed.
            DamagedError: it does not hold what was saved.
        """
        if found := differences(described["arrays"], describe_arrays(like)):
            where = self.path(step)
            raise ValueError("\n  ".join([f"{where} does not fit this run (saved, then expected):", *found]))
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        state, why = None, ""
        try:
            state = read_alone(self.path(step), {"state": abstract})["state"]
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise  # nothing the checkpoint is to blame for
        except Exception as error:
            why = errors.first_line(error)[:LONGEST_REASON]
        require_everywhere(state is not None, why)
        saved, now = described["arrays"], self._digest(state)
        changed = [path for path, digest in now.items() if digest != saved[path]["digest"]]
        require_everywhere(not changed, f"changed since it was written: {', '.join(changed)}")
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
        require_everywhere(True, "")  # nobody reads it any more, and all have chosen the name
        if not jax.process_index():
            self.damaged.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # where this process is the one that does not see it
                self.path(step).rename(place)
        require_everywhere(True, "")
        self._checkpointer.reload()
        return place


class KeepNewestAndBest:
    """Which checkpoints stay, for Orbax."""

    def __init__(self, settings: config.CheckpointConfig, scores: Mapping[int, float]) -> None:
        self.settings, self.scores = settings, scores

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Whether each of them stays."""
        steps = sorted(point.step for point in checkpoints)
        best = best_first(steps, self.scores)[: self.settings.keep_best]
        return [point.step in (*steps[-self.settings.keep_last :], *best) for point in checkpoints]


def best_first(steps: Sequence[int], scores: Mapping[int, float]) -> list[int]:
    """The steps that have a score, the best first, the newest of equals first."""
    return sorted((step for step in steps if step in scores), key=lambda step: (scores[step], step), reverse=True)


def describe_arrays(state: train_step.TrainState, digest: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Shape, dtype and, if given, digest of every array by path; JSON."""
    return {
        path: {"shape": list(array.shape), "dtype": str(array.dtype), **({"digest": digest[path]} if digest else {})}
        for path, array in digests.by_path(state).items()
    }


def differences(saved: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Arrays that are missing, left over, or of another shape or dtype, a line each."""

    def say(arrays: Mapping[str, Mapping[str, Any]], path: str) -> str:
        return f"{arrays[path]['dtype']} {tuple(arrays[path]['shape'])}" if path in arrays else "nothing"

    both = {path: (say(saved, path), say(expected, path)) for path in sorted(saved.keys() | expected.keys())}
    return [f"{path}: {then}, {now}" for path, (then, now) in both.items() if then != now]


def seal(described: Mapping[str, Any]) -> dict[str, Any]:
    """A description with a digest of itself; JSON."""
    text = json.dumps(described, sort_keys=True)
    return {"described": json.loads(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def unseal(sealed: Any) -> dict[str, Any]:
    """The description. Raises ValueError if it is not what was sealed."""
    if not isinstance(sealed, dict) or seal(sealed.get("described", {})) != sealed:
        raise ValueError("its description has changed since it was written")
    return sealed["described"]


def read_alone(path: pathlib.Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds, read without waiting for the other processes.

    Orbax lets them wait for each other, in vain if one of them cannot read: here each is told that it is the only one.
    """
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=this, active_processes={this})
    with ocp.Context(multiprocessing_options=alone if jax.process_count() > 1 else None):
        return ocp.load_checkpointables(path, wanted)


def require_everywhere(holds: bool, why: str) -> None:
    """Raises DamagedError in all processes unless it holds in each of them; the message names those where not."""
    reasons = [""] if holds else [why or "unknown"]
    if jax.process_count() > 1:
        text = f"process {jax.process_index()} on {platform.node()}: {reasons[0]}".encode()[:MESSAGE_BYTES]
        padded = np.frombuffer((b"" if holds else text).ljust(MESSAGE_BYTES, b"\0"), np.uint8)
        gathered = multihost_utils.process_allgather(padded)
        reasons = [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in gathered]
    if wrong := [reason for reason in reasons if reason]:
        raise DamagedError("; ".join(wrong))


def require_alike(described: Mapping[str, Any]) -> None:
    """Raises DamagedError in all processes unless all have read the same description."""
    if jax.process_count() > 1:
        digest = np.frombuffer(bytes.fromhex(seal(described)["sha256"]), np.uint8)
        gathered = multihost_utils.process_allgather(digest)
        different = (gathered != gathered[0]).any(axis=1)
        require_everywhere(not different[jax.process_index()], "another description than process 0 has read")


def seen_anywhere(steps: Sequence[int]) -> list[int]:
    """The steps that some process sees, the newest first: all have to try the same ones."""
    if jax.process_count() > 1:
        most = int(multihost_utils.process_allgather(np.int32(len(steps))).max())
        padded = np.full(most, -1, np.int32)
        padded[: len(steps)] = steps
        steps = multihost_utils.process_allgather(padded).ravel().tolist()
    return sorted({step for step in steps if step >= 0}, reverse=True)


def describe_changes(saved: dict[str, Any], run: config.TrainConfig) -> list[str]:
    """How the run differs from the one saved, a line for each setting. One that came later had its default."""
    usual, now = (
        config_file.flatten(json.loads(json.dumps(config.to_dict(each))))  # tuples become lists, as in the saved one
        for each in (config.TrainConfig(), run)
    )
    then = usual | renamed.translate(config_file.flatten(saved))
    return [f"{name}: {then[name]!r} then, {now.get(name)!r} now" for name in then if then[name] != now.get(name)]
