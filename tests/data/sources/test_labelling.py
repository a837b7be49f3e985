"""A label means the class of its name or its number, never the one at its place among others."""

import pytest

from actionclip_jax import config
from actionclip_jax.data import sources, summary

NAMES = "archery bowling climbing diving eating fishing golf hiking ironing juggling kicking laughing".split()


def make(tmp_path, folders, labels=None, name="labels.csv", **settings):
    """The data set of a video in each folder, with a label file."""
    for folder in folders:
        (tmp_path / "videos" / folder).mkdir(parents=True)
        (tmp_path / "videos" / folder / "a.mp4").touch()
    if labels is not None:
        (tmp_path / name).write_text(labels)
        settings["labels"] = str(tmp_path / name)
    return sources.open_source(config.SourceConfig(path=str(tmp_path / "videos"), **settings))


def read_as(clips):
    """Folder -> the text its clip gets."""
    rows = [clips[row] for row in range(len(clips))]
    return {clip.id.split("/")[0]: clips.labels[clip.labels[0]] for clip in rows}


def numbered(first):
    return "id,name\n" + "".join(f"{number},{name}\n" for number, name in enumerate(NAMES, first))


def error_of(*arguments, **options):
    with pytest.raises(sources.SourceError) as caught:
        make(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("first", [0, 1])
def test_folders_called_by_numbers_are_the_ids_of_the_label_file(first, tmp_path):
    folders = [str(number) for number in range(first, first + len(NAMES))]
    assert read_as(make(tmp_path, folders, numbered(first))) == dict(zip(folders, NAMES, strict=True))


@pytest.mark.parametrize("spell", ["{:03d}", "c{:03d}"])
def test_ids_may_be_padded_and_some_may_be_absent(spell, tmp_path):
    assert read_as(make(tmp_path, [spell.format(10), spell.format(2)], numbered(0))) == {
        spell.format(10): "kicking",
        spell.format(2): "climbing",
    }


@pytest.mark.parametrize("first", [0, 1])
def test_where_a_label_file_has_no_numbers_the_folders_tell_where_they_begin(first, tmp_path):
    folders = [str(number) for number in range(first, first + len(NAMES))]
    clips = make(tmp_path, folders, "\n".join(NAMES), "labels.txt")
    assert read_as(clips) == dict(zip(folders, NAMES, strict=True))


def test_numbers_that_may_begin_with_0_or_1_are_refused(tmp_path):
    told = error_of(tmp_path, ["3", "4"], "\n".join(NAMES), "labels.txt")
    assert "may begin with 0 or with 1 (a CSV id,name says it): 1" in told
    assert "12 names, and the labels are 3 to 4" in told


def test_numbers_without_a_label_file_are_no_names(tmp_path):
    assert "labels that are numbers, without a label file" in error_of(tmp_path, ["0", "1", "10"])


def test_numbers_out_of_range_are_refused(tmp_path):
    told = error_of(tmp_path, ["0", "12"], numbered(0))
    assert "none of the 12 known: 1\n    12/a.mp4: '12'" in told


@pytest.mark.parametrize(
    "spell", ["{0}_{1}", "{0:02d} - {1}", "{1}_{0}", "{1}{0:02d}", "({0}) {1}", "{0}.{1}", "c{0:03d}_{1}"]
)
def test_a_number_beside_a_matching_name_is_stripped(spell, tmp_path):
    folders = {spell.format(number, name): name for number, name in enumerate(NAMES, 1)}
    clips = make(tmp_path, folders, "\n".join(NAMES), "labels.txt")
    assert read_as(clips) == folders and clips.names == tuple(NAMES)


def test_numbers_before_names_are_stripped_without_a_label_file_if_they_count_up(tmp_path):
    folders = {f"{number}_{name}": name for number, name in enumerate(NAMES, 1)}
    clips = make(tmp_path, folders)
    assert read_as(clips) == folders and clips.labels == tuple(NAMES)


@pytest.mark.parametrize(
    "folders",
    [
        ("1st base", "2nd base", "3rd base"),
        ("1D waves", "2D drawing"),
        ("0.5x speed", "1.0x speed"),
        ("1 person walking", "2 people walking"),
        ("1-on-1 game", "2-on-2 game"),
    ],
)
def test_numbers_that_are_words_stay_in_the_names(folders, tmp_path):
    assert make(tmp_path, folders).labels == folders


@pytest.mark.parametrize("spell", ["{}_{}", "{}. {}", "({}) {}", "{} - {}"])
def test_numbers_that_are_left_out_without_a_label_file_are_to_be_checked(spell, tmp_path):
    clips = make(tmp_path, [spell.format(1, "archery"), spell.format(2, "bowling")])
    assert clips.labels == ("archery", "bowling")
    assert sum("(its number is left out)" in line for line in summary.notices(clips.origin)) == 2


@pytest.mark.parametrize("name", ["labels.csv", "labels.txt"])
def test_a_label_file_among_numbered_folders_is_found(name, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / name).write_text("archery\nbowling\n")
    assert read_as(make(tmp_path, ["0", "1"])) == {"0": "archery", "1": "bowling"}


def test_numbers_that_do_not_count_up_are_part_of_the_names(tmp_path):
    clips = make(tmp_path, ["100m_run", "200m_run", "360"])
    assert clips.labels == ("100m run", "200m run", "360")
    assert "please check the label '360': it is read as 360 (a number)" in list(summary.notices(clips.origin))


def test_numbers_before_names_that_do_not_count_up_are_to_be_checked(tmp_path):
    clips = make(tmp_path, ["03_archery", "07_bowling"])
    doubt = "please check the label '03_archery': it is read as 03 archery (begins with a number)"
    assert doubt in list(summary.notices(clips.origin))


def test_other_names_are_refused_with_both_lists_side_by_side(tmp_path):
    told = error_of(tmp_path, ["bow", "bowling"], "archery\nbowling\n", "labels.txt")
    assert "labels that are none of the 2 known: 1\n    bow/a.mp4: 'bow'" in told
    assert "there | label file" in told and "bow   | archery" in told


def test_as_many_other_names_are_no_reason_to_pair_them(tmp_path):
    told = error_of(tmp_path, ["a", "b"], "archery\nbowling\n", "labels.txt")
    assert "a     | archery" in told and "b     | bowling" in told


def test_two_folders_that_would_become_one_class_are_refused(tmp_path):
    told = error_of(tmp_path, ["archery_1", "archery_2"], "archery\nbowling\n", "labels.txt")
    assert "classes that two labels mean: 1\n    'archery_1' and 'archery_2': 'archery'" in told


@pytest.mark.parametrize("folder", ["HandstandPushups", "hand-stand_pushups", "HANDSTANDPUSHUPS"])
def test_names_of_the_same_letters_match_and_are_to_be_checked(folder, tmp_path):
    clips = make(tmp_path, [folder], "HandStandPushups\nswim\n", "labels.txt")
    assert read_as(clips) == {folder: "hand stand pushups"}
    doubt = f"please check the label {folder!r}: it is read as hand stand pushups (spelt otherwise)"
    assert doubt in list(summary.notices(clips.origin))


def test_names_match_whatever_their_unicode_form(tmp_path):
    assert read_as(make(tmp_path, ["cafe\u0301"], "caf\u00e9\nbar\n", "labels.txt")) == {"cafe\u0301": "caf\u00e9"}


def test_a_number_that_contradicts_the_label_file_is_to_be_checked(tmp_path):
    clips = make(tmp_path, ["1_bowling", "2_climbing"], numbered(0))
    assert read_as(clips) == {"1_bowling": "bowling", "2_climbing": "climbing"}
    assert not [line for line in summary.notices(clips.origin) if "check" in line]
    clips = make(tmp_path / "other", ["7_bowling"], numbered(0))
    [line] = [line for line in summary.notices(clips.origin) if "check" in line]
    assert line == "please check the label '7_bowling': it is read as bowling (its number is not 1, the label file's)"


def test_the_first_ten_pairs_are_told(tmp_path):
    folders = [str(number) for number in range(len(NAMES))]
    lines = list(summary.notices(make(tmp_path, folders, numbered(0)).origin))
    assert lines == [
        "labels, and the texts the model reads for them (12 in all):",
        *(f"  {number} -> {NAMES[number]}" for number in range(10)),
    ]


def test_names_that_are_their_own_texts_are_not_told(tmp_path):
    assert list(summary.notices(make(tmp_path, ["Archery", "bowling"]).origin)) == []
