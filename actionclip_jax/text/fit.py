"""Whether a tokenizer is the one that a text tower was trained with, as far as its numbers tell.

Another tokenizer, or the right one with other special tokens, would give plausible features that are wrong.
"""

import transformers

from actionclip_jax import config
from actionclip_jax.text import tokens

ROUNDED_TO = (8, 64, 128)  # an embedding may have more rows than there are tokens, up to such a multiple


def problems(tokenizer: transformers.PreTrainedTokenizerBase, spec: config.TextConfig) -> list[str]:
    """Everything in which the tokenizer does not fit the tower, as sentences."""
    ids = tokenizer.get_vocab()
    empty, some = tokenizer(["", "a photo"], verbose=False)["input_ids"]
    if spec.pooling == "largest":
        return largest_problems(ids, some, spec)
    end, pad = spec.end or tokenizer.eos_token_id, tokenizer.pad_token_id
    found = vocabulary_problems(ids, spec)
    if spec.pooling == "end" and (some[-1] != spec.end or some.count(spec.end) != 1):
        found.append(f"  the tower reads a text at its end token {spec.end}, and 'a photo' becomes {some}")
    if spec.pooling == "last" and empty != [end]:
        found.append(f"  the tower's texts have the token {end} behind them and nothing else, and '' becomes {empty}")
    if spec.pooling == "first" and empty[:1] != some[:1]:
        found.append(f"  the tower reads a text at its first token, and 'a photo' begins with a word: {some}")
    if tokens.sees_padding(spec) and pad != spec.pad:
        found.append(f"  the tower's texts are padded with the token {spec.pad}, and the tokenizer pads with {pad}")
    return found


def largest_problems(ids: dict[str, int], some: list[int], spec: config.TextConfig) -> list[str]:
    """Of a tower that reads a text at its largest id: nothing else says which token that is, so all must be there."""
    end = some[-1]
    if added := sorted((number, token) for token, number in ids.items() if number > end):
        named = ", ".join(f"{token!r} ({number})" for number, token in added[:5]) + (" ..." if len(added) > 5 else "")
        return [
            f"  the tokenizer has added tokens: {named}. Expected the end token, here {end}, to be its last: give the "
            "model as it was before tokens were added to it"
        ]
    if len(ids) != spec.vocabulary or end != spec.vocabulary - 1:
        return [f"  a tokenizer of {len(ids)} tokens, and the text tower knows {spec.vocabulary}"]
    return []


def vocabulary_problems(ids: dict[str, int], spec: config.TextConfig) -> list[str]:
    """Of a tower with more or fewer embeddings than there are tokens, but for what is known to do no harm."""
    size = max(ids.values(), default=-1) + 1
    if size > spec.vocabulary:
        # mT5's, with which the multilingual SigLIP was trained, ends with 100 marks that stand in no text
        beyond = [token for token, number in ids.items() if number >= spec.vocabulary]
        fits = len(beyond) <= 100 and all("<extra_id_" in token for token in beyond)
    else:
        fits = any(spec.vocabulary == -(-size // multiple) * multiple for multiple in (1, *ROUNDED_TO))
    return [] if fits else [f"  a tokenizer of {size} tokens, and the text tower knows {spec.vocabulary}"]
