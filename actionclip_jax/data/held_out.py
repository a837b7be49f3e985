"""Divides a data set: some clips of every class are held out, and clips of one source video stay on one side."""

import collections
import pathlib
import re
import zlib

import numpy as np

from actionclip_jax.data import table
from actionclip_jax.data.records import reader

INTERVAL = re.compile(r"@[\d.]*-[\d.]*$")  # of an id of a part of a file
# names of clips that say which longer video they were cut from, and what in them says it
CUT_FROM = {
    "UCF101": re.compile(r"(v_\w+_g\d+)_c\d+"),
    "Kinetics": re.compile(r"([\w-]{11})_\d{6}_\d{6}"),  # the video's id, start and end
    "HMDB51": re.compile(r"(.+)_[fhlu]_[cn]m_np\d_(?:ba|fr|le|ri)_(?:bad|med|goo)_\d+"),
}


def source_videos(clips: table.ClipTable) -> tuple[list[str], str]:
    """What each clip was cut from, and what tells so: names of a known pattern, or parts of one file; or nothing.

    In prepared shards a clip is known by its id.
    """
    prepared = isinstance(clips.reader, reader.Records)
    videos = [INTERVAL.sub("", name) for name in clips.ids.tolist()] if prepared else clips.paths.tolist()
    for kind, pattern in CUT_FROM.items():
        matches = [pattern.fullmatch(pathlib.PurePath(video).stem) for video in videos]
        if all(matches):
            return [match[1] for match in matches if match], f"names as those of {kind}"
    return videos, "parts of one file" if len(set(videos)) < len(videos) else ""


def draw(clips: table.ClipTable, share: float, seed: int) -> np.ndarray:
    """Which clips [N] bool are held out: of every class its share, at least one, and never its last one.

    The seed, the class and the names of the videos decide which, not the order of the list. All clips of a source video
    go together, so that a class may get more than its share, or, where all are of one video, none.
    """
    videos, _ = source_videos(clips)
    labels: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)  # of each video's clips
    of_class: dict[int, set[str]] = collections.defaultdict(set)
    for video, row in zip(videos, clips.label_ids.tolist(), strict=True):
        for label in row:
            if label >= 0:
                labels[video][label] += 1
                of_class[label].add(video)
    left = np.bincount(clips.label_ids[clips.label_ids >= 0], minlength=len(clips.labels))
    wanted = np.maximum(1, np.round(share * left)) * (share > 0)
    held, taken = set(), np.zeros_like(left)
    for label, name in enumerate(clips.names):
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        for video in generator.permutation(sorted(of_class[label])).tolist():
            last = any(left[other] <= count for other, count in labels[video].items())
            if taken[label] < wanted[label] and not last and video not in held:
                held.add(video)
                for other, count in labels[video].items():
                    left[other] -= count
                    taken[other] += count
    return np.array([video in held for video in videos], bool)
