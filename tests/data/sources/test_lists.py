"""Lists of videos and of frame folders: every column is understood or refused, and all that is wrong is told."""

import os
import time

import pytest
import videos
from source_files import error_of, read, rows, touch, write

from actionclip_jax import config, files
from actionclip_jax.data import readers, sources, summary, table


def read_list(tmp_path, content, name="list.csv", **settings):
    touch(tmp_path, "v.mp4", "w.mp4")
    return read(write(tmp_path / name, content), **settings)


def error_of_list(tmp_path, content, name="list.csv", **settings):
    touch(tmp_path, "v.mp4", "w.mp4")
    return error_of(write(tmp_path / name, content), **settings)


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
    clips = read_list(tmp_path, f"{header}\nv.mp4,running,{times}\nw.mp4,walking,,\n")
    assert clips.starts[0] == 2.0 and clips.ends[0] == 3.5
    assert (clips[1].start, clips[1].end) == (None, None)


@pytest.mark.parametrize("header", ["start_frame,end_frame", "frame_start,frame_end", "first_frame,stop_frame"])
def test_frame_numbers_are_frames(header, tmp_path):
    videos.write(tmp_path / "v.mp4", 12, gop=4)
    clips = read_list(tmp_path, f"path,label,{header}\nv.mp4,run,2,5\nv.mp4,walk,7.0,\n")
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
    assert told in error_of_list(tmp_path, f"{header}\nv.mp4,run,1\n") + "\n"


def test_seconds_and_frames_do_not_go_together(tmp_path):
    told = error_of_list(tmp_path, "path,label,start,end_frame\nv.mp4,run,1,20\n")
    assert "seconds and frame numbers in one list" in told and "'start' and 'end_frame'" in told


def test_columns_may_be_left_out(tmp_path):
    clips = read_list(tmp_path, "path,label,name,FPS\nv.mp4,run,5,25\n", ignore_columns="fps, name")
    assert clips.labels == ("run",) and clips.origin["ignore_columns"] == "fps, name"
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "v.mp4").touch()
    with pytest.raises(sources.SourceError, match="ignore_columns is 'fps': only csv, kinetics have it, not folders"):
        sources.open_source(config.SourceConfig(path=str(tmp_path), kind="folders", ignore_columns="fps"))


@pytest.mark.parametrize(
    "row", ["v.mp4,run", "v.mp4,run,1,2,3", "v.mp4,run,1:75,2:80", "v.mp4,run,1_0,20", "v.mp4,run,x,"]
)
def test_rows_that_do_not_fit_the_header_are_malformed(row, tmp_path):
    assert f"malformed lines: 1\n    line 2: {row}" in error_of_list(tmp_path, f"path,label,start,end\n{row}\n")


def test_a_column_without_a_heading_counts_unless_it_says_nothing(tmp_path):
    assert "    ''\n" in error_of_list(tmp_path, "path,label,\nv.mp4,run,train\nw.mp4,walk,test\n")
    assert len(read_list(tmp_path, "path,label,\nv.mp4,run,\nw.mp4,walk,\n")) == 2
    assert len(read_list(tmp_path, ",path,label\n0,v.mp4,run\n1,w.mp4,walk\n")) == 2


def test_headings_may_be_camel_case(tmp_path):
    assert read_list(tmp_path, "VideoPath,ClassName,StartTime,EndTime\nv.mp4,run,1,2\n").starts.tolist() == [1.0]


def test_a_column_to_leave_out_has_to_be_there(tmp_path):
    assert "columns to leave out that the list does not have: 1\n    nope" in error_of_list(
        tmp_path, "path,label\nv.mp4,run\n", ignore_columns="nope"
    )


