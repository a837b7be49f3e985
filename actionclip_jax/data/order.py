"""Which clip comes when: the endless shuffled sequence of training examples, and how hosts share every batch.

Batch `b` of G clips consists of the examples `b * G .. (b + 1) * G - 1` of one sequence, of which host h of H makes its
G / H consecutive rows. An example's number decides everything random about it. So nothing but the number of the next
batch has to be remembered to go on, on as many hosts and workers as there then are.
"""

import dataclasses

import grain
import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Host:
    """One of several hosts (processes of a run) which share every batch."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"host index is {self.index}: expected 0..{self.count - 1} for {self.count} hosts")


SINGLE_HOST = Host()


def this_host() -> Host:
    """This process among those of the run."""
    return Host(jax.process_index(), jax.process_count())


class HostExamples:
    """The examples of one host, in order: a Grain data source."""

    def __init__(self, rows: int, batch_size: int, host: Host) -> None:
        self.rows, self.batch_size, self.host = rows, batch_size, host

    def __len__(self) -> int:
        return 2**40 * self.rows  # endless

    def __getitem__(self, index: int) -> int:
        batch, row = divmod(int(index), self.rows)
        return batch * self.batch_size + self.host.index * self.rows + row


class Epochs:
    """The endless sequence of training examples: a new shuffle of all clips each epoch."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed  # clips of an epoch
        self.order = grain.MapDataset.range(length).seed(seed).shuffle().repeat()

    def row(self, number: int, attempt: int = 0) -> int:
        """The clip of an example; further attempts give others of the same epoch."""
        if attempt:
            epoch = number // self.length
            number = epoch * self.length + int(self.rng(number, attempt).integers(self.length))
        row = self.order[number]
        if row is None:  # Grain's mark of what a filter leaves out: here there is none
            raise IndexError(number)
        return int(row)

    def rng(self, number: int, *purpose: int) -> np.random.Generator:
        """The random numbers of an example."""
        return np.random.default_rng((self.seed, number, *purpose))
