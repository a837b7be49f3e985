"""Texts made token ids, as long and padded as their tower takes them."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import transformers

from actionclip_jax import config, files
from actionclip_jax.text import cleaning, prompts


def token_ids(
    tokenizer: transformers.PreTrainedTokenizerBase, texts: Sequence[str], spec: config.TextConfig
) -> list[list[int]]:
    """The token ids of each text, cleaned as the tower has it, with the tokens that the tokenizer adds."""
    cleaned = [cleaning.clean(text, spec.cleaning) for text in texts]
    return tokenizer(cleaned, verbose=False)["input_ids"] if cleaned else []


def tokenize(
    tokenizer: transformers.PreTrainedTokenizerBase, texts: Sequence[str], spec: config.TextConfig
) -> np.ndarray:
    """Texts -> int32 token ids [N, context], padded behind with the tower's padding.

    Raises:
        ValueError: texts that need more tokens than the tower takes, or tokens it does not know; all of them are named.
    """
    if isinstance(texts, str):
        raise ValueError(f"a single text {texts!r} was given: expected a list of texts")
    ids = token_ids(tokenizer, texts, spec)
    spelt = [(files.shorten(text), row) for text, row in zip(texts, ids, strict=True)]
    if long := [f"  {text} needs {len(row)}" for text, row in spelt if len(row) > spec.context]:
        raise ValueError("\n".join([f"a text may have at most {spec.context} tokens, start and end included:", *long]))
    # an index beyond a table is no error on accelerators
    if strange := [f"  {text} has {max(row)}" for text, row in spelt if max(row, default=0) >= spec.vocabulary]:
        raise ValueError("\n".join([f"the text tower knows the tokens below {spec.vocabulary}:", *strange]))
    table = np.full((len(texts), spec.context), spec.pad, np.int32)
    for row, numbers in zip(table, ids, strict=True):
        row[: len(numbers)] = numbers
    return table


def check_distinct(
    tokenizer: transformers.PreTrainedTokenizerBase,
    labels: Sequence[str],
    spec: config.TextConfig,
    names: Sequence[str] = (),
) -> None:
    """Raises ValueError for labels that no prompt can tell apart: what cleaning takes away does not reach the model.

    They would share one probability between them. So would those that are no text at all. `names` are the labels as
    they were given, where those differ.
    """
    (empty,) = token_ids(tokenizer, [""], spec)
    silent = {*empty, tokenizer.unk_token_id}  # a letter that the tokenizer does not know says nothing either

    def is_empty(row: tuple[int, ...]) -> bool:
        return not str(tokenizer.decode([number for number in row if number not in silent])).strip()

    _refuse_same(names or labels, [tuple(row) for row in token_ids(tokenizer, labels, spec)], is_empty)


def check_spelt_apart(labels: Sequence[str]) -> None:
    """Raises ValueError for labels that no tower tells apart: known without its tokenizer, so not all that it mixes."""
    _refuse_same(labels, [cleaning.clean(label, "whitespace") for label in labels], lambda text: not text)


def _refuse_same(names: Sequence[str], keys: Sequence[Hashable], is_empty: Callable[[Any], bool]) -> None:
    """Raises ValueError naming those that have the same key, and those whose key is empty."""
    spelt = list(zip(map(files.shorten, names), keys, strict=True))
    groups: dict[Hashable, list[str]] = {}
    for name, key in spelt:
        groups.setdefault(key, []).append(name)
    same = [" and ".join(group) for group in groups.values() if len(group) > 1]
    empty = [name for name, key in spelt if is_empty(key)]
    problems = [f"  {group} are the same text" for group in same[:10]]
    problems += [f"  and {len(same) - 10} more groups"] if len(same) > 10 else []
    problems += [f"  {label} is no text" for label in empty[:10]]
    if problems:
        raise ValueError("\n".join(["the model cannot tell labels apart: keep one, or reword them:", *problems]))


def token_table(
    tokenizer: transformers.PreTrainedTokenizerBase,
    names: Sequence[str],
    templates: Sequence[str],
    spec: config.TextConfig,
) -> np.ndarray:
    """Class names and templates -> int32 token ids [C, P, context].

    Raises:
        ValueError: class names that are the same text to the model, or prompts that are too long.
    """
    check_distinct(tokenizer, names, spec)
    filled = prompts.fill(names, templates)
    return tokenize(tokenizer, filled, spec).reshape(len(names), len(templates), spec.context)


def sees_padding(spec: config.TextConfig) -> bool:
    """Whether a text's feature depends on the padding behind it, whose id and length then are part of the model."""
    return not spec.causal or spec.pooling == "last"


def cut_padding(tokens: np.ndarray, spec: config.TextConfig) -> np.ndarray:
    """Token ids [..., context] -> [..., L] without what lies behind the longest text, L a multiple of 8.

    Only where no feature changes; a label needs a quarter of CLIP's 77 tokens.
    """
    if sees_padding(spec):
        return tokens
    ends = {  # where a text is read
        "largest": lambda: tokens.argmax(axis=-1),
        "end": lambda: (tokens == spec.end).argmax(axis=-1),
        "first": lambda: np.zeros(tokens.shape[:-1], int),
    }
    length = int(ends[spec.pooling]().max(initial=0)) + 1
    return tokens[..., : min(-(-length // 8) * 8, tokens.shape[-1])]
