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
import zlib
from collections.abc import Callable, Iterator

import av
import child
import corruption
import harness
import numpy as np

from actionclip_jax import config
from actionclip_jax.data import readers, table, test_views, video


def read(path: pathlib.Path, reader: table.Reader | None = None, frames: int | None = None) -> str:
    """Reads eight frames as testing does, or says with what size training's would come."""
    clip = table.Clip("clip", str(path), (0,), frames=frames)
    reader = reader or readers.VideoFiles()
    result = test_views.read_clips(lambda *choices: reader.read(clip, *choices), size=224, frames=8, views=(1, 1))
    return f"{result.clips.shape}, {result.note}"


def read_folder(path: pathlib.Path) -> str:
    """Reads a folder of frames."""
    return read(path, readers.FrameFolders("{:d}.jpg"), 8)


def read_as_nobody(path: pathlib.Path) -> str:
    """Reads without the rights of an administrator."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setuid(65534)
    return read(path)


def write(
    path: pathlib.Path, frames: int = 16, codec: str = "libx264", size: tuple[int, int] = (64, 48), rate: int = 25
) -> pathlib.Path:
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


def content(data: bytes | Callable[[], bytes], name: str = "a.mp4") -> Callable[[pathlib.Path], pathlib.Path]:
    """Makes a file that holds just this."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        (folder / name).write_bytes(data() if callable(data) else data)
        return folder / name

    return make


def edited(
    edit: Callable[[bytearray], object], name: str = "a.mp4", **options: object
) -> Callable[[pathlib.Path], pathlib.Path]:
    """Makes a good video and edits its bytes."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        path = write(folder / name, **options)
        data = bytearray(path.read_bytes())
        path.write_bytes(edit(data) or data)
        return path

    return make


def put(fields: dict[int, bytes], mark: bytes) -> Callable[[bytearray], None]:
    """Overwrites fields that begin so many bytes behind a mark."""

    def edit(data: bytearray) -> None:
        start = data.index(mark) + len(mark)
        for offset, value in fields.items():
            data[start + offset : start + offset + len(value)] = value

    return edit


def png(width: int, height: int) -> bytes:
    """A black picture of one bit a pixel: 1,000 times smaller than what it becomes."""
    row, packer = bytes(1 + (width + 7) // 8), zlib.compressobj(9)
    body = b"".join(packer.compress(row * min(256, height - y)) for y in range(0, height, 256)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    put({3: struct.pack(">HH", height, width)}, b"\xff\xc0")(data)
    return bytes(data)


def gif(width: int, height: int) -> bytes:
    """A GIF of one picture, of one colour."""
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"\x2c" + bytes(4) + size + b"\0\x02\x02\x4c\x01\0\x3b"


def picture_in_avi(codec: str, data: Callable[[], bytes]) -> Callable[[pathlib.Path], pathlib.Path]:
    """Makes an AVI of 64x48 pixels, by its header, with pictures of another size."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        with av.open(str(folder / "a.avi"), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24" if codec == "png" else "yuvj420p"
            for number in range(3):
                packet = av.Packet(data())
                packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
                container.mux(packet)
        return folder / "a.avi"

    return make


def frame_folder(data: Callable[[], bytes]) -> Callable[[pathlib.Path], pathlib.Path]:
    """Makes a folder of eight such frames."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        (folder / "clip").mkdir()
        picture = data()
        for number in range(1, 9):
            (folder / "clip" / f"{number}.jpg").write_bytes(picture)
        return folder / "clip"

    return make


def joined(folder: pathlib.Path) -> pathlib.Path:
    """Two transport streams in a row: another size in the middle, and times that begin again."""
    parts = [write(folder / f"{width}.ts", size=(width, 48)).read_bytes() for width in (64, 128)]
    (folder / "a.ts").write_bytes(b"".join(parts))
    return folder / "a.ts"


def ten_hours(folder: pathlib.Path) -> pathlib.Path:
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


def audio(folder: pathlib.Path) -> pathlib.Path:
    """Silence."""
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame) + stream.encode(None))
    return folder / "a.mp4"


def special(make: Callable[[str], object], name: str = "a.mp4") -> Callable[[pathlib.Path], pathlib.Path]:
    """Makes something that is no regular file."""

    def made(folder: pathlib.Path) -> pathlib.Path:
        make(str(folder / name))
        return folder / name

    return made


def bind(path: str) -> None:
    """Makes a socket."""
    socket.socket(socket.AF_UNIX).bind(path)


def locked(folder: pathlib.Path) -> pathlib.Path:
    """A good video that only its owner may read."""
    folder.chmod(0o755)
    path = write(folder / "a.mp4")
    path.chmod(0)
    return path


@contextlib.contextmanager
def web_server() -> Iterator[tuple[str, list[str]]]:
    """(address, paths that were asked for) of a server on this machine."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Notes what was asked for."""
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
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


