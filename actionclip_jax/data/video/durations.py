"""How long a file's header says it is, and whether the file breaks off before."""

import contextlib
import pathlib
import re
import struct
import uuid

import av

from actionclip_jax.data.video import opening, times

# formats whose header says how long the file is; FFmpeg takes that of others from where they end
TELL_DURATION = ("matroska", "flv", "asf", "mov", "mxf")
ASF_FILE_PROPERTIES = uuid.UUID("8cabdca1-a947-11cf-8ee4-00c00c205365").bytes_le
# where a header says how many bytes the file has: behind what, so many bytes on, in which form
SIZES = {"flv": (b"\0\x08filesize\0", 0, ">d"), "asf": (ASF_FILE_PROPERTIES, 24, "<Q")}


def find_cut(
    container: av.container.InputContainer, stream: av.VideoStream, first: float, last: float, gap: float
) -> tuple[float, float] | None:
    """(when it ends, when it should) in seconds where a file breaks off before the end that its header promises.

    `first` and `last` are when these frames are shown and `gap` the longest that any is, as far as the file says it of
    the last. Only where the header counts no frames; sound may go on longer than the picture.
    """
    kind = container.format.name.split(",")[0]
    if stream.frames > 0 or kind not in TELL_DURATION or first == last:  # a single picture may stay for all the time
        return None
    promised = container.duration / av.time_base if container.duration else _read_asf_duration(container)
    end = last + gap + times.TOLERANCE
    if (tag := _read_tag(stream.metadata.get("DURATION", ""))) is not None:
        promised = min(promised, tag)
    if kind in ("matroska", "asf"):  # count from 0, not from where the file starts
        promised -= max(0, container.start_time or 0) / av.time_base
    if kind == "asf":  # FFmpeg writes the time before the first frame twice
        promised -= first
    if tag is None and end < promised:
        end = max(end, _find_last_packet(container) + times.TOLERANCE)
    if end < promised and _has_declared_size(container):  # does not say how long its last picture stays
        return None
    return (last + gap, promised) if end < promised else None


def _read_tag(text: str) -> float | None:
    """Matroska's tag 00:01:02.500000000 in seconds."""
    clock = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d*)?)", text)
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else None


def _read_asf_duration(container: av.container.InputContainer) -> float:
    """Seconds that the header of ASF (WMV) promises, which FFmpeg does not tell of a file that is too short; else 0."""
    if container.format.name != "asf":
        return 0.0
    with pathlib.Path(container.name).open("rb") as file:
        _, _, properties = file.read(1 << 16).partition(ASF_FILE_PROPERTIES)
    if len(properties) < 72:
        return 0.0
    duration, _, preroll = struct.unpack("<QQQ", properties[48:72])  # behind size, id, file size, date, packets
    return max(0.0, duration / 1e7 - preroll / 1e3)


def _has_declared_size(container: av.container.InputContainer) -> bool:
    """Whether an FLV or ASF file is as long as its header says, and no download that is still zeros at its end."""
    if container.format.name not in SIZES:
        return False
    marker, skipped, form = SIZES[container.format.name]
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
    with opening.open_container(container.name, container.options) as again:
        with contextlib.suppress(av.error.FFmpegError):  # damage at the place where it breaks off
            for packet in again.demux():
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        return end - (again.start_time or 0) / av.time_base
