"""Checkpoints that would run code, fill the memory or open other files, and model directories that lie."""

import functools
import io
import json
import os
import pickle
import shutil
import struct
import zipfile

import corruption
import handmade
import isolated
import numpy as np
import pytest
import small_model

from actionclip_jax import checkpoints
from actionclip_jax.checkpoints import export, formats, mapping, model_directory, torch_files
from actionclip_jax.evaluation import features
from actionclip_jax.models import action_clip
from actionclip_jax.text import cache

ZEROS = 3 << 30  # of a bomb: more than isolated.MEGABYTES
LIST = "features.json"
SYSTEM = "refused.*(system|run code)"

pytestmark = pytest.mark.faults


def load(path):
    """Reads a checkpoint as every command does."""
    weights = checkpoints.read_any(path, activation="quick_gelu")
    return f"{sum(param.size for param in weights.params.values())} parameters"


def convert(path):
    """The same without its slowest part, the tokenizer."""
    recognised = formats.recognise(torch_files.read(path), "quick_gelu")
    params = mapping.to_params(recognised.rows, action_clip.param_shapes(recognised.model), recognised.tensors)
    return f"{len(params)} parameters"


def load_features(path):
    """Reads a directory of features."""
    return f"{features.load(path)[1].values.shape}"


def load_cache(directory):
    """Reads a cached text embedding, which is computed again where it is damaged."""
    return f"{cache.load_or_make(directory / 'a.npy', lambda: np.ones(3), (3,))}"


def good(name):
    """Writes a good checkpoint."""

    def make(folder):
        torch_files.write(folder / name, small_model.openai_state())
        return folder / name

    return make


def good_legacy(folder):
    """Writes a good checkpoint the way PyTorch did before it used archives."""
    import torch

    torch.save(torch_files.tensors(small_model.openai_state()), folder / "a.pt", _use_new_zipfile_serialization=False)
    return folder / "a.pt"


def good_script(folder):
    """Writes a good TorchScript archive."""
    handmade.write(
        folder / "a.pt",
        handmade.pickled(handmade.Module({"logit_scale": handmade.Tensor((), ())})),
    )
    return folder / "a.pt"


