"""Batches in which there is nothing to tell apart."""

import logging

import jax
import numpy as np
from jax.experimental import multihost_utils

logger = logging.getLogger(__name__)


class OneClassBatches:
    """Counts batches all of whose clips, on all hosts, are of one class: a contrastive loss learns nothing there."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[int] = []  # the class of this host's part of a batch, -1 where there are several

    def add(self, labels: np.ndarray) -> None:
        """This host's labels of the next batch: [b], or [b, C] of clips with several, which are not compared."""
        alike = labels.ndim == 1 and (labels == labels[0]).all()
        self._waiting.append(int(labels[0]) if alike else -1)

    def total(self, step: int) -> int:
        """How many there were until this step; warns of the first. All processes call it after the same batches."""
        classes = np.array([self._waiting], np.int32)
        if jax.process_count() > 1:
            classes = multihost_utils.process_allgather(classes[0])
        before, self._waiting = self.count, []
        self.count += int(((classes == classes[0]) & (classes >= 0)).all(axis=0).sum())
        if self.count and not before:
            logger.warning(
                f"step {step}: all clips of a batch were of one class, and a contrastive loss learns nothing from "
                "them: a larger data.loader.batch_size makes that rare. More of them are counted: one_class_batches"
            )
        return self.count
