"""What a player would show of a file: the stream, the whole picture, upright, on the file's clock."""

import fractions
import io

import av
import numpy as np
import pytest
import videos
from PIL import Image, ImageOps

from actionclip_jax.data import readers, table, video
from actionclip_jax.data.video import animations, pictures, stream

FORMATS_WITH_EXIF = ("jpg", "png", "webp")


def keep(image):
    return image


def read_numbers(path):
    return video.read_frames(path, np.arange, videos.read_number).images


def write_streams(path, *streams):
    """Streams side by side, each of a codec, a number of frames, a size, a disposition and the first frame's number."""
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream(settings["codec"], rate=25) for settings in streams]
        for track, settings in zip(tracks, streams, strict=True):
            track.width, track.height = settings.get("size", (videos.WIDTH, videos.HEIGHT))
            track.pix_fmt = "yuvj420p" if settings["codec"] == "mjpeg" else "yuv420p"
            track.disposition = settings["disposition"]
        for track, settings in zip(tracks, streams, strict=True):
            for count in range(settings["frames"]):
                drawn = Image.fromarray(videos.draw_frame(settings.get("first", 0) + count))
                frame = av.VideoFrame.from_image(drawn.resize((track.width, track.height)))
                frame.pts, frame.time_base = count, fractions.Fraction(1, 25)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


NONE, DEFAULT = av.stream.Disposition(0), av.stream.Disposition.default
SMALL = {"codec": "libx264", "frames": 12, "size": (64, 48), "disposition": NONE}
LARGE = {"codec": "libx264", "frames": 12, "disposition": DEFAULT}
COVER = {"codec": "mjpeg", "frames": 1, "disposition": av.stream.Disposition.attached_pic}
STILL = {"codec": "mjpeg", "frames": 1, "first": 500, "disposition": DEFAULT}


@pytest.mark.parametrize(
    ("name", "streams", "note"),
    [
        ("thumbnail.mkv", [SMALL, LARGE], "holds 2 video streams: #1 (160x64) is used, not #0 (64x48)"),
        ("last.mkv", [LARGE, SMALL], "holds 2 video streams: #0 (160x64) is used, not #1 (64x48)"),
        ("still.mp4", [STILL, LARGE], None),
        ("cover.mp4", [LARGE, COVER], None),
    ],
)
def test_the_stream_that_a_player_shows_is_the_video_and_others_are_noted(name, streams, note, tmp_path):
    path = write_streams(tmp_path / name, *streams)
    frames = video.read_frames(path, np.arange, videos.read_number)
    assert frames.images == list(range(12)) and frames.note == note
    grid = stream.Grid(path, 0.04, videos.read_number)
    assert [number for number, cells in grid for _ in range(cells)] == list(range(12)) and grid.note == note


def test_a_picture_alone_is_still_a_video_of_one_frame(tmp_path):
    assert read_numbers(write_streams(tmp_path / "still.mp4", STILL)) == [500]


def test_colours_that_only_dolby_vision_describes_are_refused(tmp_path):
    path = videos.write(tmp_path / "a.mp4", 4, "libx265", options={"x265-params": "log-level=none"})
    assert read_numbers(path) == [0, 1, 2, 3]
    data = path.read_bytes()
    assert data.count(b"hev1") == 1
    path.write_bytes(data.replace(b"hev1", b"dvh1"))
    with pytest.raises(video.VideoError, match=r"Dolby Vision's own \(profile 5\)"):
        read_numbers(path)


def pillow_pictures(count=6):
    return [Image.fromarray(videos.draw_frame(number)) for number in range(count)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.webp", {"lossless": True}),
        ("a.avif", {"quality": 90}),
        ("a.png", {}),
        ("a.gif", {}),
    ],
)
def test_all_frames_of_an_animated_picture_are_read_at_their_times(name, options, tmp_path):
    first, *others = pillow_pictures()
    durations = [100, 200, 100, 100, 300, 100]
    first.save(tmp_path / name, save_all=True, append_images=others, duration=durations, **options)
    frames = video.read_frames(tmp_path / name, np.arange, videos.read_number)
    assert frames.images == list(range(6)) and frames.note is None
    np.testing.assert_allclose(frames.timestamps, [0, 0.1, 0.3, 0.4, 0.5, 0.8], atol=1e-3)
    assert [number for number, _ in stream.Grid(tmp_path / name, 0.05, videos.read_number)] == list(range(6))


def test_frames_of_an_animated_webp_are_pillows_bit_for_bit(tmp_path):
    first, *others = pillow_pictures(3)
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=40, lossless=True)
    for number, image in enumerate(video.read_frames(tmp_path / "a.webp", np.arange, keep).images):
        np.testing.assert_array_equal(image, videos.draw_frame(number))


def test_an_animated_picture_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    first, *others = pillow_pictures(3)
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, lossless=True)
    monkeypatch.setattr(animations, "MAX_PIXELS", 3 * 160 * 64 - 1)
    with pytest.raises(video.VideoError, match="3 frames of 160x64 pixels: too many"):
        video.read_frames(tmp_path / "a.webp", np.arange, keep)


def test_a_picture_in_tiles_is_shown_whole(tmp_path):
    path, whole = videos.write_tiled_avif(tmp_path / "tiles.avif")
    frames = video.read_frames(path, np.arange, keep)
    assert len(frames.images) == 1
    np.testing.assert_array_equal(frames.images[0], whole)


def test_tiles_that_cannot_be_put_together_are_refused(tmp_path, monkeypatch):
    path, _ = videos.write_tiled_avif(tmp_path / "tiles.avif")
    monkeypatch.setattr(Image, "open", lambda file: (_ for _ in ()).throw(Image.UnidentifiedImageError()))
    with pytest.raises(video.VideoError, match="a picture in tiles of a format that is not put together"):
        video.read_frames(path, np.arange, keep)