def test_a_list_is_not_its_own_label_file(tmp_path):
    for name, content in (("labels.csv", "path,label\nv.mp4,0\nw.mp4,1\n"), ("labels.txt", "v.mp4 0\nw.mp4 1\n")):
        assert "labels that are numbers, without a label file" in error_of_list(tmp_path, content, name)
        (tmp_path / name).unlink()
    write(tmp_path / "val_labels.csv", "path,label\nv.mp4,0\n")
    assert "val_labels.csv: is a list of clips" in error_of_list(tmp_path, "v.mp4,0\nw.mp4,1\n")


@pytest.mark.parametrize("labels", [("0,2", "1,3"), ("run;jump", "walk"), ("run|jump", "walk"), ('"[0, 2]"', "1")])
def test_several_labels_in_a_cell_are_refused(labels, tmp_path):
    quoted = [label if label[0] == '"' else f'"{label}"' for label in labels]
    told = error_of_list(tmp_path, "path,label\nv.mp4,{}\nw.mp4,{}\n".format(*quoted))
    assert "clips with several labels" in told


@pytest.mark.parametrize("line", ["{} 0 1.5 run fast", "{} run 0.0 1.0", "{} 12 run"])
def test_numbers_beside_the_labels_of_a_text_list_are_refused(line, tmp_path):
    told = error_of_list(tmp_path, f"{line.format('v.mp4')}\n{line.format('w.mp4')}\n", "list.txt", kind="csv")
    assert "lines with numbers beside the label" in told


def test_the_same_clip_with_a_start_of_0_and_without_is_one_clip(tmp_path):
    assert "clips listed twice, and not alike" in error_of_list(
        tmp_path, "path,label,start,end\nv.mp4,run,0,\nv.mp4,walk,,\n"
    )


def test_two_segments_of_one_file_are_two_clips(tmp_path):
    clips = read_list(tmp_path, "path,label,start_time,end_time\nv.mp4,running,2.0,3.0\nv.mp4,walking,3.0,5.0\n")
    assert clips.ids.tolist() == ["v.mp4@2.0-3.0", "v.mp4@3.0-5.0"] and clips.labels == ("running", "walking")


SPLIT = "path,label,{}\nv.mp4,run,train\nw.mp4,walk,{}\n"


@pytest.mark.parametrize("heading", ["split", "Subset", "partition", "set"])
@pytest.mark.parametrize(("spelt", "wanted"), [("test", "test"), ("val", "validation"), ("Valid", "val")])
def test_of_a_list_with_a_split_column_one_split_is_read(heading, spelt, wanted, tmp_path):
    clips = read_list(tmp_path, SPLIT.format(heading, spelt), split=wanted)
    assert clips.ids.tolist() == ["w.mp4"] and clips.labels == ("run", "walk")  # the classes are those of all splits
    assert read_list(tmp_path, SPLIT.format(heading, spelt), split="train").ids.tolist() == ["v.mp4"]


def test_a_split_that_is_not_said_or_not_there_is_refused(tmp_path):
    content = SPLIT.format("split", "test")
    assert "split (--split): expected one of test, train" in error_of_list(tmp_path, content)
    assert "split is 'val': expected one of test, train" in error_of_list(tmp_path, content, split="val")
    assert "split is 'test': " in error_of_list(tmp_path, "v.mp4,run\nw.mp4,walk\n", split="test")
    assert "has no column split" in error_of_list(tmp_path, "v.mp4 run\nw.mp4 walk\n", name="list.txt", split="test")
    assert "malformed lines: 1" in error_of_list(tmp_path, SPLIT.format("split", ""), split="train")


def test_kinetics_lists_of_several_splits_need_one_named(tmp_path):
    content = "label,youtube_id,time_start,time_end,split\nrun,v,1,2,train\nwalk,w,1,2,val\n"
    assert "split (--split): expected one of train, validation" in error_of_list(tmp_path, content)
    assert read_list(tmp_path, content, split="val").ids.tolist() == ["w_000001_000002"]
    content = content.replace("split\n", "split,weight\n").replace("train\n", "train,1\n").replace("val\n", "val,1\n")
    told = error_of_list(tmp_path, content)
    assert "columns that are not known" in told and "weight; a list of Kinetics has" in told
    assert read_list(tmp_path, content, split="val", ignore_columns="weight").labels == (
        "run",
        "walk",
    )


