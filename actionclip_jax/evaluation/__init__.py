"""Measuring a trained model by the protocols of the field."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.evaluation.protocols import Trial as Trial
    from actionclip_jax.evaluation.scoring import Evaluator as Evaluator
    from actionclip_jax.evaluation.scoring import Scores as Scores

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "protocols": ["Trial"],
        "scoring": ["Evaluator", "Scores"],
    },
)
