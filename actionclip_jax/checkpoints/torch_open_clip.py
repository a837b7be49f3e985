"""open_clip's own model with the weights of a source checkpoint, which owes nothing to this project's.

A directory with open_clip's settings is read by open_clip alone. PE-Core's own files, which have none, become a model
of the same sizes: timm's image tower with timm's conversion of the names, and open_clip's text tower.
"""

import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from actionclip_jax.checkpoints import (
    errors,
    formats,
    huggingface,
    naming,
    open_clip,
    open_clip_export,
    torch_files,
    torch_models,
)

LIKE = "vit_pe_core_base_patch16_224"  # whose kind all of PE-Core's image towers are
PE_PIXELS = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "resize_mode": "squash"}


def is_needed(source: torch_files.Source, recognised: formats.Recognised) -> bool:
    """Whether the model of the source is not one that transformers has under the names of a CLIP."""
    if recognised.format == "pe":
        return True
    model, apart = recognised.model, any(name.startswith(naming.TEXT) for name in recognised.tensors)
    others = apart or huggingface.kind(model) != "clip" or bool(huggingface.not_expressible(model))
    return recognised.format == "open_clip" and open_clip.CONFIG in source.side and others


@torch.inference_mode()
def features(
    source: torch_files.Source, recognised: formats.Recognised, pictures: np.ndarray, prompts: Sequence[str]
) -> dict[str, torch.Tensor]:
    """uint8 [B, T, H, W, 3] and N texts -> pixels [B, T, S, S, 3], and frame, clip and text features and logits."""
    make = perception_encoder if recognised.format == "pe" else by_itself
    model, transform, tokenizer = make(source, recognised)
    pixels = torch.stack([transform(Image.fromarray(picture)) for picture in pictures.reshape(-1, *pictures.shape[2:])])
    per_frame = model.eval().encode_image(pixels).unflatten(0, pictures.shape[:2])
    texts = torch_models.unit(model.encode_text(tokenizer(list(prompts))))
    clips = torch_models.unit(torch_models.TemporalHead(recognised)(per_frame))
    bias = getattr(model, "logit_bias", None)
    logits = model.logit_scale.exp() * clips @ texts.T + (0 if bias is None else bias)
    named = {"frame features": per_frame, "clip features": clips, "text features": texts, "logits": logits}
    return {"pixels": pixels.unflatten(0, pictures.shape[:2]).movedim(2, -1), **named}


def by_itself(source: torch_files.Source, recognised: formats.Recognised) -> tuple[Any, Any, Any]:
    """The model, its transform of pictures and its tokenizer, as open_clip reads them from the directory."""
    library, directory = import_open_clip(), f"local-dir:{source.path.parent}"
    model, transform = library.create_model_from_pretrained(directory, return_transform=True)
    if "preprocess_cfg" not in source.side[open_clip.CONFIG]:  # what is taken for granted is not what it could prove
        image = recognised.model.image
        told = {"mean": image.mean, "std": image.std, "interpolation": image.filter, "resize_mode": image.resize}
        transform = pixel_transform(library, recognised, told)
    return model, transform, library.get_tokenizer(directory)


def perception_encoder(_: torch_files.Source, recognised: formats.Recognised) -> tuple[Any, Any, Any]:
    """The same of PE-Core's own file."""
    library = import_open_clip()
    tokenizer = library.SimpleTokenizer(context_length=recognised.model.text.context)
    return PerceptionEncoder(recognised), pixel_transform(library, recognised, PE_PIXELS), tokenizer


def pixel_transform(library: types.ModuleType, recognised: formats.Recognised, told: Mapping[str, Any]) -> Any:
    """open_clip's transform of pictures by settings in its words."""
    settings = library.transform.PreprocessCfg(size=recognised.model.image.size, **told)
    return library.transform.image_transform_v2(settings, is_train=False)


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
        import timm.models.eva  # not before `import_open_clip` has seen that it is there
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
            ref_feat_shape=(image.grid, image.grid),  # by which the places of patches are not rescaled
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
