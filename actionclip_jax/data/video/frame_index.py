"""What demuxing alone tells about a video: how many frames, when they are shown, where decoding can start."""

import contextlib
import dataclasses
import itertools
import pathlib
import re
import struct
import uuid
from collections.abc import Iterable, Iterator

import av
import numpy as np

# Codecs whose every packet decodes to exactly one shown frame. (VP8, for one, has packets that show nothing.)
_ONE_FRAME_A_PACKET = ("h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4")
# MPEG-4 Part 2 pads packed B-frames with "not coded" pictures: a bare header, 6 to 8 bytes, which shows nothing.
_MPEG4_NOT_CODED_BYTES = 16
# PyAV 18 refuses files whose titles are not UTF-8 unless told otherwise, which later ones need not and cannot be
ANY_METADATA = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
MAX_FRAMES = 1 << 22  # of a video: 38 hours at 30 a second, 600 MB while it is indexed
_KEPT_BYTES = (
    16 * 2**20
)  # reading them again would cost another opening of the file: a tenth of the time of a short clip
# formats whose header does; FFmpeg takes that of others from where they end
_TELL_DURATION = ("matroska", "flv", "asf", "mov", "mxf")
_TOLERANCE = 0.25  # seconds by which headers may be wrong
_ASF_FILE_PROPERTIES = uuid.UUID("8cabdca1-a947-11cf-8ee4-00c00c205365").bytes_le
# where a header says how many bytes the file has: behind what, so many bytes on, in which form
_SIZES = {"flv": (b"\0\x08filesize\0", 0, ">d"), "asf": (_ASF_FILE_PROPERTIES, 24, "<Q")}
_AVI_GUESS = 3  # frames by which FFmpeg may guess that the first is late: AVI says when frames are decoded, not shown
_ROUNDING = 2e-6  # seconds: a file's start is told in microseconds


@dataclasses.dataclass(frozen=True)
class Index:
    """Frame times and starting points, trustworthy where `exact`.

    In a closed group no packet is shown before its keyframe or after the next group's, so the packets `groups[g] ..
    groups[g + 1]` are, apart from their order, the frames of the same numbers: a group can be decoded alone.
    """

    pts: np.ndarray  # [N] int64, rising: when each frame is shown, in the stream's time base; empty unless exact
    groups: np.ndarray  # [G + 1] int64: the first frame of each closed group, then N; empty unless exact
    packets: int  # packets that should decode to a shown frame
    declared: int  # frames that the file's header or sample table promises; at most 0 where it does not say
    hold: int  # how long the last one stays, in the stream's time base; 0 where it does not say
    exact: bool  # whether a full decode is expected to show exactly the frames `pts`
    kept: list[av.Packet] | None  # all packets in decode order, unless they are too large to hold


