"""A model on disk: a directory with Orbax weights, its configuration, tokenizer and provenance. Needs nothing else."""

import dataclasses
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
import transformers
from flax import traverse_util
from orbax.checkpoint import v1 as ocp

from actionclip_jax import config, entry_points, paths, text
from actionclip_jax.checkpoints import digests, errors, locate, torch_files
from actionclip_jax.models import action_clip

logger = logging.getLogger(__name__)

FORMAT = "actionclip-jax model"
VERSION = 2  # 1 had no digests
PARTS = ("params", "config.json", "tokenizer", "provenance.json", "unused.safetensors")
LARGEST_CONFIG = 2**24  # bytes of a config.json; a real one has some thousands


@dataclasses.dataclass
class Weights:
    """A model's configuration and parameters, and what is known of where they come from."""

    model: config.ModelConfig
    params: Mapping[str, np.ndarray | jax.Array]  # by path, float32
    tokenizer: transformers.PreTrainedTokenizerBase
    provenance: dict[str, Any]
    unused: dict[str, np.ndarray]  # tensors of the source that take no part in the model


def is_model_directory(path: str | os.PathLike) -> bool:
    """Whether `path` is a directory written by `save`."""
    file = paths.expand_home(path) / "config.json"
    if not file.is_file() or file.stat().st_size > LARGEST_CONFIG:
        return False
    return f'"{FORMAT}"' in file.read_text(encoding="utf-8", errors="replace")


def check_not_a_part(path: str | os.PathLike) -> None:
    """Raises ModelDirectoryError for a part of a model directory that is given in its place."""
    part = paths.expand_home(path)
    if part.name in PARTS and part.exists() and is_model_directory(part.parent):
        raise errors.ModelDirectoryError(f"{path}: is a part of a model directory: did you mean {part.parent}?")


def check_destination(directory: str | os.PathLike, overwrite: bool) -> pathlib.Path:
    """The absolute path of a directory that `save` may write; raises ModelDirectoryError if it may not."""
    final = paths.expand_home(directory).resolve()
    if final.exists() and not overwrite:
        raise errors.ModelDirectoryError(f"{directory}: already exists; give another name, or --overwrite")
    if final.is_file():
        raise errors.ModelDirectoryError(f"{directory}: is a file, so it is not overwritten by a directory")
    if final.exists() and any(final.iterdir()) and not is_model_directory(final):
        raise errors.ModelDirectoryError(f"{directory}: holds something other than a model, so it is not overwritten")
    return final


