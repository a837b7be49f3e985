"""What is held out: of every class some, by whole source videos, whatever the order of the list."""

import hypothesis
import numpy as np
from hypothesis import strategies

from actionclip_jax.data import held_out, readers, table

SEEDS = strategies.integers(0, 2**31)


def make_table(names, labels, starts=None):
    """Clips of these files, whose labels are numbers or tuples of them."""
    clips = [
        table.Clip(f"{number}/{name}", f"/videos/{name}", label if isinstance(label, tuple) else (label,))
        for number, (name, label) in enumerate(zip(names, labels, strict=True))
    ]
    classes = 1 + max(max(clip.labels) for clip in clips)
    return table.make_table(clips, [f"class {label}" for label in range(classes)], readers.VideoFiles())


@hypothesis.given(strategies.lists(strategies.integers(1, 40), min_size=1, max_size=5), SEEDS)
def test_of_every_class_its_share_is_held_out_but_never_its_last_clip(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    clips = make_table([f"{number}.mp4" for number in range(len(labels))], labels.tolist())
    held = held_out.draw(clips, 0.1, seed)
    for label, count in enumerate(counts):
        assert held[labels == label].sum() == min(max(1, round(0.1 * count)), count - 1)


@hypothesis.given(SEEDS, strategies.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_decide(seed, random):
    names = [f"{number}.mp4" for number in range(30)]
    clips = make_table(names, [number % 3 for number in range(30)])
    order = list(range(30))
    random.shuffle(order)
    held = clips.paths[held_out.draw(clips, 0.2, seed)].tolist()
    again = clips.take(np.array(order))
    assert sorted(held) == sorted(again.paths[held_out.draw(again, 0.2, seed)].tolist())


def test_another_seed_holds_out_others():
    clips = make_table([f"{number}.mp4" for number in range(100)], [0] * 100)
    assert (held_out.draw(clips, 0.1, 0) != held_out.draw(clips, 0.1, 1)).any()


@hypothesis.given(SEEDS)
def test_clips_of_one_ucf101_group_stay_together(seed):
    groups = [(label, group) for label in range(2) for group in range(1, 6)]
    names = [f"v_{'AB'[label]}_g{group:02}_c{clip:02}.avi" for label, group in groups for clip in range(1, 4)]
    clips = make_table(names, [label for label, _ in groups for _ in range(3)])
    held = held_out.draw(clips, 0.1, seed).reshape(10, 3)
    assert (held.all(axis=1) == held.any(axis=1)).all()
    assert [held[:5].any(axis=1).sum(), held[5:].any(axis=1).sum()] == [1, 1]
    assert held_out.source_videos(clips)[1] == "names as those of UCF101"


def test_names_of_kinetics_and_hmdb51_and_parts_of_a_file_tell_the_video():
    for names, videos, told in (
        (["abcdefghijk_000001_000011.mp4", "abcdefghijk_000020_000030.mp4"], ["abcdefghijk"] * 2, "Kinetics"),
        (
            ["A_b_brush_hair_u_nm_np1_ba_goo_0.avi", "A_b_brush_hair_h_cm_np2_le_med_11.avi"],
            ["A_b_brush_hair"] * 2,
            "HMDB51",
        ),
        (["a.mp4", "a.mp4"], ["/videos/a.mp4"] * 2, "parts of one file"),
        (["a.mp4", "b.mp4"], ["/videos/a.mp4", "/videos/b.mp4"], ""),
    ):
        found, how = held_out.source_videos(make_table(names, [0, 0]))
        assert found == videos and told in how


@hypothesis.given(SEEDS)
def test_a_video_with_clips_of_several_classes_is_on_one_side_and_empties_no_class(seed):
    names = ["a", "a", "b", "b", "c", "d"]
    clips = make_table(names, [0, 1, 0, 1, 0, 2])
    held = held_out.draw(clips, 0.3, seed)
    assert held[0] == held[1] and held[2] == held[3]
    for label in range(3):
        assert not held[clips.label_ids[:, 0] == label].all()


def test_clips_with_several_labels_count_for_each_of_them():
    clips = make_table(
        [f"{number}.mp4" for number in range(20)], [(0, 1) if number % 2 else (1,) for number in range(20)]
    )
    held = held_out.draw(clips, 0.2, 0)
    assert held.sum() == 4 and held[1::2].sum() >= 2


def test_a_class_of_one_video_is_trained_with_and_nothing_is_held_out_without_a_share():
    clips = make_table(["a.mp4", "b.mp4", "c.mp4"], [0, 1, 1])
    assert not held_out.draw(clips, 0.5, 0)[0]
    assert not held_out.draw(clips, 0.0, 0).any()
