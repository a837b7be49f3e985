"""Keeps account of clips that cannot be decoded."""

import math
import pathlib
from collections.abc import Sequence

from actionclip_jax.data import clip_log, order


class TooManyBadClips(ValueError):
    """So many clips fail to decode that something else must be wrong."""


def allowance(bad: float, hosts: int) -> float:
    """How many of an epoch's clips may be bad on one of several hosts where `bad` may be in all; at least one.

    The shuffle spreads them unevenly: a host gets its share give or take its square root, four times that at most.
    """
    share = bad / hosts
    return max(1.0, share if hosts == 1 else share + 4 * math.sqrt(share))


def report_file(directory: pathlib.Path, part: str, host: order.Host) -> pathlib.Path:
    """Where a host names the clips of a data set that cannot be decoded."""
    return directory / (f"bad_clips_{part}.jsonl" if host.count == 1 else f"bad_clips_{part}-{host.index}.jsonl")


class Report:
    """Counts bad clips, names each once in a file, and raises when an epoch holds more than `limit` of them.

    A file of an earlier run is gone on with.
    """

    def __init__(self, path: pathlib.Path | None, limit: float) -> None:
        self.path = path
        self.limit = limit
        self.count = 0  # examples that had to be replaced or masked so far
        self.reasons: dict[str, str] = {}  # of every bad clip, by its id
        self._log = clip_log.ClipLog(path)
        self._epoch = 0
        self._in_epoch: set[str] = set()

    def add(self, bad: Sequence[tuple[int, str, str, str]]) -> None:
        """Takes (epoch, clip id, path, reason) of bad examples. Raises TooManyBadClips."""
        for epoch, clip, path, reason in bad:
            self.count += 1
            if epoch != self._epoch:
                self._epoch, self._in_epoch = epoch, set()
            self._in_epoch.add(clip)
            self.reasons[clip] = reason
            self._log.add({"id": clip, "path": path, "reason": reason})
            if len(self._in_epoch) > self.limit:
                raise TooManyBadClips(self._describe())

    def _describe(self) -> str:
        examples = [f"  {clip}: {reason}" for clip, reason in list(self.reasons.items())[:5]]
        where = f" (all in {self.path})" if self.path else ""
        head = f"{len(self._in_epoch)} clips of epoch {self._epoch} cannot be decoded, and {self.limit:g} are allowed"
        advice = "repair the data, or raise max_bad_fraction"
        return "\n".join([f"{head}: {advice}. Such as{where}:", *examples])