class Evil:
    """Unpickles to a command."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return isolated.hostile_code(self.folder)


def evil(save, wrap=lambda code: {"a": code}):
    """Writes a pickle with code in it."""

    def make(folder):
        save(wrap(Evil(folder)), folder / "a.pt")
        return folder / "a.pt"

    return make


def torch_save(value, path, **options):
    """torch.save."""
    import torch

    torch.save(value, path, **options)


def torch_file(value):
    """Writes what `value(torch)` returns with torch.save."""

    def make(folder):
        import torch

        torch.save(value(torch), folder / "a.pt")
        return folder / "a.pt"

    return make


def script(pickle_of):
    """Writes a TorchScript archive with such a pickle."""

    def make(folder):
        handmade.write(folder / "a.pt", pickle_of())
        return folder / "a.pt"

    return make


def evil_script(folder):
    """A TorchScript archive with code in it."""
    return script(lambda: pickle.dumps(Evil(folder), 2))(folder)


def claims(scripted, *arguments):
    """Writes a tensor of such claims in a TorchScript archive, or in one of torch.save."""

    def make(folder):
        if scripted:
            return script(lambda: handmade.pickled(handmade.Module({"a": handmade.Tensor(*arguments)})))(folder)
        with zipfile.ZipFile(folder / "a.pt", "w") as archive:
            archive.writestr("a/data.pkl", handmade.pickled({"a": handmade.Tensor(*arguments)}))
            for name, content in (("byteorder", "little"), ("data/0", bytes(8)), ("version", "3\n")):
                archive.writestr(f"a/{name}", content)
        return folder / "a.pt"

    return make


def bomb(scripted):
    """Writes an archive whose storage is a few megabytes of compressed zeros."""

    def make(folder):
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


def changed_archive(change):
    """Writes a good archive whose directory is changed before it is written."""

    def make(folder):
        with zipfile.ZipFile(good("a.pt")(folder), "a") as archive:
            archive.writestr("archive/extra", b"")
            change(archive)
        return folder / "a.pt"

    return make


def overlap(archive):
    """A thousand names for the largest entry."""
    largest = max(archive.filelist, key=lambda entry: entry.file_size)
    for number in range(1000):
        entry = zipfile.ZipInfo(f"archive/data/{1000 + number}")
        for field in ("header_offset", "file_size", "compress_size", "CRC", "compress_type"):
            setattr(entry, field, getattr(largest, field))
        archive.filelist.append(entry)


def lie(archive):
    """Sizes of a gigabyte each."""
    for entry in archive.filelist:
        entry.file_size = entry.compress_size = 1 << 30


def renamed_archive(root):
    """Writes a good archive whose names begin with something else."""

    def make(folder):
        inner = folder / "inner"
        inner.mkdir()
        with zipfile.ZipFile(good("b.pt")(inner)) as source, zipfile.ZipFile(inner / "a.pt", "w") as archive:
            for entry in source.infolist():
                archive.writestr(root + entry.filename.split("/", 1)[1], source.read(entry))
        return inner / "a.pt"

    return make


def laughs(torch):
    """Thirty dictionaries that each hold the last one twice: a thousand million in all."""
    tree = {"a": torch.zeros(1)}
    for _ in range(30):
        tree = {"a": tree, "b": tree}
    return tree


def endless(_):
    """A dictionary that holds itself."""
    tree = {}
    tree["a"] = tree
    return tree


def empty_tensors(folder):
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


def safetensors_file(header, data=bytes(16), length=None):
    """Writes a safetensors file with any header."""

    def make(folder):
        told = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = struct.pack("<Q", len(told) if length is None else length)
        (folder / "a.safetensors").write_bytes(size + told + data)
        return folder / "a.safetensors"

    return make


def one_tensor(shape, begin, end, dtype="F32"):
    """A header entry."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def many_names(folder):
    """A header of nothing but names."""
    return safetensors_file({str(name): one_tensor([0], 0, 0) for name in range(10**5)}, b"")(folder)


