"""Frames of a video that is being written, decoded by a thread as they come, and dropped where they come too late."""

import contextlib
import dataclasses
import math
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator

import numpy as np

from actionclip_jax.data.video import growing

POLL_SECONDS = 0.1  # between two looks at whether to stop


@dataclasses.dataclass(frozen=True)
class Arrival:
    """A frame as the model sees it, and the cells that it represents."""

    image: np.ndarray | None  # [S, S, 3] uint8; None: dropped
    cells: int


class Lateness:
    """Decides which frames are dropped: how late one is, is told by the one that came earliest for its time.

    Where a model takes longer than the video, frames wait longer and longer, as whoever writes them may have to.
    """

    def __init__(self, lag: float, least: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Drops beyond `lag` seconds, but only after `least` cells in a row."""
        self.lag, self.least, self.clock = lag, least, clock
        self.earliest, self.pauses = math.inf, 0
        self.dropping, self.kept = False, 0

    def drops(self, seconds: float, cells: int, pauses: int) -> bool:
        """Whether a frame that is shown at a time is dropped; `pauses` counts those of whoever writes the video."""
        if pauses != self.pauses:
            self.earliest, self.pauses = math.inf, pauses
        came = self.clock() - seconds
        self.earliest = min(self.earliest, came)
        late = came - self.earliest
        self.dropping = late > self.lag / 2 if self.dropping else late > self.lag and self.kept >= self.least
        self.kept = 0 if self.dropping else self.kept + cells
        return self.dropping


@contextlib.contextmanager
def read(
    grid: growing.GrowingGrid, lag: float, least: int, most: int, stop: threading.Event | None = None
) -> Generator[Iterator[list[Arrival]]]:
    """Within, lists of at least `least` frames (fewer at the end) and at most `most`, as they arrive.

    Frames are dropped beyond `lag` seconds. Once `stop` is set, no more is read. What goes wrong while the video is
    read is raised by the iterator.
    """
    arrived: queue.Queue[Arrival | BaseException | None] = queue.Queue(2 * most)
    left = threading.Event()
    thread = threading.Thread(target=_decode, args=(grid, Lateness(lag, most + 1), arrived, left), daemon=True)
    thread.start()
    try:
        yield _take(grid, arrived, least, most, stop)
    finally:
        left.set()
        grid.source.stop()
        thread.join()


def _decode(grid: growing.GrowingGrid, lateness: Lateness, arrived: queue.Queue, left: threading.Event) -> None:
    """What the thread does."""

    def put(item: Arrival | BaseException | None) -> None:
        while not left.is_set():
            try:
                arrived.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return

    try:
        cells = 0
        for image, count in grid:
            late = lateness.drops(cells * grid.spacing, count, grid.source.pauses)
            put(Arrival(None if late else image, count))
            cells += count
            if left.is_set():
                return
        put(None)
    except BaseException as error:  # raised again where the frames are taken
        put(error)


def _take(
    grid: growing.GrowingGrid, arrived: queue.Queue, least: int, most: int, stop: threading.Event | None
) -> Iterator[list[Arrival]]:
    part: list[Arrival] = []
    while True:
        if stop is not None and stop.is_set():
            grid.source.stop()
        try:
            item = arrived.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if isinstance(item, Arrival):
            part.append(item)
            if len(part) < most and (len(part) < least or not arrived.empty()):
                continue
        if part:
            yield part
            part = []
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
