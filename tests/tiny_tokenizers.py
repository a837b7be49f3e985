"""Tokenizers of published kinds, trained on a few sentences: as their files lie in a directory."""

import dataclasses
import json

import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from actionclip_jax import config

SENTENCES = ("a photo of a cat", "Surfing a wave, again!", "playing the violin", "archery", "push up", "Ça va, 中文 ½")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
# what a tower of each kind has otherwise than CLIP's
TOWERS = {
    "siglip": config.TextConfig(context=64, causal=False, pooling="last", end=1, pad=1, cleaning="canonical"),
    "siglip2": config.TextConfig(context=64, causal=False, pooling="last", end=1, pad=0, cleaning="canonical"),
    "metaclip2": config.TextConfig(context=77, causal=True, pooling="end", end=2, pad=1, cleaning="whitespace"),
}


def words(prefix, tokens, template):
    """SentencePiece's words as T5 and XLM-R have them, by a unigram model."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=99, special_tokens=prefix, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 9, trainer)
    marks = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>") if token in template]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=marks)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **tokens)


def siglip():
    """c4-en's: the end token pads too."""
    return words(["<pad>", "</s>", "<unk>"], {"eos_token": "</s>", "pad_token": "</s>"}, "$A </s>")


def metaclip2():
    """XLM-V's: a mark before each text and one behind it, the mask being the last token."""
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"}
    return words(["<s>", "<pad>", "</s>", "<unk>"], tokens, "<s> $A </s>")


def siglip2():
    """Gemma's: byte pairs with spaces in them, unknown letters by their bytes, and an end token behind."""
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = tokenizers.Tokenizer(models.BPE(fuse_unk=True, byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[*marks, *BYTES], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 9, trainer)
    # the bytes are tokens like others: no text may name one
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in marks]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    named = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk", "mask")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


CLASSES = {"siglip": (siglip, "SiglipTokenizer"), "siglip2": (siglip2, "GemmaTokenizer")}
CLASSES |= {"metaclip2": (metaclip2, "XLMRobertaTokenizer")}


def save(kind, directory):
    """Writes the files as the hub has them, with the class that they name; returns the text tower that they fit."""
    make, class_name = CLASSES[kind]
    tokenizer = make()
    tokenizer.save_pretrained(directory)
    change(directory, "tokenizer_config.json", tokenizer_class=class_name, padding_side="right")
    if kind == "siglip2":
        change(directory, "tokenizer_config.json", add_bos_token=False, add_eos_token=True)
    return dataclasses.replace(TOWERS[kind], vocabulary=len(tokenizer), width=128, depth=2, heads=2)


def change(directory, name, **changes):
    """Other values in one of the files."""
    content = json.loads((directory / name).read_text(encoding="utf-8"))
    (directory / name).write_text(json.dumps(content | changes), encoding="utf-8")
