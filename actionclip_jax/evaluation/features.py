"""Features of clips: in memory, and in a directory that is filled part by part, so that a kill costs little."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from actionclip_jax import config, files
from actionclip_jax.data import table

Part = dict[str, np.ndarray]  # features of some batches: `features`, `clip`, `mask`, and how many `batches` they were


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """What a model makes of clips before any label is looked at."""

    ids: np.ndarray  # [N] text
    values: np.ndarray  # [N, V, E] float32 of unit norm by view; zero for clips that cannot be decoded
    decoded: np.ndarray  # [N] bool

    def of(self, ids: np.ndarray) -> "Features":
        """Those of these clips [M], in that order. Raises ValueError naming clips without features."""
        places = {name: row for row, name in enumerate(self.ids.tolist())}
        if missing := [name for name in ids.tolist() if name not in places]:
            shown = ", ".join(map(repr, missing[:5]))
            raise ValueError(f"{len(missing)} of {len(ids)} clips have no saved features, such as {shown}")
        rows = np.array([places[name] for name in ids.tolist()], np.int64)
        return Features(self.ids[rows], self.values[rows], self.decoded[rows])


class Store:
    """Features in a directory, in parts that are there whole or not at all; the first process writes."""

    def __init__(
        self, directory: pathlib.Path, described: Mapping[str, Any], ids: np.ndarray, *, replace: bool = True
    ) -> None:
        """`described` (JSON) says what the features are made from: with `replace`, those of anything else make way.

        Raises:
            ValueError: a directory that holds something else, which is not touched.
        """
        self.directory = directory
        content = {**described, "ids": ids.tolist()}
        known = with_defaults(files.read_if_whole(directory / "features.json"))
        # what an older program did not write down was as it is now
        same = isinstance(known, dict) and "ids" in known and content | known == content
        if jax.process_index() or same:
            return
        there = list(directory.glob("*"))
        ours = [file for file in there if file.name.startswith(("features.json", "part-"))]
        if len(ours) < len(there) or (known is not None and not replace):
            raise ValueError(f"{directory} holds something else, or features of other settings: choose another --out")
        for file in ours:
            file.unlink()
        files.write_json(directory / "features.json", content)

    def read(self) -> list[Part]:
        """The parts written so far; all processes take the same ones."""
        count = 0
        while part_file(self.directory, count).is_file():
            count += 1
        if jax.process_count() > 1:
            count = int(multihost_utils.broadcast_one_to_all(np.int32(count)))
        return [read_part(part_file(self.directory, number)) for number in range(count)]

    def add(self, number: int, part: Part) -> Part:
        """Writes a part, and returns it."""
        if jax.process_index() == 0:
            with files.written_whole(part_file(self.directory, number)) as partial, partial.open("wb") as opened:
                np.savez(
                    opened, features=part["features"], clip=part["clip"], mask=part["mask"], batches=part["batches"]
                )
        return part


def load(directory: pathlib.Path) -> tuple[dict[str, Any], Features]:
    """What the features of a directory are made from, and the features.

    Raises:
        ValueError: there are none, or not yet all of them.
    """
    described = with_defaults(files.read_if_whole(directory / "features.json"))
    names = described.pop("ids", None) if isinstance(described, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{directory}: there are no saved features (features.json is missing or damaged)")
    ids = np.array(names, table.TEXT)
    parts = []
    while (file := part_file(directory, len(parts))).is_file():
        parts.append(read_part(file))
    try:
        there = sum(map(count_clips, parts))
        saved = in_order(ids, parts) if parts else None
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{directory}: parts that do not belong to its list ({error!r}): encode again") from None
    if there < len(ids) or saved is None:
        raise ValueError(
            f"{directory}: holds features of {there} of {len(ids)} clips: finish the evaluation that saves them"
        )
    return described, saved


def with_defaults(described: Any) -> Any:
    """What was written down of results, with settings of the sample that came later: they had their defaults."""
    if not isinstance(described, dict) or not isinstance(described.get("sample"), dict):
        return described
    return described | {"sample": config.to_dict(config.SampleConfig()) | described["sample"]}


def count_clips(part: Part) -> int:
    """How many rows are clips, not what a last batch is filled up with."""
    return int((part["clip"] >= 0).sum())


def in_order(ids: np.ndarray, parts: list[Part]) -> Features:
    """Parts -> the features of all clips in the order of the table."""
    values = np.zeros((len(ids), *parts[0]["features"].shape[1:]), np.float32)
    decoded = np.zeros(len(ids), bool)
    for part in parts:
        good = part["mask"]
        values[part["clip"][good]], decoded[part["clip"][good]] = part["features"][good], True
    return Features(ids, values, decoded)


def read_part(file: pathlib.Path) -> Part:
    """The arrays of a part. Raises ValueError for a damaged one."""
    try:
        with np.load(file) as part:
            if sum(entry.file_size for entry in part.zip.infolist()) > file.stat().st_size:
                raise ValueError("its arrays are larger than the file")  # compressed, which they never are here
            return dict(part)
    except Exception as error:  # zipfile and numpy raise many kinds
        raise ValueError(f"{file}: damaged ({error}); encode the clips again, with {file.parent} removed") from None


def part_file(directory: pathlib.Path, number: int) -> pathlib.Path:
    """Where a part is."""
    return directory / f"part-{number:06d}.npz"
