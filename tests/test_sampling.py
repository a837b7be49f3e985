import fractions
import math

import numpy as np
import pytest

from actionclip_jax.data import sampling


def exact_middles(length, frames, view, views):
    """The formula of the module's docstring in exact fractions."""
    segment = fractions.Fraction(length, frames)
    offset = segment * fractions.Fraction(2 * view + 1, 2 * views) - fractions.Fraction(1, 2)
    return [min(max(math.trunc(i * segment + offset), 0), length - 1) for i in range(frames)]


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 8, 16, 32])
@pytest.mark.parametrize("views", [1, 2, 3, 10])
def test_long_videos_give_the_exact_truncated_formula_for_every_view(frames, views):
    for length in [*range(frames + 1, frames + 200), 1_000, 12_345, 10_000_019]:
        for view in range(views):
            chosen = sampling.segment_middles(length, frames, view, views)
            assert chosen.tolist() == exact_middles(length, frames, view, views)


def test_one_view_is_the_published_formula():
    for length in range(9, 400):
        published = [fractions.Fraction(i * length, 8) + (fractions.Fraction(length, 8) - 1) / 2 for i in range(8)]
        assert sampling.segment_middles(length, 8).tolist() == [int(index) for index in published]


def test_short_videos_repeat_frames_evenly_and_alike_in_every_view():
    assert sampling.segment_middles(3, 8).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert sampling.segment_middles(1, 4).tolist() == [0, 0, 0, 0]
    assert sampling.segment_middles(8, 8).tolist() == list(range(8))
    assert sampling.segment_middles(3, 8, view=4, views=5).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_indices_are_int64_in_range_and_rising():
    for length in range(1, 120):
        for view in range(10):
            chosen = sampling.segment_middles(length, 16, view, 10)
            assert chosen.dtype == np.int64 and chosen.shape == (16,)
            assert chosen[0] >= 0 and chosen[-1] < length and (np.diff(chosen) >= 0).all()


def test_views_of_a_long_video_are_all_different():
    assert len({tuple(sampling.segment_middles(300, 8, view, 10)) for view in range(10)}) == 10


def test_all_mistakes_are_named_at_once():
    with pytest.raises(ValueError, match=r"length is 0, .*; frames is -1, .*; view is 3, expected 0..2 for 3 views"):
        sampling.segment_middles(0, -1, 3, 3)
    with pytest.raises(ValueError, match="views is 0"):
        sampling.segment_middles(10, 8, 0, 0)
    with pytest.raises(ValueError, match="view is -1"):
        sampling.segment_middles(10, 8, -1)
