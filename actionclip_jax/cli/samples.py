"""`actionclip predict sample`: a first prediction where there is no video, no label and no network yet."""

import argparse

from actionclip_jax.checkpoints import released
from actionclip_jax.cli import terminal


def is_example(options: argparse.Namespace) -> bool:
    """Whether example videos are asked for. Raises ValueError where videos are missing for another model."""
    if not options.videos and options.model != released.SAMPLE:
        raise ValueError(f"VIDEO is missing: expected files, directories or globs; only {released.SAMPLE} has examples")
    return not options.videos


def fill_in(options: argparse.Namespace) -> None:
    """Puts the example videos into the options, and the names of their classes where no labels are given."""
    from actionclip_jax.experiments import sample_model

    options.videos = [str(path) for path in sample_model.example_videos()]
    if options.labels is None and options.labels_file is None:
        options.labels = ", ".join(sample_model.class_names())


def say_what_next() -> None:
    """What to change for one's own videos."""
    terminal.say(
        "\nThese are moving shapes of classes that the small model `sample` never saw; it knows nothing else.\n"
        "For your own videos change one thing, the model, and name your videos and labels:\n"
        '  actionclip predict clip-vit-b-16 VIDEO --labels "archery, surfing"\n'
        "It is fetched from the Hugging Face hub; `actionclip models` lists it and others."
    )
