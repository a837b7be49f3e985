"""Writes small odd videos whose frames carry their own number, and decodes videos in the plainest way."""

import fractions
import io
import itertools
import struct
import zlib

import av
import numpy as np
from PIL import Image

BITS = 10
WIDTH, HEIGHT = 16 * BITS, 64  # the number as vertical bars above, a moving texture below


def draw_frame(number):
    """[64, 160, 3] uint8."""
    bars = np.array([235 if number >> bit & 1 else 20 for bit in range(BITS)], np.uint8).repeat(16)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT - 24))
    texture = 128 + 50 * np.sin((x + 3 * number) / 7) + 50 * np.cos((y - 2 * number) * x / 150)
    texture = texture + np.random.default_rng(number).normal(0, 6, texture.shape)
    picture = np.concatenate([np.broadcast_to(bars, (24, WIDTH)), np.clip(texture, 0, 255).astype(np.uint8)])
    return np.stack([picture, picture[:, ::-1], 255 - picture], -1)


def read_number(image):
    """The number drawn on an upright frame."""
    assert image.shape[:2] == (HEIGHT, WIDTH), image.shape
    levels = image[4:20, :, 0].reshape(16, BITS, 16)[:, :, 4:12].mean((0, 2))
    return sum(1 << bit for bit, level in enumerate(levels) if level > 128)


def has_encoder(codec):
    try:
        return av.codec.Codec(codec, "w") is not None
    except av.codec.codec.UnknownCodecError:
        return False


