"""Where the weights are that somebody names: a file, a directory, or a repository of the Hugging Face hub."""

import logging
import pathlib
import re
from collections.abc import Collection
from typing import Any

import huggingface_hub
from huggingface_hub import errors as hub

from actionclip_jax import files, paths, text
from actionclip_jax.checkpoints import errors, released

logger = logging.getLogger(__name__)

HUB = "hub:"  # in front of owner/name: the hub, whatever lies here under that name
OPEN_CLIP_HUB = "hf-hub:"  # open_clip's spelling of the same
HUB_SECONDS = 3  # to wait for a connection to the hub at first; downloads are more patient, and tried again
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
SUFFIXES = (*TORCH_SUFFIXES, ".safetensors", ".npz")
# the file that holds the weights in a directory, best first; without any of them, the one file of LONELY
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
LONELY = (".npz", ".pt")  # as big_vision and PE-Core's authors release theirs: one file of any name
SETTING_FILES = ("config.json", "open_clip_config.json", "preprocessor_config.json", "processor_config.json")
TOKENIZER_PARTS = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json")  # which are no tokenizer alone
SIDE_FILES = (*SETTING_FILES, *text.TOKENIZER_FILES, *TOKENIZER_PARTS)


def letters(name: str) -> str:
    """A name without what people spell differently."""
    return re.sub("[^a-z0-9]", "", name.lower())


# what people call models of the hub, and theirs there
HUB_NAMES = {
    letters(spelling): model.hub
    for model in released.MODELS
    if model.hub
    for spelling in (model.name, model.size, f"{model.size}px", model.hub.split("/")[1])
}


def locate(name: str) -> pathlib.Path:
    """The weight file meant by a file name, a directory, a hub repository `owner/name` or a released model's name.

    Raises:
        errors.CheckpointError: nothing there, or the hub does not give it.
    """
    if not name.strip():
        raise errors.CheckpointError(
            "the name of the model is empty: expected a model directory, a checkpoint or a hub name owner/name"
        )
    if name.startswith((HUB, OPEN_CLIP_HUB)):
        return download(name.partition(":")[2])
    if "://" in name:
        raise errors.CheckpointError(
            f"{name}: is an address: only local files, directories and hub names owner/name are read; download it first"
        )
    path = paths.expand_home(name)
    if path.is_file():
        return path
    if path.is_dir():
        return in_directory(path)
    if path.exists():
        raise errors.CheckpointError(f"{name}: is neither a file nor a directory")
    if not name.startswith((".", "/", "~")) and (repository := HUB_NAMES.get(letters(name))):
        logger.info(f"{name}: {repository} on the Hugging Face hub")
        return download(repository)
    if model := released.BY_NAME.get(name):
        raise errors.CheckpointError(f"{name}: {model.how_to_get()}")
    owner, _, rest = name.partition("/")
    file_like = path.suffix in (*SUFFIXES, ".json")
    if file_like or "/" in rest or not rest or owner in ("", ".", "..") or name.startswith("~"):
        raise errors.CheckpointError(
            f"{name}: no such file or directory, and not a hub name of the form owner/name{released.suggest(name)}"
        )
    if pathlib.Path(owner).exists():
        raise errors.CheckpointError(
            f"{name}: no such file or directory, though {owner} is here; if you meant the hub, give {HUB}{name}"
        )
    return download(name)


def in_directory(path: pathlib.Path) -> pathlib.Path:
    """The weight file of a directory."""
    if name := weight_file([entry.name for entry in path.iterdir() if entry.is_file()]):
        return path / name
    if (path / "params").is_dir() and (path / "tokenizer").is_dir():
        raise errors.CheckpointError(
            f"{path}: a model directory whose config.json is missing or damaged: take a whole copy of it, or convert "
            "or train it again"
        )
    entries = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    held = f"{len(entries)} entries such as {', '.join(entries[:3])}" if entries else "nothing"
    if (path / "model" / "config.json").is_file():
        held += f"; did you mean {path / 'model'}?"
    raise errors.CheckpointError(
        f"{path}: no weights in this directory, which holds {held}. Expected a model directory (of `actionclip "
        f"convert` or a training), or one with {', '.join(WEIGHT_FILES)}, or one {' or '.join(LONELY)} file"
    )


