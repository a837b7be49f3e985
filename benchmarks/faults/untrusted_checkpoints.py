"""Checkpoints that would run code, fill the memory or open other files, and model directories that lie."""

import atexit
import functools
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import sys
import tempfile
import types
import zipfile
from collections.abc import Callable
from typing import Any

import child
import corruption
import harness
import numpy as np

from actionclip_jax import checkpoints, config, text
from actionclip_jax.checkpoints import export, formats, mapping, tensor_names, torch_files
from actionclip_jax.checkpoints import model_directory as checkpoint
from actionclip_jax.evaluation import features
from actionclip_jax.models import action_clip

ZEROS = 3 << 30  # of a bomb: more than child.MEGABYTES
LIST = "features.json"
Make = Callable[[pathlib.Path], pathlib.Path]


def load(path: pathlib.Path) -> str:
    """Reads a checkpoint as every command does."""
    weights = checkpoints.read_any(path, activation="quick_gelu")
    return f"{sum(param.size for param in weights.params.values())} parameters"


def convert(path: pathlib.Path) -> str:
    """The same without its slowest part, the tokenizer."""
    found = formats.recognise(torch_files.read(path), "quick_gelu")
    return f"{len(mapping.to_params(found.rows, action_clip.param_shapes(found.model), found.tensors))} parameters"


def load_features(path: pathlib.Path) -> str:
    """Reads a directory of features."""
    return f"{features.load(path)[1].values.shape}"


def load_cache(directory: pathlib.Path) -> str:
    """Reads a cached text embedding, which is computed again where it is damaged."""
    return f"{text.load_or_make(directory / 'a.npy', lambda: np.ones(3), (3,))}"


def model_config(vocabulary: int = 64) -> config.ModelConfig:
    """The smallest towers."""
    towers = {"width": 64, "depth": 1, "heads": 1}
    image, words = config.ImageConfig(size=32, patch=16, **towers), config.TextConfig(vocabulary=vocabulary, **towers)
    return config.checked_model(config.ModelConfig(image=image, text=words, embed_width=32))


def random_params(model: config.ModelConfig) -> dict[str, np.ndarray]:
    """Parameters by path."""
    rng = np.random.default_rng(0)
    return {path: rng.normal(size=shape).astype(np.float32) for path, shape in action_clip.param_shapes(model).items()}


@functools.cache
def state() -> dict[str, np.ndarray]:
    """A CLIP's tensors by OpenAI's names."""
    model = model_config()
    return mapping.to_tensors(tensor_names.openai_towers(model), random_params(model))


def good(name: str) -> Make:
    """Writes a good checkpoint."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        torch_files.write(folder / name, state())
        return folder / name

    return make


def good_legacy(folder: pathlib.Path) -> pathlib.Path:
    """Writes a good checkpoint the way PyTorch did before it used archives."""
    import torch

    torch.save(torch_files.tensors(state()), folder / "a.pt", _use_new_zipfile_serialization=False)
    return folder / "a.pt"


def good_script(folder: pathlib.Path) -> pathlib.Path:
    """Writes a good TorchScript archive."""
    script_archive(folder / "a.pt", pickled(Module({"logit_scale": Tensor((), ())})))
    return folder / "a.pt"


class Evil:
    """Unpickles to a command."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return child.hostile_code(self.folder)


def evil(save: Callable[[Any, pathlib.Path], object], wrap: Callable[[Any], Any] = lambda code: {"a": code}) -> Make:
    """Writes a pickle with code in it."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        save(wrap(Evil(folder)), folder / "a.pt")
        return folder / "a.pt"

    return make


def torch_save(value: Any, path: pathlib.Path, **options: Any) -> None:
    """torch.save."""
    import torch

    torch.save(value, path, **options)


def torch_file(value: Callable[[Any], Any]) -> Make:
    """Writes what `value(torch)` returns with torch.save."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        import torch

        torch.save(value(torch), folder / "a.pt")
        return folder / "a.pt"

    return make


class Tensor:
    """Pickles to a view, of any claim, of the storage 0."""

    def __init__(self, shape: Any, strides: Any, offset: int = 0, count: int = 2) -> None:
        self.claims = (shape, strides, offset, count)

    def __reduce__(self) -> tuple:
        import torch

        shape, strides, offset, count = self.claims
        return torch._utils._rebuild_tensor_v2, (("STORAGE", count), offset, shape, strides, False, {})