@pytest.mark.parametrize("separator", [",", " "])
def test_rows_that_repeat_others_are_dropped_and_counted(separator, tmp_path):
    content = f"v.mp4{separator}run\nw.mp4{separator}walk\nv.mp4{separator}run\n./w.mp4{separator}walk\n"
    clips = read_list(tmp_path, content)
    assert clips.ids.tolist() == ["v.mp4", "w.mp4"]
    assert (clips.origin["repeated"], clips.origin["first_repeated"]) == (2, ["v.mp4", "./w.mp4"])
    told = "2 of the clips listed repeat others, and are left out: v.mp4, ./w.mp4"
    assert told in list(summary.notices(clips.origin))


def test_rows_that_contradict_others_are_refused(tmp_path):
    assert "clips listed twice, and not alike: 1\n    line 2: v.mp4, as line 1" in error_of_list(
        tmp_path, "v.mp4,run\nv.mp4,walk\n", skip_missing=True
    )
    content = "path,label,start\nv.mp4,run,1\nv.mp4,walk,1\n"
    assert "line 3: v.mp4, as line 2" in error_of_list(tmp_path, content)


# CSV and text lists


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", "a b.mp4,RideBike\nc.mp4,archery\n"),
        ("list.csv", "label,video\nRideBike,a b.mp4\narchery,c.mp4\n"),
        ("list.csv", "Path;Class Name\na b.mp4;RideBike\nc.mp4;archery\n"),
        ("list.tsv", "a b.mp4\tRideBike\nc.mp4\tarchery\n"),
        ("list.csv", "a b.mp4,RideBike\rc.mp4,archery\r"),
        ("list.csv", "a b.mp4,RideBike\na b.mp4,RideBike\nc.mp4,archery\n./c.mp4,archery\n"),
        ("list.csv", "\ufeffFile,Class\r\na b.mp4,RideBike\r\nc.mp4,archery\r\n"),
        ("list.txt", "a b.mp4 RideBike\r\n\r\nc.mp4 archery\r\n"),
        ("list.txt", "a b.mp4 1\nc.mp4 0\n"),
        ("list.csv", "a b.mp4,1\nc.mp4,0\n"),
        ("list.csv", "a b.mp4,1.0\nc.mp4,0.0\n"),
        ("list.csv", "a b.mp4 1\nc.mp4 0\n"),
        ("list.csv", "a b.mp4 RideBike\nc.mp4 archery\n"),
    ],
)
def test_lists_of_paths_and_labels_are_read(name, content, tmp_path):
    touch(tmp_path, "a b.mp4", "c.mp4")
    write(tmp_path / "labels.txt", "archery\nRideBike\n")
    clips = read(write(tmp_path / name, content))
    assert rows(clips) == [("a b.mp4", ("ride bike",)), ("c.mp4", ("archery",))]
    assert clips.labels == ("archery", "ride bike")[:: 1 if clips.names[0] == "archery" else -1]
    assert clips.origin["kind"] == "csv" and str(tmp_path / name) in clips.origin["files"]


def test_text_lists_may_hold_labels_of_several_words(tmp_path):
    touch(tmp_path, "x/a b.mp4")
    assert rows(read(write(tmp_path / "list.txt", "x/a b.mp4 riding a bike\n"))) == [("x/a b.mp4", ("riding a bike",))]


def test_csv_rows_may_have_intervals_frames_and_ids(tmp_path):
    touch(tmp_path / "videos", "a.mp4")
    content = "path,label,start,end,frames,id\na.mp4,x,0.5,2,30,first\na.mp4,y,2,,,\n"
    clips = read(write(tmp_path / "list.csv", content), videos=str(tmp_path / "videos"))
    path = str(tmp_path / "videos/a.mp4")
    assert [clips[0], clips[1]] == [
        table.Clip("first", path, (0,), 0.5, 2.0, 30),
        table.Clip("a.mp4@2.0-", path, (1,), 2.0, None, None),
    ]


