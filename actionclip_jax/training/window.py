"""The metrics of the steps since the last row of the log, still on the devices."""

import contextlib
import time
from collections.abc import Generator

import jax
import numpy as np

StepMetrics = dict[str, np.ndarray]  # scalars by name, on the host


class MetricsWindow:
    """Collects metrics without waiting for them, and the time that training took meanwhile."""

    def __init__(self) -> None:
        self._metrics: list[dict[str, jax.Array]] = []
        self._began = time.perf_counter()

    def add(self, metrics: dict[str, jax.Array]) -> None:
        """Takes the metrics of a step that was just started. At most two are under way: the host never runs ahead."""
        self.wait()
        self._metrics.append(metrics)

    def wait(self) -> None:
        """Returns when the devices have done all steps."""
        if self._metrics:
            self._metrics[-1]["loss"].block_until_ready()

    def is_busy(self) -> bool:
        """Whether the devices still work on a step."""
        return bool(self._metrics) and not self._metrics[-1]["loss"].is_ready()  # ty: ignore[missing-attribute] left out of JAX's stub

    def take(self) -> tuple[list[StepMetrics], float]:
        """The metrics of each step since the last call, and the seconds these steps took."""
        metrics, seconds = jax.device_get(self._metrics), time.perf_counter() - self._began
        self._metrics, self._began = [], time.perf_counter()
        return metrics, seconds

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """The time spent within does not count."""
        pause = time.perf_counter()
        yield
        self._began += time.perf_counter() - pause
