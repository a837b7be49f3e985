"""Makes the shards of a directory in an Apache Beam pipeline: in this process, or where its runner sends them."""

import contextlib
import functools
import io
import logging
import os
from collections.abc import Generator, Sequence
from typing import Any

try:
    import apache_beam as beam
    from apache_beam import metrics
    from apache_beam.options import pipeline_options
    from apache_beam.portability.api import beam_provision_api_pb2 as provision
    from apache_beam.runners.portability import portable_runner
    from apache_beam.runners.portability.fn_api_runner import fn_runner
except ImportError as error:
    raise ImportError(f"--engine beam needs Apache Beam: pip install 'actionclip-jax[beam]' ({error})") from error

from actionclip_jax import config
from actionclip_jax.data import table
from actionclip_jax.data.records import plan, shards, writer

NAMESPACE = "actionclip prepare"  # of the counters
QUIET = "--default_sdk_harness_log_level=WARNING"  # else every worker tells what it connects to


def prepare(
    clips: table.ClipTable,
    directory: str | os.PathLike,
    settings: config.RecordConfig,
    flags: Sequence[str],
    *,
    overwrite: bool = False,
    retry_bad: bool = False,
) -> writer.Outcome:
    """Does what `writer.prepare` does in a pipeline with these options, such as "--runner=FlinkRunner".

    The table travels to the workers, which must reach the videos and the directory at the same paths.
    """
    pipeline = make_pipeline(flags)
    job = writer.plan_job(clips, directory, settings, retry_bad, overwrite)
    with writer.alone(job.directory):
        plan.begin(job.directory, job.planned, overwrite)
        counters = write_shards(pipeline, job)
        return writer.complete(job, writer.read_lists(job), counters.get("shards_kept", 0))


def write_shards(pipeline: beam.Pipeline, job: shards.Job) -> dict[str, int]:
    """Writes all shards and returns the counters. Raises ValueError where the pipeline fails."""
    numbers = range(job.planned["shards"])
    spread = pipeline | "Shard numbers" >> beam.Create(numbers) | "Spread" >> beam.Reshuffle()
    _ = spread | "Write shards" >> beam.Map(functools.partial(write_and_count, job))
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:  # whatever a runner raises
        said = (str(error).strip() or type(error).__name__).splitlines()[-1]  # a worker says where it was first
        raise ValueError(f"Apache Beam: {said}; the same command goes on where it stopped") from error
    return read_counters(result)


def write_and_count(job: shards.Job, number: int) -> int:
    """Makes one shard, in whichever worker, and counts what is in it."""
    shard, kept = shards.make_shard(job, number, functools.partial(map, job.encoder()))
    counts = {"clips": len(shard["clips"]), "bad_clips": len(shard["bad"]), "bytes": shard["bytes"]}
    for name, count in ({"shards_kept": 1} if kept else {"shards_written": 1, **counts}).items():
        metrics.Metrics.counter(NAMESPACE, name).inc(count)
    return number


def read_counters(result: Any) -> dict[str, int]:
    """The counters of a finished pipeline by name."""
    found = result.metrics().query(metrics.MetricsFilter().with_namespace(NAMESPACE))
    return {counter.key.metric.name: counter.result for counter in found["counters"]}


def make_pipeline(flags: Sequence[str]) -> beam.Pipeline:
    """An empty pipeline. Raises ValueError, in Beam's words, for options that it does not understand or misses."""
    with _heard() as said:
        options = pipeline_options.PipelineOptions([QUIET, *flags])
        known = options.get_all_options(display_warnings=True)
        if set(options.get_all_options(retain_unknown_options=True)) - set(known):
            raise ValueError(f"Apache Beam: {said[0]}")
    try:
        return beam.Pipeline(runner=None if known["runner"] else make_runner(options), options=options)
    except (ImportError, ValueError) as error:
        raise ValueError(f"Apache Beam: {error}") from None


def make_runner(options: pipeline_options.PipelineOptions) -> fn_runner.FnApiRunner:
    """What Beam runs a pipeline by in this process and in others that it starts.

    Its DirectRunner ends here too, but only after it has tried a program that it downloads.
    """
    changed = options.get_all_options(drop_default=True)
    told = portable_runner.JobServiceHandle.encode_pipeline_options(changed)  # to the other processes
    return fn_runner.FnApiRunner(
        provision_info=fn_runner.ExtendedProvisionInfo(provision.ProvisionInfo(pipeline_options=told))
    )


@contextlib.contextmanager
def _heard() -> Generator[list[str]]:
    """Within, what Beam warns of is collected, not shown, and what its parser says before it exits is a ValueError."""
    said: list[str] = []
    root, handler, parser = logging.getLogger(), logging.Handler(logging.WARNING), io.StringIO()
    handler.emit = lambda record: said.append(record.getMessage())
    before, root.handlers = root.handlers, [handler]
    try:
        with contextlib.redirect_stderr(parser):
            yield said
    except SystemExit:
        raise ValueError(f"Apache Beam: {parser.getvalue().strip().splitlines()[-1]}") from None
    finally:
        root.handlers = before
