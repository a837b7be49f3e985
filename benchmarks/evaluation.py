"""Clips/s of evaluating a folder of videos, from files to predictions, against a plain PyTorch loop.

The PyTorch loop is what people write: open a video with PyAV, decode it up to the last wanted frame, resize and crop
with PIL, encode with transformers' CLIP (sdpa attention) and the head from torch.nn. Both sides have the same random
weights, read the same frames of the same files and batch alike; they take turns within one run, and their features are
compared. The other figure is how much quicker saved features are scored with other label texts than all is done again.

    python benchmarks/evaluation.py [VIDEOS] --size ViT-B/32

Without a directory some videos are made: shapes that move, 320x240, 4 s.
"""

import argparse
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import av
import cases
import jax
import numpy as np
import rich.table
import rivals
import torch
import torch_model
from PIL import Image

from actionclip_jax import config, sharding, text
from actionclip_jax.checkpoints import formats, model_directory
from actionclip_jax.data import sampling, sources, table
from actionclip_jax.data.shapes import drawing
from actionclip_jax.data.video import views
from actionclip_jax.evaluation import clip_encoder, evaluate
from actionclip_jax.inference import encoder


def read_with_pil(path: str, frames: int, size: int) -> np.ndarray:
    """The middles of the segments of a video -> uint8 [T, S, S, 3]."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        length = stream.frames or sum(1 for _ in container.decode(stream))
        container.seek(0)
        wanted = sampling.segment_middles(length, frames).tolist()
        chosen = {}
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                chosen[index] = crop(frame.to_image(), size)
            if index >= wanted[-1]:
                break
    return np.stack([chosen[index] for index in wanted])


def crop(image: Image.Image, size: int) -> np.ndarray:
    """Short side to 256 (of 224), then the centre."""
    height, width = views.short_side_shape(image.height, image.width, views.default_short_side(size))
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def torch_features(module: torch.nn.Module, clips: table.ClipTable, frames: int, size: int, batch: int) -> np.ndarray:
    """[N, E]."""
    features = []
    paths = clips.paths.tolist()
    with torch.inference_mode():
        for start in range(0, len(paths), batch):
            videos = np.stack([read_with_pil(path, frames, size) for path in paths[start : start + batch]])
            features.append(module(torch.from_numpy(videos).to(rivals.torch_device())).float().cpu().numpy())
    return np.concatenate(features)


def make_videos(folder: pathlib.Path, count: int) -> None:
    """So many videos in folders by class."""
    directions = list(drawing.DIRECTIONS)
    for seed in range(count):
        direction = directions[seed % len(directions)]
        (folder / direction).mkdir(exist_ok=True)
        path = folder / direction / f"{seed}.mp4"
        drawing.write_moving_shape(path, direction=direction, size=(320, 240), frames=100, seed=seed)


def main() -> None:
    """Reads the command line, measures, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="?", help="a folder of videos for every class, or any other data set of files")
    parser.add_argument("--count", type=int, default=32, help="videos to make where none are given")
    parser.add_argument("--size", default="ViT-B/32", choices=cases.SIZES)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8, help="clips encoded at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=-1, help="decoding processes; 0: threads")
    parser.add_argument("--dtype", default="float32", choices=config.DTYPES)
    parser.add_argument("--json", type=pathlib.Path, help="write the measurements here as well")
    options = parser.parse_args()
    rivals.set_up()
    with tempfile.TemporaryDirectory() as folder:
        if options.videos is None:
            make_videos(pathlib.Path(folder), options.count)
        measure(config.SourceConfig(path=options.videos or folder), options)


