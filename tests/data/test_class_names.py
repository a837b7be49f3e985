"""Names become words, and mirrored labels find their partners."""

import numpy as np
import pytest

from actionclip_jax.data import class_names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("brush_hair", "brush hair"),
        ("YoYo", "yo yo"),
        ("TaiChi", "tai chi"),
        ("TVShow", "tv show"),
        ("Archery", "archery"),
        ("BMX", "bmx"),
        ("3DPrinting", "3d printing"),
        ("Salsa2Step", "salsa2 step"),
        ("run100m", "run100m"),
        ("pull-up", "pull-up"),
        ("caféLatte", "café latte"),
        ("cafÃ©Latte", "café latte"),
        ("Pushing [something] from Left", "Pushing [something] from Left"),
        ("backflip (human)", "backflip (human)"),
    ],
)
def test_a_name_is_split_into_words_unless_it_holds_a_space(name, words):
    assert class_names.split_name(name) == words
    assert class_names.split_name(words) == words


def test_only_names_that_are_split_are_said_to_be():
    assert class_names.describe_splitting(["A Red Circle", "Surf", "surfing"]) is None
    assert class_names.describe_splitting(["A Red Circle", "YoYo", "brush_hair"]).startswith(
        "reads 'YoYo' as 'yo yo', and 1 "
    )


def test_names_match_as_spelt_or_once_split():
    assert class_names.match_names(["YoYo", "yo_yo", "Yo Yo", "run"], ["Run", "yo yo"]) == [1, 1, 1, 0]
    assert class_names.match_names(["jump"], ["Run"]) == [None]


def test_a_mirrored_label_is_itself_its_partner_or_none():
    texts = ["swipe left", "swipe right", "clap", "turn clockwise", "turn anti-clockwise", "kick left", "leftovers"]
    assert class_names.mirror_labels(texts).tolist() == [1, 0, 2, 4, 3, -1, 6]
    assert class_names.mirror_labels(texts).dtype == np.int32
    assert class_names.mirror_labels(["SwipeLeft", "swipe_right"]).tolist() == [1, 0]
    assert class_names.mirror_labels(["from left to right", "from right to left"]).tolist() == [1, 0]
    assert class_names.mirror_labels(["turn counter-clockwise", "turn clockwise"]).tolist() == [1, 0]


def test_a_list_is_direction_sensitive_if_any_label_is():
    assert class_names.is_direction_sensitive(["clap", "kick left"])
    assert not class_names.is_direction_sensitive(["clap", "copyright"])
    assert not class_names.is_direction_sensitive([])


def test_names_that_differ_in_a_colour_alone_are_told_apart_by_it():
    assert class_names.are_told_apart_by_colors(["a red square", "a green square", "surfing"])
    assert class_names.are_told_apart_by_colors(["RedCar", "Grey_car"])
    assert not class_names.are_told_apart_by_colors(["a red square", "a green circle", "blackboard"])
    assert not class_names.are_told_apart_by_colors(["surfing"])
