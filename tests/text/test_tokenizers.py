"""Tokenizers of other towers than CLIP's: ids equal to transformers' and open_clip's, and refused where they misfit."""

import dataclasses
import importlib
import json
import re
import shutil
import sys
import types

import hard_texts
import numpy as np
import open_clip
import pytest
import tiny
import tiny_tokenizers
import torch_reference
import transformers

from actionclip_jax import config, sharding, text
from actionclip_jax.checkpoints import load, model_directory
from actionclip_jax.inference import encoder
from actionclip_jax.training import expected, initial

KINDS = tuple(tiny_tokenizers.CLASSES)
CLIP = config.TextConfig()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Where the files of each kind lie, and the text tower that they fit."""
    places = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    return {kind: (place, tiny_tokenizers.save(kind, place)) for kind, place in places.items()}


@pytest.fixture
def copied(made, tmp_path):
    """Files of a kind that a test may change, with their tower."""

    def copy(kind):
        shutil.copytree(made[kind][0], tmp_path / kind)
        return tmp_path / kind, made[kind][1]

    return copy


def hard(spec, count=1500):
    """Hard texts that fit the tower."""
    texts = ["", "a photo of a cat", 'Push-Up & "pull_up"', "it's 5% off!", *hard_texts.strings(count)]
    return [one for one in texts if len(one.encode()) < spec.context - 4 and "�" not in one]


def padded(tokenizer, texts, spec):
    """Ids [N, context] by transformers' own call."""
    return np.array(tokenizer(texts, padding="max_length", max_length=spec.context)["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_ids_equal_transformers_own_call(kind, made):
    directory, spec = made[kind]
    if kind == "siglip":  # whose own class needs sentencepiece
        theirs = transformers.PreTrainedTokenizerFast.from_pretrained(directory)
    else:
        theirs = transformers.AutoTokenizer.from_pretrained(directory)
    texts = hard(spec)
    ours = text.tokenize(text.load_tokenizer(directory, spec), texts, spec)
    cleaned = [text.clean(one, spec.cleaning) for one in texts]
    np.testing.assert_array_equal(ours, padded(theirs, cleaned, spec))
    assert (ours.dtype, len(np.unique(ours)) > 20) == (np.int32, True)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_equal_open_clips(kind, made, copied):
    directory, spec = copied(kind)
    if kind == "siglip":  # the class that timm's repositories name
        tiny_tokenizers.change(directory, "tokenizer_config.json", tokenizer_class="T5TokenizerFast", extra_ids=0)
    how = {"canonical": "canonicalize", "whitespace": "whitespace"}[spec.cleaning]
    theirs = open_clip.tokenizer.HFTokenizer(str(directory), context_length=spec.context, clean=how)
    texts = hard(spec)
    ours = text.tokenize(text.load_tokenizer(made[kind][0], spec), texts, spec)
    np.testing.assert_array_equal(ours, theirs(texts).numpy())


@pytest.mark.parametrize("context", [32, 72])
def test_pe_cores_ids_are_clips_at_another_context(context):
    spec = dataclasses.replace(CLIP, context=context)
    theirs, tokenizer = open_clip.SimpleTokenizer(context_length=context), text.load_tokenizer(None, spec)
    texts = [one for one in hard_texts.strings(3000) if len(theirs.encode(one)) <= context - 2]
    np.testing.assert_array_equal(text.tokenize(tokenizer, texts, spec), theirs(texts).numpy())
    with pytest.raises(ValueError, match=f"at most {context} tokens(.|\n)* needs {context + 1}"):
        text.tokenize(tokenizer, ["go " * (context - 1)], spec)


@pytest.mark.parametrize(
    ("cleaning", "theirs"), [("lower", "lower"), ("canonical", "canonicalize"), ("whitespace", "whitespace")]
)
def test_cleaning_equals_open_clips(cleaning, theirs):
    clean = open_clip.tokenizer.get_clean_fn(theirs)
    texts = [
        *hard_texts.strings(3000),
        "_a__b_",
        "A.B",
        "\u201cpush\u2011up\u201d",
        "x &amp;lt; y",
        "ΟΔΟΣ.",
        "\x1c a\x85b",
    ]
    assert [text.clean(one, cleaning) for one in texts] == [clean(one) for one in texts]


@pytest.fixture
def siglips_cleaning(monkeypatch):
    """`SiglipTokenizer.canonicalize_text`, which needs nothing of sentencepiece but that it can be imported."""
    if "sentencepiece" not in sys.modules:
        monkeypatch.setitem(sys.modules, "sentencepiece", types.ModuleType("sentencepiece"))
    kind = importlib.import_module("transformers.models.siglip.tokenization_siglip").SiglipTokenizer
    blank = types.SimpleNamespace(do_lower_case=True, remove_punctuation=lambda one: kind.remove_punctuation(None, one))
    return lambda one: kind.canonicalize_text(blank, one)


def test_canonical_cleaning_equals_transformers_but_for_repairs_underscores_and_a_sigma(siglips_cleaning):
    texts = [text.clean(one, "whitespace").replace("_", " ") for one in hard_texts.strings(3000)]
    texts = [one for one in texts if "Σ" not in one]
    assert [text.clean(one, "canonical") for one in texts] == [siglips_cleaning(one) for one in texts]
    assert (text.clean("Push_up!", "canonical"), siglips_cleaning("Push_up!")) == ("push up", "pushup")
    assert (text.clean("ΟΔΟΣ-A", "canonical"), siglips_cleaning("ΟΔΟΣ-A")) == ("οδοσa", "οδοςa")  # made small last
    assert (text.clean("R&amp;B", "canonical"), siglips_cleaning("R&amp;B")) == ("rb", "rampb")


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_directory_returns_the_tokenizer_it_was_given(kind, made, tmp_path):
    directory, spec = made[kind]
    model = dataclasses.replace(tiny.model_config(), text=spec)
    tokenizer = text.load_tokenizer(directory, spec)
    weights = model_directory.Weights(model, tiny.random_params(model), tokenizer, {"source": "test"}, {})
    model_directory.save(tmp_path / "model", weights)
    again = model_directory.load(tmp_path / "model")
    texts = hard(spec)
    before, after = (text.tokenize(one.tokenizer, texts, one.model.text) for one in (weights, again))
    np.testing.assert_array_equal(before, after)
    assert again.model == model and not list((tmp_path / "model").rglob("*.py"))
    ours, theirs = (
        encoder.VideoTextEncoder(one, config.ComputeConfig(), sharding.make_mesh()) for one in (weights, again)
    )
    np.testing.assert_array_equal(ours.encode_text(["a photo"]), theirs.encode_text(["a photo"]))
    assert ours._tokenizer_digest == theirs._tokenizer_digest


def test_cached_texts_are_of_one_cleaning_padding_pooling_and_tokenizer(made):
    params, digests = tiny.random_params(tiny.model_config()), set()
    changes = ({}, {"cleaning": "canonical"}, {"pad": 1}, {"pooling": "end", "end": 2}, {"causal": False})
    for change in changes:
        model = dataclasses.replace(tiny.model_config(), text=dataclasses.replace(tiny.model_config().text, **change))
        weights = model_directory.Weights(model, params, text.default_tokenizer(), {}, {})
        digests.add(encoder.VideoTextEncoder(weights, config.ComputeConfig(), sharding.make_mesh())._text_digest)
    assert len(digests) == len(changes)
    tokenizers = [text.load_tokenizer(*made[kind]).backend_tokenizer.to_str() for kind in KINDS]
    assert len({*tokenizers}) == len(KINDS)


def test_padding_is_cut_only_where_no_feature_sees_it():
    clip = np.array([[5, 9, 0, *[0] * 29], [5, 6, 9, *[0] * 29]])
    assert text.cut_padding(clip, dataclasses.replace(CLIP, context=32)).shape == (2, 8)
    end = dataclasses.replace(CLIP, context=32, pooling="end", end=2, pad=1)
    ends = np.full((1, 2, 32), 1)
    ends[..., :3] = 0, 700, 2  # the largest id is not the end
    ends[0, 1, 2:11] = [*[700] * 8, 2]
    assert text.cut_padding(ends, end).shape == (1, 2, 16)
    assert text.cut_padding(ends[:, :1], end).shape == (1, 1, 8)
    for change in ({"causal": False}, {"pooling": "last"}, {"causal": False, "pooling": "last"}):
        assert text.cut_padding(ends, dataclasses.replace(end, **change)) is ends


def test_a_run_that_is_not_begun_has_texts_as_long_as_its_tower_reads_them():
    run = config.TrainConfig(data=config.DataConfig(expect=config.ExpectConfig(text_tokens=16)))
    shown = dataclasses.replace(run, model=dataclasses.replace(run.model, text=tiny_tokenizers.TOWERS["siglip"]))
    assert (expected.text_length(run), expected.text_length(shown)) == (16, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_without_text_are_recognised_whatever_is_put_around_a_text(kind, made):
    directory, spec = made[kind]
    tokenizer = text.load_tokenizer(directory, spec)
    nothing = [" ", "!?."] if spec.cleaning == "canonical" else [" ", "&nbsp;"]
    unknown = [] if kind == "siglip2" else ["🏄"]  # Gemma's falls back on bytes
    for label in nothing + unknown:
        with pytest.raises(ValueError, match="is no text"):
            text.check_distinct(tokenizer, ["a photo", label], spec)
    text.check_distinct(tokenizer, ["a photo", "a"], spec)


def test_labels_that_cleaning_makes_the_same_are_refused_and_others_not(made):
    directory, spec = made["siglip2"]
    tokenizer, labels = text.load_tokenizer(directory, spec), ["c++", "C#"]
    with pytest.raises(ValueError, match=r"'c\+\+' and 'C#' are the same text"):
        text.check_distinct(tokenizer, labels, spec)
    kept = dataclasses.replace(spec, cleaning="whitespace")
    text.check_distinct(tokenizer, [*labels, "C++"], kept)


def test_labels_that_no_tower_tells_apart_need_no_tokenizer():
    text.check_spelt_apart(["rock & roll", "Rock & Roll"])
    with pytest.raises(ValueError, match=r"are the same text\n.*' ' is no text"):
        text.check_spelt_apart(["rock & roll", "rock  &amp; roll", " "])


WRONG = {  # what is changed in the tower, and what is said
    "more tokens than the tower has": ("siglip", {"vocabulary": 30}, "a tokenizer of {size} tokens, .* knows 30"),
    "fewer tokens": ("siglip2", {"vocabulary": 1000}, "a tokenizer of {size} tokens, .* knows 1000"),
    "another padding": ("siglip2", {"pad": 1}, "padded with the token 1, and the tokenizer pads with 0"),
    "another padding, read last": ("siglip", {"pad": 0, "causal": True}, "with the token 0, .* pads with 1"),
    "another end token": ("metaclip2", {"end": 3}, r"at its end token 3, and 'a photo' becomes \[0, .*, 2\]"),
    "another end token, read last": ("siglip2", {"end": 2}, r"the token 2 behind them .* '' becomes \[1\]"),
    "a mark before a text": ("metaclip2", {"pooling": "last"}, r"the token 2 behind them .* '' becomes \[0, 2\]"),
    "no mark before a text": ("siglip", {"pooling": "first"}, "at its first token, and 'a photo' begins with a word"),
    "an end that is not last": (
        "metaclip2",
        {"pooling": "largest"},
        r"added tokens: .*here 2, to be its last",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_tokenizer_that_is_not_the_towers_is_refused_with_both_values(what, made):
    kind, changes, said = WRONG[what]
    directory, spec = made[kind]
    with pytest.raises(ValueError, match="not the tokenizer of this text tower") as caught:
        text.load_tokenizer(directory, dataclasses.replace(spec, **changes))
    assert re.search(said.format(size=spec.vocabulary), str(caught.value)) and str(directory) in str(caught.value)


def test_an_embedding_may_be_rounded_up(made):
    directory, spec = made["metaclip2"]
    for rows in (40, 64, 128):
        text.load_tokenizer(directory, dataclasses.replace(spec, vocabulary=rows))


def post_processor(directory, single, **marks):
    """Other tokens around each text."""
    special = {token: {"id": token, "ids": [number], "tokens": [token]} for token, number in marks.items()}
    parts = [
        {"SpecialToken": {"id": part, "type_id": 0}} if part in marks else {"Sequence": {"id": "A", "type_id": 0}}
        for part in single
    ]
    content = {"type": "TemplateProcessing", "single": parts, "pair": parts, "special_tokens": special}
    tiny_tokenizers.change(directory, "tokenizer.json", post_processor=content)


def test_a_tokenizer_that_ends_no_text_is_refused(copied):
    for kind in KINDS:
        directory, spec = copied(kind)
        post_processor(directory, ["A"])
        with pytest.raises(ValueError, match=f"token {spec.end}"):
            text.load_tokenizer(directory, spec)


def test_gemmas_own_mark_before_a_text_is_refused(copied):
    directory, spec = copied("siglip2")
    post_processor(directory, ["<bos>", "A", "<eos>"], **{"<bos>": 2, "<eos>": 1})
    with pytest.raises(ValueError, match=r"the token 1 behind them and nothing else, and '' becomes \[2, 1\]"):
        text.load_tokenizer(directory, spec)


def test_the_marks_of_the_multilingual_siglip_beyond_its_tower_are_no_fault_until_a_text_has_one(copied):
    directory, spec = copied("siglip")
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(directory)
    tokenizer.add_tokens([f"▁<extra_id_{number}>" for number in range(100)])
    tokenizer.save_pretrained(directory)
    read = text.load_tokenizer(directory, spec)
    text.tokenize(read, ["a photo", "<extra_id_3>"], spec)  # cleaning takes the signs away
    with pytest.raises(ValueError, match=rf"below {spec.vocabulary}:\n  .*extra_id_3.* has {spec.vocabulary + 3}"):
        text.tokenize(read, ["a photo", "▁<extra_id_3>"], dataclasses.replace(spec, cleaning="whitespace"))
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(directory)
    with pytest.raises(ValueError, match="a tokenizer of"):
        text.load_tokenizer(directory, spec)


def test_a_cut_and_a_padding_in_the_file_change_no_ids(copied):
    directory, spec = copied("siglip")
    before = text.tokenize(text.load_tokenizer(directory, spec), ["a photo of a cat"], spec)
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    pad = {"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0}
    tiny_tokenizers.change(directory, "tokenizer.json", truncation=cut, padding={**pad, "pad_token": "<pad>"})
    np.testing.assert_array_equal(
        text.tokenize(text.load_tokenizer(directory, spec), ["a photo of a cat"], spec), before
    )


def test_texts_that_are_too_long_are_refused_and_not_cut(made):
    directory, spec = made["siglip"]
    with pytest.raises(ValueError, match=r"at most 64 tokens, .*\n  'a a a .*needs \d+"):
        text.tokenize(text.load_tokenizer(directory, spec), ["a " * 64], spec)


@pytest.mark.parametrize(
    ("vocabulary", "cleaning", "home"),
    [
        (32000, "canonical", "google/siglip-base-patch16-224"),
        (256000, "canonical", "google/siglip2-base-patch16-224"),
        (901629, "whitespace", "facebook/xlm-v-base"),
        (49408, "whitespace", "openai/clip-vit-base-patch16"),
        (1000, "lower", "the model's repository"),
    ],
)
def test_clips_tokenizer_is_not_taken_for_another_towers(vocabulary, cleaning, home):
    spec = config.TextConfig(vocabulary=vocabulary, cleaning=cleaning)
    with pytest.raises(ValueError, match=rf"knows {vocabulary} and has them {cleaning}: .*tokenizer\.json .*{home}"):
        text.load_tokenizer(None, spec)
    with pytest.raises(ValueError, match=rf"init_from is empty, .*knows {vocabulary} .*tokenizer\.json"):
        initial.random_tokenizer(spec)


@pytest.mark.parametrize("present", [["spiece.model"], ["vocab.json", "merges.txt"], ["tokenizer_config.json"], []])
def test_another_towers_tokenizer_is_one_file(present, made, tmp_path):
    for name in present:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json is missing: .*spiece\.model .*alone is not read"):
        text.load_tokenizer(tmp_path, made["siglip"][1])


def test_weights_of_another_vocabulary_need_its_tokenizer_beside_them(tmp_path):
    model = dataclasses.replace(tiny.model_config(), text=config.TextConfig(1000, 77, 128, 2, 2))
    torch_reference.hugging_clip(model).save_pretrained(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(ValueError, match=r"the text tower knows 1000 .*tokenizer\.json"):
        load.read_any(tmp_path)


def test_clips_tower_takes_no_other_kind(made):
    with pytest.raises(ValueError, match="GemmaTokenizer: another kind of tokenizer than CLIP's"):
        text.load_tokenizer(made["siglip2"][0], CLIP)


def test_code_that_a_tokenizer_names_is_not_run(copied):
    directory, spec = copied("siglip2")
    before = text.load_tokenizer(directory, spec)("a photo")["input_ids"]
    (directory / "evil.py").write_text(f"open({str(directory / 'ran')!r}, 'w')\nclass Evil: pass\n")
    evil = {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "evil.Evil"}
    tiny_tokenizers.change(directory, "tokenizer_config.json", trust_remote_code=True, **evil)
    assert text.load_tokenizer(directory, spec)("a photo")["input_ids"] == before
    assert not (directory / "ran").exists()


def test_a_damaged_tokenizer_is_called_so(copied):
    directory, spec = copied("siglip2")
    (directory / "tokenizer.json").write_text(json.dumps({"model": {}}))
    with pytest.raises(ValueError, match="the tokenizer of GemmaTokenizer is damaged"):
        text.load_tokenizer(directory, spec)
