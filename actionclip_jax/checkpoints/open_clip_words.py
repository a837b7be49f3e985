"""What open_clip's settings say of texts: their tokenizer, and what the text tower does with the tokens."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import transformers

from actionclip_jax import config, text
from actionclip_jax.checkpoints import errors, torch_files

POOLINGS: dict[str, config.TextPooling] = {"argmax": "largest", "eos": "end", "last": "last", "first": "first"}
CLEANINGS: dict[str, config.Cleaning] = {"lower": "lower", "canonicalize": "canonical", "whitespace": "whitespace"}
EOS = 2  # open_clip's eos_id where the section does not say it


def problems(section: Mapping[str, Any]) -> list[str]:
    """What of the text tower's section is not supported."""
    lines = []
    if section.get("pool_type", "argmax") not in POOLINGS:
        lines.append(f"text_cfg.pool_type is {section['pool_type']!r}: only {', '.join(POOLINGS)} is supported")
    if section.get("tokenizer_mode"):
        lines.append(f"text_cfg.tokenizer_mode is {section['tokenizer_mode']!r}: only none is supported")
    options, known = section.get("tokenizer_kwargs") or {}, cleanings(section)
    if not isinstance(options, dict) or options.keys() - {"clean"} or options.get("clean", known[0]) not in known:
        lines.append(f"text_cfg.tokenizer_kwargs is {options!r}: only clean is supported, {' or '.join(known)}")
    return lines


def cleanings(section: Mapping[str, Any]) -> tuple[str, ...]:
    """What may be done to a text before it is cut into tokens, open_clip's default first.

    CLIP's own tokenizer keeps capitals apart in open_clip where it is told to, and knows none here.
    """
    return ("whitespace", "lower", "canonicalize") if section.get("hf_tokenizer_name") else ("lower", "canonicalize")


def follow(source: torch_files.Source, section: Mapping[str, Any], words: config.TextConfig) -> config.TextConfig:
    """The text tower of the weights' sizes by its section."""
    pooling = POOLINGS[section.get("pool_type", "argmax")]
    clean = (section.get("tokenizer_kwargs") or {}).get("clean", cleanings(section)[0])
    # a section that gives its width and not its heads has open_clip's defaults
    return dataclasses.replace(
        words,
        heads=int(section.get("heads", 8 if "width" in section else words.heads)),
        causal=not section.get("no_causal_mask", False),
        pooling=pooling,
        end=int(section.get("eos_id", EOS)) if pooling == "end" else 0,
        pad=padding(source, section["hf_tokenizer_name"]) if section.get("hf_tokenizer_name") else 0,
        projection_bias=bool(section.get("proj_bias", False)),
        cleaning=CLEANINGS[clean],
    )


def padding(source: torch_files.Source, name: str) -> int:
    """The token that the tokenizer beside the weights fills a text up with: `pad_id` is of another thing.

    Raises:
        CheckpointError: there is no tokenizer, or it has no such token.
    """
    told, beside = f"{source.name}: text_cfg.hf_tokenizer_name is {name!r}", source.path.parent
    if not text.has_tokenizer(beside):
        raise errors.CheckpointError(f"{told}: expected that tokenizer's files beside the weights, tokenizer.json too")
    try:
        # the files as they are: no class that they name
        number = transformers.PreTrainedTokenizerFast.from_pretrained(beside, local_files_only=True).pad_token_id
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise errors.CheckpointError(
            f"{told}: the files beside the weights are none ({errors.first_line(error)})"
        ) from None
    if number is None:
        raise errors.CheckpointError(f"{told}: that beside the weights names no token for padding")
    return number