def test_absolute_paths_and_several_folders_are_found(tmp_path):
    touch(tmp_path, "one/a.mp4", "two/b.mp4")
    listed = write(tmp_path / "lists/list.csv", f"{tmp_path}/one/a.mp4,x\n../two/b.mp4,x\n")
    assert len(read(listed)) == 2


def test_all_problems_of_a_list_are_told_at_once(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    content = (
        "path,label,start,end\na.mp4,Run,,\na.mp4,run,,\nmissing.mp4,run,,\nb.mp4,Run,3,2\nb.mp4,Run,-1,2\nb.mp4,,,\n"
    )
    message = error_of(write(tmp_path / "list.csv", content))
    assert message.startswith(f"the data set '{tmp_path}/list.csv' (csv) cannot be used:\n")
    assert "clips listed twice, and not alike: 1\n    line 3: a.mp4, as line 2" in message
    advice = "(skip_missing, --skip-missing, leaves such clips out)"
    assert f"files missing below {tmp_path} {advice}: 1\n    line 4: missing.mp4" in message
    assert "intervals that begin before 0 or do not end later: 2\n    line 5: 3.0 to 2.0\n    line 6: -1.0" in message
    assert "malformed lines: 1\n    line 7: b.mp4,,," in message
    assert "equal once their names are split (reword one): 1\n    'Run' and 'run' -> 'run'" in message


def test_of_many_problems_five_examples_are_given(tmp_path):
    touch(tmp_path, "a.mp4")
    message = error_of(write(tmp_path / "list.csv", "a.mp4,x\n" + "".join(f"{n}.mp4,x\n" for n in range(12))))
    assert "out): 12\n    line 2: 0.mp4" in message and "line 6: 4.mp4\n    and 7 more" in message


def test_missing_files_can_be_left_out_unless_all_are(tmp_path):
    listed = write(tmp_path / "list.csv", "a.mp4,x\nb.mp4,y\nc.mp4,x\n")
    where = f"below {tmp_path} (all of them: say with videos, --videos, where they are): 3"
    assert where in error_of(listed) and where in error_of(listed, skip_missing=True)
    touch(tmp_path, "c.mp4")
    clips = read(listed, skip_missing=True)
    assert clips.ids.tolist() == ["c.mp4"] and clips.labels == ("x", "y")
    assert (clips.origin["listed"], clips.origin["missing"]) == (3, 2)
    assert clips.origin["first_missing"] == ["a.mp4", "b.mp4"]


def test_one_id_names_one_clip(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    listed = write(tmp_path / "list.csv", "path,label,id\na.mp4,x,1\nb.mp4,x,1\n")
    assert "ids given to two clips: 1\n    line 3: 1, as line 2" in error_of(listed)


@pytest.mark.parametrize("folder", ["x" * 300, "loop", "a.mp4"])
def test_folders_that_cannot_be_there_are_missing(folder, tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "loop").symlink_to("loop")
    listed = write(tmp_path / "list.csv", f"a.mp4,x\n{folder}/b.mp4,x\n")
    assert f"leaves such clips out): 1\n    line 2: {folder}/b.mp4" in error_of(listed)


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_other_encodings_and_empty_lists_are_told(name, tmp_path):
    assert f"{name}, line 2: not UTF-8" in error_of(write(tmp_path / name, b"a.mp4,x\ncaf\xe9.mp4,x\n"), kind="csv")
    assert "lists without a clip: 1" in error_of(write(tmp_path / name, ""), kind="csv")


def test_labels_that_are_not_in_the_label_file_are_told(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    names = str(write(tmp_path / "names.txt", "run\njump\n"))
    listed = write(tmp_path / "list.csv", "a.mp4,0\nb.mp4,2\n")
    assert "labels out of range (0 to 1 have a name): 1\n    line 2: 2" in error_of(listed, labels=names)
    assert "labels that are numbers, without a label file" in error_of(listed)
    listed = write(tmp_path / "list.csv", "a.mp4,Run\nb.mp4,fly\n")
    assert "labels that are none of the 2 known: 1\n    line 2: 'fly'" in error_of(listed, labels=names)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "id,name\n0,a\n1,a\n", "the name 'a' is given twice"),
        ("l.csv", "id,name\n0,a\n0,b\n", "the number 0 is given twice"),
        ("l.csv", "id,name\n0,a\n2,b\n", "2 numbers from 0 to 2: expected 0, 1, 2 ... or 1, 2, 3"),
        ("l.csv", "id,name\n0,a\nx,b\n", "not every id is a number"),
        ("l.txt", "2 a\n3 b\n", "2 numbers from 2 to 3"),
        ("l.txt", "", "l.txt: holds no label"),
        ("l.txt", b"caf\xe9\n", "line 1: not UTF-8"),
        ("l.json", '{"a": {"b": 1}}', "expected JSON of the form [name, ...], {name: number}"),
        ("l.json", '{"a": 0, "a": 1}', "the name 'a' stands twice in one object"),
        ("l.json", "{", "files that cannot be read"),
    ],
)
def test_label_files_that_contradict_themselves_are_told(name, content, message, tmp_path):
    touch(tmp_path, "a.mp4")
    listed = write(tmp_path / "list.csv", "a.mp4,0\n")
    assert message in error_of(listed, labels=str(write(tmp_path / name, content)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", b"a.mp4,x\nb.\0mp4,y\n", r"l.csv, line 2: holds '\x00', which no text has"),
        ("l.csv", b"a.mp4,x\nb.mp4,\x1b[2Jy\n", r"l.csv, line 2: holds '\x1b', which no text has"),
        ("l.csv", b"a.mp4,x\nb.mp4,\xc2\x9b2Jy\n", r"l.csv, line 2: holds '\x9b', which no text has"),
        ("l.csv", b'a.mp4,x\nb.mp4,"y\nc.mp4,z\n', "l.csv, line 3: not a CSV file"),
        ("l.json", b"[" * 100_000, "l.json: not a JSON file"),
        ("l.csv", b"path,label,frames\na.mp4,x," + b"9" * 30, "malformed lines: 1\n    line 2: a.mp4,x,999"),
        ("l.csv", b"a.mp4,0\nb.mp4," + b"9" * 5000, "labels that are no numbers of classes: 1\n    line 2: 999"),
        ("l.json", b'{"a": {"annotations": {"label": 5, "segment": [0, 1]}}}', "malformed entries: 1\n    a: "),
    ],
)
def test_what_no_list_holds_is_told_with_its_line(name, content, message, tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    told = error_of(write(tmp_path / name, content))
    assert message in told and len(told) < 2000


def test_lists_have_a_size(tmp_path, monkeypatch):
    listed = write(tmp_path / "l.csv", "a.mp4,x\n" * 100)
    monkeypatch.setattr(files, "MAX_LINES", 99)
    assert "l.csv: 100 lines, and a text file may have 99" in error_of(listed)
    os.truncate(listed, 1 << 30)
    assert "l.csv: 1073741824 bytes, and a text file may have" in error_of(listed)


def test_label_files_hold_short_labels_and_are_files(tmp_path):
    touch(tmp_path, "a.mp4")
    listed = write(tmp_path / "l.csv", "a.mp4,x\n")
    told = error_of(listed, labels=str(write(tmp_path / "names.txt", "x\n" + "y" * 10_000)))
    assert "names.txt: more than 1000 characters: 'yyy" in told and len(told) < 500
    os.mkfifo(tmp_path / "pipe.txt")
    assert "pipe.txt: not a file" in error_of(listed, labels=str(tmp_path / "pipe.txt"))


@pytest.mark.parametrize("template", ["{0.x}", "{0.__class__}{:d}", "{:0999999999d}", "{}{}", "img.jpg", "{1}"])
def test_names_of_frames_hold_one_number_and_nothing_else(template, tmp_path):
    listed = write(tmp_path / "l.txt", "a 1 0\n")
    assert f"frame_template is {template!r}: expected" in error_of(listed, kind="frames", frame_template=template)


@pytest.mark.slow
def test_two_hundred_thousand_lines_take_seconds(tmp_path):
    touch(tmp_path, *(f"{folder}/{number}.mp4" for folder in range(4) for number in range(50)))
    lines = [f"{number % 4}/{number % 50}.mp4,{number},{number + 1},{number % 4}\n" for number in range(200_000)]
    listed = write(tmp_path / "list.csv", "path,start,end,label\n" + "".join(lines))
    write(tmp_path / "labels.txt", "a\nb\nc\nd\n")
    began = time.monotonic()
    assert len(read(listed)) == 200_000
    assert time.monotonic() - began < 30  # about 3 on a quiet machine


# Frame folders


def test_frame_folders_may_hold_spaces_and_a_lost_dash_is_put_back(tmp_path):
    touch(tmp_path, "ride bike/x/f_003.png", "run/-abc/f_003.png")
    write(tmp_path / "kinetics_400_labels.csv", "id,name\n0,run\n1,ride bike\n")
    listed = write(tmp_path / "val.txt", "ride bike/x 4 1\nrun/abc 4 0\n")
    clips = read(listed, frame_template="f_{:03d}.png", first_frame=0)
    assert rows(clips) == [("ride bike/x", ("ride bike",)), ("run/abc", ("run",))]
    assert clips.reader == readers.FrameFolders("f_{:03d}.png", 0) and clips[0].frames == 4
    assert clips.paths[1] == str(tmp_path / "run/-abc")
    assert (clips.origin["repaired"], clips.origin["first_repaired"]) == (1, ["run/abc"])


def test_frame_folders_that_do_not_fit_their_list_are_told(tmp_path):
    touch(tmp_path, "a/img_00002.jpg", "b/img_00002.jpg", "c/x")
    listed = write(tmp_path / "val.txt", "a 2 0\nb 3 0\nc 0 0\nc 1\nd 2 -1\n")
    message = error_of(listed, labels=str(write(tmp_path / "names.txt", "run\n")))
    assert "folders without their last frame: 1\n    line 2: b/img_00003.jpg" in message
    assert "folders without a frame: 1\n    line 3: c 0" in message
    assert "malformed lines (expected: folder frames label): 1\n    line 4: c 1" in message
    assert "labels out of range (0 to 0 have a name): 1\n    line 5: -1" in message
    assert "files missing" in message


@pytest.mark.parametrize(
    ("files", "first_frame", "told"),
    [
        (range(1, 11), 1, "a/img_00006.jpg"),
        (range(10), 1, "a/img_00000.jpg"),  # numbered from 0
        (range(1, 6), 1, None),
        (range(5), 0, None),
    ],
)
def test_frame_folders_that_hold_more_than_their_list_says_are_told(files, first_frame, told, tmp_path):
    touch(tmp_path, *(f"a/img_{number:05d}.jpg" for number in files))
    listed = write(tmp_path / "val.txt", "a 5 0\n")
    clips = read(listed, labels=str(write(tmp_path / "names.txt", "run\n")), first_frame=first_frame)
    lines = [line for line in summary.notices(clips.origin) if "folders hold more frames than their list" in line]
    assert lines == ([f"1 folders hold more frames than their list says, which are not used: {told}"] if told else [])


def test_several_label_files_beside_a_list_are_ambiguous(tmp_path):
    touch(tmp_path, "a/img_00001.jpg")
    for name in ("one_labels.csv", "two_labels.csv"):
        write(tmp_path / name, "id,name\n0,run\n")
    message = error_of(write(tmp_path / "val.txt", "a 1 0\n"))
    assert "several label files" in message and "one_labels.csv, two_labels.csv" in message
