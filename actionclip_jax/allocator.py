"""What a process that computes on a CPU tells the C library about memory."""

import contextlib
import ctypes

# of glibc's malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
SETTINGS = {
    MMAP_MAX: 0,  # large arrays come from the heap, too,
    ARENA_MAX: 1,  # the one heap of all threads, since others cannot hold more than 64 MiB
    TRIM_THRESHOLD: -1,  # which never shrinks
    TOP_PAD: 64 << 20,  # and grows in large pieces
}


def keep_freed_memory() -> None:
    """Lets glibc use freed memory again instead of giving it back to the system; nothing on other systems.

    XLA allocates the temporaries of a step anew each time, and by default the kernel then clears every page of them:
    a quarter of a step's time. The memory of the process stays at its peak. For a program that has the process for
    itself, before it computes anything: threads that have allocated keep a heap of their own.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc; on Windows no such handle
        set_option = ctypes.CDLL(None).mallopt
        for option, value in SETTINGS.items():
            set_option(option, value)