def measure(data: config.SourceConfig, options: argparse.Namespace) -> None:
    """Both sides on a data set, prints the table."""
    model = dataclasses.replace(cases.model_of(options.size), frames=options.frames)
    params, source = torch_model.same_weights(model)
    clips = sources.open_source(data)
    calls = make_calls(clips, model, params, source, options)
    encoded = {name: call() for name, call in calls.items()}  # compiles, and fills the page cache
    error = float(np.abs(encoded["jax"] - encoded["torch"]).max())
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    ratio = statistics.median(theirs / ours for ours, theirs in zip(seconds["jax"], seconds["torch"], strict=True))
    anew, again = measure_swap(model, params, data, options)
    shown = rich.table.Table("", "clips/s", "spread", "to torch", title=rivals.describe(options))
    for name, taken in seconds.items():
        rates = sorted(len(clips) / one for one in taken)
        cells = (f"{statistics.median(rates):.3g}", f"{rates[0]:.3g}-{rates[-1]:.3g}")
        shown.add_row(name, *cells, f"{ratio:.2f}x" if name == "jax" else "")
    rivals.CONSOLE.print(shown)
    print(f"{len(clips)} clips; features differ by {error:.1e} at most")
    print(f"whole evaluation {anew:.1f} s; other labels on saved features {again:.2f} s: {anew / again:.0f}x")
    rivals.write_json(options, [{"seconds": seconds, "ratio": ratio, "error": error, "anew": anew, "again": again}])


def make_calls(
    clips: table.ClipTable,
    model: config.ModelConfig,
    params: dict[str, jax.Array],
    source: formats.Recognised,
    options: argparse.Namespace,
) -> dict[str, Callable[[], np.ndarray]]:
    """What gives the features [N, E] of all clips, on either side."""
    compute, mesh = config.ComputeConfig(dtype=options.dtype), sharding.make_mesh()
    sample = config.sample_for(model, options.frames)
    loader = config.LoaderConfig(batch_size=options.batch, workers=options.workers)
    encode = clip_encoder.ClipEncoder(clips, model, compute, sample, loader, mesh=mesh)
    placed = sharding.replicate(params, mesh)
    module = torch_model.TorchVideo(source, getattr(torch, options.dtype)).to(rivals.torch_device())

    def ours() -> np.ndarray:
        with jax.set_mesh(mesh):
            return encode(placed, "encoding").values[:, 0]

    def theirs() -> np.ndarray:
        return torch_features(module, clips, options.frames, model.image.size, options.batch)

    return {"jax": ours, "torch": theirs}


def measure_swap(
    model: config.ModelConfig, params: dict, data: config.SourceConfig, options: argparse.Namespace
) -> tuple[float, float]:
    """Seconds of scoring with other label texts: with all clips encoded again, and on saved features.

    Without reading the model and drawing the pictures, which both need: what is measured is what differs.
    """
    with tempfile.TemporaryDirectory() as directory:
        weights = model_directory.Weights(model, params, text.default_tokenizer(), {}, {})
        loader = config.LoaderConfig(batch_size=options.batch, workers=options.workers)
        compute = config.ComputeConfig(dtype=options.dtype)
        settings = config.EvaluationConfig(pathlib.Path(directory), loader=loader, compute=compute, save_features=True)
        loaded = encoder.VideoTextEncoder(weights, compute, sharding.make_mesh())
        trials = evaluate.protocols.plan("full", data)

        def run(trials: list, how: config.EvaluationConfig) -> None:
            classes = evaluate.label_features(loaded, trials, how)
            encoded, _ = evaluate.clip_features(loaded, trials, how)
            for trial in trials:
                evaluate.measure(trial, classes, encoded, loaded.scaling, how)

        run(trials, settings)
        other = [dataclasses.replace(trials[0], clips=reworded(trials[0].clips))]
        taken = []
        for change in (
            {"out": pathlib.Path(directory) / "anew"},
            {"features": settings.out / "features", "save_features": False},
        ):
            start = time.perf_counter()
            run(other, dataclasses.replace(settings, **change))
            taken.append(time.perf_counter() - start)
        return taken[0], taken[1]


def reworded(clips: table.ClipTable) -> table.ClipTable:
    """The clips with other words for their classes."""
    return dataclasses.replace(clips, labels=tuple(f"someone doing {label}" for label in clips.labels))


if __name__ == "__main__":
    main()
