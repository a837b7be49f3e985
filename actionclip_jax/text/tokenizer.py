"""CLIP's tokenizer: built or loaded, and texts made token ids by it."""

import gzip
import html
import pathlib
import re
from collections.abc import Sequence
from importlib import resources

import ftfy
import numpy as np
import transformers

from actionclip_jax import files
from actionclip_jax.text import prompts

TOKENIZER_FILES = ("tokenizer.json", "vocab.json")


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


def has_tokenizer(directory: pathlib.Path) -> bool:
    """Whether there is a tokenizer in a directory, in one file or, as older programs wrote it, in several."""
    return any((directory / name).is_file() for name in TOKENIZER_FILES)


def another_class(directory: pathlib.Path | None) -> str | None:
    """What kind of tokenizer a directory says it holds, if not CLIP's; many say none, or only their library."""
    file = directory / "tokenizer_config.json" if directory else None
    content = files.read_json(file) if file and file.is_file() else {}
    name = str(content.get("tokenizer_class") or "CLIPTokenizer") if isinstance(content, dict) else ""
    usual = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
    if "CLIPTokenizer" in name or name in usual:
        return None
    return f"{name or 'tokenizer_config.json without names'}: another kind of tokenizer than CLIP's"


def load_tokenizer(directory: pathlib.Path | None, vocabulary: int) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer saved in a directory, or CLIP's own, for a text tower with that vocabulary.

    Raises:
        ValueError: no tokenizer there, a damaged one, or another vocabulary.
    """
    where = directory or "CLIP's own tokenizer"
    if directory and not has_tokenizer(directory):
        raise ValueError(f"{directory}: {TOKENIZER_FILES[0]} is missing")
    try:
        tokenizer = (
            transformers.CLIPTokenizer.from_pretrained(directory, local_files_only=True)
            if directory
            else default_tokenizer()
        )
        sample = tokenizer("a photo")["input_ids"]
    except Exception as error:  # the tokenizers library raises bare Exceptions
        kind = another_class(directory)
        raise ValueError(f"{where}: {kind or 'the tokenizer is damaged'} ({error!r})") from None
    if kind := another_class(directory):
        raise ValueError(f"{where}: {kind}")
    added = {token: number for token, number in tokenizer.get_added_vocab().items() if number > sample[-1]}
    if added:  # a text's feature is read at its largest id
        named = ", ".join(f"{token!r} ({number})" for token, number in sorted(added.items()))
        raise ValueError(
            f"{where}: the tokenizer has added tokens: {named}. Expected the end token, here {sample[-1]}, to be its "
            "last: give the model as it was before tokens were added to it"
        )
    if len(tokenizer) != vocabulary or sample[-1] != vocabulary - 1:
        raise ValueError(f"{where}: a tokenizer of {len(tokenizer)} tokens, and the text tower knows {vocabulary}")
    return tokenizer


def clean(text: str) -> str:
    """The text as OpenAI's tokenizer sees it: mojibake and HTML entities repaired, white space folded, lower case."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", text).strip().lower()


def tokenize(tokenizer: transformers.PreTrainedTokenizerBase, texts: Sequence[str], context: int) -> np.ndarray:
    """Texts -> int32 token ids [N, context], zero after the end token, as OpenAI's `clip.tokenize` gives them.

    Raises:
        ValueError: texts that need more than `context` tokens; all of them are named.
    """
    if isinstance(texts, str):
        raise ValueError(f"a single text {texts!r} was given: expected a list of texts")
    if not texts:
        return np.zeros((0, context), np.int32)
    ids = tokenizer([clean(text) for text in texts], verbose=False)["input_ids"]
    if long := [
        f"  {files.shorten(text)} needs {len(row)}" for text, row in zip(texts, ids, strict=True) if len(row) > context
    ]:
        raise ValueError("\n".join([f"a text may have at most {context} tokens, start and end included:", *long]))
    table = np.zeros((len(texts), context), np.int32)
    for row, tokens in zip(table, ids, strict=True):
        row[: len(tokens)] = tokens
    return table


def check_distinct(
    tokenizer: transformers.PreTrainedTokenizerBase, labels: Sequence[str], names: Sequence[str] = ()
) -> None:
    """Raises ValueError for labels that no prompt can tell apart, as capitals and white space do not reach the model.

    They would share one probability between them. So would those that are no text at all. `names` are the labels as
    they were given, where those differ.
    """
    ids = tokenizer([clean(label) for label in labels], verbose=False)["input_ids"] if len(labels) else []
    spelt = list(zip(map(files.shorten, names or labels), ids, strict=True))
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, row in spelt:
        groups.setdefault(tuple(row), []).append(name)
    same = [" and ".join(group) for group in groups.values() if len(group) > 1]
    empty = [name for name, row in spelt if len(row) <= 2]
    problems = [f"  {group} are the same text" for group in same[:10]]
    problems += [f"  and {len(same) - 10} more groups"] if len(same) > 10 else []
    problems += [f"  {label} is no text" for label in empty[:10]]
    if problems:
        raise ValueError("\n".join(["the model cannot tell labels apart: keep one, or reword them:", *problems]))


def token_table(
    tokenizer: transformers.PreTrainedTokenizerBase, names: Sequence[str], templates: Sequence[str], context: int
) -> np.ndarray:
    """Class names and templates -> int32 token ids [C, P, context].

    Raises:
        ValueError: class names that are the same text to the model, or prompts that are too long.
    """
    check_distinct(tokenizer, names)
    return tokenize(tokenizer, prompts.fill(names, templates), context).reshape(len(names), len(templates), context)


def cut_padding(tokens: np.ndarray) -> np.ndarray:
    """Token ids [..., context] -> [..., L] without what lies behind the longest text, L a multiple of 8.

    The text tower's attention is causal, so no feature changes; a label needs a quarter of CLIP's 77 tokens.
    """
    length = int(tokens.argmax(axis=-1).max(initial=0)) + 1  # the end token has the largest id
    return tokens[..., : min(-(-length // 8) * 8, tokens.shape[-1])]
