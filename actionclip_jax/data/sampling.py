"""Which frames of a video become a clip."""

import numpy as np


def segment_middles(length: int, frames: int, view: int = 0, views: int = 1) -> np.ndarray:
    """Frame indices [T] int64 of one test view: one frame out of each of T = `frames` equal segments of the video.

    View k of V takes the frame at the fraction (k + 1/2) / V of every segment, so a single view takes the middle:
    `i * n/T + (n/T - 1) / 2`, truncated, as ActionCLIP's testing does. A video of at most T frames repeats frames
    (`i * n // T`), the same for every view.
    """
    problems = count_problems(length, frames)
    if views < 1:
        problems.append(f"views is {views}, expected at least 1")
    elif not 0 <= view < views:
        problems.append(f"view is {view}, expected 0..{views - 1} for {views} views")
    if problems:
        raise ValueError("; ".join(problems))
    segment = np.arange(frames, dtype=np.int64)
    if length <= frames:
        return segment * length // frames
    # i*n/T + n/T*(k + 1/2)/V - 1/2 over the common denominator 2VT: integers, because floats truncate 2.9999999 to 2.
    numerator = 2 * views * length * segment + length * (2 * view + 1) - views * frames
    return np.clip(numerator // (2 * views * frames), 0, length - 1)


def random_in_segments(length: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Frame indices [T] int64 of a training clip: a uniformly random frame out of each of T = `frames` segments.

    Segment i of n frames begins at frame `i * n // T`. A video of at most T frames gives all of them and random
    repeats, sorted, as ActionCLIP's training does.
    """
    if problems := count_problems(length, frames):
        raise ValueError("; ".join(problems))
    if length <= frames:
        repeats = rng.integers(length, size=frames - length)
        return np.sort(np.concatenate([np.arange(length, dtype=np.int64), repeats]))
    starts = np.arange(frames + 1, dtype=np.int64) * length // frames
    return rng.integers(starts[:-1], starts[1:])


def count_problems(length: int, frames: int) -> list[str]:
    """What is wrong with a number of frames there are and a number of frames wanted."""
    problems = []
    if length < 1:
        problems.append(f"length is {length}, expected at least 1 frame")
    if frames < 1:
        problems.append(f"frames is {frames}, expected at least 1")
    return problems