@dataclasses.dataclass
class Tally:
    """Counts a stream's packets while they are read."""

    read: int = 0
    hidden: int = 0  # of these, decoded but never shown
    last: int = -1  # when the last one is decoded, in the stream's time base ...
    gap: int = 1  # ... and the longest time between two
    goes_back: bool = False  # whether such a time is before the last
    broken: int = 0  # packets that lack parts
    latest: int = -(1 << 63)  # when the last one is shown ...
    hold: int = 0  # ... and for how long; 0 where the file does not say

    def count(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """The same packets."""
        for packet in packets:
            self.read += 1
            self.hidden += packet.is_discard
            self.broken += packet.is_corrupt
            if packet.pts is not None and packet.pts > self.latest:
                self.latest, self.hold = packet.pts, packet.duration or 0
            if (time := packet.dts) is not None:
                self.goes_back |= self.read > 1 and time < self.last
                self.gap, self.last = max(self.gap, time - self.last), time
            yield packet

    @property
    def shown(self) -> int:
        """Packets that should decode to a shown frame."""
        return self.read - self.hidden

    def declared(self, container: av.container.InputContainer, stream: av.VideoStream) -> int:
        """Frames to be shown that the file promises; at most 0 where it does not say."""
        # The sample table of MP4 honours edit lists, its frame count does not; elsewhere only the header knows.
        promised = len(stream.index_entries) if "mp4" in container.format.name else stream.frames
        read = self.shown + self.hidden
        if (
            container.format.name == "avi"
        ):  # counts, as time, what was dropped in recording, when the last picture stays
            promised -= max(0, self.last + 1 - read)
            promised = read if promised < read + self.gap else promised  # as the very last one may
        return promised - self.hidden


def read_packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The stream's packets in decode order, without the empty ones (dropped frames; the demuxer's end mark)."""
    packets = container.demux(stream)
    try:
        yield from (packet for packet in packets if packet.size)
    finally:
        packets.close()  # PyAV loses a packet of one that is dropped before its end


def read_index(container: av.container.InputContainer, stream: av.VideoStream) -> Index:
    """Reads the file once without decoding it. One that breaks off, or has too many packets, is indexed up to there."""
    packets, kept, room, tally = [], [], _KEPT_BYTES, Tally()
    try:
        for packet in tally.count(itertools.islice(read_packets(container, stream), MAX_FRAMES + 1)):
            packets.append((packet.pts, packet.is_keyframe, packet.is_discard, packet.size))
            room -= packet.size
            if room >= 0:
                kept.append(packet)
            else:
                kept.clear()
    except av.error.FFmpegError:
        tally.broken += 1
    shown, declared = tally.shown, tally.declared(container, stream)
    groups = _find_closed_groups(packets) if not tally.broken and _is_simple(container, stream, packets) else []
    if not groups:
        nothing = np.empty(0, np.int64)
        return Index(nothing, nothing, shown, declared, tally.hold, exact=False, kept=None)
    pts = np.sort(np.array([pts for pts, *_ in packets], np.int64))
    bounds = np.array([*groups, len(packets)], np.int64)
    return Index(pts, bounds, shown, declared, tally.hold, exact=True, kept=kept if room >= 0 else None)


def find_delay(container: av.container.InputContainer, stream: av.VideoStream, first: int | None) -> float:
    """Seconds from where the file starts, a player's 0, to its first frame, shown at `first` of the time base.

    Sound that starts below 0 is what a decoder needs to get going, and is not played.
    """
    if first is None or container.start_time is None:
        return 0.0
    shown = float(first * stream.time_base)
    delay = shown - max(container.start_time / av.time_base, min(0.0, shown))
    guess = _AVI_GUESS * float(1 / (stream.average_rate or 25)) if container.format.name == "avi" else 0.0
    return delay if delay > _ROUNDING + guess else 0.0


def find_cut(
    container: av.container.InputContainer, stream: av.VideoStream, first: float, last: float, gap: float
) -> tuple[float, float] | None:
    """(when it ends, when it should) in seconds where a file breaks off before the end that its header promises.

    `first` and `last` are when these frames are shown and `gap` the longest that any is, as far as the file says it of
    the last. Only where the header counts no frames; sound may go on longer than the picture.
    """
    kind = container.format.name.split(",")[0]
    if stream.frames > 0 or kind not in _TELL_DURATION or first == last:  # a single picture may stay for all the time
        return None
    promised = container.duration / av.time_base if container.duration else _read_asf_duration(container)
    end = last + gap + _TOLERANCE
    if (tag := _read_duration(stream.metadata.get("DURATION", ""))) is not None:
        promised = min(promised, tag)
    if kind in ("matroska", "asf"):  # count from 0, not from where the file starts
        promised -= max(0, container.start_time or 0) / av.time_base
    if kind == "asf":  # FFmpeg writes the time before the first frame twice
        promised -= first
    if tag is None and end < promised:
        end = max(end, _find_last_packet(container) + _TOLERANCE)
    if end < promised and _has_declared_size(container):  # does not say how long its last picture stays
        return None
    return (last + gap, promised) if end < promised else None


def _read_duration(text: str) -> float | None:
    """Matroska's tag 00:01:02.500000000 in seconds."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d*)?)", text)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _read_asf_duration(container: av.container.InputContainer) -> float:
    """Seconds that the header of ASF (WMV) promises, which FFmpeg does not tell of a file that is too short; else 0."""
    if container.format.name != "asf":
        return 0.0
    with pathlib.Path(container.name).open("rb") as file:
        _, _, properties = file.read(1 << 16).partition(_ASF_FILE_PROPERTIES)
    if len(properties) < 72:
        return 0.0
    duration, _, preroll = struct.unpack("<QQQ", properties[48:72])  # behind size, id, file size, date, packets
    return max(0.0, duration / 1e7 - preroll / 1e3)


def _has_declared_size(container: av.container.InputContainer) -> bool:
    """Whether an FLV or ASF file is as long as its header says, and no download that is still zeros at its end."""
    if container.format.name not in _SIZES:
        return False
    marker, skipped, form = _SIZES[container.format.name]
    path = pathlib.Path(container.name)
    size = path.stat().st_size
    with path.open("rb") as file:
        _, _, field = file.read(1 << 16).partition(marker)
        file.seek(max(0, size - 16))
        ends_in_zeros = not any(file.read())
    field = field[skipped : skipped + 8]
    return not ends_in_zeros and len(field) == 8 and struct.unpack(form, field)[0] == size


def _find_last_packet(container: av.container.InputContainer) -> float:
    """When the last packet of any stream ends, in seconds since the file's start."""
    end = 0.0
    with av.open(container.name, options=container.options, **ANY_METADATA) as again:
        with contextlib.suppress(av.error.FFmpegError):  # damage at the place where it breaks off
            for packet in again.demux():
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        return end - (again.start_time or 0) / av.time_base


def _is_simple(container: av.container.InputContainer, stream: av.VideoStream, packets: list[tuple]) -> bool:
    """Whether packets and shown frames correspond one to one and every packet says when it is shown."""
    codec = stream.codec_context.name
    if not packets or codec not in _ONE_FRAME_A_PACKET:
        return False
    if codec == "mpeg4" and min(size for *_, size in packets) < _MPEG4_NOT_CODED_BYTES:
        return False
    times = [pts for pts, *_ in packets]
    if None in times or len(set(times)) < len(times) or any(discard for _, _, discard, _ in packets):
        return False
    # AVI stores no presentation times: they are a guess as soon as frames are reordered.
    return container.format.name != "avi" or times == sorted(times)


def _find_closed_groups(packets: list[tuple]) -> list[int]:
    """Packet numbers of the keyframes that everything earlier is shown before and everything later after.

    [] where the first packet is no such keyframe: then a decoder may drop or damage the first frames.
    """
    times = np.array([pts for pts, *_ in packets], np.int64)
    latest_before = np.concatenate([[times[0] - 1], np.maximum.accumulate(times)[:-1]])
    earliest_from = np.minimum.accumulate(times[::-1])[::-1]
    closed = np.array([key for _, key, *_ in packets]) & (times > latest_before) & (times == earliest_from)
    return np.flatnonzero(closed).tolist() if closed[0] else []
