"""Every column of a list is understood or refused by name."""

import pytest
import videos

from actionclip_jax import config
from actionclip_jax.data import sources, summary


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def read(tmp_path, content, name="list.csv", **settings):
    for file in ("v.mp4", "w.mp4"):
        (tmp_path / file).touch()
    return sources.open_source(config.SourceConfig(path=str(write(tmp_path / name, content)), **settings))


def error_of(*arguments, **options):
    with pytest.raises(sources.SourceError) as caught:
        read(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "path,label,start,end",
        "path,label,start_time,end_time",
        "video,label,time_start,time_end",
        "filename,class,begin,finish",
        "path,label,start,stop",
        "Path,Label,Start Time,End Time",
        "clip,action,t_start,t_end",
        "file_path,class_name,start_sec,end_sec",
        "path,label,start_seconds,end_seconds",
        "path,label,start (s),end (s)",
        "path,label,from,to",
        "path,label,start_timestamp,stop_timestamp",
    ],
)
@pytest.mark.parametrize("times", ["2.0,3.5", "00:02,00:03.5", "0:00:02,0:00:03.50"])
def test_a_start_and_an_end_are_known_by_many_names_and_spellings(header, times, tmp_path):
    clips = read(tmp_path, f"{header}\nv.mp4,running,{times}\nw.mp4,walking,,\n")
    assert clips.starts[0] == 2.0 and clips.ends[0] == 3.5
    assert (clips[1].start, clips[1].end) == (None, None)


@pytest.mark.parametrize("header", ["start_frame,end_frame", "frame_start,frame_end", "first_frame,stop_frame"])
def test_frame_numbers_are_frames(header, tmp_path):
    videos.write(tmp_path / "v.mp4", 12, gop=4)
    clips = read(tmp_path, f"path,label,{header}\nv.mp4,run,2,5\nv.mp4,walk,7.0,\n")
    seen = []
    for row in range(2):
        clips.reader.read(
            clips[row], lambda length: range(length), lambda image: seen.append(videos.read_number(image))
        )
    assert seen == [2, 3, 4, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("path,label,fps", "columns that are not known (rename them, or leave them out with ignore_columns, "),
        ("path,label,duration", "    'duration'\n    known are path, video, file"),
        ("path,label,start_ms", "    'start_ms'\n"),
        ("path,label,verb", "    'verb'\n"),
        ("path,label,name", "two columns of one kind (rename them, or leave them out with ignore_columns"),
        ("path,video,label", "    'path' and 'video': path\n"),
        ("path,verb,start", "columns that are missing: 1\n    label: expected one of label, class"),
        ("clip_name,label,start", "columns that are missing: 1\n    path: expected one of path, video"),
    ],
)
def test_other_columns_are_refused_by_name(header, told, tmp_path):
    assert told in error_of(tmp_path, f"{header}\nv.mp4,run,1\n") + "\n"


def test_seconds_and_frames_do_not_go_together(tmp_path):
    told = error_of(tmp_path, "path,label,start,end_frame\nv.mp4,run,1,20\n")
    assert "seconds and frame numbers in one list" in told and "'start' and 'end_frame'" in told


def test_columns_may_be_left_out(tmp_path):
    clips = read(tmp_path, "path,label,name,FPS\nv.mp4,run,5,25\n", ignore_columns="fps, name")
    assert clips.labels == ("run",) and clips.origin["ignore_columns"] == "fps, name"
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "v.mp4").touch()
    with pytest.raises(sources.SourceError, match="ignore_columns is 'fps': only csv, kinetics have it, not folders"):
        sources.open_source(config.SourceConfig(path=str(tmp_path), kind="folders", ignore_columns="fps"))


@pytest.mark.parametrize(
    "row", ["v.mp4,run", "v.mp4,run,1,2,3", "v.mp4,run,1:75,2:80", "v.mp4,run,1_0,20", "v.mp4,run,x,"]
)
def test_rows_that_do_not_fit_the_header_are_malformed(row, tmp_path):
    assert f"malformed lines: 1\n    line 2: {row}" in error_of(tmp_path, f"path,label,start,end\n{row}\n")


def test_a_column_without_a_heading_counts_unless_it_says_nothing(tmp_path):
    assert "    ''\n" in error_of(tmp_path, "path,label,\nv.mp4,run,train\nw.mp4,walk,test\n")
    assert len(read(tmp_path, "path,label,\nv.mp4,run,\nw.mp4,walk,\n")) == 2
    assert len(read(tmp_path, ",path,label\n0,v.mp4,run\n1,w.mp4,walk\n")) == 2


def test_headings_may_be_camel_case(tmp_path):
    assert read(tmp_path, "VideoPath,ClassName,StartTime,EndTime\nv.mp4,run,1,2\n").starts.tolist() == [1.0]


def test_a_column_to_leave_out_has_to_be_there(tmp_path):
    assert "columns to leave out that the list does not have: 1\n    nope" in error_of(
        tmp_path, "path,label\nv.mp4,run\n", ignore_columns="nope"
    )


