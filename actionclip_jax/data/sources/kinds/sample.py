"""The embedded sample data set, made where it is first asked for."""

import dataclasses
import pathlib

from actionclip_jax import config
from actionclip_jax.data import workers
from actionclip_jax.data.shapes import inventory, sample_set
from actionclip_jax.data.sources import listing, problems, splits
from actionclip_jax.data.sources.kinds import lists


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """One of the lists in a directory that `sample_set` has made, with whatever settings, or makes now with its own."""
    if source.split not in inventory.SPLITS:
        splits.reject(source, f"one of {', '.join(inventory.SPLITS)}", errors)
    directory = pathlib.Path(source.path)
    if not (directory / sample_set.MADE_BY).is_file():
        sample_set.make_sample_set(directory, config.SampleSetConfig(), processes=workers.count_cores())
    return lists.read(dataclasses.replace(source, path=str(directory / f"{source.split}.csv"), split=""), errors)