def cut(make, part):
    """The first part of what `make` writes."""

    def made(folder):
        path = make(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
        return path

    return made


def index(names):
    """Writes an index of weights that names such files."""

    def make(folder):
        inner = folder / "inner"
        inner.mkdir()
        good("secret.safetensors")(folder)
        path = inner / "model.safetensors.index.json"
        path.write_text(names if isinstance(names, str) else json.dumps({"weight_map": names}), encoding="utf-8")
        return path

    return make


def model(change):
    """Copies the good model directory and changes it."""

    def make(folder):
        change(small_model.save(folder / "model"))
        return folder / "model"

    return make


def claimed(**sizes):
    """Changes the sizes of both towers in config.json."""

    def change(directory):
        described = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        for tower in ("image", "text"):
            described["model"][tower] |= sizes
        (directory / "config.json").write_text(json.dumps(described), encoding="utf-8")

    return change


def remote_code(directory):
    """Adds what makes libraries that trust a directory import code from it."""
    command, arguments = isolated.hostile_code(directory.parent)
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


def hugging_face(change):
    """Writes a Hugging Face directory and changes it."""

    def make(folder):
        weights = checkpoints.read_any(small_model.save(folder / "source"))
        export.export(weights, folder / "model", "huggingface", towers_only=False, overwrite=False)
        change(folder / "model")
        return folder / "model"

    return make


def feature_part(save, values):
    """Writes saved features whose values are something else."""

    def make(folder):
        (folder / LIST).write_text('{"ids": ["a"]}', encoding="utf-8")
        save(folder / "part-000000.npz", clip=np.zeros(1, int), mask=np.ones(1, bool), features=values(folder))
        return folder

    return make


def cached(content):
    """Writes a cached array with such content."""

    def make(folder):
        (folder / "a.npy").write_bytes(content(folder))
        return folder

    return make


def pickled_array(folder):
    """An .npy of objects."""
    np.save(buffer := io.BytesIO(), np.array([Evil(folder)], object), allow_pickle=True)
    return buffer.getvalue()


def huge_array(_):
    """An .npy whose header claims terabytes."""
    np.save(buffer := io.BytesIO(), np.ones(3))
    return buffer.getvalue().replace(b"(3,), }           ", b"(999999999999,), }")


def fuzz(path):
    """Damages a checkpoint at random."""
    return corruption.try_all(path, convert, path)


def fuzz_features(directory):
    """Damages saved features at random, their arrays and their list."""
    results = (corruption.try_all(directory / name, load_features, directory) for name in ("part-000000.npz", LIST))
    return "; ".join(results)


def fuzz_model(file, use, directory):
    """Damages a file of a directory at random."""
    return corruption.try_all(directory / file, use, directory)


CLAIMS = {
    "one number repeated 10^10 times": ((10**5, 10**5), (0, 0)),
    "2^70 numbers": ((2**70,), (1,)),
    "more than its storage": ((1000,), (1,)),
    "negative strides": ((2,), (-1,), 1),
    "a negative offset": ((2,), (1,), -2),
    "an offset behind its storage": ((2,), (1,), 10**9),
    "a storage of 10^12 numbers": ((10**12,), (1,), 0, 10**12),
}
GOOD = {
    "safetensors": good("a.safetensors"),
    "torch.save": good("a.pt"),
    "old torch.save": good_legacy,
    "TorchScript": good_script,
}
REFUSED = {
    "code in an archive of torch.save": (evil(torch_save), SYSTEM),
    "code deep inside a state dict": (evil(torch_save, lambda code: {"state_dict": {"a": {"b": [code]}}}), SYSTEM),
    "code in a file of old torch.save": (
        evil(functools.partial(torch_save, _use_new_zipfile_serialization=False)),
        SYSTEM,
    ),
    "code in a bare pickle": (evil(lambda value, path: path.write_bytes(pickle.dumps(value))), SYSTEM),
    "code in a TorchScript archive": (evil_script, SYSTEM),
    "3 GB of compressed zeros in torch.save's": (bomb(False), "compressed"),
    "3 GB of compressed zeros in TorchScript's": (bomb(True), "compressed"),
    "archive with entries that overlap": (changed_archive(overlap), "overlap"),
    "archive with sizes that lie": (changed_archive(lie), ""),
    "dictionaries that hold each other 2^30 times": (torch_file(laughs), "dictionaries"),
    "a dictionary that holds itself": (torch_file(endless), ""),
    "pickle that wants a memo of 2^31 places": (script(lambda: b"\x80\x02]r\xff\xff\xff\x7f."), "memo"),
    "pickle that wants 10^13 bytes": (script(lambda: b"\x80\x04\x8e" + struct.pack("<Q", 10**13) + b"a."), ""),
    "tensors without numbers, of 10^9 channels": (empty_tensors, "not the shapes"),
    "safetensors: header of 2^60 bytes": (safetensors_file(b"{}", length=1 << 60), ""),
    "safetensors: header nested 10^5 deep": (safetensors_file(b'{"a":' * 10**5), ""),
    "safetensors: header of 10^5 names": (many_names, ""),
    "safetensors: tensors that overlap": (
        safetensors_file({"a": one_tensor([4], 0, 16), "b": one_tensor([4], 0, 16)}),
        "",
    ),
    "safetensors: tensor beyond the file": (safetensors_file({"a": one_tensor([10**9], 0, 4 * 10**9)}), ""),
    "safetensors: 2^126 numbers": (safetensors_file({"a": one_tensor([2**63, 2**63], 0, 16)}), ""),
    "safetensors: unknown dtype": (safetensors_file({"a": one_tensor([4], 0, 16, "F99")}), ""),
    "safetensors: float8, which NumPy lacks": (safetensors_file({"a": one_tensor([16], 0, 16, "F8_E4M3")}), ""),
    "index that names ../secret": (index({"a": "../secret.safetensors"}), "outside"),
    "index that names /dev/zero": (index({"a": "/dev/zero"}), "outside"),
    "index nested 10^5 deep": (index('{"a":' * 10**5), "JSON"),
    "index of numbers": (index({"a": 1}), "index"),
    "model directory of 10^9 channels": (model(claimed(width=10**9)), "at most"),
    "model directory of 10^9 layers": (model(claimed(depth=10**9)), "at most"),
    "model directory of 1,024 layers of 16,384": (model(claimed(width=16384, depth=1024)), ""),
    "model directory, parameters a link to nothing": (
        model(lambda path: [shutil.rmtree(path / "params"), (path / "params").symlink_to(path)]),
        "",
    ),
    "model directory, provenance nested 10^5 deep": (
        model(lambda path: (path / "provenance.json").write_text('{"a":' * 10**5)),
        "",
    ),
    "model directory, tokenizer.json a pipe": (
        model(
            lambda path: [
                (path / "tokenizer" / "tokenizer.json").unlink(),
                os.mkfifo(path / "tokenizer" / "tokenizer.json"),
            ]
        ),
        "tokenizer",
    ),
    **{
        f"{'TorchScript' if scripted else 'torch.save'}: tensor with {what}": (
            claims(scripted, *arguments),
            "a.pt|does not fit",
        )
        for scripted in (False, True)
        for what, arguments in CLAIMS.items()
    },
    **{f"{kind} cut to {part:.0%}": (cut(make, part), "") for kind, make in GOOD.items() for part in (0.01, 0.5, 0.99)},
}
FEATURES = {
    "features with a pickle": (feature_part(np.savez, lambda folder: np.array([[[Evil(folder)]]], object)), ""),
    "features of compressed zeros": (
        feature_part(np.savez_compressed, lambda _: np.broadcast_to(np.float32(0), (1, 1, 1 << 28))),
        "larger than the file",
    ),
}
SURVIVED = {
    "model directory with code for its tokenizer": (model(remote_code), load, ""),
    "Hugging Face directory with code of its own": (hugging_face(remote_code), load, ""),
    "cached texts with a pickle": (cached(pickled_array), load_cache, "1. 1. 1."),
    "cached texts of terabytes": (cached(huge_array), load_cache, "1. 1. 1."),
    **{f"200 random damages: {kind}": (make, fuzz, "refused") for kind, make in GOOD.items()},
    "200 random damages: model directory's config.json": (
        model(lambda _: None),
        functools.partial(fuzz_model, "config.json", model_directory.load_config),
        "refused",
    ),
    "200 random damages: saved features": (
        feature_part(np.savez, lambda _: np.zeros((1, 1, 4))),
        fuzz_features,
        "refused",
    ),
    "200 random damages: Hugging Face's config.json": (
        hugging_face(lambda _: None),
        functools.partial(fuzz_model, "config.json", convert),
        "refused",
    ),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_is_refused_and_runs_no_code(folder, happened, make, reason):
    happened(isolated.refused(folder, make, load, reason))


@pytest.mark.parametrize(("make", "reason"), FEATURES.values(), ids=FEATURES)
def test_saved_features_are_refused_and_run_no_code(folder, happened, make, reason):
    happened(isolated.refused(folder, make, load_features, reason))


@pytest.mark.parametrize(("make", "use", "result"), SURVIVED.values(), ids=SURVIVED)
def test_is_survived_without_running_code(folder, happened, make, use, result):
    happened(isolated.survived(folder, make, use, result))


@pytest.mark.parametrize("root", ["../../escaped/", "/tmp/escaped/", "..\\escaped\\"])
def test_names_in_an_archive_are_never_paths(folder, happened, root):
    outcome = isolated.run(load, renamed_archive(root)(folder))
    assert outcome.error is None or outcome.known, str(outcome)
    left = [path for path in (folder, folder.parent) if (path / "escaped").exists()]
    assert not left, f"written to {left}"
    happened(f"nothing written: {outcome}")
