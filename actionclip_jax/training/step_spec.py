"""What a training step computes."""

import dataclasses
import functools

import jax
import optax

from actionclip_jax import config
from actionclip_jax.models import action_clip
from actionclip_jax.training import optim

Params = dict[str, jax.Array]  # by path, float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSpec:
    """What a step computes."""

    model: config.ModelConfig
    compute: config.ComputeConfig
    augment: config.AugmentConfig
    objective: config.ObjectiveConfig
    optim: config.OptimConfig
    interpolation: config.InterpolationConfig
    sharding: config.ShardingConfig
    steps: int  # of the whole run
    warmup: int
    seed: int
    log_odds: float = 0.0  # of a label in the training set, for multi_label

    def build(self, params: Params) -> action_clip.ActionClip:
        """The model with these parameters."""
        return action_clip.from_params(self.model, self.compute, params)

    @functools.cached_property
    def multipliers(self) -> dict[str, float]:
        """Learning-rate multiplier of every parameter; 0 for those that are frozen, or that the loss does not see."""
        frozen = [(f"{tower}/.*", 0.0) for tower in ("image", "text") if getattr(self.objective, tower) == "frozen"]
        if self.objective.loss != "sigmoid":
            frozen.append(("logit_bias", 0.0))
        return optim.match_multipliers(action_clip.param_shapes(self.model), (*frozen, *self.optim.multipliers))

    @property
    def encodes_distinct(self) -> bool:
        """Whether each text of a batch is encoded once, however many clips have it."""
        return self.objective.encode_texts == "distinct" and self.objective.text == "trained"

    def parts(self) -> dict[str, float]:
        """Multiplier of each part of the model, or of each kind of multiplier where a part has several."""
        parts: dict[str, set[float]] = {}
        for path, value in self.multipliers.items():
            parts.setdefault(path.split("/")[0], set()).add(value)
        return {
            name if len(values) == 1 else f"{name} x {value:g}": value
            for name, values in parts.items()
            for value in sorted(values)
        }

    @property
    def optimizer(self) -> optax.GradientTransformationExtraArgs:
        """Of the parameters that are trained."""
        return optim.make_optimizer(self.optim, {path: value for path, value in self.multipliers.items() if value})
