"""ActionCLIP in PyTorch, to measure against and to test against: towers of transformers, the rest of torch.nn."""

import pathlib
import tempfile

import jax
import torch
import transformers
from flax import nnx
from torch.nn import functional

from actionclip_jax import config, text
from actionclip_jax.checkpoints import export, formats, huggingface, model_directory, torch_files, torch_models
from actionclip_jax.models import action_clip


class TorchVideo(torch.nn.Module):
    """uint8 [B, T, S, S, 3] -> [B, E] of unit norm, with the weights of an ActionCLIP checkpoint."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, source: formats.Recognised, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        vision = huggingface.describe(source.model).vision_config
        self.image = transformers.CLIPVisionModelWithProjection._from_config(vision, attn_implementation="sdpa")
        self.image.load_state_dict(part_of(torch_models.towers(source), self.image))
        self.head = torch_models.TemporalHead(source)
        self.register_buffer("mean", torch.tensor(source.model.image.mean), persistent=False)
        self.register_buffer("std", torch.tensor(source.model.image.std), persistent=False)
        for part in (self.image, self.head):
            part.to(dtype)
        self.eval()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalises in float32, as the JAX model does."""
        pixels = (frames.flatten(0, 1).float() / 255 - self.mean) / self.std
        features = self.image(pixel_values=pixels.movedim(-1, 1).to(self.image.dtype)).image_embeds
        return torch_models.unit(self.head(features.unflatten(0, frames.shape[:2])).float())


class TorchTraining(torch.nn.Module):
    """uint8 [B, T, S, S, 3], token ids [B, L] and labels [B] -> the exact loss, or with a bias that of a sigmoid.

    Both are in float32 after the towers.
    """

    def __init__(self, source: formats.Recognised, bias: float | None = None) -> None:
        super().__init__()
        towers, words = torch_models.towers(source), huggingface.describe(source.model).text_config
        self.video = TorchVideo(source)
        self.text = transformers.CLIPTextModelWithProjection._from_config(words, attn_implementation="sdpa")
        self.text.load_state_dict(part_of(towers, self.text))
        self.logit_scale = torch.nn.Parameter(towers.logit_scale.detach().clone())
        self.logit_bias = None if bias is None else torch.nn.Parameter(torch.tensor(bias))

    def forward(self, frames: torch.Tensor, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The text's feature is that of its last token, which has the largest id."""
        hidden = self.text.text_model(input_ids=tokens).last_hidden_state
        texts = self.text.text_projection(hidden[torch.arange(len(tokens)), tokens.argmax(1)])
        video, texts, scale = self.video(frames), torch_models.unit(texts.float()), self.logit_scale.exp()
        if self.logit_bias is not None:
            return sigmoid(video, texts, labels, scale, self.logit_bias)
        return contrastive(video, texts, labels, scale)

    def named_state(self) -> dict[str, torch.Tensor]:
        """All parameters by the names of transformers' CLIP, and of the head after `head.`."""
        head = {f"head.{name}": tensor for name, tensor in self.video.head.state_dict().items()}
        scaling = {name: tensor.data for name, tensor in self.named_parameters() if name.startswith("logit_")}
        return {**self.video.image.state_dict(), **self.text.state_dict(), **scaling, **head}

    def adamw(self, optim: config.OptimConfig, *, fused: bool = False) -> torch.optim.AdamW:
        """The head learns ten times as fast."""
        towers = [*self.video.image.parameters(), *self.text.parameters(), self.logit_scale]
        towers += [] if self.logit_bias is None else [self.logit_bias]
        head = list(self.video.head.parameters())
        groups = [{"params": towers, "lr": optim.lr}, {"params": head, "lr": 10 * optim.lr}]
        betas, decay = (optim.beta1, optim.beta2), optim.weight_decay
        return torch.optim.AdamW(groups, betas=betas, eps=optim.eps, weight_decay=decay, fused=fused)


def part_of(towers: torch.nn.Module, part: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of both towers that one of them has."""
    state = towers.state_dict()
    return {name: state[name] for name in part.state_dict()}


def contrastive(
    video: torch.Tensor, text: torch.Tensor, labels: torch.Tensor, scale: torch.Tensor, kind: str = "exact"
) -> torch.Tensor:
    """Features of unit norm [B, E] and labels [B] -> the mean of both directions' losses."""
    similarities = scale * video @ text.T
    directions = (similarities, similarities.T)
    if kind == "one_positive":
        own = torch.arange(len(video), device=video.device)
        losses = [functional.cross_entropy(rows, own) for rows in directions]
    else:
        same = (labels[:, None] == labels[None]).to(video.dtype)
        target = torch.softmax(10 * same, 1) if kind == "exact" else same / same.sum(1, keepdim=True)
        losses = [functional.kl_div(rows.log_softmax(1), target, reduction="batchmean") for rows in directions]
    return (losses[0] + losses[1]) / 2


def sigmoid(
    video: torch.Tensor, text: torch.Tensor, labels: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Features of unit norm [B, E] and labels [B] -> SigLIP's loss, pair by pair, where a class has several clips."""
    loss = torch.zeros((), dtype=video.dtype, device=video.device)
    for one, label in zip(video, labels, strict=True):
        for other, its in zip(text, labels, strict=True):
            z = 1 if label == its else -1
            loss = loss - functional.logsigmoid(z * (scale * (one @ other) + bias))
    return loss / len(video)


def same_weights(model: config.ModelConfig) -> tuple[dict[str, jax.Array], formats.Recognised]:
    """Random parameters, and what the conversion makes of them as a PyTorch checkpoint."""
    params = jax.jit(lambda: action_clip.named_params(action_clip.ActionClip(model, rngs=nnx.Rngs(0))))()
    weights = model_directory.Weights(model, params, text.default_tokenizer(), {}, {})
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model.pt"
        export.export(weights, path, "actionclip", towers_only=False, overwrite=False)
        return params, formats.recognise(torch_files.read(path), frames=model.frames)
