"""Few-shot and base-to-novel subsets hold what their protocols say."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from actionclip_jax.data import readers, subsets, table


def make_table(counts, order=None, multi_label=False):
    """A table of `counts[label]` clips a class."""
    clips = [
        table.Clip(f"{label}/{number}", "x", (label,)) for label, count in enumerate(counts) for number in range(count)
    ]
    clips = [clips[row] for row in order] if order is not None else clips
    names = [f"Class{chr(65 + label)}" for label in range(len(counts))]
    texts = [f"class {chr(97 + label)}" for label in range(len(counts))]
    return table.make_table(clips, texts, readers.VideoFiles(), names=names, multi_label=multi_label)


COUNTS = strategies.lists(strategies.integers(4, 9), min_size=2, max_size=6)
SEEDS = strategies.integers(0, 2**31)


@hypothesis.given(COUNTS, strategies.integers(1, 4), SEEDS, strategies.randoms(use_true_random=False))
def test_few_shot_takes_k_of_every_class_whatever_the_order_of_the_list(counts, shots, seed, random):
    order = list(range(sum(counts)))
    random.shuffle(order)
    chosen = subsets.few_shot(make_table(counts), shots, seed)
    again = subsets.few_shot(make_table(counts, order), shots, seed)
    assert chosen.ids.tolist() == again.ids.tolist()
    assert len(set(chosen.ids.tolist())) == shots * len(counts)
    assert chosen.label_ids[:, 0].tolist() == np.repeat(np.arange(len(counts)), shots).tolist()
    assert set(chosen.ids.tolist()) <= set(subsets.few_shot(make_table(counts), 4, seed).ids.tolist())


@hypothesis.given(COUNTS, SEEDS)
def test_base_and_novel_are_a_partition_of_classes_and_clips(counts, seed):
    clips = make_table(counts)
    base, novel = (subsets.base_or_novel(clips, part, "", seed) for part in ("base", "novel"))
    assert sorted(base.labels + novel.labels) == sorted(clips.labels)
    assert sorted([*base.ids.tolist(), *novel.ids.tolist()]) == sorted(clips.ids.tolist())
    assert len(base.labels) == len(counts) // 2
    for part in (base, novel):
        for row in range(len(part)):
            text = part.labels[part[row].labels[0]]
            assert text == clips.labels[int(part.ids[row].split("/")[0])]


@hypothesis.given(COUNTS, SEEDS)
def test_the_shots_of_a_class_do_not_depend_on_the_other_classes(counts, seed):
    clips = make_table(counts)
    first = subsets.few_shot(subsets.base_or_novel(clips, "novel", "", seed), 2, seed)
    second = subsets.base_or_novel(subsets.few_shot(clips, 2, seed), "novel", "", seed)
    assert first.ids.tolist() == second.ids.tolist()


def test_another_seed_draws_other_clips():
    clips = make_table([50, 50])
    assert subsets.few_shot(clips, 4, 0).ids.tolist() != subsets.few_shot(clips, 4, 1).ids.tolist()


def test_the_half_drawn_is_the_published_one():
    np.random.seed(3)
    assert subsets.draw_half(101, 3).tolist() == sorted(np.random.permutation(101)[:50])


def test_classes_with_too_few_clips_are_named():
    with pytest.raises(ValueError, match=r"too few clips for 3 shots(.|\n)*'ClassA' has 2\n.*'ClassC' has 0"):
        subsets.few_shot(make_table([2, 5, 0]), 3, 0)


def test_clips_with_several_labels_have_no_shots():
    with pytest.raises(ValueError, match="several labels"):
        subsets.few_shot(make_table([3, 3], multi_label=True), 1, 0)


@pytest.mark.parametrize(
    ("file", "content"), [("base.txt", "ClassC\r\nclass a\n"), ("base.csv", "id,name\n0,ClassA\n1,class c\n")]
)
def test_base_classes_are_named_by_either_spelling(file, content, tmp_path):
    (tmp_path / file).write_text(content)
    base = subsets.base_or_novel(make_table([2, 1, 3]), "base", str(tmp_path / file), 0)
    novel = subsets.base_or_novel(make_table([2, 1, 3]), "novel", str(tmp_path / file), 0)
    assert base.labels == ("class a", "class c") and base.names == ("ClassA", "ClassC")
    assert base.label_ids[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert novel.labels == ("class b",) and novel.ids.tolist() == ["1/0"]


def test_unknown_base_classes_are_named(tmp_path):
    (tmp_path / "base.txt").write_text("ClassA\nClassX\n")
    with pytest.raises(ValueError, match=r"1 of 2 names are none of the 3 classes: 'ClassX'"):
        subsets.base_or_novel(make_table([1, 1, 1]), "base", str(tmp_path / "base.txt"), 0)


def test_every_class_in_the_base_file_leaves_none_novel(tmp_path):
    (tmp_path / "base.txt").write_text("ClassA\nClassB\n")
    with pytest.raises(ValueError, match=r"base.txt: names every class, so there is no novel class"):
        subsets.base_or_novel(make_table([1, 1]), "novel", str(tmp_path / "base.txt"), 0)


def test_without_a_base_class_the_reason_is_told(tmp_path):
    with pytest.raises(
        ValueError, match=r"^1 class cannot be halved, so there is no base class: name .*--base-classes"
    ):
        subsets.base_or_novel(make_table([3]), "base", "", 0)
    assert subsets.base_or_novel(make_table([3]), "novel", "", 0).labels == ("class a",)
    (tmp_path / "base.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"base.txt: holds no label"):
        subsets.base_or_novel(make_table([1, 1]), "base", str(tmp_path / "base.txt"), 0)


def test_a_clip_of_several_labels_keeps_those_that_are_taken():
    clips = [table.Clip("a", "x", (0, 2)), table.Clip("b", "x", (1,)), table.Clip("c", "x", ())]
    made = table.make_table(clips, ["p", "q", "r"], readers.VideoFiles(), multi_label=True)
    taken = subsets.take_classes(made, np.array([2, 0]))
    assert taken.labels == ("r", "p") and [taken[row].labels for row in range(len(taken))] == [(1, 0)]
