"""One reader of label files for all commands: whatever form a file has, the names, numbers and texts in it come out."""

import pytest

from actionclip_jax.data import label_files

NAMES = ("run", "jump rope", "swim")


def read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return label_files.read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "first"),
    [
        ("l.txt", "run\njump rope\nswim\n", None),
        ("l.txt", "run\r\njump  rope\r\n\r\nswim\r\n", None),
        ("l.txt", "run\rjump rope\rswim\r", None),
        ("l.txt", "run\njump rope\nswim".encode("utf-16"), None),
        ("l.txt", b"\xfe\xff" + "run\njump rope\nswim".encode("utf-16-be"), None),
        ("l.txt", "run\njump rope\nswim".encode("utf-32"), None),
        ("l.txt", "\ufeffrun\njump rope\nswim\n", None),
        ("labels", "run\njump rope\nswim\n", None),
        ("classInd.txt", "1 run\r\n2 jump rope\r\n3 swim\r\n", 1),
        ("l.txt", "3 swim\n1 run\n2 jump rope\n", 1),
        ("Charades.txt", "c000 run\nc001 jump rope\nc002 swim\n", 0),
        ("l.txt", "0\trun\n1\tjump rope\n2\tswim\n", 0),
        ("l.txt", "0,run\n1,jump rope\n2,swim\n", 0),
        ("l.txt", "0: run\n1: jump rope\n2: swim\n", 0),
        ("l.txt", "1. run\n2. jump rope\n3. swim\n", 1),
        ("l.txt", "1 | run\n2 | jump rope\n3 | swim\n", 1),
        ("l.txt", "(1) run\n(2) jump rope\n(3) swim\n", 1),
        ("l.txt", "#1 run\n#2 jump rope\n#3 swim\n", 1),
        ("l.txt", "0 -> run\n1 -> jump rope\n2 -> swim\n", 0),
        ("l.txt", "run: 0\njump rope: 1\nswim: 2\n", 0),
        ("l.txt", "run\t0\njump rope\t1\nswim\t2\n", 0),
        ("l.txt", "id name\n0 run\n1 jump rope\n2 swim\n", 0),
        ("l.csv", "0 run\n1 jump rope\n2 swim\n", 0),
        ("l.csv", "id,name\n0.0,run\n1.0,jump rope\n2.0,swim\n", 0),
        ("l.csv", "sep=;\nid;name\n0;run\n1;jump rope\n2;swim\n", 0),
        ("l.csv", 'id, name\n0, "run"\n1, "jump rope"\n2, "swim"\n', 0),
        ("l.csv", "ClassId,ClassName\n0,run\n1,jump rope\n2,swim\n", 0),
        ("l.tsv", "id,name\n0,run\n1,jump rope\n2,swim\n", 0),
        ("l.json", '{"label": {"0": "run", "1": "jump rope", "2": "swim"}}', 0),
        ("l.json", '{"id2label": {"0": "run", "1": "jump rope", "2": "swim"}}', 0),
        ("l.json", '[{"name": "run"}, {"name": "jump rope"}, {"name": "swim"}]', None),
        ("l.json", '[{"id": 0, "label": "run"}, {"id": 1, "label": "jump rope"}, {"id": 2, "label": "swim"}]', 0),
        ("l.txt", "1) run\n2) jump rope\n3) swim\n", 1),
        ("l.txt", "1_run\n2_jump rope\n3_swim\n", 1),
        ("l.txt", "run 0\njump rope 1\nswim 2\n", 0),
        ("l.txt", "id,name\n0,run\n1,jump rope\n2,swim\n", 0),
        ("l.csv", "id,name\n0,run\n1,jump rope\n2,swim\n", 0),
        ("l.csv", "name,id\nswim,2\nrun,0\njump rope,1\n", 0),
        ("l.csv", "id;name\n0;run\n1;jump rope\n2;swim\n", 0),
        ("l.csv", "id,name\r0,run\r1,jump rope\r2,swim\r", 0),
        ("l.csv", "id\tname\n0\trun\n1\tjump rope\n2\tswim\n", 0),
        ("l.csv", "0,run\n1,jump rope\n2,swim\n", 0),
        ("l.csv", "run,0\njump rope,1\nswim,2\n", 0),
        ("l.csv", "label,name\n0,run\n1,jump rope\n2,swim\n", 0),
        ("l.csv", "Class ID,Class Name\n1,run\n2,jump rope\n3,swim\n", 1),
        ("l.csv", "run\njump rope\nswim\n", None),
        ("l.csv", "class\nrun\njump rope\nswim\n", None),
        ("l.tsv", "id\tname\n0\trun\n1\tjump rope\n2\tswim\n", 0),
        ("l.tsv", "0\trun\n1\tjump rope\n2\tswim\n", 0),
        ("l.json", '["run", "jump rope", "swim"]', None),
        ("l.json", '{"run": 0, "jump rope": 1, "swim": 2}', 0),
        ("l.json", '{"run": "0", "swim": "2", "jump rope": "1"}', 0),
        ("l.json", '{"0": "run", "2": "swim", "1": "jump rope"}', 0),
        ("l.json", '[{"id": 1, "name": "run"}, {"id": 2, "name": "jump rope"}, {"id": 3, "name": "swim"}]', 1),
        ("l.json", '{"0": "run", "1": "jump rope", "2": "swim"}'.encode("utf-16"), 0),
    ],
)
def test_names_and_numbers_come_out_of_every_form(name, content, first, tmp_path):
    classes = read(tmp_path, name, content)
    assert (classes.names, classes.first, classes.texts) == (NAMES, first, ())


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("3D printing\n100m run\n4x4 driving\n", ("3D printing", "100m run", "4x4 driving")),
        ("level 1\nlevel 2\n", ("level 1", "level 2")),
        ("mambo 5\nwaltz 3\n", ("mambo 5", "waltz 3")),
        ("1 person\nmany people\n", ("1 person", "many people")),
        ("archery, with a bow\nsurfing\n", ("archery, with a bow", "surfing")),
    ],
)
def test_numbers_that_are_part_of_names_stay(content, names, tmp_path):
    classes = read(tmp_path, "l.txt", content)
    assert (classes.names, classes.first, classes.notes) == (names, None, ())