class Module:
    """Pickles to a scripted module with these attributes."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        vars(self).update(attributes)


Module.__module__, Module.__qualname__ = "__torch__", "Module"


class Pickler(pickle.Pickler):
    """Writes storages as PyTorch does."""

    def persistent_id(self, value: Any) -> tuple | None:
        """The mark of a storage."""
        import torch

        if isinstance(value, tuple) and value[:1] == ("STORAGE",):
            return ("storage", torch.FloatStorage, "0", "cpu", value[1])
        return None


def pickled(value: Any) -> bytes:
    """Pickles modules and tensors."""
    sys.modules["__torch__"] = types.SimpleNamespace(Module=Module)
    try:
        Pickler(buffer := io.BytesIO(), 2).dump(value)
    finally:
        del sys.modules["__torch__"]
    return buffer.getvalue()


def script_archive(path: pathlib.Path, pickled: bytes) -> None:
    """A TorchScript archive with one storage of two numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (
            ("code/__torch__.py", b""),
            ("data.pkl", pickled),
            ("data/0", bytes(8)),
            ("version", b"3"),
        ):
            archive.writestr(f"a/{name}", content)


def script(pickle_of: Callable[[], bytes]) -> Make:
    """Writes a TorchScript archive with such a pickle."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        script_archive(folder / "a.pt", pickle_of())
        return folder / "a.pt"

    return make


def evil_script(folder: pathlib.Path) -> pathlib.Path:
    """A TorchScript archive with code in it."""
    return script(lambda: pickle.dumps(Evil(folder), 2))(folder)


def claims(scripted: bool, *arguments: Any) -> Make:
    """Writes a tensor of such claims in a TorchScript archive, or in one of torch.save."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        if scripted:
            return script(lambda: pickled(Module({"a": Tensor(*arguments)})))(folder)
        with zipfile.ZipFile(folder / "a.pt", "w") as archive:
            archive.writestr("a/data.pkl", pickled({"a": Tensor(*arguments)}))
            for name, content in (("byteorder", "little"), ("data/0", bytes(8)), ("version", "3\n")):
                archive.writestr(f"a/{name}", content)
        return folder / "a.pt"

    return make


def bomb(scripted: bool) -> Make:
    """Writes an archive whose storage is a few megabytes of compressed zeros."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        claims(scripted, (ZEROS // 4,), (1,), 0, ZEROS // 4)(folder).rename(folder / "small.pt")
        with (
            zipfile.ZipFile(folder / "small.pt") as small,
            zipfile.ZipFile(folder / "a.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for entry in small.infolist():
                with archive.open(entry.filename, "w", force_zip64=True) as file:
                    for _ in range(ZEROS >> 24 if entry.filename.endswith("/0") else 0):
                        file.write(bytes(1 << 24))
                    if not entry.filename.endswith("/0"):
                        file.write(small.read(entry))
        return folder / "a.pt"

    return make


def changed_archive(change: Callable[[zipfile.ZipFile], object]) -> Make:
    """Writes a good archive whose directory is changed before it is written."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        with zipfile.ZipFile(good("a.pt")(folder), "a") as archive:
            archive.writestr("archive/extra", b"")
            change(archive)
        return folder / "a.pt"

    return make


def overlap(archive: zipfile.ZipFile) -> None:
    """A thousand names for the largest entry."""
    largest = max(archive.filelist, key=lambda entry: entry.file_size)
    for number in range(1000):
        entry = zipfile.ZipInfo(f"archive/data/{1000 + number}")
        for field in ("header_offset", "file_size", "compress_size", "CRC", "compress_type"):
            setattr(entry, field, getattr(largest, field))
        archive.filelist.append(entry)


def lie(archive: zipfile.ZipFile) -> None:
    """Sizes of a gigabyte each."""
    for entry in archive.filelist:
        entry.file_size = entry.compress_size = 1 << 30


