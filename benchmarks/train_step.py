"""Clips/s of a training step (exact loss, AdamW, Transf head) against PyTorch, on this machine.

PyTorch has transformers' towers with sdpa attention, the head from torch.nn, AdamW (fused on a GPU), and autocast in
bfloat16. Both sides start from the same weights, see the same batch (checked by their first losses), and take turns
within one run, so that other load hits them alike.

    python benchmarks/train_step.py --size ViT-B/16 --frames 8 --batch 64 --dtypes bfloat16
"""

import argparse
import dataclasses
import functools
import statistics
from collections.abc import Callable

import jax
import numpy as np
import rich.table
import rivals
import torch
import torch_video
import transformers
from torch.nn import functional

from actionclip_jax import compiler, config, flops, run_config, sharding, training
from actionclip_jax.convert import formats, verify
from actionclip_jax.models import clip

CLASSES = 400
TOKENS = 16  # of a text: a label in a prompt needs 8 to 24 of the 77


class TorchTraining(torch.nn.Module):
    """uint8 [B, T, S, S, 3], token ids [B, L] and labels [B] -> the exact loss."""

    def __init__(self, source: formats.Recognised) -> None:
        super().__init__()
        state = verify.torch_towers(source).state_dict()
        settings = verify.run.huggingface_config(source.model)
        self.towers = transformers.CLIPModel._from_config(settings, attn_implementation="sdpa")
        self.towers.load_state_dict(state, strict=False)
        self.head = verify.TorchHead(source)
        self.register_buffer("mean", torch.tensor(clip.MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(clip.STD), persistent=False)

    def forward(self, frames: torch.Tensor, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, in float32 after the towers."""
        pixels = ((frames.flatten(0, 1).float() / 255 - self.mean) / self.std).movedim(-1, 1)
        pooled = self.towers.vision_model(pixel_values=pixels).pooler_output
        features = self.towers.visual_projection(pooled).unflatten(0, frames.shape[:2])
        hidden = self.towers.text_model(input_ids=tokens).last_hidden_state
        text = self.towers.text_projection(hidden[torch.arange(len(tokens)), tokens.argmax(1)])
        video, text = verify.unit(self.head(features).float()), verify.unit(text.float())
        similarities = self.towers.logit_scale.exp() * video @ text.T
        target = torch.softmax(10 * (labels[:, None] == labels[None]).float(), dim=1)
        rows = (similarities, similarities.T)
        return sum(functional.kl_div(row.log_softmax(1), target, reduction="batchmean") for row in rows) / 2


def torch_peer(source: formats.Recognised, batch: dict[str, np.ndarray], dtype: str, compiled: bool) -> Callable:
    """`call(times)` trains so many steps and returns the last loss."""
    device = rivals.torch_device()
    model = TorchTraining(source).to(device).train()
    groups = [
        {"params": list(model.towers.parameters()), "lr": 1e-6},
        {"params": list(model.head.parameters()), "lr": 1e-5},
    ]
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.2, fused=device == "cuda")
    loss_of = torch.compile(model) if compiled else model
    frames, tokens, labels = (torch.from_numpy(batch[name]).to(device) for name in ("video", "tokens", "label"))

    def step() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = loss_of(frames, tokens.long(), labels)
        adamw.zero_grad(set_to_none=True)
        loss.backward()
        adamw.step()
        return loss.detach()

    return rivals.waiting(step, rivals.wait_for_torch)


def jax_peer(
    model: config.ModelConfig, params: dict, batch: dict[str, np.ndarray], compute: config.ComputeConfig
) -> Callable:
    """The same for this project's step, its state donated from call to call."""
    settings = run_config.OptimConfig(lr=1e-6, warmup_epochs=0.0)
    spec = training.StepSpec(
        model,
        compute,
        config.NO_AUGMENTATION,
        run_config.ObjectiveConfig(),
        settings,
        run_config.InterpolationConfig(),
        steps=10**6,
        warmup=0,
        seed=0,
    )
    mesh = sharding.make_mesh(jax.devices()[:1])
    state = jax.jit(functools.partial(training.init_state, spec))(jax.tree.map(np.asarray, params), {})
    options = compiler.options(compute.dtype)
    step = jax.jit(training.make_train_step(spec, mesh), donate_argnums=0, compiler_options=options)
    # a text for every class: row c of the table is the text of the first clip with that label
    texts = np.zeros((CLASSES, 1, TOKENS), np.int32)
    texts[batch["label"], 0] = batch["tokens"]
    placed, texts = jax.device_put(({"video": batch["video"], "label": batch["label"]}, texts))
    holder = [state]

    def call() -> jax.Array:
        holder[0], metrics = step(holder[0], placed, texts)
        return metrics["loss"]

    return rivals.waiting(call, jax.block_until_ready)


def make_batch(model: config.ModelConfig, frames: int, rows: int) -> dict[str, np.ndarray]:
    """Random pixels; labels in pairs, each with its own text."""
    rng = np.random.default_rng(0)
    size = model.image.size
    labels = (np.arange(rows) // 2).astype(np.int32) % CLASSES
    texts = rng.integers(1, 49000, (CLASSES, TOKENS)).astype(np.int32)
    texts[:, 0], texts[:, -1] = 49406, 49407
    return {
        "video": rng.integers(0, 256, (rows, frames, size, size, 3), np.uint8),
        "label": labels,
        "tokens": texts[labels],
    }


def benchmark(
    dtype: str, model: config.ModelConfig, params: dict, source: formats.Recognised, options: argparse.Namespace
) -> list[dict]:
    """A row for every peer in one dtype."""
    batch = make_batch(model, options.frames, options.batch)
    calls, losses, rows = {}, {}, []
    for peer in options.peers:
        try:
            if peer.startswith("torch"):
                calls[peer] = torch_peer(source, batch, dtype, compiled=peer == "torch.compile")
            else:
                compute = config.ComputeConfig(dtype=dtype, layers=peer.removeprefix("jax "), remat=options.remat)
                calls[peer] = jax_peer(model, params, batch, compute)
            losses[peer] = float(calls[peer]())
        except Exception as error:
            calls.pop(peer, None)
            rows.append({"peer": peer, "dtype": dtype, "failed": f"{type(error).__name__}: {error}".splitlines()[0]})
    if "torch" in losses:
        limit = 1e-3 if dtype == "float32" else 5e-2
        wrong = {peer: loss for peer, loss in losses.items() if abs(loss / losses["torch"] - 1) > limit}
        assert not wrong, f"the first losses differ: {losses}"
    work, products = rivals.matmuls(dtype)
    measured = rivals.take_turns(calls | products, options.repeats)
    peak = work / min(min(measured[name]) for name in products)
    operations = flops.train_clip(model, run_config.ObjectiveConfig(), options.frames, 1.0, TOKENS)
    best_torch = min((min(measured[peer]) for peer in calls if peer.startswith("torch")), default=None)
    for peer in calls:
        rates = sorted(options.batch / sample for sample in measured[peer])
        row = {
            "peer": peer,
            "dtype": dtype,
            "clips/s": statistics.median(rates),
            "samples": rates,
            "loss": losses[peer],
        }
        row["utilisation"] = row["clips/s"] * operations / peak
        row["peak"] = peak
        if best_torch:
            row["to best torch"] = best_torch / min(measured[peer])
        rows.append(row)
    return rows


def print_table(rows: list[dict], title: str) -> None:
    """All rows; those that failed say why."""
    columns = ("peer", "dtype", "clips/s", "spread", "model FLOP utilisation", "to best torch", "first loss")
    table = rich.table.Table(*columns, title=title)
    for row in rows:
        if "failed" in row:
            table.add_row(row["peer"], row["dtype"], row["failed"])
            continue
        spread = f"{row['samples'][0]:.3g}-{row['samples'][-1]:.3g}"
        ratio = f"{row['to best torch']:.2f}x" if "to best torch" in row else ""
        cells = (f"{row['clips/s']:.3g}", spread, f"{row['utilisation']:.0%}", ratio, f"{row['loss']:.4f}")
        table.add_row(row["peer"], row["dtype"], *cells)
    rivals.CONSOLE.print(table)


def main() -> None:
    """Reads the command line, measures, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rivals.add_options(parser, ("small",), batch=8, repeats=5)
    parser.add_argument("--remat", default="none", choices=config.REMAT)
    options = parser.parse_args()
    rivals.set_up()
    model = dataclasses.replace(
        small() if options.size == "small" else config.clip_model(options.size, "Transf"), frames=options.frames
    )
    params, source = torch_video.same_weights(model)
    rows = [row for dtype in options.dtypes for row in benchmark(dtype, model, params, source, options)]
    print_table(rows, f"training step, {rivals.describe(options)}")
    rivals.write_json(options, rows)


def small() -> config.ModelConfig:
    """A size that a CPU trains in seconds."""
    return config.checked(
        config.ModelConfig(
            image=config.ImageConfig(size=96, patch=16, width=256, depth=6, heads=4),
            text=config.TextConfig(width=256, depth=4, heads=4),
            temporal=config.TemporalConfig(head="Transf", depth=2, heads=4),
            embed_width=256,
        )
    )


if __name__ == "__main__":
    main()
