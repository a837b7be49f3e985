"""HDR: what a display would emit, worked out here a second time, and what SDR makes of it."""

import fractions

import av
import numpy as np
import pytest
import videos
from local_data import TEST_DATA, needs_test_data
from PIL import Image

from actionclip_jax.data import video
from actionclip_jax.data.video import stream, tone_map

BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # from BT.709
PQ, HLG = 16, 18


def pq(light):
    """cd/m2 -> PQ's signal."""
    y = (np.asarray(light, float) / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(light):
    """cd/m2 of R, G, B on a display of 1,000 -> HLG's signal."""
    light = np.maximum(np.asarray(light, float), 1e-9) / 1000
    luminance = light @ np.array([0.2627, 0.6780, 0.0593])
    scene = light * luminance[..., None] ** (1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


SIGNALS = {PQ: pq, HLG: hlg}


def gray(light, transfer):
    """What becomes of a gray of so many cd/m2."""
    signal = np.rint(SIGNALS[transfer](np.full((1, 1, 3), float(light))) * 65535).astype(np.uint16)
    return tone_map.to_sdr(signal, transfer, 9)[0, 0]


@pytest.mark.parametrize("transfer", SIGNALS)
def test_light_below_the_knee_is_shown_as_it_is(transfer):
    for light in (1, 5, 20, 50, 80):
        np.testing.assert_allclose(gray(light, transfer), 255 * (light / 203) ** (1 / 2.4), atol=1)


@pytest.mark.parametrize("transfer", SIGNALS)
def test_colours_are_those_of_the_primaries_that_are_said(transfer):
    color = np.array([[[85.0, 14, 14]]])  # of BT.709, as SDR has it
    in_p3 = color @ np.array([[0.8225, 0.1774, 0], [0.0332, 0.9669, 0], [0.0171, 0.0724, 0.9108]]).T
    for primaries, light in ((1, color), (9, color @ BT2020.T), (2, color @ BT2020.T), (12, in_p3)):
        signal = np.rint(SIGNALS[transfer](light) * 65535).astype(np.uint16)
        shown = tone_map.to_sdr(signal, transfer, primaries)[0, 0]
        np.testing.assert_allclose(shown, 255 * (color[0, 0] / 203) ** (1 / 2.4), atol=2)


@pytest.mark.parametrize("transfer", SIGNALS)
def test_highlights_are_rolled_off_and_never_clipped_before_the_peak(transfer):
    levels = [int(gray(light, transfer)[0]) for light in (0, 100, 203, 400, 700, 1000)]
    assert levels == sorted(levels) and levels[0] == 0 and levels[-3:] == [250, 255, 255] and 220 < levels[2] < 245


def test_the_roll_off_is_that_of_bt2390():
    # by hand: PQ of 203 is 0.5807 and of 1,000 0.7518; white 0.7724, knee 0.6586, there T = 1/3
    assert tone_map.roll_off(np.array([203.0])) == pytest.approx(160, abs=2)
    assert tone_map.roll_off(np.array([1000.0])) == pytest.approx(203, abs=0.1)
    np.testing.assert_allclose(tone_map.pq_to_light(pq([0.1, 100, 10_000])), [0.1, 100, 10_000], rtol=1e-4)


def write_hdr(path, transfer, codec="libx265", tagged=True):
    """A dim colourful picture as HDR; the path and the SDR picture [H, W, 3] that it is of."""
    picture = np.array(Image.fromarray(videos.draw_frame(5)).resize((160, 64)), float) * 0.6
    light = 203 * (picture / 255) ** 2.4 @ BT2020.T
    deep = np.rint(np.clip(SIGNALS[transfer](light), 0, 1) * 65535).astype(np.uint16)
    lossless = {"libx265": {"x265-params": "log-level=none:lossless=1"}, "libx264": {"qp": "0"}}.get(codec, {})
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=25, options=lossless)
        pix_fmt = "yuv420p10le" if codec == "libsvtav1" else "yuv444p10le"
        track.width, track.height, track.pix_fmt = 160, 64, pix_fmt
        context = track.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = (9, transfer) if tagged else (9, 1)
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(deep, format="rgb48le")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=9, dst_color_range=1)
            frame.pts, frame.time_base = number, fractions.Fraction(1, 25)
            frame.color_trc, frame.color_primaries = context.color_trc, 9
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path, picture


@pytest.mark.parametrize("transfer", SIGNALS)
@pytest.mark.parametrize(("suffix", "codec"), [("mov", "libx265"), ("mkv", "libx264"), ("mp4", "libsvtav1")])
def test_hdr_video_looks_like_the_sdr_picture_it_is_of(suffix, codec, transfer, tmp_path):
    path, picture = write_hdr(tmp_path / f"a.{suffix}", transfer, codec)
    near = 8 if suffix == "mp4" else 2  # which is not lossless
    image = video.read_frames(path, lambda length: np.array([2]), lambda image: image).images[0]
    assert image.dtype == np.uint8 and np.abs(image - picture).mean() < near
    shown = next(iter(stream.Grid(path, 0.04)))[0]
    assert np.abs(shown - picture).mean() < near
    small = video.read_frames(video.Source(path, short_side=32), lambda length: np.array([2]), np.shape).images[0]
    assert small == (32, 80, 3)


def test_sdr_video_is_not_touched(tmp_path, monkeypatch):
    path, picture = write_hdr(tmp_path / "a.mov", PQ, tagged=False)
    monkeypatch.setattr(tone_map, "to_sdr", None)
    image = video.read_frames(path, lambda length: np.array([2]), lambda image: image).images[0]
    assert np.abs(image - picture).mean() > 15


@needs_test_data
@pytest.mark.parametrize("name", ["hlg", "pq"])
def test_hdr_clips_are_near_their_tone_mapped_references(name):
    reference = np.asarray(Image.open(TEST_DATA / "reported" / f"ref_{name}.png").convert("RGB")).astype(float)
    frames = video.read_frames(
        TEST_DATA / "reported" / f"{name}.mov", lambda length: np.array([0]), lambda image: image
    )
    assert np.abs(frames.images[0] - reference).mean() < 4