def renamed_archive(root: str) -> Make:
    """Writes a good archive whose names begin with something else."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        inner = folder / "inner"
        inner.mkdir()
        with (
            zipfile.ZipFile(good("b.pt")(inner)) as source,
            zipfile.ZipFile(inner / "a.pt", "w") as archive,
        ):
            for entry in source.infolist():
                archive.writestr(root + entry.filename.split("/", 1)[1], source.read(entry))
        return inner / "a.pt"

    return make


def nothing_outside(folder: pathlib.Path) -> str:
    """Reads archives whose names lead elsewhere; nothing may appear there."""
    for root in ("../../escaped/", "/tmp/escaped/", "..\\escaped\\"):
        path = renamed_archive(root)(folder)
        outcome = child.run(load, path)
        harness.expect(outcome.error is None or outcome.known, str(outcome))
        shutil.rmtree(path.parent)
    left = [path for path in (folder, folder.parent) if (path / "escaped").exists()]
    harness.expect(not left, f"written to {left}")
    return f"names are never paths: {outcome}"


def laughs(torch: Any) -> dict[str, Any]:
    """Thirty dictionaries that each hold the last one twice: a thousand million in all."""
    tree: dict[str, Any] = {"a": torch.zeros(1)}
    for _ in range(30):
        tree = {"a": tree, "b": tree}
    return tree


def endless(_: Any) -> dict[str, Any]:
    """A dictionary that holds itself."""
    tree: dict[str, Any] = {}
    tree["a"] = tree
    return tree


def empty_tensors(folder: pathlib.Path) -> pathlib.Path:
    """A CLIP of tensors without a number whose shapes are those of a model of 10^9 channels."""
    width = 10**9
    shapes = {
        "visual.conv1.weight": (width, 0, 16, 16),
        "visual.positional_embedding": (5, 0),
        "token_embedding.weight": (0, width),
        "positional_embedding": (77, 0),
        "text_projection": (0, width),
    }
    torch_files.write(folder / "a.safetensors", {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    return folder / "a.safetensors"


def safetensors_file(header: bytes | dict, data: bytes = bytes(16), length: int | None = None) -> Make:
    """Writes a safetensors file with any header."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        told = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = struct.pack("<Q", len(told) if length is None else length)
        (folder / "a.safetensors").write_bytes(size + told + data)
        return folder / "a.safetensors"

    return make


def one_tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    """A header entry."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def many_names(folder: pathlib.Path) -> pathlib.Path:
    """A header of nothing but names."""
    return safetensors_file({str(name): one_tensor([0], 0, 0) for name in range(10**5)}, b"")(folder)


def cut(make: Make, part: float) -> Make:
    """The first part of what `make` writes."""

    def made(folder: pathlib.Path) -> pathlib.Path:
        path = make(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
        return path

    return made


def index(names: Any) -> Make:
    """Writes an index of weights that names such files."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        inner = folder / "inner"
        inner.mkdir()
        good("secret.safetensors")(folder)
        path = inner / "model.safetensors.index.json"
        path.write_text(names if isinstance(names, str) else json.dumps({"weight_map": names}), encoding="utf-8")
        return path

    return make


@functools.cache
def model_directory() -> pathlib.Path:
    """A good model directory, made once."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="actionclip-fault-model-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    model = model_config(49408)
    weights = checkpoint.Weights(model, random_params(model), text.default_tokenizer(), {"source": "random"}, {})
    checkpoint.save(directory / "model", weights)
    return directory / "model"


def model(change: Callable[[pathlib.Path], object]) -> Make:
    """Copies the good model directory and changes it."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        shutil.copytree(model_directory(), folder / "model")
        change(folder / "model")
        return folder / "model"

    return make


def claimed(**sizes: int) -> Callable[[pathlib.Path], None]:
    """Changes the sizes of both towers in config.json."""

    def change(directory: pathlib.Path) -> None:
        described = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        for tower in ("image", "text"):
            described["model"][tower] |= sizes
        (directory / "config.json").write_text(json.dumps(described), encoding="utf-8")

    return change


def remote_code(directory: pathlib.Path) -> None:
    """Adds what makes libraries that trust a directory import code from it."""
    command, arguments = child.hostile_code(directory.parent)
    code = f"import os\nos.{command.__name__}({arguments[0]!r})\nclass Evil: pass\n"
    for place in (directory, directory / "tokenizer"):
        place.mkdir(exist_ok=True)
        for name in ("evil", "tokenizer", "modeling_clip", "__init__"):
            (place / f"{name}.py").write_text(code, encoding="utf-8")
        for name in ("tokenizer_config.json", "config.json"):
            file = place / name
            told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            told |= {
                "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoModel": "evil.Evil"},
                "trust_remote_code": True,
                "tokenizer_class": "evil.Evil",
                "custom_pipelines": {"x": {"impl": "evil.Evil"}},
            }
            file.write_text(json.dumps(told), encoding="utf-8")


def hugging_face(change: Callable[[pathlib.Path], object]) -> Make:
    """Writes a Hugging Face directory and changes it."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        weights = checkpoints.read_any(model_directory())
        export.export(weights, folder / "model", "huggingface", towers_only=False, overwrite=False)
        change(folder / "model")
        return folder / "model"

    return make


def feature_part(save: Callable[..., None], values: Callable[[pathlib.Path], Any]) -> Make:
    """Writes saved features whose values are something else."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        (folder / LIST).write_text('{"ids": ["a"]}', encoding="utf-8")
        save(folder / "part-000000.npz", clip=np.zeros(1, int), mask=np.ones(1, bool), features=values(folder))
        return folder

    return make


