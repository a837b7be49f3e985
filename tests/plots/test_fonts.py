"""Labels in any script are drawn, or it is said which letters are not."""

import numpy as np
import pytest
from matplotlib import figure, font_manager
from PIL import Image

from actionclip_jax.plots import charts, fonts, sheets


@pytest.fixture
def usual_only(monkeypatch):
    """A system without any other font."""
    monkeypatch.setattr(fonts, "other_fonts", lambda: [])


@pytest.mark.usefixtures("usual_only")
def test_letters_that_no_font_has_are_named_with_what_to_install(tmp_path, told):
    page = figure.Figure()
    page.text(0.1, 0.5, "fire 火, опера, café 🎉")
    fonts.save(page, tmp_path / "x.png")
    (note,) = told
    assert note.startswith(f"{tmp_path / 'x.png'}: no font here has 火 🎉; ")
    assert "fonts-noto-cjk" in note and "fonts-symbola" in note


@pytest.mark.usefixtures("usual_only")
def test_texts_that_can_be_drawn_are_drawn_without_a_word(tmp_path, told):
    page = figure.Figure()
    page.text(0.1, 0.5, "Ἀθῆναι, عربي, ❤\ufe0f, a\u200db, $5 or $\\bad$")
    fonts.save(page, tmp_path / "x.png")
    assert not told and np.asarray(Image.open(tmp_path / "x.png").convert("L")).min() < 100


def test_another_installed_font_draws_what_the_usual_one_has_not(monkeypatch):
    """A font that stands for one of a script: matplotlib's own of mathematical letters, which has U+E000 on."""
    file = font_manager.findfont("STIXNonUnicode")
    letter = chr(max(fonts.letters_of(file) - fonts.letters_of(font_manager.findfont(fonts.USUAL))))
    monkeypatch.setattr(
        fonts, "other_fonts", lambda: [("cmr10", font_manager.findfont("cmr10")), ("of the script", file)]
    )
    assert fonts.choose({"a", letter, "火"}) == ([fonts.USUAL, "of the script"], {"火"})
    assert fonts.choose({"a"}) == ([fonts.USUAL], set()), "no other is asked for"


def test_fonts_of_boxes_and_damaged_ones_have_no_letters(tmp_path):
    assert not any(family.startswith(fonts.BOXES) for family, _ in fonts.other_fonts())
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    assert fonts.letters_of(str(tmp_path / "damaged.ttf")) == frozenset()


@pytest.mark.usefixtures("usual_only")
def test_every_kind_of_picture_says_what_it_cannot_draw(tmp_path, told):
    labels, targets = ("火", "b"), np.array([0, 1])
    charts.confusion_matrix(tmp_path / "a.png", labels, targets, targets)
    charts.class_bars(tmp_path / "b.png", labels, np.ones(2), "accuracy", np.ones(2, int))
    sheets.clip_sheets(tmp_path / "c.png", np.zeros((1, 2, 8, 8, 3), np.uint8), ["火.mp4"])
    assert [line.split(": ")[0] for line in told] == [str(tmp_path / f"{name}.png") for name in "abc"]
