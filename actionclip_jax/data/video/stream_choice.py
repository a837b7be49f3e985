"""Which of a file's video streams is the video."""

import av
import av.stream

COVER = av.stream.Disposition.attached_pic  # of an audio file
PART = av.stream.Disposition.dependent  # a tile of a larger picture, or what is added to another stream
DOLBY_VISION = ("dvh1", "dvhe", "dav1", "dva1", "dvav")  # codes of streams in MP4 that are more than their base
UNSPECIFIED = 2  # transfer characteristic (ITU-T H.273)
STILL = av.stream.Disposition.still_image | av.stream.Disposition.timed_thumbnails


def choose(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream that a player shows, as FFmpeg ranks them; None where there is none that is a whole picture."""
    shown = [stream for stream in container.streams.video if not stream.disposition & (COVER | PART)]
    moving = [stream for stream in shown if _moves(stream)]
    if not moving and any(stream.disposition & PART for stream in container.streams.video):
        return None  # a picture in tiles; what is whole beside it is its thumbnail
    candidates = moving or shown
    candidates = [stream for stream in candidates if stream.codec_context is not None] or candidates
    best = container.streams.best("video")
    return next((stream for stream in candidates if stream is best), None) or max(candidates, key=_rank, default=None)


def has_private_colors(stream: av.VideoStream) -> bool:
    """Whether it is Dolby Vision whose colours nothing but its metadata describes (profile 5): decoded, it is green."""
    codec = stream.codec_context
    return codec.codec_tag in DOLBY_VISION and codec.color_trc == UNSPECIFIED


def describe(container: av.container.InputContainer, chosen: av.VideoStream) -> str | None:
    """Which stream is shown, where there are several."""
    others = [stream for stream in container.streams.video if stream is not chosen and _moves(stream)]
    others = [_name(stream) for stream in others if not stream.disposition & (COVER | PART)]
    if not others:
        return None
    return f"holds {len(others) + 1} video streams: {_name(chosen)} is used, not {', '.join(others)}"


def _moves(stream: av.VideoStream) -> bool:
    """Whether it is more than one picture, as far as the header says."""
    return not stream.disposition & STILL and stream.frames != 1


def _rank(stream: av.VideoStream) -> tuple[bool, int]:
    default = bool(stream.disposition & av.stream.Disposition.default)
    codec = stream.codec_context
    return default, codec.width * codec.height if codec else 0


def _name(stream: av.VideoStream) -> str:
    codec = stream.codec_context
    return f"#{stream.index} ({f'{codec.width}x{codec.height}' if codec else 'no decoder'})"
