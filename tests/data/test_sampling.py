import fractions
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionclip_jax.data import sampling

LENGTHS, FRAMES, SEEDS = st.integers(1, 2_000_000), st.integers(1, 64), st.integers(0, 2**32)
quickly = settings(deadline=None, database=None, max_examples=200)


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


@quickly
@given(LENGTHS, FRAMES)
def test_middles_of_any_video_rise_within_their_segments(length, frames):
    chosen = sampling.segment_middles(length, frames)
    if length > frames:
        for segment, index in enumerate(chosen.tolist()):
            assert segment * length // frames <= index < (segment + 1) * length / frames
        assert (np.diff(chosen) > 0).all()
    else:
        assert set(chosen.tolist()) == set(range(length))


@quickly
@given(LENGTHS, FRAMES, SEEDS)
def test_random_frames_of_any_video_rise_within_their_segments(length, frames, seed):
    chosen = sampling.random_in_segments(length, frames, np.random.default_rng(seed))
    assert chosen.dtype == np.int64 and chosen.shape == (frames,)
    if length > frames:
        for segment, index in enumerate(chosen.tolist()):
            assert segment * length // frames <= index < (segment + 1) * length // frames
    else:
        assert (np.diff(chosen) >= 0).all() and set(chosen.tolist()) == set(range(length))


def draw_many(length, frames, draws=2000):
    rng = np.random.default_rng(0)
    return np.stack([sampling.random_in_segments(length, frames, rng) for _ in range(draws)])


def test_random_frames_reach_all_of_each_segment_and_nothing_else():
    chosen = draw_many(10, 4)  # segments begin at 0, 10/4 = 2, 20/4 = 5, 30/4 = 7
    assert [sorted(set(column)) for column in chosen.T.tolist()] == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]]
    assert np.allclose([(chosen[:, 1] == index).mean() for index in (2, 3, 4)], 1 / 3, atol=0.05)


def test_short_videos_give_every_frame_and_random_repeats():
    chosen = draw_many(3, 4)
    assert {tuple(row) for row in chosen.tolist()} == {(0, 0, 1, 2), (0, 1, 1, 2), (0, 1, 2, 2)}
    assert (draw_many(8, 8, 5) == np.arange(8)).all() and not draw_many(1, 4, 5).any()


def test_the_generator_decides_alone():
    first, again, other = (sampling.random_in_segments(300, 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_mistakes_of_random_sampling_are_named_at_once():
    with pytest.raises(ValueError, match=r"length is 0, .*; frames is 0, "):
        sampling.random_in_segments(0, 0, np.random.default_rng(0))
