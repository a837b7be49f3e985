"""Lists of clips by their ids, of any data set."""

import clip_sets
import pytest

from actionclip_jax import cli, config
from actionclip_jax.data import clip_lists, sources


@pytest.fixture
def folders(video_directory, tmp_path):
    """Four videos of each of three classes."""
    for clip in clip_sets.make_clips(video_directory, 12):
        place = tmp_path / "videos" / ("Archery", "Surfing", "PlayingPiano")[clip.labels[0]] / f"{clip.id}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(clip.path)
    return str(tmp_path / "videos")


def test_a_list_takes_its_clips_out_of_the_data_set_and_is_a_data_set_itself(folders, tmp_path):
    clips = sources.open_source(config.SourceConfig(folders))
    some = clips.take([7, 2, 5])
    clip_lists.write(tmp_path / "some.csv", some)
    taken = sources.open_source(config.SourceConfig(folders, only=str(tmp_path / "some.csv")))
    assert taken.ids.tolist() == [clips.ids[row] for row in (2, 5, 7)] and taken.labels == clips.labels
    alone = sources.open_source(config.SourceConfig(str(tmp_path / "some.csv")))
    assert sorted(alone.paths.tolist()) == sorted(some.paths.tolist())
    assert sorted(alone.ids.tolist()) == sorted(some.ids.tolist())


def test_parts_of_a_video_are_listed_with_their_seconds(folders, tmp_path):
    (tmp_path / "parts.csv").write_text(
        "path,label,start,end\nvideos/Archery/00.mp4,archery,0,0.2\nvideos/Archery/00.mp4,surfing,0.2,\n"
    )
    parts = sources.open_source(config.SourceConfig(str(tmp_path / "parts.csv")))
    clip_lists.write(tmp_path / "again.csv", parts)
    again = sources.open_source(config.SourceConfig(str(tmp_path / "again.csv")))
    for row in range(2):
        assert [again[row].start, again[row].end, again[row].id] == [parts[row].start, parts[row].end, parts[row].id]


def test_prepared_clips_are_taken_by_the_same_list(folders, tmp_path, capsys):
    assert cli.main(["prepare", folders, str(tmp_path / "shards"), "--workers", "1", "--frames", "4"]) == 0
    clips = sources.open_source(config.SourceConfig(str(tmp_path / "shards")))
    clip_lists.write(tmp_path / "some.csv", clips.take([3]))
    assert (tmp_path / "some.csv").read_text().splitlines()[0] == "id,label"
    for path in (folders, str(tmp_path / "shards")):
        taken = sources.open_source(config.SourceConfig(path, only=str(tmp_path / "some.csv")))
        assert taken.ids.tolist() == [clips.ids[3]]
    assert cli.main(["inspect", folders, "--only", str(tmp_path / "some.csv")]) == 0
    assert "1 clips of 3 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "Archery/00.mp4\nArchery/none.mp4\n", "1 of 2 ids are those of no clip .* 'Archery/none.mp4'"),
        ("a.txt", "\n", "names no clip"),
        ("a.csv", "path,label\na.mp4,archery\n", r"has no column id \(path, label\)"),
        ("none.txt", None, "there is no such file"),
    ],
)
def test_a_list_that_is_none_of_this_data_set_is_refused(folders, tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        sources.open_source(config.SourceConfig(folders, only=str(tmp_path / name)))