def cached(content: Callable[[pathlib.Path], bytes]) -> Make:
    """Writes a cached array with such content."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        (folder / "a.npy").write_bytes(content(folder))
        return folder

    return make


def pickled_array(folder: pathlib.Path) -> bytes:
    """An .npy of objects."""
    np.save(buffer := io.BytesIO(), np.array([Evil(folder)], object), allow_pickle=True)
    return buffer.getvalue()


def huge_array(_: pathlib.Path) -> bytes:
    """An .npy whose header claims terabytes."""
    np.save(buffer := io.BytesIO(), np.ones(3))
    return buffer.getvalue().replace(b"(3,), }           ", b"(999999999999,), }")


def fuzz(path: pathlib.Path) -> str:
    """Damages a checkpoint at random."""
    return corruption.try_all(path, convert, path)


def fuzz_features(directory: pathlib.Path) -> str:
    """Damages saved features at random, their arrays and their list."""
    results = (corruption.try_all(directory / name, load_features, directory) for name in ("part-000000.npz", LIST))
    return "; ".join(results)


def fuzz_model(file: str, use: Callable[[pathlib.Path], Any], directory: pathlib.Path) -> str:
    """Damages a file of a directory at random."""
    return corruption.try_all(directory / file, use, directory)


SYSTEM = "refused.*(system|run code)"
CHECKPOINTS = [
    harness.Fault(name, expected, inject)
    for name, expected, inject in (
        ("code in an archive of torch.save", "refused, not run", child.refused(evil(torch_save), load, SYSTEM)),
        (
            "code deep inside a state dict",
            "refused, not run",
            child.refused(evil(torch_save, lambda code: {"state_dict": {"a": {"b": [code]}}}), load, SYSTEM),
        ),
        (
            "code in a file of old torch.save",
            "refused, not run",
            child.refused(evil(functools.partial(torch_save, _use_new_zipfile_serialization=False)), load, SYSTEM),
        ),
        (
            "code in a bare pickle",
            "refused, not run",
            child.refused(evil(lambda value, path: path.write_bytes(pickle.dumps(value))), load, SYSTEM),
        ),
        ("code in a TorchScript archive", "refused, not run", child.refused(evil_script, load, SYSTEM)),
        ("3 GB of compressed zeros in torch.save's", "refused", child.refused(bomb(False), load, "compressed")),
        ("3 GB of compressed zeros in TorchScript's", "refused", child.refused(bomb(True), load, "compressed")),
        ("archive with entries that overlap", "refused", child.refused(changed_archive(overlap), load, "overlap")),
        ("archive with sizes that lie", "refused", child.refused(changed_archive(lie), load)),
        ("archive with ../ and absolute names", "nothing written", nothing_outside),
        *(
            (
                f"{'TorchScript' if scripted else 'torch.save'}: tensor with {what}",
                "refused",
                child.refused(claims(scripted, *arguments), load, "a.pt|does not fit"),
            )
            for scripted in (False, True)
            for what, arguments in {
                "one number repeated 10^10 times": ((10**5, 10**5), (0, 0)),
                "2^70 numbers": ((2**70,), (1,)),
                "more than its storage": ((1000,), (1,)),
                "negative strides": ((2,), (-1,), 1),
                "a negative offset": ((2,), (1,), -2),
                "an offset behind its storage": ((2,), (1,), 10**9),
                "a storage of 10^12 numbers": ((10**12,), (1,), 0, 10**12),
            }.items()
        ),
        (
            "dictionaries that hold each other 2^30 times",
            "refused",
            child.refused(torch_file(laughs), load, "dictionaries"),
        ),
        (
            "a dictionary that holds itself",
            "refused",
            child.refused(torch_file(endless), load),
        ),
        (
            "pickle that wants a memo of 2^31 places",
            "refused",
            child.refused(script(lambda: b"\x80\x02]r\xff\xff\xff\x7f."), load, "memo"),
        ),
        (
            "pickle that wants 10^13 bytes",
            "refused",
            child.refused(script(lambda: b"\x80\x04\x8e" + struct.pack("<Q", 10**13) + b"a."), load),
        ),
        ("tensors without numbers, of 10^9 channels", "refused", child.refused(empty_tensors, load, "not the shapes")),
        ("safetensors: header of 2^60 bytes", "refused", child.refused(safetensors_file(b"{}", length=1 << 60), load)),
        ("safetensors: header nested 10^5 deep", "refused", child.refused(safetensors_file(b'{"a":' * 10**5), load)),
        (
            "safetensors: header of 10^5 names",
            "refused",
            child.refused(many_names, load),
        ),
        (
            "safetensors: tensors that overlap",
            "refused",
            child.refused(safetensors_file({"a": one_tensor([4], 0, 16), "b": one_tensor([4], 0, 16)}), load),
        ),
        (
            "safetensors: tensor beyond the file",
            "refused",
            child.refused(safetensors_file({"a": one_tensor([10**9], 0, 4 * 10**9)}), load),
        ),
        (
            "safetensors: 2^126 numbers",
            "refused",
            child.refused(safetensors_file({"a": one_tensor([2**63, 2**63], 0, 16)}), load),
        ),
        (
            "safetensors: unknown dtype",
            "refused",
            child.refused(safetensors_file({"a": one_tensor([4], 0, 16, "F99")}), load),
        ),
        (
            "safetensors: float8, which NumPy lacks",
            "refused",
            child.refused(safetensors_file({"a": one_tensor([16], 0, 16, "F8_E4M3")}), load),
        ),
        *(
            (f"{kind} cut to {part:.0%}", "refused", child.refused(cut(make, part), load))
            for kind, make in {
                "safetensors": good("a.safetensors"),
                "torch.save": good("a.pt"),
                "old torch.save": good_legacy,
                "TorchScript": good_script,
            }.items()
            for part in (0.01, 0.5, 0.99)
        ),
        (
            "index that names ../secret",
            "refused",
            child.refused(index({"a": "../secret.safetensors"}), load, "outside"),
        ),
        ("index that names /dev/zero", "refused", child.refused(index({"a": "/dev/zero"}), load, "outside")),
        ("index nested 10^5 deep", "refused", child.refused(index('{"a":' * 10**5), load, "JSON")),
        ("index of numbers", "refused", child.refused(index({"a": 1}), load, "index")),
        ("model directory of 10^9 channels", "refused", child.refused(model(claimed(width=10**9)), load, "at most")),
        ("model directory of 10^9 layers", "refused", child.refused(model(claimed(depth=10**9)), load, "at most")),
        (
            "model directory of 1,024 layers of 16,384",
            "refused",
            child.refused(model(claimed(width=16384, depth=1024)), load),
        ),
        (
            "model directory, parameters a link to nothing",
            "refused",
            child.refused(
                model(lambda path: [shutil.rmtree(path / "params"), (path / "params").symlink_to(path)]), load
            ),
        ),
        (
            "model directory, provenance nested 10^5 deep",
            "refused",
            child.refused(model(lambda path: (path / "provenance.json").write_text('{"a":' * 10**5)), load),
        ),
        (
            "model directory, tokenizer.json a pipe",
            "refused at once",
            child.refused(
                model(
                    lambda path: [
                        (path / "tokenizer" / "tokenizer.json").unlink(),
                        os.mkfifo(path / "tokenizer" / "tokenizer.json"),
                    ]
                ),
                load,
                "tokenizer",
            ),
        ),
        ("model directory with code for its tokenizer", "not run", child.survived(model(remote_code), load)),
        ("Hugging Face directory with code of its own", "not run", child.survived(hugging_face(remote_code), load)),
        (
            "features with a pickle",
            "refused, not run",
            child.refused(feature_part(np.savez, lambda folder: np.array([[[Evil(folder)]]], object)), load_features),
        ),
        (
            "features of compressed zeros",
            "refused",
            child.refused(
                feature_part(np.savez_compressed, lambda _: np.broadcast_to(np.float32(0), (1, 1, 1 << 28))),
                load_features,
                "larger than the file",
            ),
        ),
        (
            "cached texts with a pickle",
            "made again, not run",
            child.survived(cached(pickled_array), load_cache, "1. 1. 1."),
        ),
        ("cached texts of terabytes", "made again", child.survived(cached(huge_array), load_cache, "1. 1. 1.")),
        *(
            (f"200 random damages: {what}", "never a traceback, 10 s", child.survived(make, use, "refused"))
            for what, make, use in (
                ("safetensors", good("a.safetensors"), fuzz),
                ("torch.save", good("a.pt"), fuzz),
                ("old torch.save", good_legacy, fuzz),
                ("TorchScript", good_script, fuzz),
                (
                    "model directory's config.json",
                    model(lambda _: None),
                    functools.partial(fuzz_model, "config.json", checkpoint.load_config),
                ),
                ("saved features", feature_part(np.savez, lambda _: np.zeros((1, 1, 4))), fuzz_features),
                (
                    "Hugging Face's config.json",
                    hugging_face(lambda _: None),
                    functools.partial(fuzz_model, "config.json", convert),
                ),
            )
        ),
    )
]
