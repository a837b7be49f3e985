"""The bytes of a file that still grows, or of a pipe, read as they come."""

import os
import select
import stat
import threading
import time

from actionclip_jax.data.video import errors

POLL_SECONDS = 0.1  # between two looks at a file that may have grown, or at whether to stop
PAUSE_SECONDS = 1.0  # without new bytes: whoever writes has paused, and is not late afterwards
CONTAINER_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"uuid", b"pdin")
SEARCHED = 1 << 20  # bytes in which the index of an MP4 is looked for
UNREADABLE_LIVE = (
    "an MP4 whose index comes at its end, which cannot be read before it is finished: record MPEG-TS (.ts), Matroska "
    "(.mkv) or fragmented MP4 (ffmpeg -movflags frag_keyframe+empty_moov), or wait for the end and leave out --follow"
)


class Feed:
    """What PyAV reads from: `read` waits for bytes that are not there yet, and knows no seeking.

    It ends where the writers of a pipe have closed it, where a file has not grown for `idle` seconds, or after `stop`.
    """

    def __init__(self, path: str | os.PathLike, idle: float) -> None:
        """Raises VideoError for what is neither a file nor a pipe."""
        self.path, self.idle = path, idle
        self.name = os.fspath(path)  # as FFmpeg calls it
        self.position = 0  # bytes read
        self.pauses = 0  # how often nothing came for PAUSE_SECONDS
        self.shrunk = False  # whether the file became shorter while it was read
        self._head = b""  # bytes that were looked at before their time
        self._stopped = threading.Event()
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise errors.VideoError(path, errors.reason_of(error)) from error
        mode = os.fstat(self._file).st_mode
        self.is_pipe = stat.S_ISFIFO(mode)
        if not self.is_pipe and not stat.S_ISREG(mode):
            os.close(self._file)
            raise errors.VideoError(path, "neither a file nor a named pipe")

    def stop(self) -> None:
        """Lets what was read so far be the end; may be called by any thread."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    @property
    def is_whole(self) -> bool:
        """Whether this is a file that was read to its present end."""
        return not (self.is_pipe or self.stopped or self.shrunk) and os.fstat(self._file).st_size == self.position

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def read(self, size: int) -> bytes:
        """Up to so many bytes, at least one; none at the end."""
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        since, paused = time.monotonic(), False
        while not self.stopped:
            part = self._read_now(size)
            if part or part is None:
                return part or b""
            waited = time.monotonic() - since
            if waited >= PAUSE_SECONDS and not paused:
                self.pauses, paused = self.pauses + 1, True
            if not self.is_pipe and waited >= self.idle:
                return b""
            if not self.is_pipe:
                self._stopped.wait(POLL_SECONDS)
        return b""

    def check_readable(self) -> None:
        """Raises VideoError for an MP4 that nobody can read before it is finished; waits for its first boxes."""
        offset = 0
        while offset + 8 <= SEARCHED:
            box = self._look_ahead(offset + 16)[offset:]
            kind = box[4:8]
            if len(box) < 8 or kind not in CONTAINER_BOXES or kind in (b"moov", b"moof"):
                return
            if kind == b"mdat":
                raise errors.VideoError(self.path, UNREADABLE_LIVE)
            length = int.from_bytes(box[:4], "big")
            length = int.from_bytes(box[8:16], "big") if length == 1 else length
            if length < 8:
                return
            offset += length

    def _look_ahead(self, size: int) -> bytes:
        """The first bytes, which will be read all the same; fewer than `size` where it ends before."""
        head = b""
        self._head, head = b"", self._head
        while len(head) < size and (part := self.read(size - len(head))):
            head += part
        self._head = head
        return head

    def _read_now(self, size: int) -> bytes | None:
        """The bytes that are there; b"" for none yet, None at the end."""
        if self.is_pipe:
            poll = select.poll()
            poll.register(self._file, select.POLLIN)
            events = poll.poll(POLL_SECONDS * 1000)
            if not events:
                return b""
            return os.read(self._file, size) or None
        if os.fstat(self._file).st_size < self.position:
            self.shrunk = True
            return None
        part = os.read(self._file, size)
        self.position += len(part)
        return part