def save(directory: str | os.PathLike, weights: Weights, overwrite: bool = False) -> None:
    """Writes a model directory; it appears under its name only when whole. All processes of a run make the same call.

    Raises:
        ModelDirectoryError: the directory exists and is not to be overwritten.
    """
    final = check_destination(directory, overwrite)
    writer = os.getpid() if jax.process_count() == 1 else "run"
    partial = final.with_name(f"{final.name}.partial-{writer}")
    partial.mkdir(parents=True, exist_ok=jax.process_count() > 1)
    try:
        ocp.save(str(partial / "params"), traverse_util.unflatten_dict(dict(weights.params), sep="/"))
        if jax.process_index():
            return
        for file in (partial / "params").rglob("commit_success.txt"):
            file.write_text("whole\n")  # Orbax looks whether it is there; its own words name this machine's directory
        weights.tokenizer.save_pretrained(partial / "tokenizer")
        head = weights.model.temporal.head
        if weights.unused:
            unused = {name: np.asarray(array, order="C") for name, array in weights.unused.items()}
            safetensors.numpy.save_file(unused, partial / "unused.safetensors")
        described = {
            "format": FORMAT,
            "version": VERSION,
            "model": config.to_dict(weights.model),
            "model_digest": digests.digest_json(config.to_dict(weights.model)),
            "digests": {path: digests.digest({path: array}) for path, array in sorted(weights.params.items())},
            **({"code_digest": entry_points.digest(head)} if entry_points.is_name(head) else {}),
        }
        for name, content in (("provenance", without_places(weights.provenance)), ("config", described)):
            (partial / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
    finally:
        if not jax.process_index():
            shutil.rmtree(partial, ignore_errors=True)


def without_places(value: Any) -> Any:
    """What JSON holds with the last part of every absolute path in place of the whole: a model may be given away."""
    if isinstance(value, Mapping):
        return {name: without_places(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(item) for item in value]
    kinds = (pathlib.PurePosixPath, pathlib.PureWindowsPath)
    if isinstance(value, str) and (
        value.startswith(("~", "file:")) or any(kind(value).is_absolute() for kind in kinds)
    ):
        return pathlib.PureWindowsPath(value).name  # which knows both kinds of slashes
    return value


def load(directory: str | os.PathLike, *, trust_code: bool = False) -> Weights:
    """Reads a model directory onto the default device.

    `trust_code` imports a temporal head that is somebody's own code, which a directory only names.

    Raises:
        ModelDirectoryError: something is missing, damaged or of another version, or code that is not trusted.
        ValueError: the code is not there, or cannot be such a head.
    """
    path = paths.expand_home(directory).absolute()
    model, unused = load_config(path), path / "unused.safetensors"
    if entry_points.is_name(model.temporal.head):
        check_code(path, model.temporal.head, trust_code)
    params = load_params(path / "params", action_clip.param_shapes(model))
    check_digests(path, params)
    check_finite(path, params)
    return Weights(
        model,
        params,
        text.load_tokenizer(path / "tokenizer", model.text),
        read_json(path / "provenance.json"),
        torch_files.read_safetensors(unused) if unused.is_file() else {},
    )


def load_config(directory: str | os.PathLike) -> config.ModelConfig:
    """What model a directory holds.

    Raises:
        ModelDirectoryError: there is none, or one of another version.
    """
    described = read_json(paths.expand_home(directory) / "config.json")
    if described.get("format") != FORMAT or described.get("version") != VERSION:
        given = f"format {described.get('format')!r} version {described.get('version')!r}"
        raise errors.ModelDirectoryError(f"{directory}: {given}; this program reads {FORMAT!r} version {VERSION}")
    if not isinstance(described.get("model"), dict):
        raise errors.ModelDirectoryError(f"{directory}: config.json describes no model")
    return config.checked_model(config.from_dict(config.ModelConfig, described["model"], "model"))


def check_code(directory: pathlib.Path, name: str, trust_code: bool) -> None:
    """Raises ModelDirectoryError for a head that is somebody's own code, unless it is trusted; notes changed code."""
    if not trust_code:
        raise errors.ModelDirectoryError(
            f"{directory}: its temporal head is code that does not belong to this program, {name}. Nothing was "
            "imported. If you know whose code it is, say --trust-code (in Python: trust_code=True)"
        )
    written = read_json(directory / "config.json").get("code_digest")
    if written != entry_points.digest(name):
        logger.warning(f"note: {directory}: the file that {name} is in has changed since the model was saved")


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON file of a model directory."""
    if not path.is_file():
        raise errors.ModelDirectoryError(f"{path.parent}: not a whole model directory: {path.name} is missing")
    try:
        return locate.read_json(path)
    except errors.CheckpointError as error:
        raise errors.ModelDirectoryError(f"{path.parent}: not a whole model directory ({error})") from None


def load_params(path: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, jax.Array]:
    """Restores parameters by path, after checking that exactly these are stored."""
    try:
        stored = traverse_util.flatten_dict(ocp.metadata(str(path)).metadata, sep="/")
    except Exception as error:  # of damaged files Orbax raises anything, a bare AssertionError among it
        raise errors.ModelDirectoryError(f"{path}: weights missing or damaged ({errors.first_line(error)})") from None
    problems = [f"{name} is missing" for name in shapes.keys() - stored.keys()]
    problems += [f"{name} is not a part of this model" for name in stored.keys() - shapes.keys()]
    for name in stored.keys() & shapes.keys():
        if (stored[name].shape, stored[name].dtype) != (shapes[name], np.float32):
            problems.append(f"{name} is {stored[name].dtype} {stored[name].shape}, expected float32 {shapes[name]}")
    if problems:
        problems = [f"{path}: the weights do not fit the configuration:", *sorted(problems)]
        raise errors.ModelDirectoryError("\n  ".join(problems))
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    wanted = {name: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding) for name, shape in shapes.items()}
    try:
        params = ocp.load(str(path), traverse_util.unflatten_dict(wanted, sep="/"))
    except Exception as error:
        raise errors.ModelDirectoryError(f"{path}: weights damaged ({errors.first_line(error)})") from None
    return traverse_util.flatten_dict(params, sep="/")


def check_digests(directory: pathlib.Path, params: Mapping[str, jax.Array]) -> None:
    """Raises ModelDirectoryError if a parameter is not what was saved: Orbax restores a changed byte without a word."""
    described = read_json(directory / "config.json")
    model_digest = described.get("model_digest")  # which older directories have not
    if model_digest is not None and model_digest != digests.digest_json(described["model"]):
        raise errors.ModelDirectoryError(f"{directory}: config.json describes another model than was written")
    saved = described.get("digests")
    if not saved or not isinstance(saved, dict):
        raise errors.ModelDirectoryError(f"{directory}: config.json has no digests of the weights: it is damaged")
    changed = [name for name, array in params.items() if digests.digest({name: array}) != saved.get(name)]
    if changed:
        raise errors.ModelDirectoryError(f"{directory}: changed since it was written: {', '.join(changed)}")


def check_finite(directory: pathlib.Path, params: Mapping[str, jax.Array]) -> None:
    """Raises ModelDirectoryError if a parameter holds NaN or infinity, of which a model makes believable answers."""
    counts = {name: array.size - np.count_nonzero(np.isfinite(array)) for name, array in params.items()}
    if wrong := [f"{name} ({count} of {params[name].size})" for name, count in counts.items() if count]:
        raise errors.ModelDirectoryError(
            f"{directory}: holds numbers that are not finite: {', '.join(wrong)}. The training diverged: take a model "
            "saved before it did"
        )
