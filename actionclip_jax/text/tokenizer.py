"""A tower's tokenizer: CLIP's own, or read from files."""

import gzip
import pathlib
from importlib import resources

import transformers

from actionclip_jax import config, files
from actionclip_jax.text import fit

TOKENIZER_FILES = ("tokenizer.json", "vocab.json")  # the second is of CLIP's class alone, with merges.txt
NAMELESS = ("", "PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")  # classes that say nothing
# repositories of the hub that hold the tokenizer of a published tower of so many tokens
HOMES = {
    49408: "openai/clip-vit-base-patch16",
    32000: "google/siglip-base-patch16-224 or timm/ViT-B-16-SigLIP",
    250000: "timm/ViT-B-16-SigLIP-i18n-256",
    256000: "google/siglip2-base-patch16-224",
    901629: "facebook/metaclip-2-worldwide-huge-quickgelu or facebook/xlm-v-base",
}


def default_tokenizer() -> transformers.PreTrainedTokenizerBase:
    """CLIP's tokenizer, built from the merge table in this package: needs no network."""
    file = resources.files("actionclip_jax").joinpath("assets/bpe_simple_vocab_16e6.txt.gz")  # OpenAI's, MIT licence
    # A merge a line behind a header line, more of them than the vocabulary has room for: 49152 tokens less 512 single
    # bytes, less 2 markers.
    merges = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    pairs = [tuple(merge.split()) for merge in merges]
    # GPT-2's alphabet for the 256 bytes: the printable ones as they are, then stand-ins from U+0100 on for the rest
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [chr(code) for code in (*printable, *range(256, 512 - len(printable)))]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in pairs)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    # its stubs want text where the tokenizers library takes pairs
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=77)  # ty: ignore[invalid-argument-type]


def takes_clips(spec: config.TextConfig) -> bool:
    """Whether a text tower was trained with CLIP's own tokenizer, whatever its context."""
    return spec.vocabulary == 49408 and spec.cleaning != "whitespace"  # both others make texts lower


def has_tokenizer(directory: pathlib.Path) -> bool:
    """Whether there is a tokenizer in a directory, in one file or, as older programs wrote it, in several."""
    return any((directory / name).is_file() for name in TOKENIZER_FILES)


def load_tokenizer(directory: pathlib.Path | None, spec: config.TextConfig) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer saved in a directory, or without one CLIP's own, for that text tower.

    Raises:
        ValueError: no tokenizer there, a damaged one, or another one than the tower's.
    """
    where = directory or "CLIP's own tokenizer"
    kind = class_name(directory) if directory else "CLIPTokenizer"
    check_files(directory, kind, spec)
    try:
        tokenizer = read(directory, kind, spec)
        problems = fit.problems(tokenizer, spec)
    except Exception as error:  # the tokenizers library raises bare Exceptions
        of_what = "" if kind in NAMELESS else f" of {kind}"
        raise ValueError(f"{where}: the tokenizer{of_what} is damaged ({error!r})") from None
    if problems:
        raise ValueError("\n".join([f"{where}: not the tokenizer of this text tower:", *problems]))
    return tokenizer


def class_name(directory: pathlib.Path) -> str:
    """The class of tokenizer that the files name; many name none, or only their library."""
    file = directory / "tokenizer_config.json"
    content = files.read_json(file) if file.is_file() else {}
    if not isinstance(content, dict):
        return f"{file.name} without names"
    return str(content.get("tokenizer_class") or "")


def check_files(directory: pathlib.Path | None, kind: str, spec: config.TextConfig) -> None:
    """Raises ValueError where the files are not those that the tower needs, before they are read."""
    is_clips = "CLIPTokenizer" in kind
    if directory is None and not takes_clips(spec):
        raise ValueError(
            f"CLIP's own tokenizer has 49408 tokens and makes texts lower, and the text tower knows {spec.vocabulary} "
            f"and has them {spec.cleaning}: {needed(spec)}"
        )
    if directory and takes_clips(spec) and not is_clips and kind not in NAMELESS:
        raise ValueError(f"{directory}: {kind}: another kind of tokenizer than CLIP's")
    in_several = directory and has_tokenizer(directory) and (is_clips or takes_clips(spec))
    if directory and not in_several and not (directory / TOKENIZER_FILES[0]).is_file():
        raise ValueError(f"{directory}: {TOKENIZER_FILES[0]} is missing: {needed(spec)}")


def needed(spec: config.TextConfig) -> str:
    """Which files a tower needs, and where they are."""
    home = HOMES.get(spec.vocabulary, "the model's repository")
    return (
        "it needs its own tokenizer.json (a spiece.model or sentencepiece.bpe.model alone is not read), with "
        "tokenizer_config.json, in the directory of weights that have a usual name, such as model.safetensors; on the "
        f"hub both are in {home}"
    )


def read(directory: pathlib.Path | None, kind: str, spec: config.TextConfig) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer in the files as they are: code that they name is not run, nor a class that would change them."""
    if directory is None:
        return default_tokenizer()
    clips = "CLIPTokenizer" in kind or takes_clips(spec)
    reader = transformers.CLIPTokenizer if clips else transformers.PreTrainedTokenizerFast
    return reader.from_pretrained(directory, local_files_only=True)
