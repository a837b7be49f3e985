"""Files that came from somebody else: checkpoints, videos, lists and settings. See docs/untrusted_input.md."""

from untrusted_checkpoints import CHECKPOINTS
from untrusted_texts import CONFIGS, LISTS
from untrusted_videos import VIDEOS

__all__ = ["CHECKPOINTS", "CONFIGS", "LISTS", "VIDEOS"]
