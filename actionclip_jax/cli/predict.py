"""`actionclip predict`."""

import argparse
import pathlib
import signal
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from actionclip_jax import config, paths
from actionclip_jax.cli import arguments, interrupts, labels, predictions, samples, terminal, timelines

if typing.TYPE_CHECKING:
    from actionclip_jax.data import video
    from actionclip_jax.inference import predict, prediction


def add(commands: Any) -> None:
    """actionclip predict MODEL VIDEO... --labels ..."""
    parser = commands.add_parser(
        "predict",
        usage="actionclip predict MODEL VIDEO... --labels TEXTS [options]\n       actionclip predict sample",
        help="videos and some words -> probabilities",
        description="Prints how probable each label is for each video. `sample` is a small model that is made on first "
        "use; without VIDEO it gets example videos, and their labels if none are given.",
        epilog="Exit code: 0 all videos done, 1 some could not be used, 2 nothing done.",
    )
    parser.set_defaults(execute=execute)
    arguments.add_model(parser)
    parser.add_argument("videos", metavar="VIDEO", nargs="*", help="video files, directories of videos, or globs")
    labels.add_options(parser)
    parser.add_argument(
        "--templates", default="actionclip", help="prompt templates: actionclip (16), none, or a file with one a line"
    )
    parser.add_argument("--frames", type=arguments.positive, help="frames of a clip (default: the model's)")
    parser.add_argument(
        "--views",
        type=arguments.views,
        default=(1, 1),
        metavar="TxS",
        help="T clips over time x S crops, averaged (default: 1x1)",
    )
    parser.add_argument(
        "--absolute",
        action="store_true",
        help="how probable each label is by itself, whatever the others are: of models with a bias, as SigLIP's",
    )
    parser.add_argument(
        "--top",
        type=arguments.positive,
        help=f"labels shown for each video (default: {predictions.TOP}; drawn over time: {timelines.TOP})",
    )
    parser.add_argument(
        "--json", type=arguments.path, metavar="FILE", help="write all probabilities here (- for stdout)"
    )
    parser.add_argument(
        "--csv",
        type=arguments.path,
        metavar="FILE",
        help="write a table here: a row a video, or a row a segment of a timeline (- for stdout)",
    )
    parser.add_argument(
        "--sheet", type=arguments.path, metavar="FILE.png", help="draw the sampled frames and the probabilities"
    )
    timelines.add_options(parser)
    parser.add_argument("--batch-size", type=arguments.positive, default=8, help="clips computed at once (default: 8)")
    parser.add_argument("--no-cache", action="store_true", help="do not keep text embeddings between runs")
    arguments.add_activation(parser)
    arguments.add_trust(parser)
    arguments.add_computation(parser)


def execute(options: argparse.Namespace) -> int:
    """Predicts, prints, and writes what was asked for."""
    example = samples.is_example(options)
    check_options(options)
    from actionclip_jax import loading
    from actionclip_jax.data.video import find

    if example:
        samples.fill_in(options)
    asked = labels.read(options)
    inputs, passed_over = find.find_videos(options.videos)
    videos = [item for item in inputs if isinstance(item, pathlib.Path)]
    if passed_over:
        terminal.say(find.describe_passed_over(passed_over, len(videos)))
    if not videos:
        raise ValueError("\n".join([f"no video found for: {', '.join(options.videos)}", *map(str, inputs)]))
    arguments.make_ready(options.model)
    model = loading.load(
        options.model,
        activation=options.activation,
        cache=None if options.no_cache else paths.cache_directory() / "text",
        trust_code=options.trust_code,
        **config.to_dict(arguments.read_computation(options)),
    )
    frames = options.frames or model.config.frames
    with interrupts.handled_by(signal.default_int_handler), terminal.progress_drawn():
        done: list[predictions.Result] = []
        undrawn = 0
        results = (timelines.follow if options.timeline else predict_each)(options, model, videos, asked)
        try:
            for item in inputs:
                # some inputs have no video
                result = next(results) if isinstance(item, pathlib.Path) else item
                done.append(result)
                to_stdout = "-" in (str(options.json), str(options.csv))
                predictions.show(result, options.top, quiet=to_stdout or options.follow)
                undrawn += timelines.annotate(options, done)
        except KeyboardInterrupt:
            terminal.tell(f"stopped after {len(done)} of {len(inputs)} videos")
            predictions.report(options, frames, asked, done)
            raise
    code = predictions.report(options, frames, asked, done)
    if example:
        samples.say_what_next()
    return terminal.EXIT_FAILED if code == 0 and undrawn else code


def check_options(options: argparse.Namespace) -> None:
    """Raises ValueError for paths and options that cannot work, before anything is loaded."""
    files = {"--labels-file": options.labels_file, "--templates": options.templates}
    written = {"--json": options.json, "--csv": options.csv, "--sheet": options.sheet, "--annotate": options.annotate}
    written |= {"--json-lines": options.json_lines}
    paths.check({"MODEL": options.model, "VIDEO": options.videos, **files, **written})
    from actionclip_jax.checkpoints import contents

    if (model_file := paths.expand_home(options.model)).is_file():
        contents.check(model_file)  # before anything is said of VIDEO, which may stand in its place
    terminal.set_up_jax()
    timelines.check(options)
    if not samples.is_example(options):
        labels.check(options)
    if options.sheet:
        arguments.check_picture(options.sheet, "--sheet")
    if str(options.json) == str(options.csv) == "-":
        raise ValueError("--json - and --csv - would mix on standard output: give one of them a file")
    for option in ("--json", "--csv"):
        if written[option] and str(written[option]) != "-":
            arguments.check_output(written[option], option)


def predict_each(
    options: argparse.Namespace, model: "predict.Predictor", videos: Sequence[pathlib.Path], asked: Sequence[str]
) -> Iterator["prediction.Prediction | video.VideoError"]:
    """A Prediction or VideoError of each video."""
    return model.predict_each(
        videos,
        asked,
        templates=options.templates,
        split_names=options.split_names,
        frames=options.frames,
        views=options.views,
        absolute=options.absolute,
        batch_size=options.batch_size,
        keep_images=bool(options.sheet),
    )
