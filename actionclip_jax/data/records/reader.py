"""Prepared data sets: ArrayRecord shards of clips whose frames are quick to reach.

    OUT/dataset.json        labels, settings, where it all came from, and whether it is complete
    OUT/bad_clips.jsonl     clips that could not be prepared, with reasons
    OUT/shards/00000.array_record, 00000.json ...   the records, and who they are

A clip is a record that describes it, a msgpack map {id, labels, times, codec, group}, and behind it the records of its
frames: lists of `group` JPEG pictures, or of H.264 packets that each decode alone. Only what is wanted has to be read.
`times` are float64 seconds. ArrayRecord checks every record against a hash of its own, so a flipped byte is an error
rather than a wrong picture.
"""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
from array_record.python import array_record_module

from actionclip_jax import textfile
from actionclip_jax.data import table, video
from actionclip_jax.data.video import pictures

VERSION = 1
MAX_SHARDS = 100_000  # their names have five digits
MEND = "delete them and run the same `actionclip prepare` again"
DECODERS = {"jpeg": lambda: pictures.decode_picture, "video": lambda: pictures.IntraDecoder().decode}


@dataclasses.dataclass(frozen=True)
class Records:
    """A clip's path is `shard:number`: the number of its first record within a shard of the directory."""

    directory: str

    def read(
        self,
        clip: table.Clip,
        choose: Callable[[int], np.ndarray],
        transform: Callable[[np.ndarray], Any],
        short_side: int | None = None,
    ) -> video.Frames:
        """See `table.Reader`."""
        name = f"{self.directory}/{clip.path} ({clip.id})"
        shard, _, first = clip.path.rpartition(":")
        read = functools.partial(read_record, name, f"{self.directory}/shards/{shard}.array_record")
        header = read(int(first))
        if not isinstance(header, dict) or header.get("id") != clip.id:
            found = header.get("id") if isinstance(header, dict) else "frames"
            raise video.VideoError(name, f"the record holds {found!r}: its list belongs to another shard")
        try:
            decode, group = DECODERS[header["codec"]](), header["group"]
            seconds = np.frombuffer(header["times"], np.float64)
        except (LookupError, TypeError, ValueError) as error:
            raise video.VideoError(name, f"the record is not one of a clip ({error!r})") from None
        read_group = functools.lru_cache(maxsize=1)(
            lambda number: read(int(first) + 1 + number)
        )  # frames come in order

        def decode_frame(number: int) -> np.ndarray:
            try:
                picture = read_group(number // group)[number % group]
            except (LookupError, TypeError, ArithmeticError):
                raise video.VideoError(name, f"the records hold no frame {number}") from None
            if not isinstance(picture, bytes):
                raise video.VideoError(name, f"frame {number} is no picture")
            return decode(picture)

        return pictures.read_pictures(name, decode_frame, seconds, choose, transform, short_side)


def read_record(name: str, shard: str, number: int) -> Any:
    """An unpacked record of a shard. Raises VideoError about the clip `name`."""
    with video.name_faults(name, "the record cannot be read"):
        [data] = open_shard(shard).read([number])
        return msgpack.unpackb(data)


@functools.lru_cache(maxsize=512)  # K400 makes 240 shards; many systems allow 1,024 open files
def open_shard(path: str) -> array_record_module.ArrayRecordReader:
    """An open shard, kept: opening reads its index, and the next record of a shuffled epoch may lie in any of them."""
    return array_record_module.ArrayRecordReader(path, "readahead_buffer_size:0", file_reader_buffer_size=32768)


def open_records(path: str | pathlib.Path) -> table.ClipTable:
    """The table of a prepared directory. Raises ValueError for one that is unfinished or damaged."""
    directory = pathlib.Path(path)
    dataset = read_dataset(directory)
    if not dataset["complete"]:
        raise ValueError(f"{directory} is not finished: run the same `actionclip prepare` again, it goes on there")
    clips, damaged, notes = [], [], {}
    for number in range(dataset["shards"]):
        try:
            listed = read_list(directory, number)["clips"]
        except ValueError as error:
            damaged.append(f"  {error}")
            continue
        notes |= {clip["id"]: clip["note"] for clip in listed if "note" in clip}
        clips += [
            table.Clip(clip["id"], f"{number:05d}:{clip['record']}", tuple(clip["labels"]), frames=clip["frames"])
            for clip in listed
        ]
    if damaged:
        head = f"{directory}: {len(damaged)} of {dataset['shards']} shards cannot be used; {MEND}:"
        raise ValueError("\n".join([head, *damaged[:5], *(["  ..."] if len(damaged) > 5 else [])]))
    if wrong := [clip.id for clip in clips if not all(label in range(len(dataset["labels"])) for label in clip.labels)]:
        raise ValueError(f"{directory} is damaged: {len(wrong)} clips have labels beyond its list, such as {wrong[0]}")
    return table.make_table(
        clips,
        dataset["labels"],
        Records(str(directory)),
        names=dataset["names"],
        multi_label=dataset["multi_label"],
        origin={**dataset["origin"], **({"noted": {"clips": len(clips), "notes": notes}} if notes else {})},
    )


def read_notes(clips: table.ClipTable) -> dict[str, str]:
    """What was wrong with videos from which clips were prepared nevertheless, by clip."""
    return clips.origin.get("noted", {}).get("notes", {})


def find_damage(directory: str | pathlib.Path) -> list[str]:
    """A sentence for every shard that is not what was written."""
    directory, found = pathlib.Path(directory), []
    for number in range(read_dataset(directory)["shards"]):
        file = shard_file(directory, number, "array_record")
        expected = read_list(directory, number)["sha256"]
        if file_digest(file) != expected:
            found.append(f"{file} is damaged: its SHA-256 is not {expected}")
    return found


def read_dataset(directory: pathlib.Path) -> dict[str, Any]:
    """What dataset.json says. Raises ValueError."""
    dataset = read_json(directory / "dataset.json")
    if dataset.get("version") != VERSION:
        raise ValueError(f"{directory}: version {dataset.get('version')!r} of prepared data, expected {VERSION}")
    expected = {"complete": bool, "shards": int, "labels": list, "names": list, "multi_label": bool, "origin": dict}
    check_fields(directory / "dataset.json", dataset, expected)
    texts = (*dataset["labels"], *dataset["names"])
    if not all(isinstance(text, str) for text in texts) or len(texts) != 2 * len(dataset["labels"]):
        raise ValueError(f"{directory / 'dataset.json'} is damaged: its labels and names are not as many texts")
    if not 0 <= dataset["shards"] <= MAX_SHARDS:
        raise ValueError(f"{directory / 'dataset.json'} is damaged: it says {dataset['shards']} shards")
    return dataset


def read_list(directory: pathlib.Path, number: int) -> dict[str, Any]:
    """The list of a shard. Raises ValueError where it or its shard is missing or damaged, as far as the size tells."""
    file, data = (shard_file(directory, number, suffix) for suffix in ("json", "array_record"))
    shard = read_json(file)
    check_fields(file, shard, {"bytes": int, "sha256": str, "clips": list, "bad": list})
    for clip in shard["clips"]:
        check_fields(file, clip, {"id": str, "record": int, "labels": list, "frames": int})
    size = data.stat().st_size if data.exists() else 0
    if size != shard["bytes"]:
        raise ValueError(f"{data} has {size} bytes, expected {shard['bytes']}")
    return shard


def check_fields(file: pathlib.Path, content: dict[str, Any], expected: dict[str, type]) -> None:
    """Raises ValueError unless every name is there with a value of its type."""
    for name, kind in expected.items():
        if not isinstance(content, dict) or not isinstance(content.get(name), kind):
            raise ValueError(f"{file} is damaged: it has no good {name!r}")


def file_digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shard_file(directory: pathlib.Path, number: int, suffix: str) -> pathlib.Path:
    """Where a shard's records (array_record) or its list (json) are."""
    return directory / "shards" / f"{number:05d}.{suffix}"


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object. Raises ValueError."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: expected a directory made by `actionclip prepare`")
    content = textfile.read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object")
    return content
