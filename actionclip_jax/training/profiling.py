"""A trace of some steps of a run, which TensorBoard and Perfetto open."""

import contextlib
import logging
import pathlib
from collections.abc import Callable, Generator

import jax

logger = logging.getLogger(__name__)


def check(steps: range, last: int) -> None:
    """Raises ValueError for steps to be traced that a run of `last` steps does not have."""
    if not 1 <= steps.start < steps.stop <= last + 1:
        raise ValueError(
            f"--profile {steps.start}:{steps.stop}: expected START:STOP with 1 <= START < STOP <= {last + 1}, as this "
            f"run has {last} steps; the steps from START on are traced, STOP is the first that is not"
        )


class StepTrace:
    """Within the `with`, traces the steps of a range into WORKDIR/profile: of the first process, if there are several.

    Steps count from 1, as in metrics.jsonl. An empty range traces nothing.
    """

    def __init__(self, workdir: pathlib.Path, steps: range, done: int, before_writing: Callable[[], None]) -> None:
        """`done`: steps before this start; `before_writing` is called before the trace is written, which takes long."""
        if steps and done + 1 >= steps.stop:
            logger.warning(f"--profile {steps.start}:{steps.stop}: nothing to trace, as {done} steps are done already")
        self.directory, self.steps, self._before_writing = workdir / "profile", steps, before_writing
        self._running = False

    def __enter__(self) -> "StepTrace":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    @contextlib.contextmanager
    def step(self, number: int, wait: Callable[[], None]) -> Generator[None]:
        """Around everything done for a step, under its number. `wait` returns when the devices have done their work."""
        if number in self.steps and not self._running and not jax.process_index():
            wait()
            jax.profiler.start_trace(self.directory, create_perfetto_trace=True)
            self._running = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield
        if self._running and number + 1 not in self.steps:
            wait()
            self._stop()

    def _stop(self) -> None:
        if self._running:
            self._running = False
            self._before_writing()
            jax.profiler.stop_trace()
            logger.info(f"traced steps {self.steps.start} to {self.steps.stop - 1}: {self.directory}")
