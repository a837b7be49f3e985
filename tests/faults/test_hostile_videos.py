"""Videos and pictures that lie, that are no videos, or that want more than they should."""

import contextlib
import functools
import http.server
import io
import os
import pathlib
import socket
import struct
import threading

import av
import command
import corruption
import isolated
import numpy as np
import pytest
from videos import png

from actionclip_jax import config
from actionclip_jax.data import readers, table, test_views, video

pytestmark = pytest.mark.faults


def read(path, reader=None, frames=None):
    """Reads eight frames as testing does, or says with what size training's would come."""
    clip = table.Clip("clip", str(path), (0,), frames=frames)
    reader = reader or readers.VideoFiles()
    result = test_views.read_clips(lambda *choices: reader.read(clip, *choices), config.SampleConfig())
    return f"{result.clips.shape}, {result.note}"


def read_folder(path):
    """Reads a folder of frames."""
    return read(path, readers.FrameFolders("{:d}.jpg"), 8)


def read_as_nobody(path):
    """Reads without the rights of an administrator."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setuid(65534)
    return read(path)


def write(path, frames=16, codec="libx264", size=(64, 48), rate=25):
    """A good video of a moving gradient."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        ramp = np.arange(size[1])[:, None, None] + np.arange(size[0])[None, :, None] * np.ones(3, int)
        for number in range(frames):
            picture = ((ramp + 8 * number) % 256).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def content(data, name="a.mp4"):
    """Makes a file that holds just this."""

    def make(folder):
        (folder / name).write_bytes(data() if callable(data) else data)
        return folder / name

    return make


def edited(edit, name="a.mp4", **options):
    """Makes a good video and edits its bytes."""

    def make(folder):
        path = write(folder / name, **options)
        data = bytearray(path.read_bytes())
        path.write_bytes(edit(data) or data)
        return path

    return make


def put(fields, mark):
    """Overwrites fields that begin so many bytes behind a mark."""

    def edit(data):
        start = data.index(mark) + len(mark)
        for offset, value in fields.items():
            data[start + offset : start + offset + len(value)] = value

    return edit


