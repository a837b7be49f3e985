"""How fast and how long to train, by where the weights come from and how many clips there are."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from actionclip_jax import config

EVERYTHING_ALIKE = ((r".*", 1.0),)  # the multipliers of models in which nothing was trained before


@dataclasses.dataclass(frozen=True)
class Pace:
    """What the rule gives, and why."""

    optim: config.OptimConfig
    batch_size: int
    reasons: tuple[str, ...]  # sentences for people


def choose(request: config.FinetuneConfig, provenance: Mapping[str, Any], clips: int, devices: int) -> Pace:
    """The pace for so many training clips on so many devices; what the request says is taken as it is."""
    batch_size, of_batch = choose_batch(request, clips, devices)
    rate, multipliers, clip_norm, of_rate = choose_rate(request, provenance, batch_size)
    epochs, of_epochs = choose_epochs(request, clips, batch_size)
    optim = config.OptimConfig(
        lr=rate,
        multipliers=multipliers,
        clip_norm=clip_norm,
        epochs=epochs,
        warmup_epochs=round(request.rule.warmup * epochs, 3),
    )
    return Pace(optim, batch_size, (of_batch, of_rate, of_epochs))


def choose_batch(request: config.FinetuneConfig, clips: int, devices: int) -> tuple[int, str]:
    """Clips of a batch, a multiple of the devices, and why so many: no more than the set has, but at least two."""
    wanted = request.batch_size or request.rule.batch_size
    least = -(-2 // devices) * devices
    most = max(least, clips // devices * devices)
    if request.batch_size and wanted <= most:
        return wanted, f"batch of {wanted} clips, as asked for"
    chosen = min(max(least, wanted // devices * devices), most)
    if chosen >= wanted:
        return chosen, f"batch of {chosen} clips: the rule's number"
    why = f"the set has {clips}" if most < wanted else f"the {devices} devices share it"
    return chosen, f"batch of {chosen} clips instead of {wanted}: {why}"


def choose_rate(
    request: config.FinetuneConfig, provenance: Mapping[str, Any], batch_size: int
) -> tuple[float, config.Rules, float, str]:
    """Learning rate, multipliers, the norm that gradients are clipped at, and why."""
    rule, usual, first = request.rule, config.OptimConfig(), first_rate(provenance)
    multipliers, clip_norm = EVERYTHING_ALIKE, rule.clip_norm
    if request.from_scratch:
        base = first or rule.scratch_lr
        why = "random weights" + (f", and the model's first training had {first:g}" if first else "")
    elif first:
        base = rule.lr_share * first
        why = f"{rule.lr_share:g} of {first:g}, with which this program first trained the model, from random weights"
    else:
        base, multipliers, clip_norm = rule.published_lr, usual.multipliers, usual.clip_norm
        why = f"the published rate for fine-tuning, ten times that for a temporal head; {describe(provenance)}"
    if request.lr:
        return request.lr, multipliers, clip_norm, f"learning rate {request.lr:g}, as asked for (the rule: {base:g})"
    if (share := batch_size / rule.batch_size) < 1:
        base *= math.sqrt(share)
        why += f"; times the square root of {batch_size}/{rule.batch_size}, for the smaller batch"
    base = float(f"{base:.3g}")
    return base, multipliers, clip_norm, f"learning rate {base:g}: {why}"


def choose_epochs(request: config.FinetuneConfig, clips: int, batch_size: int) -> tuple[float, str]:
    """Epochs, and why so many."""
    if request.epochs:
        return request.epochs, f"{request.epochs:g} epochs, as asked for"
    rule = request.rule
    epochs, why = rule.epochs, "as published for fine-tuning"
    if rule.clips_seen / clips < epochs:
        epochs = max(rule.least_epochs, float(round(rule.clips_seen / clips)))
        why = f"{epochs * clips:,.0f} clips seen are enough for a set of {clips:,}"
    if epochs * clips / batch_size < rule.least_steps:
        epochs = float(math.ceil(rule.least_steps * batch_size / clips))
        why = f"so many that there are {rule.least_steps} steps, as the set is small"
    return epochs, f"{epochs:g} epochs: {why}"


def first_rate(provenance: Mapping[str, Any]) -> float | None:
    """The learning rate of the first of the trainings behind weights, if it began with random ones; else None."""
    while provenance.get("source") == "training":
        if provenance["initial"]["source"] == "random initialisation":
            return provenance["config"]["optim"]["lr"]
        provenance = behind(provenance)
    return None


def behind(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Where the weights come from that a run started from, which it tells under names with this prefix."""
    return {name.removeprefix("source_"): value for name, value in provenance["initial"].items() if name != "source"}


def describe(provenance: Mapping[str, Any]) -> str:
    """What is known of weights that this program did not make from nothing."""
    while provenance.get("source") == "training":
        provenance = behind(provenance)
    if kind := provenance.get("format"):
        return f"the weights are a checkpoint of the format {kind}"
    return "nothing says how these weights were made, so they are taken for published ones (--lr sets another rate)"