def test_what_was_made_of_a_line_is_said(tmp_path):
    assert read(tmp_path, "l.txt", "run\nswim\n").notes == ()
    [note] = read(tmp_path, "l.txt", "1. run\n2. swim\n").notes
    assert note.endswith("l.txt: reads '1. run' as the number 1 and the name 'run', and all its lines alike")
    [note] = read(tmp_path, "l.csv", "id,name,colour\n0,run,red\n").notes
    assert note.endswith("l.csv: the columns colour are not used")
    heading = read(tmp_path, "l.txt", "Class\nrun\nswim\n")
    assert heading.names == ("run", "swim") and "'Class' is taken for a heading" in heading.notes[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "name,text\nrun,somebody runs\nswim,somebody swims\n"),
        ("l.csv", "id,class,text\n1,swim,somebody swims\n0,run,somebody runs\n"),
        ("l.json", '{"run": "somebody runs", "swim": "somebody swims"}'),
    ],
)
def test_a_file_may_give_other_words_for_names(name, content, tmp_path):
    classes = read(tmp_path, name, content)
    assert (classes.names, classes.texts) == (("run", "swim"), ("somebody runs", "somebody swims"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", "", "holds no label"),
        ("l.txt", "run\nrun\n", "the name 'run' is given twice"),
        ("l.txt", "5 run\n6 swim\n", "2 numbers from 5 to 6: expected 0, 1, 2"),
        ("l.txt", '"run",\n"swim",\n', "its lines are in quotes or end in commas"),
        ("l.txt", "run,\nswim,\n", "its lines are in quotes or end in commas"),
        ("l.txt", "# classes\nrun\n", "are no part of a label, '# classes'"),
        ("l.txt", "run, jump rope, swim\n", "its only line holds commas, 'run, jump rope, swim'"),
        ("l.txt", "run\tto run\nswim\tto swim\n", "are no part of a label, 'run\\tto run'"),
        ("l.txt", "#classes\nrun\n", "are no part of a label, '#classes'"),
        ("l.txt", "run # fast\nswim\n", "are no part of a label, 'run # fast'"),
        ("l.txt", "- run\n- swim\n", "are no part of a label, '- run'"),
        ("l.txt", "names:\nrun\n", "are no part of a label, 'names:'"),
        ("l.txt", "0\trun\tlaufen\n1\tswim\tschwimmen\n", "tabs in a line"),
        ("l.txt", "0 run 12\n1 swim 7\n", "numbers on both sides of the names, '0 run 12'"),
        ("l.csv", "id|name\n0|run\n", "are no part of a label, 'id|name'"),
        ("l.txt", "v0.mp4 0\nv1.mp4 1\n", "is a list of clips, such as 'v0.mp4', not of labels"),
        ("l.csv", "path,label\nv0.mp4,0\n", "is a list of clips by its headings, path, label"),
        ("l.txt", "1 point\n2 point\n", "is given twice (are the numbers part of the names?"),
        ("l.csv", "run,jump rope,swim\n", "which of its 3 columns holds the names"),
        ("l.csv", "id,name\n0,run\n1,jump, rope\n", "the first row has 2 cells, but line 3 has 3"),
        ("l.csv", "run,to run\nswim,to swim\n", "which of its 2 columns holds the names"),
        ("l.csv", "name,label\nrun,to run\n", "2 columns say the name (name, label)"),
        ("l.csv", "id,index,name\n0,0,run\n", "2 columns say the id"),
        ("l.csv", "id,verb\n0,run\n", "0 columns say the name (id, verb)"),
        ("l.csv", "id,name\n0,run\n1,\n", "the name is empty at position 2"),
        ("l.csv", "id,name\n0,run\nx,swim\n", "not every id is a number"),
        ("l.json", '{"1": "2", "2": "1"}', "expected JSON of the form [name, ...]"),
        ("l.json", '{"run": true}', "expected JSON of the form"),
        ("l.json", '{"run": 0, "run": 1}', "the name 'run' stands twice in one object"),
        ("l.json", '[{"id": 0, "title": "run"}]', "expected JSON of the form"),
        ("l.json", "{}", "expected JSON of the form"),
        ("l.yaml", "names: [run]\n", "a label file ends in .csv, .tsv, .txt"),
        ("l.txt", "run\nswim\n".encode("utf-16")[2:], "holds '\\x00', which no text has"),
    ],
)
def test_what_no_label_file_holds_is_refused_by_name(name, content, message, tmp_path):
    with pytest.raises(ValueError, match=r"l\.\w+") as caught:
        read(tmp_path, name, content)
    assert message in str(caught.value)
