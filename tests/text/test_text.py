"""Tokens equal to an independent byte-pair encoder, templates, and the cache."""

import functools
import gzip
import hashlib
import html
import io
import itertools
import json
from importlib import resources

import ftfy
import hard_texts
import numpy as np
import pytest
import regex

from actionclip_jax import config, text

CLIP = config.TextConfig()
ASSET = resources.files("actionclip_jax").joinpath("assets/bpe_simple_vocab_16e6.txt.gz")
BPE_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"


class PlainEncoder:
    """Byte-pair encoding as CLIP describes it, in the plainest Python: no library but `regex` for the word pattern."""

    def __init__(self):
        lines = gzip.decompress(ASSET.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
        merges = [tuple(line.split()) for line in lines]
        self.rank = {pair: number for number, pair in enumerate(merges)}
        kept = [byte for byte in range(256) if chr(byte).isprintable() and chr(byte) not in " "]
        self.letter = {byte: chr(byte) for byte in kept}
        for byte in range(256):
            if byte not in self.letter:
                self.letter[byte] = chr(256 + len(self.letter) - len(kept))
        symbols = [self.letter[byte] for byte in (*kept, *(byte for byte in range(256) if byte not in kept))]
        tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(pair) for pair in merges]
        self.id = {token: number for number, token in enumerate(tokens)}
        contractions = "'s|'t|'re|'ve|'m|'ll|'d"
        self.word = regex.compile(rf"{contractions}|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+", regex.IGNORECASE)

    def encode(self, sentence):
        sentence = html.unescape(html.unescape(ftfy.fix_text(sentence)))
        sentence = regex.sub(r"\s+", " ", sentence).strip().lower()
        return [number for word in self.word.findall(sentence) for number in self.encode_word(word)]

    @functools.cache  # noqa: B019 - lives as long as the test
    def encode_word(self, word):
        parts = [self.letter[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            ranked = [(self.rank.get(pair, len(self.rank)), pair) for pair in itertools.pairwise(parts)]
            best, pair = min(ranked)
            if best == len(self.rank):
                break
            merged, position = [], 0
            while position < len(parts):
                joined = tuple(parts[position : position + 2]) == pair
                merged.append("".join(pair) if joined else parts[position])
                position += 2 if joined else 1
            parts = merged
        return tuple(self.id[part] for part in parts)


@pytest.fixture(scope="module")
def tokenizer():
    return text.default_tokenizer()


def test_the_merge_table_is_openais_and_its_licence_is_beside_it():
    assert hashlib.sha256(ASSET.read_bytes()).hexdigest() == BPE_SHA256
    licence = resources.files("actionclip_jax").joinpath("assets/bpe_simple_vocab_16e6.LICENSE").read_text()
    assert licence.startswith("MIT License") and "OpenAI" in licence


def test_ids_equal_an_independent_encoder_on_12000_strings(tokenizer):
    plain = PlainEncoder()
    different = []
    for string in hard_texts.strings(12_000):
        ours = tokenizer(text.clean(string, "lower"))["input_ids"]
        if ours != [49406, *plain.encode(string), 49407]:
            different.append(string)
    assert not different


def test_known_sentences_have_the_published_ids(tokenizer):
    np.testing.assert_array_equal(
        text.tokenize(tokenizer, ["a photo of a cat", "Hello World!"], CLIP)[:, :7],
        [[49406, 320, 1125, 539, 320, 2368, 49407], [49406, 3306, 1002, 256, 49407, 0, 0]],
    )


def test_the_token_table_is_labels_by_templates(tokenizer):
    table = text.token_table(tokenizer, ["archery", "surfing"], text.ACTIONCLIP_TEMPLATES, CLIP)
    assert (table.shape, table.dtype) == ((2, 16, 77), np.int32)
    for c, label in enumerate(["archery", "surfing"]):
        for p, template in enumerate(text.ACTIONCLIP_TEMPLATES):
            np.testing.assert_array_equal(
                table[c, p], text.tokenize(tokenizer, [template.replace("{}", label)], CLIP)[0]
            )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a red circle", "A Red Circle"),
        ("a red circle", "a  red\tcircle"),
        ("rock & roll", "rock &amp; roll"),
        ("rock & roll", "rock &amp;amp; roll"),
        ("café", "cafe\u0301"),  # one letter, or a letter and an accent
        ("café", "cafÃ©"),  # UTF-8 read as Latin-1
        ("don't stop", "don\u2019t stop"),
        ("ｓｕｒｆｉｎｇ", "surfing"),  # full width
        ("archery", "archery\u00a0"),
        ("ﬁshing", "fishing"),  # a ligature
        ("ON AIR", "on air"),
    ],
)
def test_labels_that_are_the_same_text_to_the_model_are_refused_with_both_spellings(first, second, tokenizer):
    with pytest.raises(ValueError, match="cannot tell labels apart") as caught:
        text.token_table(tokenizer, ["surfing a wave", first, second], ("{}",), CLIP)
    assert f"{first!r} and {second!r} are the same text" in str(caught.value)
    assert "surfing a wave" not in str(caught.value)


