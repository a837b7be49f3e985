"""ActionCLIP in JAX: what happens in a video, in your own words.

model = actionclip_jax.load("sample")          # or a path, a hub name, or a name of `actionclip models`
result = model.predict("video.mp4", class_names=["archery", "surfing"])
result.top(1), result.probabilities, result.to_dict(), result.plot()

help(actionclip_jax.load), help(actionclip_jax.Predictor.predict) tell all options.
"""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.inference.predict import Predictor as Predictor
    from actionclip_jax.loading import load as load

__version__ = "0.1.0"
# without __all__, of which `help` would show every method: `help(actionclip_jax)` is to be one screen
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={"inference.predict": ["Predictor"], "loading": ["load"]}
)