def write(
    path,
    frames=40,
    codec="libx264",
    pix_fmt="yuv420p",
    rate=25,
    gop=12,
    options=None,
    pts=None,
    mux=None,
    audio=False,
    rotation=None,
    hflip=False,
    edit_packets=None,
    first=0,
):
    """Frames numbered from `first` on. `pts` are milliseconds; shown = hflip(rotate(stored)), counterclockwise."""
    with av.open(str(path), "w", options=mux or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = (HEIGHT, WIDTH) if (rotation or 0) % 180 else (WIDTH, HEIGHT)
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = gop
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=hflip)
        if pts is not None:
            stream.codec_context.time_base = stream.time_base = fractions.Fraction(1, 1000)
        sound = container.add_stream("aac", rate=44100) if audio else None
        packets = []
        for number in range(frames):
            picture = draw_frame(first + number)[:, ::-1] if hflip else draw_frame(first + number)
            picture = np.ascontiguousarray(np.rot90(picture, -(rotation or 0) // 90))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number if pts is None else pts[number]
            frame.time_base = stream.codec_context.time_base or fractions.Fraction(1, rate)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in edit_packets(packets) if edit_packets else packets:
            container.mux(packet)
        if sound:
            container.mux(encode_silence(sound))
    return path


def encode_silence(stream, blocks=40):
    packets = []
    for number in range(blocks):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44100, number * 1024, fractions.Fraction(1, 44100)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def write_audio_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        container.mux(encode_silence(stream))
    return path


def write_audio_with_cover(path):
    """An .mp3 whose cover picture is, to FFmpeg, a video stream."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("libmp3lame", rate=44100)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(draw_frame(1), format="rgb24")))
        container.mux(cover.encode(None))
        container.mux(encode_silence(sound))
    return path


def write_packed_avi(path, frames=40):
    """MPEG-4 with B-frames the way DivX packs them into AVI: P and B in one chunk, then an empty picture."""

    def pack(packets):
        packets = sorted(packets, key=lambda packet: packet.dts)
        not_coded = bytes.fromhex("000001b6504f")  # a P picture of time 0 whose "coded" bit is 0
        chunks = []
        for first, second in itertools.zip_longest(packets[1::2], packets[2::2]):
            chunks += [bytes(first)] if second is None else [bytes(first) + bytes(second), not_coded]
        headers, start, picture = bytes(packets[0]).partition(bytes.fromhex("000001b6"))
        chunks.insert(0, headers + bytes.fromhex("000001b2") + b"DivX503b1393p" + start + picture)
        result = []
        for chunk in chunks:
            packet = av.Packet(chunk)
            packet.stream, packet.time_base = packets[0].stream, packets[0].time_base
            packet.is_keyframe = not result
            packet.pts = packet.dts = packets[0].dts + len(result)
            result.append(packet)
        return result

    return write(path, frames, "mpeg4", gop=250, options={"bf": "1", "b_strategy": "0"}, edit_packets=pack)


def cut(path, part=0.5):
    """Keeps the first part of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def decode_everything(path):
    """Every frame of a plain sequential decode, upright, past damage: images [H, W, 3] and their pts; the time base."""
    images, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = iter(container.demux(stream))
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return images, times, stream.time_base
            except av.error.FFmpegError:
                continue
            for frame in frames:
                images.append(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))
                times.append(frame.pts)


def png(width, height):
    """A black picture of one bit a pixel: 1,000 times smaller than what it becomes."""
    row, packer = bytes(1 + (width + 7) // 8), zlib.compressobj(9)
    body = b"".join(packer.compress(row * min(256, height - y)) for y in range(0, height, 256)) + packer.flush()

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _box(kind, *content):
    content = b"".join(content)
    return (8 + len(content)).to_bytes(4, "big") + kind.encode() + content


def _full_box(kind, version, flags, *content):
    return _box(kind, bytes([version]), flags.to_bytes(3, "big"), *content)


def write_tiled_avif(path, tile=64):
    """A picture of 2 x 2 tiles as HEIF stores it; the path, and the whole [2 tile, 2 tile, 3] as the tiles decode."""
    pictures = [Image.fromarray(draw_frame(number)).resize((tile, tile)) for number in (1, 2, 3, 4)]
    files = []
    for picture in pictures:
        data = io.BytesIO()
        picture.save(data, "AVIF", subsampling="4:4:4")
        files.append(data.getvalue())
    whole = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    start = files[0].index(b"av1C") - 4
    codec = files[0][start : start + int.from_bytes(files[0][start : start + 4], "big")]
    payloads = [file[file.index(b"mdat") + 4 :] for file in files]
    grid = bytes([0, 0, 1, 1]) + (2 * tile).to_bytes(2, "big") * 2  # version, flags, rows - 1, columns - 1, size

    def number(value, size=2):
        return value.to_bytes(size, "big")

    def entry(item, kind):
        return _full_box("infe", 2, 0 if kind == "grid" else 1, number(item), number(0), kind.encode(), b"\0")

    def size(side):
        return _full_box("ispe", 0, 0, number(side, 4), number(side, 4))

    properties = _box("ipco", size(tile), codec, size(2 * tile), _full_box("pixi", 0, 0, b"\3\10\10\10"))
    uses = [number(1) + b"\2\3\4"] + [number(item) + b"\3\1\x82\4" for item in (2, 3, 4, 5)]
    contents = [grid, *payloads]

    def meta(offset):
        places, at = [], offset
        for item, content in enumerate(contents, 1):
            places.append(number(item) + number(0) + number(1) + number(at, 4) + number(len(content), 4))
            at += len(content)
        return _full_box(
            "meta", 0, 0,
            _full_box("hdlr", 0, 0, number(0, 4), b"pict", bytes(12), b"\0"),
            _full_box("pitm", 0, 0, number(1)),
            _full_box("iloc", 0, 0, b"\x44\0", number(5), *places),
            _full_box("iinf", 0, 0, number(5), entry(1, "grid"), *(entry(item, "av01") for item in (2, 3, 4, 5))),
            _full_box("iref", 0, 0, _box("dimg", number(1), number(4), *(number(item) for item in (2, 3, 4, 5)))),
            _box("iprp", properties, _full_box("ipma", 0, 0, number(5, 4), *uses)),
        )  # fmt: skip

    brand = _box("ftyp", b"avif", number(0, 4), b"avifmif1miaf")
    head = brand + meta(0)
    path.write_bytes(brand + meta(len(head) + 8) + _box("mdat", *contents))
    return path, np.concatenate([np.concatenate(whole[:2], 1), np.concatenate(whole[2:], 1)])
