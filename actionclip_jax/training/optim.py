"""AdamW with a warm-up and a cosine, and multipliers by rules over parameter paths."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import optax

from actionclip_jax import config

# What CLIP keeps in float16 (openai/CLIP, convert_weights): matrices and biases of layers, and both projections.
FLOAT16 = re.compile(
    r"(image|text)/(patch/kernel|projection/kernel|blocks/(attn/(qkv|out)|mlp/(fc|proj))/(kernel|bias))"
)
ALIKE = {"logit_bias": "logit_scale"}  # where no rule names the first, it learns as the second does
# AdamW's decay spares these where not everything decays: norms and biases, positions, tokens of one vector, scalars.
SPARED = re.compile(r".*(bias|scale|position|class_embedding|class_token|probe|time|logit_scale)")


def count_steps(optim: config.OptimConfig, clip_count: int, batch_size: int) -> tuple[int, int]:
    """Steps of a run over so many clips, and how many of them are the warm-up: the one place epochs become steps."""
    steps = optim.steps or max(1, round(optim.epochs * clip_count / batch_size))
    fraction = optim.warmup_epochs / optim.epochs if optim.epochs else 0.0
    return steps, round(steps * fraction)


def learning_rate(optim: config.OptimConfig, steps: int, warmup: int) -> Callable[[jax.Array], jax.Array]:
    """Step number -> learning rate: from 0 up to `lr` over the warm-up, down to 0 along a half cosine at the end.

    With `schedule_every` n > 1 a rate is kept for n steps, as ActionCLIP's loop does: looked up before its first step
    and before every n-th (number n - 1, 2n - 1 ...).
    """
    every = optim.schedule_every

    def schedule(step: jax.Array) -> jax.Array:
        step = jnp.maximum((step + 1) // every * every - 1, 0).astype(jnp.float32)
        progress = jnp.minimum((step - warmup) / max(steps - warmup, 1), 1.0)
        cosine = (1 + jnp.cos(jnp.pi * progress)) / 2
        return optim.lr * jnp.where(step < warmup, step / max(warmup, 1), cosine)

    return schedule


def match_multipliers(paths: Iterable[str], rules: config.Rules) -> dict[str, float]:
    """Parameter path -> the multiplier of the first rule that matches it, or else what is ALIKE, fully.

    Raises ValueError where none does.
    """
    matched, missing = {}, []
    for path in paths:
        names = (path, ALIKE.get(path, path))
        matching = [multiplier for name in names for pattern, multiplier in rules if re.fullmatch(pattern, name)]
        if matching:
            matched[path] = matching[0]
        else:
            missing.append(path)
    if missing:
        raise ValueError(f"optim.multipliers: no rule matches {', '.join(missing[:5])} ({len(missing)} parameters)")
    return matched


def make_optimizer(
    optim: config.OptimConfig, multipliers: Mapping[str, float]
) -> optax.GradientTransformationExtraArgs:
    """AdamW without its learning rate, which the step applies: gradients by path -> directions by path.

    The parameter moves by -rate * multiplier * (m / (sqrt(v) + eps) + weight_decay * parameter), as in
    torch.optim.AdamW. Clipping, if any, is by the norm of all gradients together.
    """
    decayed = {path: optim.decay_everything or not SPARED.fullmatch(path) for path in multipliers}
    return optax.chain(
        optax.clip_by_global_norm(optim.clip_norm) if optim.clip_norm else optax.identity(),
        optax.scale_by_adam(optim.beta1, optim.beta2, optim.eps),
        optax.add_decayed_weights(optim.weight_decay, decayed),
        optax.stateless(lambda updates, _: jax.tree.map(operator.mul, dict(multipliers), updates)),
    )


def round_to_float16(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The parameters with CLIP's matrices rounded to float16, though still stored in float32."""
    return {
        path: param.astype(jnp.float16).astype(param.dtype) if FLOAT16.fullmatch(path) else param
        for path, param in params.items()
    }


def interpolate(
    initial: Mapping[str, jax.Array], params: Mapping[str, jax.Array], weight: jax.Array | float
) -> dict[str, jax.Array]:
    """Parameters moved towards the initial ones by `weight` (0 to 1); those without initial values stay."""
    return {
        path: param + weight * (initial[path] - param) if path in initial else param for path, param in params.items()
    }
