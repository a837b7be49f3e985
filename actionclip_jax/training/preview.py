"""What training will see of a data set, drawn before it begins."""

import pathlib

import jax
import numpy as np

from actionclip_jax import config
from actionclip_jax.data import examples, table
from actionclip_jax.plots import sheets
from actionclip_jax.training import color


def draw(
    file: pathlib.Path,
    clips: table.ClipTable,
    sample: config.SampleConfig,
    augmentation: config.AugmentConfig,
    seed: int,
    count: int,
) -> tuple[list[pathlib.Path], dict[str, str]]:
    """Draws the first `count` training examples of the seed, in the order of the data set.

    Returns the pages of the sheet, and the clips that could not be decoded with the reasons.
    """
    make = examples.TrainingExamples.build(clips, sample, augmentation, config.LoaderConfig(seed=seed))
    drawn = sorted((make(number) for number in range(min(count, len(clips)))), key=lambda each: int(each["clip"]))
    frames = jax.numpy.asarray(np.stack([each["video"] for each in drawn]))
    frames = color.augment_colors(frames, jax.random.key(seed), augmentation)
    rows = [clips[int(each["clip"])] for each in drawn]
    titles = [f"{clip.id}: {', '.join(clips.labels[label] for label in clip.labels)}" for clip in rows]
    pages = sheets.clip_sheets(file, np.asarray(frames).round().astype(np.uint8), titles)
    return pages, {clip: reason for each in drawn for _, clip, _, reason in each["bad"]}
