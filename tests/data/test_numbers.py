"""Whole numbers are told from names alike, wherever a list or a label file spells them."""

import pytest

from actionclip_jax.data import numbers


@pytest.mark.parametrize(
    ("text", "whole", "natural", "of_a_class"),
    [
        ("3", 3, 3, 3),
        ("003", 3, 3, 3),
        ("3.", 3, 3, None),
        ("3.00", 3, 3, None),
        ("c003", None, None, 3),
        ("-3", -3, None, None),
        ("3.5", None, None, None),
        ("1e3", None, None, None),
        ("", None, None, None),
        ("1" * 9, 111_111_111, 111_111_111, 111_111_111),
        ("1" * 10, 1_111_111_111, None, None),
        ("1" * 19, None, None, None),
    ],
)
def test_numbers_are_read_or_refused(text, whole, natural, of_a_class):
    assert numbers.read_whole(text) == whole
    assert numbers.read_natural(text) == natural
    assert numbers.read_class(text) == of_a_class


def test_a_number_of_any_size_is_whole_but_no_field_of_a_list():
    assert numbers.is_whole("1" * 19) and not numbers.is_number("1" * 19)
    assert numbers.is_whole("3.0") and not numbers.is_number("3.0")
    assert numbers.is_number("-3") and not numbers.is_number("three")