def weight_file(names: Collection[str]) -> str | None:
    """Which of a directory's files holds its weights."""
    lonely = [name for name in names if name.endswith(LONELY) and "/" not in name]
    usual = (name for name in WEIGHT_FILES if name in names)
    return next(usual, lonely[0] if len(lonely) == 1 else None)


def owns_tokenizer(path: pathlib.Path) -> bool:
    """Whether a tokenizer beside a weight file is its own: a .npz file can hold none, and another may be anybody's."""
    return path.name in WEIGHT_FILES or path.suffix == ".npz"


def download(repository: str) -> pathlib.Path:
    """The weight file in the local copy of a hub repository, with what goes with it beside it."""
    try:
        names = listed(repository)
    except Exception as error:  # the client's own kinds of error, whose module changes its name
        # without a connection, a copy fetched earlier serves
        if path := next((path for name in WEIGHT_FILES if (path := fetched(repository, name))), None):
            return path
        raise errors.CheckpointError(
            f"{repository}: no such file or directory here, and the hub did not give it "
            f"({errors.first_line(error)}); download it where there is a network and give its directory"
        ) from None
    if not (weights := weight_file(names)):
        raise errors.CheckpointError(
            f"{repository}: the hub repository holds none of {', '.join(WEIGHT_FILES)}, and not one "
            f"{' or '.join(LONELY)} file"
        )
    try:
        path = pathlib.Path(huggingface_hub.hf_hub_download(repository, weights))
        for name in (*SIDE_FILES, *(shard_names(path) if path.suffix == ".json" else ())):
            if name in names:
                huggingface_hub.hf_hub_download(repository, name)
        return path
    except (OSError, hub.HfHubHTTPError) as error:
        raise errors.CheckpointError(
            f"{repository}: the hub did not give all of its files ({errors.first_line(error)})"
        ) from None


def listed(repository: str) -> set[str]:
    """The names of a hub repository's files, by one quick question that is not asked again."""
    timeout = (HUB_SECONDS, 30, 30, 30)  # to connect, to read, to write, to wait for a free connection
    # its stubs know only one number for all
    information = huggingface_hub.model_info(repository, timeout=timeout)  # ty: ignore[invalid-argument-type]
    return {file.rfilename for file in information.siblings or ()}


def fetched(repository: str, name: str) -> pathlib.Path | None:
    """A file of a hub repository that was fetched earlier."""
    try:
        return pathlib.Path(huggingface_hub.hf_hub_download(repository, name, local_files_only=True))
    except (hub.LocalEntryNotFoundError, hub.HFValidationError):
        return None


def may_hold_weights(path: pathlib.Path) -> bool:
    """Whether something in a directory has the name of a weight file, or of an index of several."""
    return path.is_file() and (path.name in WEIGHT_FILES or path.suffix in SUFFIXES)


def weight_parts(path: pathlib.Path) -> list[pathlib.Path]:
    """The files that together hold the weights: the file itself, or the shards of an index."""
    if path.suffix != ".json":
        return [path]
    parts = [path.parent / name for name in shard_names(path)]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise errors.CheckpointError(f"{path}: files named in the index are missing: {', '.join(missing)}")
    return parts


def shard_names(index: pathlib.Path) -> list[str]:
    """The files an index names, which must lie beside it."""
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
        outside = [name for name in names if pathlib.PurePath(name).name != name]
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.CheckpointError(f"{index}: is a JSON file, and not an index of weights ({error!r})") from None
    if outside:
        raise errors.CheckpointError(f"{index}: the index names files outside its directory: {', '.join(outside)}")
    return names


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        return files.read_object(path)
    except (OSError, ValueError) as error:
        raise errors.CheckpointError(f"{path}: not readable JSON ({errors.first_line(error)})") from None
