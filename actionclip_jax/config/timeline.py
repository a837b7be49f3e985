"""How a trained model is asked."""

from actionclip_jax.config import settings


@settings.dataclass
class TimelineConfig:
    """How windows slide over a long video, and what makes a segment of it."""

    window: float = 10.0  # seconds: the length of Kinetics' clips
    hop: float | None = None  # seconds from window to window; by default a quarter of the window
    threshold: float = 0.5  # probability that the best label needs