def playlists(folder: pathlib.Path) -> str:
    """Every kind of playlist, under every kind of name, that leads to a file or to the network."""
    secret = write(folder / "secret.ts")
    with web_server() as (address, asked):
        for kind, text in PLAYLISTS.items():
            for target in ("secret.ts", str(secret), f"{address}/{kind}.ts", f"crypto+file://{secret}"):
                for suffix in ("mp4", "avi", "m3u8", "mpd", "sdp", "txt"):
                    path = folder / f"{kind}.{suffix}"
                    path.write_text(text.format(target), encoding="utf-8")
                    try:
                        raise harness.Unexpected(f"{path.name} with {target} was read: {read(path)}")
                    except video.VideoError:
                        pass
        harness.expect(not asked, f"the network was asked for {asked}")
    return f"{len(PLAYLISTS) * 24} playlists refused, nothing fetched"


def pattern_name(folder: pathlib.Path) -> str:
    """A picture whose name a demuxer could take for a pattern of others."""
    from PIL import Image

    for name, colour in (("1.png", 255), ("2.png", 255), ("%d.png", 0)):
        Image.new("RGB", (32, 32), (colour,) * 3).save(folder / name)
    frames = video.read_frames(folder / "%d.png", np.arange, np.max)
    harness.expect(frames.images == [0], f"read other files: {frames.images}")
    return "only the file itself is read"


def prepare_all(folder: pathlib.Path) -> str:
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
    code, said = harness.run(["prepare", str(folder / "videos"), str(folder / "out"), "--workers", "2"])
    harness.expect(code == 1 and "Traceback" not in said, f"exit code {code}: {said[-500:]}")
    bad = (folder / "out" / "bad_clips.jsonl").read_text(encoding="utf-8").splitlines()
    harness.expect(len(bad) == len(kinds), f"{len(bad)} bad clips: {bad}")
    return f"exit code 1, {len(bad)} bad clips named with their reasons, the good one stored"


def fuzz(path: pathlib.Path) -> str:
    """Damages a video at random."""
    return corruption.try_all(path, read, path)


def fuzz_shard(folder: pathlib.Path) -> str:
    """Damages a shard of prepared clips at random, and reads its clip past the list, which would notice."""
    from actionclip_jax.data.records import reader as records_reader
    from actionclip_jax.data.records import writer

    (folder / "v" / "c").mkdir(parents=True)
    write(folder / "v" / "c" / "a.mp4")
    clip = table.Clip("a", str(folder / "v" / "c" / "a.mp4"), (0,))
    data = table.make_table([clip], ["c"], readers.VideoFiles())
    writer.prepare(data, folder / "out", config.RecordConfig(frames=8), processes=1)
    stored = records_reader.open_records(folder / "out")

    def read_stored(shard: pathlib.Path) -> None:
        records_reader.open_shard.cache_clear()
        test_views.read_clips(lambda *choices: stored.reader.read(stored[0], *choices), size=32, frames=4, views=(1, 1))

    shard = folder / "out" / "shards" / "00000.array_record"
    return corruption.try_all(shard, read_stored, shard)


