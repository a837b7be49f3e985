"""The records of TFDS data sets prepared as ArrayRecord, read at random without TensorFlow.

Each is a tf.train.Example, and a video is its list of pictures.
"""

import dataclasses
import functools
from typing import Any, Protocol, SupportsIndex

import numpy as np

from actionclip_jax.data import table, video
from actionclip_jax.data.video import pictures


@dataclasses.dataclass(frozen=True)
class TfdsReader:
    """A clip's path is `split/row` of the shards; their times are not known."""

    shards: tuple[str, ...]
    feature: str

    def read(
        self, clip: table.Clip, choose: video.Choose, transform: video.Transform, short_side: int | None = None
    ) -> video.Frames:
        """See `table.Reader`."""
        row = int(clip.path.rpartition("/")[2])
        with video.name_faults(clip.path, "the record cannot be read"):
            encoded = parse(open_shards(self.shards)[row])[self.feature].bytes_list.value
        if not encoded:
            raise video.VideoError(clip.path, "the record holds no frames")

        def decode_frame(number: int) -> np.ndarray:
            return pictures.decode_picture(encoded[number])

        times = np.full(len(encoded), np.nan)
        return pictures.read_pictures(clip.path, decode_frame, times, choose, transform, short_side)


class Records(Protocol):
    """The records of several shards, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, record_key: SupportsIndex) -> bytes: ...


@functools.lru_cache(maxsize=8)  # opening reads every shard's index
def open_shards(shards: tuple[str, ...]) -> Records:
    """The records of all shards in order; kept for the next clip."""
    from array_record.python import array_record_data_source  # 70 ms (etils), which only who reads TFDS has to pay

    return array_record_data_source.ArrayRecordDataSource(shards)


def parse(record: bytes) -> Any:
    """The features of a serialised tf.train.Example, by name."""
    try:
        from tensorflow_datasets import proto  # half a second, which only who reads TFDS has to pay
    except ImportError as error:
        raise ValueError(f"TFDS data sets need the package tensorflow-datasets ({error})") from error
    try:
        example = proto.tf_example_pb2.Example  # ty: ignore[missing-attribute]  # protobuf makes it when it is imported
        return example.FromString(record).features.feature
    except Exception as error:  # protobuf's own kind, which has no public name common to all its versions
        raise ValueError(f"not a tf.train.Example ({error})") from None
