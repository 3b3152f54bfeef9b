from pathlib import Path

import pytest

from app.studies.font_characters import RANGES, missing_characters

FACES = ("Roboto-Regular", "Roboto-Bold", "Roboto-Italic", "Roboto-BoldItalic")
NO_BREAK_SPACE = 0xA0


def characters_of_the_fonts() -> set[int]:
    """Every code point that all faces have and that is printed, by another library's reading of the fonts."""
    ttfont = pytest.importorskip("fontTools.ttLib").TTFont
    kivy = pytest.importorskip("kivy")
    fonts = Path(kivy.__file__).parent / "data" / "fonts"
    shared = set.intersection(*(set(ttfont(fonts / f"{face}.ttf").getBestCmap()) for face in FACES))
    shown = {code_point for code_point in shared if chr(code_point).isprintable()} - {0xFFFC, 0xFFFD}
    return shown | {NO_BREAK_SPACE}


def test_the_committed_table_is_what_the_fonts_have() -> None:
    assert {code_point for first, last in RANGES for code_point in range(first, last + 1)} == characters_of_the_fonts()


@pytest.mark.parametrize(
    "text", ["Jibu maswali", "Où êtes-vous né ?\nÀ l'hôpital", "¿Cuántos años?", "não é ção", "Жή"]
)
def test_texts_in_latin_greek_and_cyrillic_can_be_shown(text: str) -> None:
    assert missing_characters(text) == []


def test_what_the_font_lacks_is_named_once_in_order() -> None:
    assert missing_characters("咳 a咳\nب\t\u200b\ufeff\u202e") == ["咳", "ب", "\t", "\u200b", "\ufeff", "\u202e"]
