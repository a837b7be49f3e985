"""Folders of videos to try the commands on."""

from actionclip_jax import cli, config
from actionclip_jax.data import sources, video
from actionclip_jax.data.shapes import folders


def test_the_folders_are_a_data_set_and_a_long_video_and_a_call_that_was_stopped_goes_on(tmp_path):
    assert cli.main(["demo", "--videos", str(tmp_path)]) == 0
    clips = sources.open_source(config.SourceConfig(str(tmp_path / "videos")))
    assert list(clips.labels) == sorted(folders.MOTIONS)
    assert len(clips) == folders.CLIPS * len(folders.MOTIONS)
    long = tmp_path / "long.mp4"
    frames = 2 * len(folders.MOTIONS) * folders.SECONDS * folders.FPS
    last = video.read_frames(long, lambda length: [length - 1], lambda image: image)
    assert last.indices.tolist() == [frames - 1]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.mp4")}
    for lost in (long, tmp_path / "videos" / "rising" / "07.mp4"):
        lost.unlink()
    folders.make_folders(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.mp4")} == before
