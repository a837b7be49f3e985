"""Fonts for labels in any script: which of those installed have the letters of a picture."""

import contextlib
import functools
import logging
import os
import unicodedata
import warnings
from collections.abc import Generator, Iterable
from typing import IO

import matplotlib
from matplotlib import figure, font_manager, text

logger = logging.getLogger(__name__)

USUAL = "DejaVu Sans"  # comes with matplotlib
# tried first, as most labels that need another font look best in these; then whatever else is installed
PREFERRED = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Noto Sans Symbols", "Noto Emoji", "Symbola"),
    *("Arial Unicode MS", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang HK", "Segoe UI Emoji"),
)
BOXES = "Last Resort"  # fonts that have a box for every letter; matplotlib brings one
MISSING = "Glyph .* missing from font"  # what matplotlib warns of
SELECTORS = range(0xFE00, 0xFE10)  # say how the letter before them looks, and are nothing by themselves
REGULAR = (350, 500)  # weights
NAMED = 10  # letters that a note names at most
PACKAGES = "fonts-noto-cjk for Chinese, Japanese and Korean, fonts-symbola for emoji, fonts-noto-core for other scripts"


def save(page: figure.Figure, path: str | os.PathLike | IO[bytes]) -> None:
    """Writes a page as PNG; its texts get fonts that have their letters. Says which letters no installed font has."""
    missing = fit(page)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING)
        page.savefig(path, dpi=100, format="png")
    tell_missing(missing, os.fspath(path) if isinstance(path, str | os.PathLike) else "this picture")


@contextlib.contextmanager
def in_use(families: list[str]) -> Generator[None]:
    """Within, new texts have these fonts, and are drawn as they are; letters that no font has become boxes."""
    with (
        matplotlib.rc_context({"font.family": families, "text.parse_math": False}),  # a $ in a label is a dollar
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", MISSING)
        yield


def fit(page: figure.Figure) -> set[str]:
    """Gives the texts of a page fonts that have their letters; returns those that no font has."""
    for one in texts_of(page):
        one.set_parse_math(False)  # a $ in a label is a dollar
    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING)
        page.draw_without_rendering()  # makes the texts of the axes
    texts = texts_of(page)
    letters = {letter for one in texts for letter in one.get_text() if not letter.isspace()}
    families, missing = choose(letters)
    for one in texts:
        one.set_fontfamily(families)
    return missing


def texts_of(page: figure.Figure) -> list[text.Text]:
    """Titles, labels and all other texts that a page has so far."""
    return [one for one in page.findobj(text.Text) if isinstance(one, text.Text)]


def choose(letters: Iterable[str]) -> tuple[list[str], set[str]]:
    """Families of installed fonts that have the letters, to be tried in this order, and the letters that none has."""
    missing, families = {ord(letter) for letter in letters}, [USUAL]
    missing -= letters_of(font_manager.findfont(USUAL))
    for family, file in other_fonts() if missing else ():
        if found := missing & letters_of(file):
            families.append(family)
            missing -= found
        if not missing:
            break
    return families, {chr(code) for code in missing if not is_mark(code)}


def is_mark(code: int) -> bool:
    """Whether it joins, directs or chooses among letters, so that nobody sees that it is missing."""
    return code in SELECTORS or unicodedata.category(chr(code)) in ("Cc", "Cf")


@functools.cache
def other_fonts() -> list[tuple[str, str]]:
    """(family, file) of the upright regular fonts installed, the preferred ones first."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for file in font_manager.findSystemFonts():
        if file not in known:  # matplotlib keeps a list of its own, and does not see what is installed later
            with contextlib.suppress(OSError, RuntimeError):  # damaged, or of a kind that it does not draw
                font_manager.fontManager.addfont(file)
    files: dict[str, str] = {}
    for font in font_manager.fontManager.ttflist:
        if font.name.startswith(BOXES):
            continue
        upright = font.style == "normal" and font.stretch in ("normal", "400", 400)
        weight = 400 if font.weight in ("normal", "regular", "book") else font.weight
        if upright and isinstance(weight, int) and REGULAR[0] <= weight <= REGULAR[1]:
            files.setdefault(font.name, font.fname)
    ranks = {family: rank for rank, family in enumerate(PREFERRED)}
    return sorted(files.items(), key=lambda item: (ranks.get(item[0], len(ranks)), item[0]))


@functools.cache
def letters_of(file: str) -> frozenset[int]:
    """The code points that a font file has outlines for; none where it cannot be read or holds pictures."""
    try:
        font = font_manager.get_font(file)
    except (OSError, RuntimeError):  # damaged, or of a kind that matplotlib does not draw
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


def tell_missing(missing: set[str], name: str) -> None:
    """Says which letters of a picture, if any, cannot be drawn, and what to install."""
    if not missing:
        return
    shown = " ".join(sorted(missing)[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
    logger.warning(
        f"{name}: no font here has {shown}; boxes stand in their place. Install fonts that have them (on Debian and "
        f"Ubuntu {PACKAGES}) and draw again"
    )
