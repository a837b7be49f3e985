"""A copy of a video with something drawn into it: the same size, times, turn and sound, one frame at a time."""

import fractions
import pathlib
import weakref

import av
import numpy as np
import pytest
import videos

from actionclip_jax.data import video
from actionclip_jax.data.video import rewrite, upright

IRREGULAR = np.random.default_rng(0).integers(5, 90, 60).cumsum().tolist()  # milliseconds


def mark(image, seconds):
    """A black square in the texture's corner."""
    image = image.copy()
    image[-8:, :8] = 0
    return image


def read_all(path):
    return video.read_frames(path, np.arange, lambda image: image)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("irregular.mkv", {"pts": IRREGULAR}),
        ("turned.mp4", {"rotation": 90}),
        ("mirrored.mp4", {"hflip": True, "rotation": 0}),
        ("reordered.ts", {"options": {"bf": "2"}}),
        ("old.avi", {"codec": "mpeg4"}),
    ],
)
def test_size_times_and_turn_are_those_of_the_video(name, options, suffix, tmp_path):
    source, copy = videos.write(tmp_path / name, frames=60, **options), tmp_path / f"copy{suffix}"
    assert rewrite.rewrite(source, copy, mark) is None
    ours, theirs = read_all(copy), read_all(source)
    np.testing.assert_allclose(ours.timestamps, theirs.timestamps, atol=1.1e-3)
    for drawn, image in zip(ours.images, theirs.images, strict=True):
        assert drawn.shape == image.shape and videos.read_number(drawn) == videos.read_number(image)
        assert drawn[-6:, 2:6].max() < 40
    with av.open(str(copy)) as container:
        assert len(container.streams.video) == 1 and not any(copy.parent.glob("*.partial"))


def test_colors_stay_as_they_are(tmp_path):
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [128, 128, 128], [200, 90, 40]], np.uint8)
    picture = colors.repeat(32, axis=0)[None].repeat(64, axis=0)
    source = tmp_path / "colors.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "bgr0"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    rewrite.rewrite(source, tmp_path / "copy.mp4", lambda image, seconds: image)
    (drawn,) = read_all(tmp_path / "copy.mp4").images
    assert np.abs(drawn[:, 12::32].astype(int) - picture[:, 12::32]).max() <= 4


def test_the_times_that_are_drawn_are_those_of_the_frames(tmp_path):
    source, seen = videos.write(tmp_path / "irregular.mkv", frames=60, pts=IRREGULAR), []
    rewrite.rewrite(source, tmp_path / "copy.mp4", lambda image, seconds: seen.append(seconds) or image)
    np.testing.assert_allclose(seen, read_all(source).timestamps)


def packets(path):
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        return [
            (float(packet.pts * packet.time_base), bytes(packet)) for packet in container.demux(stream) if packet.size
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", ["sound.mp4", "sound.mkv"])
def test_sound_is_copied_as_it_is(name, suffix, tmp_path):
    source, copy = videos.write(tmp_path / name, frames=25, audio=True), tmp_path / f"copy{suffix}"
    assert rewrite.rewrite(source, copy, mark) is None
    with av.open(str(source)) as container:
        start = max(0, container.start_time / av.time_base)
    ours, theirs = packets(copy), [(time - start, data) for time, data in packets(source)]
    if suffix == ".mkv":
        theirs = [(time, data) for time, data in theirs if time >= 0]  # without what comes before all sound
    assert [data for _, data in ours] == [data for _, data in theirs] and len(ours) >= 40
    np.testing.assert_allclose([time for time, _ in ours], [time for time, _ in theirs], atol=2e-3)
    np.testing.assert_allclose(read_all(copy).timestamps, read_all(source).timestamps, atol=1.1e-3)


def test_sound_that_a_format_cannot_hold_is_left_out_and_named(tmp_path):
    source = tmp_path / "speech.mkv"
    with av.open(str(source), "w") as container:
        picture, heard = container.add_stream("libx264", rate=25), container.add_stream("wavpack", rate=44100)
        picture.width, picture.height, picture.pix_fmt = videos.WIDTH, videos.HEIGHT, "yuv420p"
        for number in range(10):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(videos.draw_frame(number), format="rgb24")))
        container.mux(picture.encode(None))
        container.mux(videos.encode_silence(heard, 10))
    note = rewrite.rewrite(source, tmp_path / "copy.mp4", mark)
    assert note == "its sound (wavpack) cannot be copied into mp4: left out (name a file .mkv to keep it)"
    assert rewrite.rewrite(source, tmp_path / "copy.mkv", mark) is None and packets(tmp_path / "copy.mkv")


