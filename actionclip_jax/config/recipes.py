"""The published recipes that the files in `configs/` are made of; each is a draft to be changed further."""

from typing import Literal

from actionclip_jax import config

HUB = {  # repositories of the Hugging Face hub with published towers, which training starts from
    "ViT-B/32": "openai/clip-vit-base-patch32",
    "ViT-B/16": "openai/clip-vit-base-patch16",
    "ViT-L/14": "openai/clip-vit-large-patch14",
    "ViT-L/14@336": "openai/clip-vit-large-patch14-336",
    "ViT-H/14": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "ViT-bigG/14": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "MetaCLIP2-H/14": "facebook/metaclip-2-worldwide-huge-quickgelu",
    **{f"SigLIP-B/16{at}": f"google/siglip-base-patch16-{at[1:] or 224}" for at in ("", "@256", "@384", "@512")},
    **{f"SigLIP-L/16{at}": f"google/siglip-large-patch16-{at[1:]}" for at in ("@256", "@384")},
    **{f"SigLIP-So400m/14{at}": f"google/siglip-so400m-patch14-{at[1:] or 224}" for at in ("", "@384")},
    "SigLIP2-B/32@256": "google/siglip2-base-patch32-256",
    **{f"SigLIP2-B/16{at}": f"google/siglip2-base-patch16-{at[1:] or 224}" for at in ("", "@256", "@384", "@512")},
    **{f"SigLIP2-L/16{at}": f"google/siglip2-large-patch16-{at[1:]}" for at in ("@256", "@384", "@512")},
    **{f"SigLIP2-So400m/14{at}": f"google/siglip2-so400m-patch14-{at[1:] or 224}" for at in ("", "@384")},
    **{f"SigLIP2-So400m/16{at}": f"google/siglip2-so400m-patch16-{at[1:]}" for at in ("@256", "@384", "@512")},
    **{f"SigLIP2-g-opt/16{at}": f"google/siglip2-giant-opt-patch16-{at[1:]}" for at in ("@256", "@384")},
    "PE-Core-T/16@384": "timm/PE-Core-T-16-384",
    "PE-Core-S/16@384": "timm/PE-Core-S-16-384",
    "PE-Core-B/16": "timm/PE-Core-B-16",
    "PE-Core-L/14@336": "timm/PE-Core-L-14-336",
    "PE-Core-G/14@448": "timm/PE-Core-bigG-14-448",
}


def action_clip(size: str, frames: int) -> config.TrainConfig:
    """ActionCLIP with the Transf head, starting from published towers of that size; AdamW as the paper has it.

    Towers that were trained with a sigmoid go on with one. Raises ConfigError for towers that are not in HUB.
    """
    if size not in HUB:
        raise config.ConfigError([f"towers {size!r}: expected one of {', '.join(HUB)}"])
    run = config.draft(config.TrainConfig())
    run.model = config.clip_model(size, "Transf", frames=frames)
    run.compute.dtype = "bfloat16"
    run.data.sample = config.sample_for(run.model)
    run.init_from = HUB[size]
    if run.model.logit_bias:
        run.objective.loss = "sigmoid"
    return run


def kinetics400(size: str, frames: int) -> config.TrainConfig:
    """Kinetics-400: the source's settings, which are the defaults, on prepared records."""
    run = action_clip(size, frames)
    run.data.train.path = "data/kinetics400/train"  # made by `actionclip prepare`
    run.data.test.path = "data/kinetics400/validation"
    # as the training list in circulation has it
    run.data.expect = config.ExpectConfig(clips=240_436, classes=400, text_tokens=16)
    run.workdir = f"outputs/k400_{size.lower().replace('/', '').replace('-', '_').replace('@', '_')}_{frames}f"
    return run


def fine_tuning(name: Literal["hmdb51", "ucf101"], frames: int, batch_size: int) -> config.TrainConfig:
    """A data set with official splits, the first of them, from Kinetics-400: no RandAugment, and small batches."""
    run = action_clip("ViT-B/16", frames)
    run.data.train = config.SourceConfig(f"data/{name}/splits", kind=name, videos=f"data/{name}/videos", split="train")
    run.data.test = config.SourceConfig(f"data/{name}/splits", kind=name, videos=f"data/{name}/videos", split="test")
    run.data.augment.rand_operations = 0
    run.data.loader.batch_size = batch_size
    run.init_from = f"outputs/k400_vit_b16_{frames}f/model"
    run.workdir = f"outputs/{name}"
    return run


def few_shot(name: Literal["hmdb51", "ucf101"], shots: str) -> config.TrainConfig:
    """K clips of every class of HMDB51 or UCF101, drawn by `data.train.seed`, from CLIP; 32 frames of ViT-B/16."""
    run = fine_tuning(name, 32, batch_size=64)
    run.data.train.shots = int(shots)
    run.init_from = HUB["ViT-B/16"]
    run.eval_every_epochs = 10.0
    run.workdir = f"outputs/{name}_{shots}_shots"
    return run
