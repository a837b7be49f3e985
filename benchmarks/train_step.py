"""Clips/s of a training step (exact loss, AdamW, Transf head) against PyTorch, on this machine.

This project's step is the one a run compiles (`train_step.trace_step`). PyTorch has transformers' towers with sdpa
attention, the head from torch.nn, AdamW (fused on a GPU), and autocast in bfloat16. Both sides start from the same
weights, see the same batch (checked by their first losses), and take turns within one run, so that other load hits them
alike.

    python benchmarks/train_step.py --sizes ViT-B/32 ViT-B/16 ViT-L/14 --frames 8 16 32 --dtypes bfloat16
    python benchmarks/train_step.py --every --dtypes bfloat16

The second one measures this project's step with every combination of layers, attention and rematerialisation.
"""

import functools
from collections.abc import Callable

import cases
import jax
import numpy as np
import rivals
import torch
import torch_model

from actionclip_jax import config, sharding, xla
from actionclip_jax.checkpoints import formats
from actionclip_jax.models import flops
from actionclip_jax.training import first_state, step_spec, train_step

CLASSES = 400
TOKENS = 16  # of a text: a label in a prompt needs 8 to 24 of the 77
OPTIM = config.OptimConfig(lr=1e-6, warmup_epochs=0.0)
LIMITS = {"float32": 1e-3, "bfloat16": 5e-2}  # of the first losses' relative difference


def torch_step(source: formats.Recognised, batch: dict[str, np.ndarray], dtype: str, mode: str | None) -> Callable:
    """`call(times)` trains so many steps and returns the last loss; compiled in that mode, if any."""
    device = rivals.torch_device()
    model = torch_model.TorchTraining(source).to(device).train()
    adamw = model.adamw(OPTIM, fused=device == "cuda")
    loss_of = torch.compile(model, mode=mode) if mode else model
    frames, tokens, labels = (torch.from_numpy(batch[name]).to(device) for name in ("video", "tokens", "label"))

    def step() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = loss_of(frames, tokens.long(), labels)
        adamw.zero_grad(set_to_none=True)
        loss.backward()
        adamw.step()
        return loss.detach()

    return rivals.waiting(step, rivals.wait_for_torch)


class JaxSteps:
    """This project's steps in all ways of computing. They share one state, which a GPU has not room for many times."""

    def __init__(self, case: cases.Case, params: dict[str, np.ndarray], batch: dict[str, np.ndarray]) -> None:
        self.case, self.params = case, params
        self.mesh = sharding.make_mesh(jax.devices()[:1])
        self.batch = {name: batch[name] for name in ("video", "label")}
        # a text for every class: row c of the table is the text of the first clip with that label
        self.texts = np.zeros((CLASSES, 1, TOKENS), np.int32)
        self.texts[batch["label"], 0] = batch["tokens"]
        self.state: train_step.TrainState | None = None

    def peer(self, compute: config.ComputeConfig) -> cases.Peer:
        """A way of computing, its first step taken from the first weights."""
        config.checked_model(self.case.model, compute)
        spec = self.make_spec(compute)
        self.state = None
        with jax.set_mesh(self.mesh):
            shapes = {path: jax.ShapeDtypeStruct(value.shape, value.dtype) for path, value in self.params.items()}
            described = first_state.describe(spec, shapes, (), self.mesh)
            texts = jax.device_put(self.texts, sharding.everywhere(self.mesh))
            sample = config.sample_for(self.case.model, self.case.frames)
            traced = train_step.trace_step(spec, self.mesh, described, texts, sample, self.case.batch)
            step = traced.lower().compile()
        batch = sharding.place_batch(self.batch, self.mesh)
        state_places = jax.tree.map(lambda leaf: leaf.sharding, described)
        start = jax.jit(functools.partial(train_step.init_state, spec), out_shardings=state_places)

        def run_step() -> jax.Array:
            # taken away first: a step that fails has deleted the state, and the next one starts anew
            state, self.state = self.state, None
            self.state, metrics = step(start(self.params, {}) if state is None else state, batch, texts)
            return metrics["loss"]

        call = rivals.waiting(run_step, jax.block_until_ready)
        return cases.Peer(call, np.asarray(call()), sum(xla.memory_by_kind(step).values()) or None)

    def make_spec(self, compute: config.ComputeConfig) -> step_spec.StepSpec:
        """What PyTorch's step computes."""
        return step_spec.StepSpec(
            model=self.case.model,
            compute=compute,
            augment=config.NO_AUGMENTATION,
            objective=config.ObjectiveConfig(),
            optim=OPTIM,
            interpolation=config.InterpolationConfig(),
            sharding=config.ShardingConfig(),
            steps=10**6,
            warmup=0,
            seed=0,
        )


def make_batch(case: cases.Case) -> dict[str, np.ndarray]:
    """Random pixels; labels in pairs (but of two clips two, or the loss is next to zero), each with its own text."""
    rng = np.random.default_rng(0)
    size = case.model.image.size
    labels = (np.arange(case.batch) // (2 if case.batch > 2 else 1)).astype(np.int32) % CLASSES
    texts = rng.integers(1, 49000, (CLASSES, TOKENS)).astype(np.int32)
    texts[:, 0], texts[:, -1] = 49406, 49407
    return {
        "video": rng.integers(0, 256, (case.batch, case.frames, size, size, 3), np.uint8),
        "label": labels,
        "tokens": texts[labels],
    }


def make_peers(case: cases.Case, weights: cases.Weights) -> cases.Sides:
    """What makes a peer of either side."""
    batch = make_batch(case)
    theirs = functools.partial(torch_step, weights.source, batch, case.dtype)
    return cases.Sides(theirs, JaxSteps(case, weights.params, batch).peer)


def count_work(model: config.ModelConfig, frames: int) -> float:
    """FLOPs of a step for each of its clips."""
    return flops.train_clip(model, config.ObjectiveConfig(), frames, 1.0, TOKENS)


def main() -> None:
    """Reads the command line, measures, prints the table."""
    parser = cases.make_parser(__doc__.splitlines()[0], ("layers", "attention", "remat"))
    cases.run(parser.parse_args(), count_work, make_peers, LIMITS)


if __name__ == "__main__":
    main()