def test_labels_that_only_look_alike_are_told_apart(tokenizer):
    labels = ["push up", "push-up", "pushup", "naïve", "naive", "a red circle", "red circle", "сat", "cat"]
    assert text.token_table(tokenizer, labels, ("{}",), CLIP).shape == (9, 1, 77)


def test_all_groups_of_equal_labels_are_named_up_to_ten(tokenizer):
    with pytest.raises(ValueError) as caught:
        text.check_distinct(
            tokenizer, [spelling for i in range(12) for spelling in (f"go {i}", f"Go {i}", f"GO {i}")], CLIP
        )
    assert str(caught.value).count("are the same text") == 10 and "'go 9' and 'Go 9' and 'GO 9'" in str(caught.value)
    assert "and 2 more groups" in str(caught.value)


@pytest.mark.parametrize("label", ["", " ", "\u00a0", "&nbsp;"])
def test_a_label_that_is_no_text_to_the_model_is_refused(label, tokenizer):
    with pytest.raises(ValueError, match="is no text"):
        text.token_table(tokenizer, ["archery", label], ("a video of {}",), CLIP)


def test_a_tokenizer_with_an_added_token_is_refused_by_the_token(tokenizer, tmp_path):
    added = text.default_tokenizer()
    added.add_tokens(["<x>"])
    added.save_pretrained(tmp_path)
    for vocabulary in (49408, 49409):
        with pytest.raises(ValueError, match=r"the tokenizer has added tokens: '<x>' \(49408\)"):
            text.load_tokenizer(tmp_path, config.TextConfig(vocabulary=vocabulary))


def test_a_tokenizer_of_two_files_is_read_and_not_taken_for_clips_own(tokenizer, tmp_path):
    assert not text.has_tokenizer(tmp_path)
    tokenizer.backend_tokenizer.model.save(str(tmp_path))
    assert text.has_tokenizer(tmp_path) and not (tmp_path / "tokenizer.json").exists()
    assert text.load_tokenizer(tmp_path, CLIP)("a photo")["input_ids"] == [49406, 320, 1125, 49407]
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    vocabulary["photo</w>"], vocabulary["surfing</w>"] = vocabulary["surfing</w>"], vocabulary["photo</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    assert text.load_tokenizer(tmp_path, CLIP)("surfing")["input_ids"] == [49406, 1125, 49407]


def test_labels_with_braces_are_taken_as_they_are():
    assert text.fill(["a {0} b"], ["Look, {}!"]) == ["Look, a {0} b!"]


def test_texts_that_are_too_long_are_all_named(tokenizer):
    fits, long, longer = "go " * 75, "stay " * 76, "run " * 80
    assert text.tokenize(tokenizer, [fits], CLIP)[0, -1] == 49407
    with pytest.raises(ValueError, match="at most 77") as raised:
        text.tokenize(tokenizer, [fits, long, longer], CLIP)
    assert "needs 78" in str(raised.value) and "needs 82" in str(raised.value) and "'go" not in str(raised.value)


def test_a_text_without_end_is_named_in_short(tokenizer):
    with pytest.raises(ValueError, match=r"'xxx.*x' \.\.\. needs") as caught:
        text.tokenize(tokenizer, ["x" * 100_000], CLIP)
    assert len(str(caught.value)) < 300


def test_templates_come_by_name_or_from_a_file(tmp_path):
    assert len(text.load_templates("actionclip")) == 16
    assert text.load_templates("none") == ("{}",)
    file = tmp_path / "mine.txt"
    file.write_bytes("\ufeffa clip of {}\r\n\r\n{} again\r\n".encode())
    assert text.load_templates(file) == ("a clip of {}", "{} again")
    file.write_text("no place\n{} and {}\n{}")
    with pytest.raises(ValueError, match=r"'no place', '\{\} and \{\}'"):
        text.load_templates(file)
    file.write_text("\n")
    with pytest.raises(ValueError, match="no prompt templates"):
        text.load_templates(file)
    file.write_bytes(b"fine {}\ncaf\xe9 {}\n")
    with pytest.raises(ValueError, match=r"mine\.txt, line 2: not UTF-8"):
        text.load_templates(file)
    with pytest.raises(ValueError, match="actionclip or none, or a text file"):
        text.load_templates("actoinclip")


def test_the_cache_computes_once_and_heals_damaged_files(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return np.full((2, 3), len(calls), np.float32)

    def get(labels):
        return text.TextCache(tmp_path).get({"labels": labels}, make, (2, 3))

    first = get(["a"])
    np.testing.assert_array_equal(get(["a"]), first)
    assert len(calls) == 1
    assert get(["b"])[0, 0] == 2
    for file in tmp_path.iterdir():
        file.write_bytes(b"rubbish")
    assert get(["a"])[0, 0] == 3
    np.save(huge := io.BytesIO(), np.ones((2, 3), np.float32))
    for file in tmp_path.iterdir():
        file.write_bytes(huge.getvalue().replace(b"(2, 3), }         ", b"(2, 9999999999), }"))  # no room is made
    assert text.TextCache(tmp_path).get({"labels": ["a"]}, make, (2, 3))[0, 0] == 4
    memory = text.TextCache()
    assert memory.get({"labels": 1}, make, (2, 3)) is memory.get({"labels": 1}, make, (2, 3))
    assert len(list(tmp_path.iterdir())) == 2
