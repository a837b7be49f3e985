"""Which frames of a video become a clip."""

import numpy as np


def segment_middles(length: int, frames: int, view: int = 0, views: int = 1) -> np.ndarray:
    """Frame indices [T] int64 of one test view: one frame out of each of T = `frames` equal segments of the video.

    View k of V takes the frame at the fraction (k + 1/2) / V of every segment, so a single view takes the middle:
    `i * n/T + (n/T - 1) / 2`, truncated, as ActionCLIP's testing does. A video of at most T frames repeats frames
    (`i * n // T`), the same for every view.
    """
    problems = []
    if length < 1:
        problems.append(f"length is {length}, expected at least 1 frame")
    if frames < 1:
        problems.append(f"frames is {frames}, expected at least 1")
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
