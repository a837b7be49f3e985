"""Files that came from somebody else: checkpoints, videos, lists and settings. See docs/untrusted_input.md."""

from untrusted_videos import VIDEOS

__all__ = ["VIDEOS"]
