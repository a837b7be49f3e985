"""Where the parameters of a run live, and what is kept of each beside it: as the model uses them, or in smaller parts.

Spread over `data` too, each device updates a part of the parameters (ZeRO, arXiv 1910.02054). Gradients are summed for
that part alone, and the parameters gathered at the start of a step, in the dtype they are multiplied in.
"""

import dataclasses
import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding

from actionclip_jax import config, sharding
from actionclip_jax.models import action_clip

# Nothing but products, or the look-up of words, in `compute.dtype`: may be gathered in it.
WEIGHTS = re.compile(r".*/blocks/(attn|mlp)/(qkv|out|fc|proj)/kernel|text/token/embedding")


@dataclasses.dataclass(frozen=True)
class Places:
    """Places by parameter path."""

    kept: dict[str, NamedSharding]  # parameters, moments, averages and initial weights
    used: dict[str, NamedSharding]  # parameters in a model that computes

    @property
    def apart(self) -> bool:
        """Whether parameters have to be gathered."""
        return self.kept != self.used

    def of_state(self, state: Any, mesh: Mesh) -> Any:
        """A training state -> where each of its arrays lives."""
        return sharding.tree_shardings(state, self.kept, mesh)

    def spread(self, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Inside a jitted function: arrays by parameter path, as they are kept, and in float32."""
        if not self.apart:
            return arrays
        constrain = jax.lax.with_sharding_constraint
        return {path: constrain(array, self.kept[path].spec).astype("float32") for path, array in arrays.items()}

    def gather(self, params: dict[str, jax.Array], dtype: str) -> dict[str, jax.Array]:
        """Inside a jitted function: kept parameters as a model uses them, weights in this dtype."""
        if not self.apart:
            return params
        gathered = {}
        for path, param in params.items():
            # converted where it is kept, or XLA may gather it in float32
            part = param.astype(dtype) if WEIGHTS.fullmatch(path) else param
            part = jax.lax.with_sharding_constraint(part, self.kept[path])
            gathered[path] = jax.lax.with_sharding_constraint(part, self.used[path])
        return gathered


def choose(model: config.ModelConfig, settings: config.ShardingConfig, mesh: Mesh) -> Places:
    """Of a model on a mesh. Raises ValueError where a dimension cannot be divided."""
    shapes = action_clip.param_shapes(model)
    used = sharding.param_shardings(shapes, mesh)
    over_data = settings.optimizer == "data" or (settings.optimizer == "auto" and pays(mesh))
    if not over_data or mesh.shape["data"] == 1:
        return Places(used, used)
    return Places({path: sharding.over_data_too(shapes[path], place) for path, place in used.items()}, used)


def pays(mesh: Mesh) -> bool:
    """Whether a step is then faster: on TPUs, as their compiler estimates it; on GPUs nobody has measured it."""
    return mesh.devices.flat[0].platform == "tpu"