# EXIF


def encode(picture, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    options = {"exif": exif.tobytes(), "lossless": True} if suffix == "webp" else {"exif": exif.tobytes()}
    picture.save(data, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return data.getvalue()


def upright(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [*FORMATS_WITH_EXIF, "avif"])
def test_frames_of_a_folder_are_turned_as_their_exif_says(suffix, orientation, tmp_path):
    data = encode(Image.fromarray(videos.draw_frame(5)), suffix, orientation)
    np.testing.assert_array_equal(pictures.decode_picture(data), upright(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", FORMATS_WITH_EXIF)
def test_a_picture_given_as_a_video_is_turned_as_its_exif_says(suffix, orientation, tmp_path):
    data = encode(Image.fromarray(videos.draw_frame(5)), suffix, orientation)
    (tmp_path / f"a.{suffix}").write_bytes(data)
    image = video.read_frames(tmp_path / f"a.{suffix}", np.arange, keep).images[0]
    assert image.shape == upright(data).shape
    assert np.abs(image.astype(int) - upright(data)).mean() < (0.1 if suffix == "png" else 8)


def write_mjpeg_with_exif(path, orientation, frames=6):
    """What a camera writes: every frame a JPEG file."""
    turned = Image.Transpose.ROTATE_90 if orientation == 6 else Image.Transpose.FLIP_LEFT_RIGHT
    with av.open(str(path), "w") as container:
        track = container.add_stream("mjpeg", rate=25)
        stored = [Image.fromarray(videos.draw_frame(number)).transpose(turned) for number in range(frames)]
        track.width, track.height, track.pix_fmt = *stored[0].size, "yuvj420p"
        for number, picture in enumerate(stored):
            packet = av.Packet(encode(picture, "jpg", orientation))
            packet.stream, packet.pts, packet.dts = track, number, number
            packet.time_base = fractions.Fraction(1, 25)
            container.mux(packet)
    return path


@pytest.mark.parametrize("orientation", [2, 6])
@pytest.mark.parametrize("suffix", ["avi", "mov", "mkv"])
def test_exif_in_the_frames_of_a_video_is_read_and_heeded(suffix, orientation, tmp_path):
    path = write_mjpeg_with_exif(tmp_path / f"a.{suffix}", orientation)
    assert read_numbers(path) == list(range(6))
    grid = stream.Grid(path, 0.04, videos.read_number)
    assert [number for number, cells in grid for _ in range(cells)] == list(range(6))


def test_an_animated_picture_is_no_frame(tmp_path):
    first, *others = pillow_pictures(2)
    first.save(tmp_path / "img_00001.png", save_all=True, append_images=others)
    clip = table.Clip("a", str(tmp_path), (0,), frames=1)
    with pytest.raises(video.VideoError, match=r"img_00001.png: holds several pictures, expected one"):
        readers.FrameFolders("img_{:05d}.png").read(clip, np.arange, keep)


# the clock


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "ts", "flv"])
def test_times_are_those_of_a_player_where_the_picture_starts_after_the_sound(suffix, tmp_path):
    late = [1500 + 40 * number for number in range(20)]
    path = videos.write(tmp_path / f"late.{suffix}", 20, pts=late, audio=True, gop=5)
    seconds = video.read_frames(path, np.arange, keep).timestamps
    np.testing.assert_allclose(seconds, np.array(late) / 1000, atol=0.05)
    np.testing.assert_allclose(np.diff(seconds), 0.04, atol=0.002)
    part = video.read_frames(video.Source(path, start=seconds[10] - 0.01, end=9), np.arange, videos.read_number)
    assert part.images == list(range(10, 20))
    with pytest.raises(video.VideoError, match=r"has no frame from 0 s to 1 s"):
        video.read_frames(video.Source(path, end=1.0), np.arange, keep)
    grid = stream.Grid(path, 0.1, videos.read_number)
    shown = [number for number, cells in grid for _ in range(cells)]
    assert shown[:15] == [0] * 15 and shown[17] in (5, 6) and grid.length == pytest.approx(2.3, abs=0.05)


@pytest.mark.parametrize(("suffix", "audio"), [("mkv", False), ("ts", False), ("mp4", True), ("avi", True)])
def test_a_picture_that_starts_with_its_file_starts_at_0(suffix, audio, tmp_path):
    codec = "mpeg4" if suffix == "avi" else "libx264"
    path = videos.write(tmp_path / f"a.{suffix}", 12, codec, audio=audio)
    seconds = video.read_frames(path, np.arange, keep).timestamps
    assert seconds[0] == 0 and seconds[-1] == pytest.approx(11 / 25, abs=0.041)  # AVI may hold a dropped frame


def test_sound_that_starts_below_0_does_not_delay_the_picture(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        track = container.add_stream("libx264", rate=25, options={"bf": "0"})
        track.width, track.height, track.pix_fmt = videos.WIDTH, videos.HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=44100)
        for packet in videos.encode_silence(sound, 20):
            packet.pts, packet.dts = packet.pts - 4096, packet.dts - 4096
            container.mux(packet)
        for number in range(12):
            container.mux(track.encode(av.VideoFrame.from_ndarray(videos.draw_frame(number), format="rgb24")))
        container.mux(track.encode(None))
    with av.open(str(path)) as container:
        assert container.start_time < 0
    np.testing.assert_allclose(video.read_frames(path, np.arange, keep).timestamps, np.arange(12) / 25, atol=2e-3)
