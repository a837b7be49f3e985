"""What a model is, and how it is computed."""

import dataclasses
import typing
from typing import Literal

from actionclip_jax.config import checks, settings

Activation = Literal["quick_gelu", "gelu", "gelu_tanh"]
TextActivation = Literal["same", "quick_gelu", "gelu", "gelu_tanh"]
ImagePooling = Literal["class_token", "attention"]
TextPooling = Literal["largest", "end", "last", "first"]
Cleaning = Literal["lower", "canonical", "whitespace"]
Resize = Literal["shortest", "squash"]
Filter = Literal["bicubic", "bilinear"]
Head = Literal["meanP", "Conv_1D", "LSTM", "Transf", "Transf_cls"]
Dtype = Literal["float32", "bfloat16"]
Remat = Literal["everything", "dots", "qkv_and_mlp", "attention_output", "nothing"]
Layers = Literal["auto", "scan", "unroll"]
Kernel = Literal["auto", "xla", "cudnn", "pallas"]
ACTIVATIONS, FILTERS, HEADS, DTYPES, REMAT, LAYERS, ATTENTION = (
    typing.get_args(choices) for choices in (Activation, Filter, Head, Dtype, Remat, Layers, Kernel)
)
ATTENTION_HEADS = ("Transf", "Transf_cls")  # temporal heads with attention, and a table of positions
# of CLIP's training images, RGB in 0..1
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@settings.dataclass
class ImageConfig:
    """The image tower: by default that of CLIP ViT-B/16."""

    size: int = 224  # pixels of a frame's side
    patch: int = 16  # pixels of a patch's side
    width: int = 768  # channels of a token
    depth: int = 12  # blocks
    heads: int = 12  # of attention
    mlp_width: int = 0  # hidden channels of a block's MLP; 0: four times the width
    class_token: bool = True  # a learned token stands before the patches
    patch_bias: bool = False  # the patch embedding adds a learned bias
    pre_norm: bool = True  # a layer norm stands before the first block
    rotary: bool = False  # queries and keys turn with their patch's row and column, beside the learned positions
    pooling: ImagePooling = "class_token"  # which token is the frame's feature; attention: what a learned probe reads
    pool_heads: int = 8  # of the probe's attention
    pool_mlp_width: int = 0  # hidden channels of the MLP behind the probe's attention; 0: four times the width
    projection: bool = True  # a linear map makes the feature as wide as the texts'; without it embed_width is the width
    unread: int = 0  # pixels at the right and lower edge that no patch covers: SigLIP's So400m/14 has 6 of 384
    resize: Resize = "shortest"  # to a square: the short side is resized and the rest cropped, or all is squashed
    filter: Filter = "bicubic"  # of resizing
    mean: tuple[float, float, float] = CLIP_MEAN  # taken out of RGB in 0..1; some open_clip models have 0.5
    std: tuple[float, float, float] = CLIP_STD  # what RGB is divided by, once the mean is taken out

    @property
    def grid(self) -> int:
        """Patches along a side of a frame."""
        return self.size // self.patch

    @property
    def patches(self) -> int:
        """Patches of a frame."""
        return self.grid**2

    @property
    def tokens(self) -> int:
        """Patches of a frame, and the class token where there is one."""
        return self.patches + self.class_token


@settings.dataclass
class TextConfig:
    """The text tower: by default that of CLIP ViT-B/16."""

    vocabulary: int = 49408  # tokens there are
    context: int = 77  # tokens of a text
    width: int = 512  # channels of a token
    depth: int = 12  # blocks
    heads: int = 8  # of attention
    mlp_width: int = 0  # hidden channels of a block's MLP; 0: four times the width
    activation: TextActivation = "same"  # same: as in the image tower
    causal: bool = True  # a token sees those before it alone; else it sees all of them, padding too
    pooling: TextPooling = "largest"  # which token is the text's feature: of the largest id; end: the first of `end`
    end: int = 0  # id of the end token, where `pooling` asks for it
    pad: int = 0  # id of the padding behind a text
    projection_bias: bool = False  # the projection adds a learned bias
    cleaning: Cleaning = "lower"  # what is done to a text: CLIP's, SigLIP's without punctuation, or white space alone


@settings.dataclass
class TemporalConfig:
    """How frame features become a clip feature. `Transf` is what every released ActionCLIP uses."""

    head: Head | str = "meanP"  # how frames become a clip: see docs/training.md
    depth: int = 6  # blocks, of heads with attention
    heads: int = 8  # of attention
    positions: int = 77  # rows of the frame position table: the source keeps 77, the mmaction2 port one a frame
    norm_eps: float = 1e-12  # of Transf: the source's value, the mmaction2 port has 1e-5
    legacy_layout: bool = False  # of Conv_1D: the source convolves over channels, not time


@settings.dataclass
class ModelConfig:
    """What the model is: everything that decides the parameters' shapes and the function they compute."""

    image: ImageConfig = ImageConfig()
    text: TextConfig = TextConfig()
    temporal: TemporalConfig = TemporalConfig()
    embed_width: int = 512  # of the space in which videos and texts are compared
    activation: Activation = "quick_gelu"  # of the towers; OpenAI's weights have quick_gelu
    norm_eps: float = 1e-5  # of the towers' layer norms
    logit_bias: bool = False  # a learned number is added to all scaled similarities: of towers trained with a sigmoid
    frames: int = 8  # frames sampled from a clip unless the caller says otherwise
    shift: bool = False  # "in-network prompt": patch tokens shift over time before every image block
    joint: bool = False  # "pre-network prompt": the patches of all frames attend together
    drop_path: float = 0.0  # stochastic depth of the last block, growing linearly from 0 at the first
    embedding_dropout: float = 0.0  # share of the tokens' channels that training sets to 0 before the first block
    patch_dropout: float = 0.0  # share of a frame's patches that training leaves out (FLIP, arXiv 2212.00794)

    @property
    def kept_patches(self) -> int:
        """Patches of a frame that are left in training."""
        return max(1, round(self.image.patches * (1 - self.patch_dropout)))


