"""What is wrong with a file, or doubtful, although its frames could be had."""

import av
import numpy as np

from actionclip_jax.data.video import durations, frame_index, parts, stream_choice, times


def describe(
    source: parts.Source,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    index: frame_index.Index,
    seconds: np.ndarray,
    fault: str | None,
) -> str | None:
    """The note of a video whose frames have these times [N]; `fault` is the first damage met."""
    gap = max(float(np.diff(seconds).max(initial=0)), index.hold * float(times.time_base(stream)))
    cut = durations.find_cut(container, stream, float(seconds[0]), float(seconds[-1]), gap)
    loss = describe_loss(index.packets, index.declared, len(seconds), cut, fault)
    return join(loss, parts.describe_end(source, container, seconds, gap), stream_choice.describe(container, stream))


def describe_loss(
    packets: int, declared: int, decoded: int, cut: tuple[float, float] | None, fault: str | None
) -> str | None:
    """What is wrong with a file of which so many packets, frames promised and frames decoded are known, if anything.

    `cut` are the seconds at which it ends and should.
    """
    if packets < declared and decoded < declared:
        return f"truncated: {decoded} of {declared} frames decode; those were used"
    if cut is not None:
        return f"truncated: ends at {cut[0]:.1f} of {cut[1]:.1f} s; {decoded} frames decode and were used"
    if fault is not None:
        of_all = f"{decoded} of {packets} frames decode" if decoded < packets else f"what decodes, {decoded} frames"
        return f"damaged ({fault}): {of_all}; those were used"
    return None


def join(*notes: str | None) -> str | None:
    """One note of several, None of none."""
    return "; ".join(note for note in notes if note) or None
