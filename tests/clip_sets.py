"""Small data sets: real videos whose every frame carries the number of its clip and its own, and a sample set."""

import shutil

import videos

from actionclip_jax import config
from actionclip_jax.data import readers, table

CLIPS, FRAMES = 22, 12
LABELS = ("archery", "surfing", "playing piano")
SAMPLE = config.SampleSetConfig(train_clips=2, test_clips=1, unseen_clips=1, still_clips=1, size=32, frames=4)


def make_clips(directory, count=CLIPS):
    """`count` rows; the first time, their videos too."""
    clips = []
    for number in range(count):
        path = directory / f"{number:02d}.mp4"
        if not path.exists():
            videos.write(path, FRAMES, gop=4, first=number * FRAMES)
        clips.append(table.Clip(path.stem, str(path), (number % 3,)))
    return clips


def make_table(clips, **options):
    return table.make_table(clips, LABELS, readers.VideoFiles(), **options)


def damage(directory, source, numbers):
    """A copy of the videos in which some cannot be decoded, each for another reason."""
    shutil.copytree(source, directory, dirs_exist_ok=True)
    kinds = [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"this is no video\n" * 100),
        lambda path: path.unlink(),
        videos.write_audio_only,
        lambda path: path.write_bytes(path.read_bytes()[:1500]),
    ]
    for kind, number in zip(kinds, numbers, strict=True):
        kind(directory / f"{number:02d}.mp4")
    return make_table(
        [table.Clip(clip.id, str(directory / f"{clip.id}.mp4"), clip.labels) for clip in make_clips(source)]
    )
