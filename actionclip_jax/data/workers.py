"""Worker processes that never outlive the process they work for."""

import collections
import contextlib
import multiprocessing
import os
import signal
import threading
import types
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent import futures
from multiprocessing import connection
from typing import Any

import cv2


def count_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


GRACE_SECONDS = 60.0  # after a SIGTERM, for the parent to end in order


def set_up_worker() -> None:
    """Called first in a worker process: one thread each, Ctrl-C left to the parent, and death when the parent dies.

    A parent killed hard says no goodbye, and its workers would wait for it for ever, holding memory and files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


@contextlib.contextmanager
def deaf_to_interrupts() -> Generator[None]:
    """Processes started within it, by this thread, do not hear Ctrl-C, not even before `set_up_worker`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # other threads of this process hear it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def outlast_sigterm() -> None:
    """A cluster's SIGTERM reaches workers too, but the parent needs them to get to the end of a step.

    Not for pools, which end their workers by SIGTERM and wait for them.
    """
    signal.signal(signal.SIGTERM, _exit_later)


def _exit_later(number: int, frame: types.FrameType | None) -> None:
    timer = threading.Timer(GRACE_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def process_pool(workers: int) -> futures.ProcessPoolExecutor:
    """Fresh processes rather than forks, which deadlock once a library has started threads."""
    return futures.ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=set_up_worker
    )


def open_pool(processes: int) -> futures.Executor:
    """So many processes; 0: threads of this one, one a core, for a script or notebook that cannot be started anew."""
    return process_pool(processes) if processes else futures.ThreadPoolExecutor(count_cores())


def map_ahead(
    pool: futures.Executor, function: Callable[[Any], Any], items: Iterable[Any], ahead: int
) -> Iterator[futures.Future]:
    """Finished futures of `function(item)` in the order of the items, at most `ahead` items in work or waiting."""
    queue: collections.deque = collections.deque()
    for item in items:
        with deaf_to_interrupts():
            queue.append(pool.submit(function, item))
        if len(queue) >= ahead:
            yield queue.popleft()
    yield from queue
