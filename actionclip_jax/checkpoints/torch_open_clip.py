"""open_clip's own model with the weights of a source checkpoint, which owes nothing to this project's.

A directory with open_clip's settings is read by open_clip alone. PE-Core's own files, which have none, become a model
of the same sizes: timm's image tower with timm's conversion of the names, and open_clip's text tower.
"""

import types
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, formats, naming, open_clip, open_clip_export, settings, torch_files

LIKE = "vit_pe_core_base_patch16_224"  # whose kind all of PE-Core's image towers are
PE_PIXELS = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "resize_mode": "squash"}
# fields that transformers' CLIP says too
SAID = ("size", "patch", "width", "depth", "heads", "mlp_width", "vocabulary", "context", "embed_width")
SAID += ("mean", "std", "resize", "filter", "model.activation", "norm_eps")


def is_needed(source: torch_files.Source, recognised: formats.Recognised) -> bool:
    """Whether transformers' CLIP is not the model of the source."""
    if recognised.format == "pe":
        return True
    apart = any(name.startswith(naming.TEXT) for name in recognised.tensors)
    unlike = settings.unlike(recognised.model, config.ModelConfig(), SAID)
    return recognised.format == "open_clip" and open_clip.CONFIG in source.side and (apart or bool(unlike))


class Reference:
    """The model, and how its pixels and tokens come to be."""

    def __init__(self, source: torch_files.Source, recognised: formats.Recognised) -> None:
        library = import_open_clip()
        if recognised.format == "pe":
            self.model = PerceptionEncoder(recognised)
            size = {"size": recognised.model.image.size}
            self.transform = library.image_transform_v2(library.transform.PreprocessCfg(**size, **PE_PIXELS), False)
            self.tokenizer: Any = library.SimpleTokenizer(context_length=recognised.model.text.context)
        else:
            directory = f"local-dir:{source.path.parent}"
            self.model, self.transform = library.create_model_from_pretrained(directory, return_transform=True)
            self.tokenizer = library.get_tokenizer(directory)
        self.model.eval()

    def pixels(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """uint8 [H, W, 3] of each picture -> [N, 3, S, S]."""
        from PIL import Image

        return torch.stack([self.transform(Image.fromarray(picture)) for picture in pictures])

    def logits(self, clips: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Unit-norm [B, E] and [N, E] -> [B, N]."""
        bias = getattr(self.model, "logit_bias", None)
        return self.model.logit_scale.exp() * clips @ texts.T + (0 if bias is None else bias)


def import_open_clip() -> types.ModuleType:
    """The package, or an error that says how to get it."""
    try:
        import open_clip as library
        import timm  # noqa: F401
    except ImportError as error:
        raise errors.CheckpointError(
            f"--verify of this model needs open_clip: pip install open_clip_torch timm ({error})"
        ) from None
    return library


class PerceptionEncoder(torch.nn.Module):
    """PE-Core of any sizes by the packages' own parts."""

    def __init__(self, recognised: formats.Recognised) -> None:
        import timm.models.eva
        from open_clip import transformer

        super().__init__()
        state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in recognised.tensors.items()}
        image, text = recognised.model.image, recognised.model.text
        self.visual = timm.create_model(
            LIKE,
            img_size=image.size,
            patch_size=image.patch,
            embed_dim=image.width,
            depth=image.depth,
            num_heads=image.heads,
            mlp_ratio=open_clip_export.ratio(image.width, image.mlp_width or 4 * image.width),
            class_token=image.class_token,
            rope_grid_offset=float(image.class_token),
            ref_feat_shape=None,
            num_classes=recognised.model.embed_width,
        )
        self.visual.load_state_dict(timm.models.eva.checkpoint_filter_fn(state, self.visual))
        self.text = transformer.TextTransformer(
            context_length=text.context,
            vocab_size=text.vocabulary,
            width=text.width,
            heads=text.heads,
            layers=text.depth,
            mlp_ratio=open_clip_export.ratio(text.width, text.mlp_width or 4 * text.width),
            output_dim=recognised.model.embed_width,
        )
        rest = {name: tensor for name, tensor in state.items() if not name.startswith("visual.")}
        self.logit_scale = torch.nn.Parameter(rest.pop("logit_scale"))
        self.text.load_state_dict(rest)

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, 3, S, S] -> [N, E]."""
        return self.visual(pixels)

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        """[N, L] -> [N, E]."""
        return self.text(ids)
