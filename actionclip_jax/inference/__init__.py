"""Asking a model: what happens in a video, and when in a long one.

model = actionclip_jax.load("models/vit-b-16-8f")
model.predict("surf.mp4", ["archery", "surfing"]).top()
inference.follow(model, "day_at_the_beach.mp4", ["archery", "surfing"], window=5).segments
"""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.inference.encoder import VideoTextEncoder as VideoTextEncoder
    from actionclip_jax.inference.predict import Predictor as Predictor
    from actionclip_jax.inference.prediction import Prediction as Prediction
    from actionclip_jax.inference.prediction import Predictions as Predictions
    from actionclip_jax.inference.timeline import Segment as Segment
    from actionclip_jax.inference.timeline import Timeline as Timeline
    from actionclip_jax.inference.timeline import follow as follow
    from actionclip_jax.inference.timeline import follow_each as follow_each

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "encoder": ["VideoTextEncoder"],
        "predict": ["Predictor"],
        "prediction": ["Prediction", "Predictions"],
        "timeline": ["Segment", "Timeline", "follow", "follow_each"],
    },
)
