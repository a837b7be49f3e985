"""What is drawn into a video: the label that is current at a frame's time, with its probability, at every size."""

import numpy as np
import pytest

from actionclip_jax.inference import timeline
from actionclip_jax.plots import annotation, captions, fonts

NAN = np.nan


def make(**options):
    """Windows of 2 s, one a second."""
    rows = np.array([(0.9, 0.1), (0.9, 0.1), (0.2, 0.8), (0.8, 0.2), (0.55, 0.45), (NAN, NAN)], np.float32)
    starts = np.arange(len(rows), dtype=np.float64)
    times = np.stack([starts, starts + 2], axis=1)
    return timeline.Timeline("x.mp4", ("archery", "surfing"), times, rows, 0.6, None, **options)


def said(one, seconds):
    captioner, drawn = annotation.Captioner(one, ["DejaVu Sans"]), []
    original = captions.draw_strip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captions, "draw_strip", lambda caption, *size: drawn.append(caption) or original(caption, *size))
        for time in seconds:
            captioner(np.zeros((48, 64, 3), np.uint8), time)
    return drawn


def test_a_frame_says_what_its_window_says():
    drawn = said(make(), [0, 1.4, 2.4, 2.6, 3.6, 4.6, 5.6, 99])
    assert [(one.label, one.sure) for one in drawn] == [
        ("archery", True),
        ("archery", True),
        ("surfing", True),
        ("archery", True),
        ("archery", False),  # the best, but below the threshold
        (annotation.NOT_SCORED, False),
    ]
    assert [one.probability for one in drawn][:-1] == pytest.approx([0.9, 0.9, 0.8, 0.8, 0.55])
    assert drawn[-1].probability is None


def test_a_label_that_holds_is_shown_with_its_own_probability():
    drawn = said(make(min_length=1.5), [2.7])
    assert (drawn[0].label, drawn[0].sure) == ("archery", True) and drawn[0].probability == pytest.approx(0.2)


def test_a_strip_is_drawn_once_for_each_window():
    assert len(said(make(), np.linspace(0, 1.4, 30))) == 1


LABELS = ("a", "playing the violin in a very large hall " * 3, "薙刀を振る", "عزف الكمان 😀", "$x^2$ & <b>", "")


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (48, 37), (240, 320), (1080, 1920), (90, 4000), (2000, 90)])
@pytest.mark.parametrize("label", LABELS)
def test_every_label_fits_into_every_picture(label, size):
    caption = captions.Caption(label, 0.25, 0.5, (1.0, 0.0, 0.0), sure=True)
    strip = captions.draw_strip(caption, *size, fonts.choose(label)[0])
    assert strip.shape[1:] == (size[1], 4) and 0 < len(strip) <= min(size[0], captions.MOST)
    if min(size) < 100:
        return
    rows = np.arange(len(strip)) / len(strip)
    bar = strip[(rows > 0.72) & (rows < 0.82)].mean(axis=0)  # from 0.70 to 0.84 of the height
    red = np.flatnonzero((bar[:, 0] > 200) & (bar[:, 1] < 60))
    margin = 0.2 * len(strip)
    assert red[-1] - red[0] + 1 == pytest.approx(0.25 * (size[1] - 2 * margin), abs=2)
    letters = strip[rows < 0.6]
    assert (letters[:, : round(margin / 2), :3] == 0).all(), "nothing reaches the edge"


def test_a_strip_lies_over_the_last_rows_alone():
    image = np.full((40, 20, 3), 200, np.uint8)
    strip = np.zeros((10, 20, 4), np.uint8)
    strip[:, :10, 3] = 255
    drawn = captions.blend(image, strip)
    assert (drawn[:30] == 200).all() and (drawn[30:, :10] == 0).all() and (drawn[30:, 10:] == 200).all()
    assert (image == 200).all()
