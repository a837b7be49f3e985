"""The sound of a video, copied packet by packet into another file."""

import os
import typing
from collections.abc import Iterator

import av

from actionclip_jax.data.video import opening, times


class Sound:
    """Copies the sound of a file into an output, as it is encoded, while the picture is written. A context manager."""

    def __init__(self, path: str | os.PathLike, output: av.container.OutputContainer) -> None:
        self.note: str | None = None  # why there is none, or not all
        self._container = opening.open_container(os.path.abspath(path), opening.OPTIONS)  # noqa: PTH100 - may be text
        self._output = output
        self._packet: av.Packet | None = None  # the next one
        # what a decoder needs to get going and is not heard: before 0, which Matroska has no times for
        self._keeps_lead = output.format.name != "matroska"
        source = typing.cast(av.AudioStream | None, self._container.streams.best("audio"))
        self._target = self._add(source) if source else None
        self._packets: Iterator[av.Packet] = self._container.demux(source) if source and self._target else iter(())

    def __enter__(self) -> "Sound":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def copy(self, until: float, start: float) -> None:
        """Writes what is heard before `until` seconds of the video; its 0 is at `start` of the file's streams."""
        while (packet := self._packet or self._read()) is not None:
            self._packet = packet
            pts, dts, base = packet.pts, packet.dts, packet.time_base
            assert pts is not None and dts is not None, "others are passed over"
            heard = float(pts * base) - start
            if heard > until:
                return
            self._packet = None
            if heard >= -times.ROUNDING or self._keeps_lead:
                shift = round(start / base)
                packet.pts, packet.dts, packet.stream = pts - shift, dts - shift, self._target
                self._output.mux(packet)

    def _read(self) -> av.Packet | None:
        """The next packet that says when it is heard; None at the end, or where the sound breaks off."""
        try:
            return next((one for one in self._packets if one.pts is not None and one.dts is not None), None)
        except av.error.FFmpegError as error:
            self.note = f"its sound breaks off ({error.strerror})"
            self._packets = iter(())
            return None

    def _add(self, source: av.AudioStream) -> av.AudioStream | None:
        codec, form = source.codec_context.name if source.codec_context else "unknown", self._output.format.name
        if codec not in self._output.supported_codecs:
            self.note = f"its sound ({codec}) cannot be copied into {form}: left out (name a file .mkv to keep it)"
            return None
        if (count := len(self._container.streams.audio)) > 1:
            self.note = f"one of its {count} audio streams is kept"
        return self._output.add_stream_from_template(source)