TOO_LARGE = "pixels: at most|no frame decodes|cannot be opened|frame 0 cannot"
VIDEOS = [
    harness.Fault(name, expected, inject)
    for name, expected, inject in (
        ("empty file", "refused", child.refused(content(b""), read, "the file is empty")),
        ("text called .mp4", "refused", child.refused(content(b"hello\n" * 999), read, "cannot be opened")),
        ("first half missing", "refused", child.refused(edited(lambda d: d[len(d) // 2 :]), read)),
        ("last half missing", "refused", child.refused(edited(lambda d: d[: len(d) // 2]), read)),
        (
            "last half missing, MPEG-TS",
            "what decodes",
            child.survived(edited(lambda d: d[: len(d) // 2], "a.ts"), read),
        ),
        ("audio only", "refused", child.refused(audio, read, "has no video stream")),
        (
            "MP4 whose header claims 65535x65535",
            "bounded",
            child.survived(edited(put({24: b"\xff" * 4}, b"avc1")), read, rf"\(1, 8, 224|{TOO_LARGE}"),
        ),
        (
            "AVI whose header claims 30000x30000 (FFV1)",
            "refused",
            child.refused(
                edited(put({8: struct.pack("<ii", 30000, 30000)}, b"strf"), "a.avi", codec="ffv1"), read, TOO_LARGE
            ),
        ),
        (
            "AVI of a line: 65535x1",
            "refused",
            child.refused(
                edited(put({8: struct.pack("<ii", 65535, 1)}, b"strf"), "a.avi", codec="ffv1"), read, TOO_LARGE
            ),
        ),
        (
            "AVI of 64x48 with PNGs of 16384x16384",
            "refused",
            child.refused(picture_in_avi("png", functools.partial(png, 16384, 16384)), read, TOO_LARGE),
        ),
        (
            "AVI of 64x48 with JPEGs of 65500x65500",
            "refused",
            child.refused(picture_in_avi("mjpeg", functools.partial(jpeg, 65500, 65500)), read, TOO_LARGE),
        ),
        (
            "GIF of 65535x65535",
            "refused",
            child.refused(content(functools.partial(gif, 65535, 65535), "a.gif"), read, TOO_LARGE),
        ),
        (
            "PNG of 50000x50000 as a video",
            "refused",
            child.refused(content(functools.partial(png, 50000, 50000), "a.mp4"), read, TOO_LARGE),
        ),
        (
            "MP4 that claims to last for 10^9 hours",
            "bounded",
            child.survived(edited(put({12: b"\0\0\0\1\x7f\xff\xff\xff"}, b"mdhd")), read),
        ),
        (
            "MP4 that claims 2^31 frames",
            "bounded",
            child.survived(edited(put({8: b"\x7f\xff\xff\xff", 12: b"\x7f\xff\xff\xff"}, b"stsz")), read),
        ),
        (
            "MP4 whose one entry of times is for 2^31 frames",
            "bounded",
            child.survived(edited(put({8: b"\x7f\xff\xff\xff"}, b"stts")), read),
        ),
        ("MP4 whose frames take no time", "bounded", child.survived(edited(put({12: bytes(4)}, b"stts")), read)),
        (
            "MP4 of 2^31 ticks a second",
            "bounded",
            child.survived(edited(put({12: b"\x7f\xff\xff\xff"}, b"mdhd")), read),
        ),
        ("AVI of 0 frames a second", "bounded", child.survived(edited(put({28: bytes(4)}, b"strh"), "a.avi"), read)),
        (
            "AVI of 2^32 frames a second",
            "bounded",
            child.survived(edited(put({24: b"\1\0\0\0\xff\xff\xff\xff"}, b"strh"), "a.avi"), read),
        ),
        ("size and times change in the middle", "read", child.survived(joined, read, r"\(1, 8, 224")),
        ("ten hours of tiny frames", "only wanted frames", child.survived(ten_hours, read, r"\(1, 8, 224")),
        ("playlists that lead to files and the network", "refused, nothing opened", playlists),
        ("picture called %d.png", "no other file opened", pattern_name),
        ("pipe", "refused at once", child.refused(special(os.mkfifo), read, "not a file")),
        ("socket", "refused", child.refused(special(bind), read, "not a file")),
        (
            "link to /dev/zero",
            "refused",
            child.refused(special(lambda p: pathlib.Path(p).symlink_to("/dev/zero")), read, "not a file"),
        ),
        ("directory", "refused", child.refused(special(os.mkdir), read, "is a directory")),
        ("link to itself", "refused", child.refused(special(lambda p: pathlib.Path(p).symlink_to(p)), read)),
        ("file without read permission", "refused", child.refused(locked, read_as_nobody, "denied")),
        (
            "frames: PNGs of 50000x50000",
            "refused",
            child.refused(frame_folder(functools.partial(png, 50000, 50000)), read_folder, "pixels"),
        ),
        (
            "frames: JPEGs that claim 65500x65500",
            "refused",
            child.refused(frame_folder(functools.partial(jpeg, 65500, 65500)), read_folder),
        ),
        (
            "frames: JPEGs that claim 32000x32000",
            "refused",
            child.refused(frame_folder(functools.partial(jpeg, 32000, 32000)), read_folder),
        ),
        (
            "frames: a line of 60000x1",
            "refused",
            child.refused(frame_folder(functools.partial(png, 60000, 1)), read_folder, "1:100"),
        ),
        ("a folder with every kind, prepared", "each named, exit code 1", prepare_all),
        (
            "200 random damages of an MP4",
            "never a traceback, 10 s",
            child.survived(lambda folder: write(folder / "a.mp4"), fuzz, "refused"),
        ),
        (
            "200 random damages of an AVI",
            "never a traceback, 10 s",
            child.survived(lambda folder: write(folder / "a.avi", codec="mpeg4"), fuzz, "refused"),
        ),
        (
            "200 random damages of a WebM",
            "never a traceback, 10 s",
            child.survived(lambda folder: write(folder / "a.webm", codec="libvpx"), fuzz, "refused"),
        ),
        (
            "200 random damages of a prepared shard",
            "never a traceback, 10 s",
            child.survived(lambda folder: folder, fuzz_shard, "refused"),
        ),
    )
]