def test_a_list_is_not_its_own_label_file(tmp_path):
    for name, content in (("labels.csv", "path,label\nv.mp4,0\nw.mp4,1\n"), ("labels.txt", "v.mp4 0\nw.mp4 1\n")):
        assert "labels that are numbers, without a label file" in error_of(tmp_path, content, name)
        (tmp_path / name).unlink()
    write(tmp_path / "val_labels.csv", "path,label\nv.mp4,0\n")
    assert "val_labels.csv: is a list of clips" in error_of(tmp_path, "v.mp4,0\nw.mp4,1\n")


@pytest.mark.parametrize("labels", [("0,2", "1,3"), ("run;jump", "walk"), ("run|jump", "walk"), ('"[0, 2]"', "1")])
def test_several_labels_in_a_cell_are_refused(labels, tmp_path):
    quoted = [label if label[0] == '"' else f'"{label}"' for label in labels]
    told = error_of(tmp_path, "path,label\nv.mp4,{}\nw.mp4,{}\n".format(*quoted))
    assert "clips with several labels" in told


@pytest.mark.parametrize("line", ["{} 0 1.5 run fast", "{} run 0.0 1.0", "{} 12 run"])
def test_numbers_beside_the_labels_of_a_text_list_are_refused(line, tmp_path):
    told = error_of(tmp_path, f"{line.format('v.mp4')}\n{line.format('w.mp4')}\n", "list.txt", kind="csv")
    assert "lines with numbers beside the label" in told


def test_the_same_clip_with_a_start_of_0_and_without_is_one_clip(tmp_path):
    assert "clips listed twice, and not alike" in error_of(
        tmp_path, "path,label,start,end\nv.mp4,run,0,\nv.mp4,walk,,\n"
    )


def test_two_segments_of_one_file_are_two_clips(tmp_path):
    clips = read(tmp_path, "path,label,start_time,end_time\nv.mp4,running,2.0,3.0\nv.mp4,walking,3.0,5.0\n")
    assert clips.ids.tolist() == ["v.mp4@2.0-3.0", "v.mp4@3.0-5.0"] and clips.labels == ("running", "walking")


SPLIT = "path,label,{}\nv.mp4,run,train\nw.mp4,walk,{}\n"


@pytest.mark.parametrize("heading", ["split", "Subset", "partition", "set"])
@pytest.mark.parametrize(("spelt", "wanted"), [("test", "test"), ("val", "validation"), ("Valid", "val")])
def test_of_a_list_with_a_split_column_one_split_is_read(heading, spelt, wanted, tmp_path):
    clips = read(tmp_path, SPLIT.format(heading, spelt), split=wanted)
    assert clips.ids.tolist() == ["w.mp4"] and clips.labels == ("run", "walk")  # the classes are those of all splits
    assert read(tmp_path, SPLIT.format(heading, spelt), split="train").ids.tolist() == ["v.mp4"]


def test_a_split_that_is_not_said_or_not_there_is_refused(tmp_path):
    content = SPLIT.format("split", "test")
    assert "split (--split): expected one of test, train" in error_of(tmp_path, content)
    assert "split is 'val': expected one of test, train" in error_of(tmp_path, content, split="val")
    assert "split is 'test': " in error_of(tmp_path, "v.mp4,run\nw.mp4,walk\n", split="test")
    assert "has no column split" in error_of(tmp_path, "v.mp4 run\nw.mp4 walk\n", name="list.txt", split="test")
    assert "malformed lines: 1" in error_of(tmp_path, SPLIT.format("split", ""), split="train")


def test_kinetics_lists_of_several_splits_need_one_named(tmp_path):
    content = "label,youtube_id,time_start,time_end,split\nrun,v,1,2,train\nwalk,w,1,2,val\n"
    assert "split (--split): expected one of train, validation" in error_of(tmp_path, content)
    assert read(tmp_path, content, split="val").ids.tolist() == ["w_000001_000002"]
    content = content.replace("split\n", "split,weight\n").replace("train\n", "train,1\n").replace("val\n", "val,1\n")
    told = error_of(tmp_path, content)
    assert "columns that are not known" in told and "weight; a list of Kinetics has" in told
    assert read(tmp_path, content, split="val", ignore_columns="weight").labels == (
        "run",
        "walk",
    )


@pytest.mark.parametrize("separator", [",", " "])
def test_rows_that_repeat_others_are_dropped_and_counted(separator, tmp_path):
    content = f"v.mp4{separator}run\nw.mp4{separator}walk\nv.mp4{separator}run\n./w.mp4{separator}walk\n"
    clips = read(tmp_path, content)
    assert clips.ids.tolist() == ["v.mp4", "w.mp4"]
    assert (clips.origin["repeated"], clips.origin["first_repeated"]) == (2, ["v.mp4", "./w.mp4"])
    told = "2 of the clips listed repeat others, and are left out: v.mp4, ./w.mp4"
    assert told in list(summary.notices(clips.origin))


def test_rows_that_contradict_others_are_refused(tmp_path):
    assert "clips listed twice, and not alike: 1\n    line 2: v.mp4, as line 1" in error_of(
        tmp_path, "v.mp4,run\nv.mp4,walk\n", skip_missing=True
    )
    content = "path,label,start\nv.mp4,run,1\nv.mp4,walk,1\n"
    assert "line 3: v.mp4, as line 2" in error_of(tmp_path, content)
