"""Which clip comes when: the endless shuffled sequence of training samples, and how hosts share every batch.

Batch `b` of G clips consists of the samples `b * G .. (b + 1) * G - 1` of one sequence, of which host h of H makes its
G / H consecutive rows. A sample's number decides everything random about it. So nothing but the number of the next
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


class Share:
    """The samples of one host, in order: a Grain data source."""

    def __init__(self, rows: int, batch_size: int, host: Host) -> None:
        self.rows, self.batch_size, self.host = rows, batch_size, host

    def __len__(self) -> int:
        return 2**40 * self.rows  # endless

    def __getitem__(self, number: int) -> int:
        batch, row = divmod(int(number), self.rows)
        return batch * self.batch_size + self.host.index * self.rows + row


class Epochs:
    """The endless sequence of training samples: a new shuffle of all clips each epoch."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips, self.seed = clips, seed
        self.order = grain.MapDataset.range(clips).seed(seed).shuffle().repeat()

    def row(self, sample: int, attempt: int = 0) -> int:
        """The clip of a sample; further attempts give others of the same epoch."""
        if attempt:
            epoch = sample // self.clips
            sample = epoch * self.clips + int(self.rng(sample, attempt).integers(self.clips))
        return int(self.order[sample])

    def rng(self, sample: int, *purpose: int) -> np.random.Generator:
        """The random numbers of a sample."""
        return np.random.default_rng((self.seed, sample, *purpose))
