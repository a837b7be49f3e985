"""What demuxing alone tells about a video: how many frames, when they are shown, where decoding can start."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import av
import numpy as np

from actionclip_jax.data.video import limits

# Codecs whose every packet decodes to exactly one shown frame. (VP8, for one, has packets that show nothing.)
_ONE_FRAME_A_PACKET = ("h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4")
# MPEG-4 Part 2 pads packed B-frames with "not coded" pictures: a bare header, 6 to 8 bytes, which shows nothing.
_MPEG4_NOT_CODED_BYTES = 16
# of packets held: reading them again would cost another opening of the file, a tenth of the time of a short clip
_KEPT_BYTES = 16 * 2**20


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


class _Packet(NamedTuple):
    """What is remembered of a packet."""

    pts: int  # when its frame is shown, in the stream's time base
    is_keyframe: bool
    size: int  # bytes


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
        if container.format.name == "avi":  # counts, as time, what recording dropped, when the last picture stays
            promised -= max(0, self.last + 1 - self.read)
            promised = self.read if promised < self.read + self.gap else promised  # as the very last one may
        return promised - self.hidden


def read_packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The stream's packets in decode order, without the empty ones (dropped frames; the demuxer's end mark)."""
    packets = container.demux(stream)
    try:
        yield from (packet for packet in packets if packet.size)
    finally:
        # PyAV loses a packet of one that is dropped before its end
        packets.close()  # ty: ignore[missing-attribute]  # a generator, whatever the stub says


def read_index(container: av.container.InputContainer, stream: av.VideoStream) -> Index:
    """Reads the file once without decoding it. One that breaks off, or has too many packets, is indexed up to there."""
    packets: list[_Packet] = []
    kept: list[av.Packet] = []
    room, tally = _KEPT_BYTES, Tally()
    try:
        for packet in tally.count(itertools.islice(read_packets(container, stream), limits.MAX_FRAMES + 1)):
            if packet.pts is not None:
                packets.append(_Packet(packet.pts, packet.is_keyframe, packet.size))
            room -= packet.size
            if room >= 0:
                kept.append(packet)
            else:
                kept.clear()
    except av.error.FFmpegError:
        tally.broken += 1
    timed = len(packets) == tally.shown == tally.read and not tally.broken  # all of them say when they are shown
    groups = _find_closed_groups(packets) if timed and _is_simple(container, stream, packets) else []
    shown, declared = tally.shown, tally.declared(container, stream)
    if not groups:
        nothing = np.empty(0, np.int64)
        return Index(nothing, nothing, shown, declared, tally.hold, exact=False, kept=None)
    pts = np.sort(np.array([packet.pts for packet in packets], np.int64))
    bounds = np.array([*groups, len(packets)], np.int64)
    return Index(pts, bounds, shown, declared, tally.hold, exact=True, kept=kept if room >= 0 else None)


def _is_simple(container: av.container.InputContainer, stream: av.VideoStream, packets: Sequence[_Packet]) -> bool:
    """Whether packets and shown frames correspond one to one."""
    codec = stream.codec_context.name
    if not packets or codec not in _ONE_FRAME_A_PACKET:
        return False
    if codec == "mpeg4" and min(packet.size for packet in packets) < _MPEG4_NOT_CODED_BYTES:
        return False
    pts = [packet.pts for packet in packets]
    if len(set(pts)) < len(pts):
        return False
    # AVI stores no presentation times: they are a guess as soon as frames are reordered.
    return container.format.name != "avi" or pts == sorted(pts)


def _find_closed_groups(packets: Sequence[_Packet]) -> list[int]:
    """Packet numbers of the keyframes that everything earlier is shown before and everything later after.

    [] where the first packet is no such keyframe: then a decoder may drop or damage the first frames.
    """
    pts = np.array([packet.pts for packet in packets], np.int64)
    latest_before = np.concatenate([[pts[0] - 1], np.maximum.accumulate(pts)[:-1]])
    earliest_from = np.minimum.accumulate(pts[::-1])[::-1]
    closed = np.array([packet.is_keyframe for packet in packets]) & (pts > latest_before) & (pts == earliest_from)
    return np.flatnonzero(closed).tolist() if closed[0] else []
