"""The video path in PyTorch, to measure against: transformers' image tower and the Transf head from torch.nn."""

import pathlib
import tempfile

import jax
import torch
import transformers
from flax import nnx

from actionclip_jax import config, text
from actionclip_jax.checkpoints import export, formats, huggingface, model_directory, torch_files, torch_models
from actionclip_jax.models import action_clip


class TorchVideo(torch.nn.Module):
    """uint8 [B, T, S, S, 3] -> [B, E] of unit norm, with the weights of an ActionCLIP checkpoint."""

    def __init__(self, source: formats.Recognised, dtype: torch.dtype) -> None:
        super().__init__()
        vision = huggingface.clip_config(source.model).vision_config
        towers = torch_models.towers(source).state_dict()
        self.image = transformers.CLIPVisionModelWithProjection._from_config(vision, attn_implementation="sdpa")
        self.image.load_state_dict({name: towers[name] for name in self.image.state_dict()})
        self.head = torch_models.TemporalHead(source)
        self.register_buffer("mean", torch.tensor(config.CLIP_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(config.CLIP_STD), persistent=False)
        for part in (self.image, self.head):
            part.to(dtype)
        self.eval()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalises in float32, as the JAX model does."""
        pixels = (frames.flatten(0, 1).float() / 255 - self.mean) / self.std
        features = self.image(pixel_values=pixels.movedim(-1, 1).to(self.image.dtype)).image_embeds
        return torch_models.unit(self.head(features.unflatten(0, frames.shape[:2])).float())


def same_weights(model: config.ModelConfig) -> tuple[dict[str, jax.Array], formats.Recognised]:
    """Random parameters, and what the conversion makes of them as a PyTorch checkpoint."""
    params = jax.jit(lambda: action_clip.named_params(action_clip.ActionClip(model, rngs=nnx.Rngs(0))))()
    weights = model_directory.Weights(model, params, text.default_tokenizer(), {}, {})
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model.pt"
        export.export(weights, path, "actionclip", towers_only=False, overwrite=False)
        return params, formats.recognise(torch_files.read(path), frames=model.frames)
