"""The models that can be named: what others have released, and where it is to be had. Nothing here is downloaded."""

import dataclasses
import difflib

from actionclip_jax.config import recipes

SAMPLE = "sample"  # the demo's model, which is made here
OPENAI = "https://openaipublic.azureedge.net/clip/models"
ACTIONCLIP = "https://github.com/sallymmx/ActionCLIP#pretrained-models"
MMACTION = "https://download.openmmlab.com/mmaction/v1.0/projects/actionclip"


@dataclasses.dataclass(frozen=True)
class Released:
    """One model. What its publisher does not say is empty."""

    name: str
    publisher: str
    size: str  # of its towers, a key of `config.SIZES` for all but the sample model
    frames: int | None  # of a clip in training; None: it was trained on pictures
    score: str  # as published: top-1 in percent
    licence: str
    hub: str = ""  # repository of the Hugging Face hub
    where: str = ""  # address of the file, or of the page that leads to it
    code: str = ""  # that the address asks for
    page: str = ""  # that links to the address
    sha256: str = ""  # of the file; or its first digits

    def convert(self) -> str:
        """The command that turns its file into a model directory."""
        frames = f" --frames {self.frames}" if self.publisher == "ActionCLIP" else ""  # whose files do not say it
        return f"actionclip convert FILE models/{self.name}{frames}"

    def how_to_get(self) -> str:
        """What to do before a model that is on no hub can be used."""
        code = f" (code {self.code})" if self.code else ""
        page = f", a link of {self.page}" if self.page else ""
        return (
            f"its file has to be fetched by hand: {self.where}{code}{page}. Then run `{self.convert()}`, and give "
            f"models/{self.name} in the place of {self.name}"
        )


def _clip(name: str, size: str, sha256: str, file: str, score: str = "") -> Released:
    """OpenAI's: its addresses hold the SHA-256."""
    where = f"{OPENAI}/{sha256}/{file}"
    return Released(name, "OpenAI CLIP", size, None, score, "MIT", recipes.HUB[size], where, sha256=sha256)


def _actionclip(size: str, frames: int, score: str, share: str, code: str) -> Released:
    letters = size.lower().replace("/", "-")
    where = f"https://pan.baidu.com/s/{share}"
    return Released(
        f"actionclip-{letters}-{frames}f",
        "ActionCLIP",
        size,
        frames,
        f"Kinetics-400 {score}",
        "MIT",
        where=where,
        code=code,
        page=ACTIONCLIP,
    )


def _mmaction(name: str, size: str, frames: int, score: str, file: str) -> Released:
    digits = file.removesuffix(".pth").rpartition("-")[2]
    known = digits if "_20230801-" in file else ""  # OpenMMLab puts the first digits of the SHA-256 into such names
    where = f"{MMACTION}/{file}"
    return Released(name, "mmaction2", size, frames, f"Kinetics-400 {score}", "Apache-2.0", where=where, sha256=known)


def _hub(publisher: str, size: str, licence: str = "Apache-2.0") -> Released:
    """Towers that a repository of the hub holds; the last part of its name, in small letters, names them here."""
    hub = recipes.HUB[size]
    return Released(hub.split("/")[1].lower(), publisher, size, None, "", licence, hub)


PORTED = "actionclip_vit-base-p{}-res224-clip-pre_1x1x{}_k400-rgb/vit-b-{}-{}f.pth"
TRAINED = "actionclip_vit-base-p{0}-res224-clip-pre_g8xb16_1x1x8_k400-rgb"
TRAINED += "/actionclip_vit-base-p{0}-res224-clip-pre_g8xb16_1x1x8_k400-rgb_20230801-{1}.pth"

MODELS = (
    Released(SAMPLE, "actionclip-jax", "small", 4, "24 unseen classes of its own videos 95 to 99", "Apache-2.0"),
    _clip(
        "clip-vit-b-32",
        "ViT-B/32",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "ViT-B-32.pt",
    ),
    _clip(
        "clip-vit-b-16",
        "ViT-B/16",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        "ViT-B-16.pt",
        "zero-shot UCF101 73.8, HMDB51 47.9, Kinetics-600 68.1",
    ),
    _clip(
        "clip-vit-l-14",
        "ViT-L/14",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        "ViT-L-14.pt",
    ),
    _clip(
        "clip-vit-l-14-336",
        "ViT-L/14@336",
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        "ViT-L-14-336px.pt",
    ),
    _hub("SigLIP 2", "SigLIP2-B/16"),
    _hub("SigLIP 2", "SigLIP2-B/16@512"),
    _hub("SigLIP 2", "SigLIP2-L/16@256"),
    _hub("SigLIP 2", "SigLIP2-So400m/14@384"),
    _hub("SigLIP", "SigLIP-B/16"),
    _hub("SigLIP", "SigLIP-So400m/14@384"),
    _hub("Perception Encoder", "PE-Core-B/16"),
    _hub("Perception Encoder", "PE-Core-L/14@336"),
    _hub("Perception Encoder", "PE-Core-G/14@448"),
    _hub("LAION", "ViT-H/14", "MIT"),
    _hub("LAION", "ViT-bigG/14", "MIT"),
    _hub("MetaCLIP 2", "MetaCLIP2-H/14", "CC-BY-NC-4.0"),
    _actionclip("ViT-B/32", 8, "78.36", "1NOKtVG6wxCrKvZ12IAofSQ", "b5ni"),
    _actionclip("ViT-B/16", 8, "81.09", "1alr0JNF5sdcU3jtCpT0Bow", "hqtv"),
    _actionclip("ViT-B/16", 16, "81.68", "1iWpuUzML3gfxq-4KrwIO5A", "dk4r"),
    _actionclip("ViT-B/16", 32, "82.32", "1hnmFQcoe6ii_mU7BzeTL5Q", "35uu"),
    _mmaction("mmaction2-vit-b-32-8f", "ViT-B/32", 8, "77.6", PORTED.format(32, 8, 32, 8)),
    _mmaction("mmaction2-vit-b-16-8f", "ViT-B/16", 8, "80.3", PORTED.format(16, 8, 16, 8)),
    _mmaction("mmaction2-vit-b-16-16f", "ViT-B/16", 16, "81.1", PORTED.format(16, 16, 16, 16)),
    _mmaction("mmaction2-vit-b-16-32f", "ViT-B/16", 32, "81.3", PORTED.format(16, 32, 16, 32)),
    _mmaction("mmaction2-vit-b-32-8f-trained", "ViT-B/32", 8, "77.5", TRAINED.format(32, "8535b794")),
    _mmaction("mmaction2-vit-b-16-8f-trained", "ViT-B/16", 8, "81.3", TRAINED.format(16, "b307a0cd")),
)
BY_NAME = {model.name: model for model in MODELS}


def suggest(name: str) -> str:
    """What a name may be meant for, for the end of a message."""
    near = difflib.get_close_matches(name.lower(), BY_NAME, 3, 0.75)
    return f"; did you mean {' or '.join(near)}? `actionclip models` tells more" if near else ""