def write_sizes(path, sizes, aspect=None):
    """A grey frame of every size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264" if aspect else "ffv1", rate=5)
        (stream.width, stream.height), stream.pix_fmt = sizes[0], "yuv420p" if aspect else "bgr0"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for width, height in sizes:
            picture = np.full((height, width, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_an_odd_size_gains_a_row_or_column_and_that_is_said(tmp_path):
    source, copy = write_sizes(tmp_path / "odd.mkv", [(37, 51)] * 3), tmp_path / "copy.mp4"
    note = rewrite.rewrite(source, copy, lambda image, seconds: image)
    assert note == "37x51 pixels became 38x52: H.264 has even sizes alone"
    assert [image.shape for image in read_all(copy).images] == [(52, 38, 3)] * 3


def test_the_shape_of_pixels_is_kept(tmp_path):
    aspect = fractions.Fraction(4, 3)
    rewrite.rewrite(write_sizes(tmp_path / "wide.mkv", [(36, 50)] * 3, aspect), tmp_path / "copy.mp4", mark)
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect


def test_without_libx264_another_encoder_is_taken_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(rewrite, "ENCODERS", {"no such encoder": {}, "mpeg4": {"qscale": "2"}})
    source, copy = videos.write(tmp_path / "clip.ts", frames=20), tmp_path / "copy.mp4"
    assert rewrite.rewrite(source, copy, mark) == "this FFmpeg has no libx264: encoded by mpeg4"
    np.testing.assert_allclose(read_all(copy).timestamps, read_all(source).timestamps, atol=1e-3)
    monkeypatch.setattr(rewrite, "ENCODERS", {"no such encoder": {}})
    with pytest.raises(ValueError, match="encodes none of no such encoder"):
        rewrite.rewrite(source, copy, mark)


def test_what_cannot_be_written_or_read_leaves_nothing_behind(tmp_path):
    source, other = videos.write(tmp_path / "clip.mp4", frames=10), tmp_path / "copy.mp4"
    before = source.read_bytes()
    with pytest.raises(ValueError, match="is the video itself"):
        rewrite.rewrite(source, source, mark)
    with pytest.raises(ValueError, match=r"expected a name ending in .mp4, .mov, .mkv"):
        rewrite.rewrite(source, tmp_path / "copy.avi", mark)
    with pytest.raises(video.VideoError, match="no video stream"):
        rewrite.rewrite(videos.write_audio_only(tmp_path / "sound.mp4"), other, mark)
    with pytest.raises(ZeroDivisionError):
        rewrite.rewrite(source, other, lambda image, seconds: 1 // 0)
    assert source.read_bytes() == before and {file.name for file in tmp_path.iterdir()} == {"clip.mp4", "sound.mp4"}


def test_a_full_disk_is_an_error_of_the_file_that_is_written(tmp_path, monkeypatch):
    source = videos.write(tmp_path / "clip.ts", frames=30)

    def fail(*arguments):
        raise av.error.FFmpegError(28, "No space left on device")

    monkeypatch.setattr(rewrite.Picture, "finish", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*copy.mp4"):
        rewrite.rewrite(source, tmp_path / "copy.mp4", mark)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.ts"]


def test_a_damaged_video_is_copied_as_far_as_it_decodes(tmp_path):
    source = videos.cut(videos.write(tmp_path / "half.mp4", frames=60, mux={"movflags": "faststart"}))
    rewrite.rewrite(source, tmp_path / "copy.mp4", mark)
    assert 10 < len(read_all(tmp_path / "copy.mp4").images) < 60


class Counted(np.ndarray):
    """A frame whose end can be noticed."""


def test_one_frame_is_held_at_a_time(tmp_path, monkeypatch):
    source, original, alive, most = videos.write(tmp_path / "long.mp4", frames=300), upright.to_upright_rgb, set(), []

    def convert(frame, short_side):
        image = original(frame, short_side).view(Counted)
        alive.add(len(most))
        weakref.finalize(image, alive.discard, len(most))
        most.append(len(alive))
        return image

    monkeypatch.setattr(upright, "to_upright_rgb", convert)
    rewrite.rewrite(pathlib.Path(source), tmp_path / "copy.mp4", lambda image, seconds: image)
    assert len(most) == 300 and max(most) <= 2