@settings.dataclass
class ComputeConfig:
    """How the model is computed: may differ between two runs of the same weights. Parameters are float32 always."""

    dtype: Dtype = "float32"  # of products and activations
    remat: Remat = "everything"  # what of a block is saved for the backward pass, which computes the rest again
    layers: Layers = "auto"  # scan on CPUs and several TPU slices; else unroll: slower to compile, quicker
    attention: Kernel = "auto"  # kernel of attention; auto: the quickest for the device and the dtype
    interpolate_positions: bool = False  # stretch the frame positions when a clip has more frames than they have rows


# Beyond any model there is, and small enough that a mistyped number asks for no memory before it is refused.
MODEL_LIMITS = {
    **dict.fromkeys(("size", "patch", "unread", "context", "frames"), 4096),
    **dict.fromkeys(("width", "embed_width"), 16384),
    **dict.fromkeys(("mlp_width", "pool_mlp_width"), 1 << 17),
    **dict.fromkeys(("depth", "heads", "pool_heads"), 1024),
    **dict.fromkeys(("vocabulary", "end", "pad"), 1 << 20),
    "positions": 1 << 16,
}
FROM_ZERO = ("mlp_width", "pool_mlp_width", "unread", "end", "pad")  # the rest is at least 1


def model_problems(model: ModelConfig, compute: ComputeConfig | None = None) -> list[str]:
    """Everything that makes the configuration impossible, as sentences."""
    compute = compute or ComputeConfig()
    problems = [
        *checks.choice_problems(model),
        *(
            f"{name}.{problem}"
            for name in ("image", "text", "temporal")
            for problem in checks.choice_problems(getattr(model, name))
        ),
        *checks.choice_problems(compute),
        *size_problems(model),
        *pixel_problems(model.image.mean, model.image.std),
    ]
    return problems or conflicts(model, compute)


def size_problems(model: ModelConfig) -> list[str]:
    """Whole numbers that are too small, or beyond MODEL_LIMITS."""
    problems = []
    for part in (model, model.image, model.text, model.temporal):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            least = 0 if field.name in FROM_ZERO else 1
            if type(value) is int and not least <= value <= MODEL_LIMITS[field.name]:
                expected = f"at least {least}" if value < least else f"at most {MODEL_LIMITS[field.name]}"
                problems.append(f"{type(part).__name__}.{field.name} is {value}: expected {expected}")
    return problems


def conflicts(model: ModelConfig, compute: ComputeConfig) -> list[str]:
    """Values that are possible, but not together."""
    image, text = model.image, model.text
    problems = image_conflicts(image, model.embed_width)
    for name in ("end", "pad"):
        if getattr(text, name) >= text.vocabulary:
            problems.append(f"text.{name} is {getattr(text, name)}: not below text.vocabulary, {text.vocabulary}")
    widths = [("image", image.width, image.heads), ("text", text.width, text.heads)]
    if image.pooling == "attention":
        widths.append(("image pooling", image.width, image.pool_heads))
    if model.temporal.head in ATTENTION_HEADS:
        widths.append(("temporal", model.embed_width, model.temporal.heads))
    for name, width, heads in widths:
        if width % heads:
            problems.append(f"{name} width {width} is not a multiple of its {heads} heads")
    if model.shift and model.joint:
        problems.append("shift and joint exclude each other: joint attention already mixes the frames")
    for name in ("drop_path", "embedding_dropout", "patch_dropout"):
        if not 0 <= getattr(model, name) < 1:
            problems.append(f"{name} is {getattr(model, name)}: expected at least 0 and below 1")
    if compute.attention == "cudnn" and compute.dtype == "float32":
        problems.append("attention cudnn computes in bfloat16 only: set dtype to bfloat16, or attention to xla")
    return problems


def image_conflicts(image: ImageConfig, embed_width: int) -> list[str]:
    """Values of an image tower that are possible, but not together."""
    problems = []
    if image.unread >= image.patch or (image.size - image.unread) % image.patch:
        rest = f"{image.unread} unread pixels" if image.unread else "no unread pixels"
        problems.append(f"image.size {image.size} is not a multiple of image.patch {image.patch}, with {rest}")
    if image.pooling == "class_token" and not image.class_token:
        problems.append("image.pooling is class_token, and image.class_token is False: there is no such token")
    if image.rotary and image.width // image.heads % 4:
        problems.append(f"image.rotary turns heads of a multiple of 4 channels, not of {image.width // image.heads}")
    if not image.projection and embed_width != image.width:
        problems.append(f"without image.projection embed_width is image.width, {image.width}, and not {embed_width}")
    return problems


def pixel_problems(mean: tuple[float, ...], std: tuple[float, ...]) -> list[str]:
    """What makes constants of pixels impossible: they are of RGB in 0..1, and some files have them for 0..255."""
    problems = []
    if not all(0 <= value <= 1 for value in mean):  # catches NaN too
        problems.append(f"image.mean is {mean}: expected three means of RGB in 0..1")
    if not all(1e-3 <= value <= 1 for value in std):
        problems.append(f"image.std is {std}: expected three deviations of RGB in 0..1, all above 0")
    return problems


def checked_model(model: ModelConfig, compute: ComputeConfig | None = None) -> ModelConfig:
    """The model, or a checks.ConfigError listing all its problems."""
    if problems := model_problems(model, compute):
        raise checks.ConfigError(problems)
    return model
