"""Errors that name a video and say what is wrong with it."""

import contextlib
import os
from collections.abc import Callable, Generator
from typing import ParamSpec, TypeVar

import av

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class VideoError(ValueError):
    """A video that cannot be used: which one, and why."""

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        """Both go to the base class, so that the error survives pickling between worker processes."""
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        """`path: reason`."""
        return f"{self.path}: {self.reason}"


class _CallersError(Exception):
    """Carries what a caller's own function raised, which is no fault of the video, as its cause."""


@contextlib.contextmanager
def name_faults(path: str | os.PathLike, what: str = "cannot be read") -> Generator[None]:
    """Whatever a library raises while it reads a video becomes that video's VideoError: `what` (why)."""
    mistake = None
    try:
        yield
    except VideoError:
        raise
    except _CallersError as error:
        mistake = error.__cause__
    except Exception as error:
        reason = reason_of(error)
        if not isinstance(error, ValueError | OSError | av.error.FFmpegError):  # which speak to people
            reason = f"{type(error).__name__}: {reason}"
        raise VideoError(path, f"{what} ({reason})") from error
    if mistake:
        raise mistake


def callers(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function given by a caller, so wrapped that `name_faults` lets its errors pass as they are."""

    def call(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        try:
            return function(*arguments, **keywords)
        except Exception as error:
            raise _CallersError from error

    return call


def reason_of(error: Exception) -> str:
    """What an error says: of the system's, and FFmpeg's, without the name of the file."""
    return getattr(error, "strerror", None) or str(error)


def no_frame_decodes(path: str | os.PathLike, fault: str | None) -> VideoError:
    """The error of a video without a single frame; `fault` is the first damage met."""
    return VideoError(path, f"no frame decodes ({fault or 'the stream is empty'})")