def jpeg(width, height):
    """A small JPEG whose header claims another size."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    put({3: struct.pack(">HH", height, width)}, b"\xff\xc0")(data)
    return bytes(data)


def gif(width, height):
    """A GIF of one picture, of one colour."""
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"\x2c" + bytes(4) + size + b"\0\x02\x02\x4c\x01\0\x3b"


def picture_in_avi(codec, data):
    """Makes an AVI of 64x48 pixels, by its header, with pictures of another size."""

    def make(folder):
        with av.open(str(folder / "a.avi"), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24" if codec == "png" else "yuvj420p"
            for number in range(3):
                packet = av.Packet(data())
                packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
                container.mux(packet)
        return folder / "a.avi"

    return make


def frame_folder(data):
    """Makes a folder of eight such frames."""

    def make(folder):
        (folder / "clip").mkdir()
        picture = data()
        for number in range(1, 9):
            (folder / "clip" / f"{number}.jpg").write_bytes(picture)
        return folder / "clip"

    return make


def joined(folder):
    """Two transport streams in a row: another size in the middle, and times that begin again."""
    parts = [write(folder / f"{width}.ts", size=(width, 48)).read_bytes() for width in (64, 128)]
    (folder / "a.ts").write_bytes(b"".join(parts))
    return folder / "a.ts"


def ten_hours(folder):
    """900,000 tiny frames, which are all the same one."""
    with av.open(str(folder / "a.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        [first] = stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24"))
        data = bytes(first)
        for number in range(900_000):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, first.time_base, True
            packet.pts = packet.dts = number
            container.mux(packet)
    return folder / "a.mkv"


def audio(folder):
    """Silence."""
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame) + stream.encode(None))
    return folder / "a.mp4"


def special(make, name="a.mp4"):
    """Makes something that is no regular file."""

    def made(folder):
        make(str(folder / name))
        return folder / name

    return made


def bind(path):
    """Makes a socket."""
    socket.socket(socket.AF_UNIX).bind(path)


def locked(folder):
    """A good video that only its owner may read."""
    folder.chmod(0o755)
    path = write(folder / "a.mp4")
    path.chmod(0)
    return path


@contextlib.contextmanager
def web_server():
    """(address, paths that were asked for) of a server on this machine."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            """Notes what was asked for."""
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


MPD = """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">
<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation>
</AdaptationSet></Period></MPD>"""
PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "dash": MPD,
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "avs": '#!avisynth\nDirectShowSource("{}")\n',
}


def fuzz(path):
    """Damages a video at random."""
    return corruption.try_all(path, read, path)


def fuzz_shard(folder):
    """Damages a shard of prepared clips at random, and reads its clip past the list, which would notice."""
    from actionclip_jax.data.records import reader as records_reader
    from actionclip_jax.data.records import writer

    (folder / "v" / "c").mkdir(parents=True)
    write(folder / "v" / "c" / "a.mp4")
    clip = table.Clip("a", str(folder / "v" / "c" / "a.mp4"), (0,))
    data = table.make_table([clip], ["c"], readers.VideoFiles())
    writer.prepare(data, folder / "out", config.RecordConfig(frames=8), processes=1)
    stored = records_reader.open_records(folder / "out")

    def read_stored(shard):
        records_reader.open_shard.cache_clear()
        test_views.read_clips(lambda *choices: stored.reader.read(stored[0], *choices), config.SampleConfig(4, 32))

    shard = folder / "out" / "shards" / "00000.array_record"
    return corruption.try_all(shard, read_stored, shard)


TOO_LARGE = "pixels: at most|no frame decodes|cannot be opened|frame 0 cannot"
REFUSED = {
    "empty file": (content(b""), "the file is empty"),
    "text called .mp4": (content(b"hello\n" * 999), "cannot be opened"),
    "first half missing": (edited(lambda d: d[len(d) // 2 :]), ""),
    "last half missing": (edited(lambda d: d[: len(d) // 2]), ""),
    "audio only": (audio, "has no video stream"),
    "AVI whose header claims 30000x30000 (FFV1)": (
        edited(put({8: struct.pack("<ii", 30000, 30000)}, b"strf"), "a.avi", codec="ffv1"),
        TOO_LARGE,
    ),
    "AVI of a line: 65535x1": (
        edited(put({8: struct.pack("<ii", 65535, 1)}, b"strf"), "a.avi", codec="ffv1"),
        TOO_LARGE,
    ),
    "AVI of 64x48 with PNGs of 16384x16384": (
        picture_in_avi("png", functools.partial(png, 16384, 16384)),
        TOO_LARGE,
    ),
    "AVI of 64x48 with JPEGs of 65500x65500": (
        picture_in_avi("mjpeg", functools.partial(jpeg, 65500, 65500)),
        TOO_LARGE,
    ),
    "GIF of 65535x65535": (content(functools.partial(gif, 65535, 65535), "a.gif"), TOO_LARGE),
    "PNG of 50000x50000 as a video": (content(functools.partial(png, 50000, 50000), "a.mp4"), TOO_LARGE),
    "pipe": (special(os.mkfifo), "not a file"),
    "socket": (special(bind), "not a file"),
    "link to /dev/zero": (special(lambda p: pathlib.Path(p).symlink_to("/dev/zero")), "not a file"),
    "directory": (special(os.mkdir), "is a directory"),
    "link to itself": (special(lambda p: pathlib.Path(p).symlink_to(p)), ""),
}
FRAMES = {
    "PNGs of 50000x50000": (frame_folder(functools.partial(png, 50000, 50000)), "pixels"),
    "JPEGs that claim 65500x65500": (frame_folder(functools.partial(jpeg, 65500, 65500)), ""),
    "JPEGs that claim 32000x32000": (frame_folder(functools.partial(jpeg, 32000, 32000)), ""),
    "a line of 60000x1": (frame_folder(functools.partial(png, 60000, 1)), "1:100"),
}
SURVIVED = {
    "last half missing, MPEG-TS": (edited(lambda d: d[: len(d) // 2], "a.ts"), read, ""),
    "MP4 whose header claims 65535x65535": (edited(put({24: b"\xff" * 4}, b"avc1")), read, rf"\(1, 8, 224|{TOO_LARGE}"),
    "MP4 that claims to last for 10^9 hours": (edited(put({12: b"\0\0\0\1\x7f\xff\xff\xff"}, b"mdhd")), read, ""),
    "MP4 that claims 2^31 frames": (edited(put({8: b"\x7f\xff\xff\xff", 12: b"\x7f\xff\xff\xff"}, b"stsz")), read, ""),
    "MP4 whose one entry of times is for 2^31 frames": (edited(put({8: b"\x7f\xff\xff\xff"}, b"stts")), read, ""),
    "MP4 whose frames take no time": (edited(put({12: bytes(4)}, b"stts")), read, ""),
    "MP4 of 2^31 ticks a second": (edited(put({12: b"\x7f\xff\xff\xff"}, b"mdhd")), read, ""),
    "AVI of 0 frames a second": (edited(put({28: bytes(4)}, b"strh"), "a.avi"), read, ""),
    "AVI of 2^32 frames a second": (edited(put({24: b"\1\0\0\0\xff\xff\xff\xff"}, b"strh"), "a.avi"), read, ""),
    "size and times change in the middle": (joined, read, r"\(1, 8, 224"),
    "ten hours of tiny frames": (ten_hours, read, r"\(1, 8, 224"),
    "200 random damages of an MP4": (lambda folder: write(folder / "a.mp4"), fuzz, "refused"),
    "200 random damages of an AVI": (lambda folder: write(folder / "a.avi", codec="mpeg4"), fuzz, "refused"),
    "200 random damages of a WebM": (lambda folder: write(folder / "a.webm", codec="libvpx"), fuzz, "refused"),
    "200 random damages of a prepared shard": (lambda folder: folder, fuzz_shard, "refused"),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_is_refused(folder, happened, make, reason):
    happened(isolated.refused(folder, make, read, reason))


@pytest.mark.parametrize(("make", "reason"), FRAMES.values(), ids=FRAMES)
def test_a_folder_of_frames_is_refused(folder, happened, make, reason):
    happened(isolated.refused(folder, make, read_folder, reason))


def test_a_file_without_read_permission_is_refused(folder, happened):
    happened(isolated.refused(folder, locked, read_as_nobody, "denied"))


@pytest.mark.parametrize(("make", "use", "result"), SURVIVED.values(), ids=SURVIVED)
def test_is_read_within_bounds(folder, happened, make, use, result):
    happened(isolated.survived(folder, make, use, result))


def test_playlists_that_lead_to_files_and_the_network_open_nothing(folder, happened):
    secret = write(folder / "secret.ts")
    with web_server() as (address, asked):
        for kind, text in PLAYLISTS.items():
            for target in ("secret.ts", str(secret), f"{address}/{kind}.ts", f"crypto+file://{secret}"):
                for suffix in ("mp4", "avi", "m3u8", "mpd", "sdp", "txt"):
                    path = folder / f"{kind}.{suffix}"
                    path.write_text(text.format(target), encoding="utf-8")
                    with pytest.raises(video.VideoError):
                        read(path)
        assert not asked, f"the network was asked for {asked}"
    happened(f"{len(PLAYLISTS) * 24} playlists refused, nothing fetched")


def test_a_picture_called_as_a_pattern_opens_no_other_file(folder, happened):
    """A picture whose name a demuxer could take for a pattern of others."""
    from PIL import Image

    for name, colour in (("1.png", 255), ("2.png", 255), ("%d.png", 0)):
        Image.new("RGB", (32, 32), (colour,) * 3).save(folder / name)
    frames = video.read_frames(folder / "%d.png", np.arange, np.max)
    assert frames.images == [0], f"read other files: {frames.images}"
    happened("only the file itself is read")


def test_a_folder_with_every_kind_is_prepared_and_each_is_named(folder, happened):
    """`actionclip prepare` of a folder in which one video is good and the others are each bad in another way."""
    videos = folder / "videos" / "class"
    videos.mkdir(parents=True)
    write(videos / "good.mp4")
    kinds = {
        "empty": content(b""),
        "text": content(b"hello\n" * 99),
        "list": content(PLAYLISTS["concat"].format("good.mp4").encode()),
        "huge": picture_in_avi("png", functools.partial(png, 16384, 16384)),
        "gif": content(functools.partial(gif, 65535, 65535), "a.gif"),
        "pipe": special(os.mkfifo),
    }
    for name, make in kinds.items():
        made = make(videos)
        made.rename(videos / f"{name}{made.suffix}")
    code, said = command.run(["prepare", str(folder / "videos"), str(folder / "out"), "--workers", "2"])
    assert code == 1 and "Traceback" not in said, f"exit code {code}: {said[-500:]}"
    bad = (folder / "out" / "bad_clips.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(bad) == len(kinds), f"{len(bad)} bad clips: {bad}"
    happened(f"exit code 1, {len(bad)} bad clips named with their reasons, the good one stored")
