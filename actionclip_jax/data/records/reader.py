"""Reads prepared clips: ArrayRecord shards whose frames are quick to reach."""

import dataclasses
import functools
import pathlib
from typing import Any

import msgpack
import numpy as np
from array_record.python import array_record_module  # ty: ignore[missing-module-member]  # compiled, without a stub

from actionclip_jax.data import table, video
from actionclip_jax.data.records import layout
from actionclip_jax.data.video import pictures

DECODERS = {"jpeg": lambda: pictures.decode_picture, "video": lambda: pictures.IntraDecoder().decode}


@dataclasses.dataclass(frozen=True)
class Records:
    """A clip's path is `shard:number`: the number of its first record within a shard of the directory."""

    directory: str

    def read(
        self, clip: table.Clip, choose: video.Choose, transform: video.Transform, short_side: int | None = None
    ) -> video.Frames:
        """See `table.Reader`."""
        name = f"{self.directory}/{clip.path} ({clip.id})"
        shard, _, first = clip.path.rpartition(":")
        read = functools.partial(read_record, name, f"{self.directory}/shards/{shard}.array_record")
        header = read(int(first))
        if not isinstance(header, dict) or header.get("id") != clip.id:
            holds = header.get("id") if isinstance(header, dict) else "frames"
            raise video.VideoError(name, f"the record holds {holds!r}: its list belongs to another shard")
        try:
            decode_picture, group = DECODERS[header["codec"]](), header["group"]
            seconds = np.frombuffer(header["times"], np.float64)
        except (LookupError, TypeError, ValueError) as error:
            raise video.VideoError(name, f"the record is not one of a clip ({error!r})") from None
        read_group = functools.lru_cache(maxsize=1)(lambda number: read(int(first) + 1 + number))  # they come in order

        def decode_frame(number: int) -> np.ndarray:
            try:
                picture = read_group(number // group)[number % group]
            except (LookupError, TypeError, ArithmeticError):
                raise video.VideoError(name, f"the records hold no frame {number}") from None
            if not isinstance(picture, bytes):
                raise video.VideoError(name, f"frame {number} is no picture")
            return decode_picture(picture)

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
    dataset = layout.read_finished(directory)
    clips, damaged, notes = [], [], {}
    for number in range(dataset["shards"]):
        try:
            listed = layout.read_list(directory, number)["clips"]
        except ValueError as error:
            damaged.append(f"  {error}")
            continue
        notes |= {clip["id"]: clip["note"] for clip in listed if "note" in clip}
        clips += [
            table.Clip(clip["id"], f"{number:05d}:{clip['record']}", tuple(clip["labels"]), frames=clip["frames"])
            for clip in listed
        ]
    if damaged:
        head = f"{directory}: {len(damaged)} of {dataset['shards']} shards cannot be used; {layout.MEND}:"
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
