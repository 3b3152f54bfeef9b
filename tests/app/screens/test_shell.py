"""The layout of every page, on five screens, in three sizes of print, in each language and in a longer one."""

import gettext

import pytest

from app import words
from tests.app import field_places, layout

SCREENS = {  # width and height in pixels, pixels per dp
    "320x568": (320, 568, 1),
    "360x640": (360, 640, 1),
    "360x800": (360, 800, 1),
    "640x360": (640, 360, 1),
    "1080x2400": (1080, 2400, 3),
}
FONT_SCALES = (1.0, 1.3, 1.5)
LONGER = "40 % longer"
FAST = (("320x568", 1.5, LONGER), ("640x360", 1.3, "fr"))  # the narrowest and the lowest, in large print
ALL = [
    (screen, scale, language) for screen in SCREENS for scale in FONT_SCALES for language in (*words.LANGUAGES, LONGER)
]


class LongerWords(gettext.NullTranslations):
    """English with each word 40 % longer, as no language is but some come near; what stands in braces stays."""

    def gettext(self, text: str) -> str:
        return " ".join(self._longer(word) for word in text.split(" "))

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self.gettext(one if count == 1 else many)

    def _longer(self, word: str) -> str:
        letters = "".join(letter for letter in word if letter.isalpha())
        if "{" in word or not letters:
            return word
        n_more = round(0.4 * len(letters))
        return word.replace(letters, letters + (letters * 2)[:n_more].lower()) if letters in word else word


@pytest.fixture
def metrics():
    """Sets the pixels of a dp and the size of print, and puts both back."""
    from kivy.metrics import Metrics

    def settle(density: float, font_scale: float) -> None:
        Metrics.density, Metrics.fontscale = density, font_scale

    yield settle
    settle(1.0, 1.0)


@pytest.fixture
def filled(window, stage, default_bundle):
    """The window over a filled data folder."""
    from core.screener import Screener

    screener = Screener(default_bundle)

    def fill():
        shell = window(load_screener=lambda: screener)
        field_places.fill(shell.work, stage.draw, screener)
        stage.wait(lambda: shell.work.screener is not None)
        return shell

    return fill


def show_language(language: str) -> None:
    if language == LONGER:
        words.use_catalogue(LongerWords(), "en")
    else:
        words.set_language(language)


def walk(stage, shell, found, label):
    """Look at each page after each step of the generators."""

    def look(name):
        stage.draw(3)
        while shell.work.is_working:
            stage.draw(1)
        stage.draw(2)
        for fault in layout.faults(shell):
            found.setdefault(fault, f"{name} {label}")

    for name in field_places.open_places(shell.work):
        look(name)
    shell.work.lock()
    for name in field_places.locked_places(shell.work):
        look(name)


def check(stage, filled, metrics, combinations):
    found = {}
    for screen, scale, language in combinations:
        width, height, density = SCREENS[screen]
        metrics(density, scale)
        show_language("en")
        stage.size = (width, height)
        shell = filled()
        show_language(language)
        walk(stage, shell, found, f"{screen} {scale} {language}")
    assert not found, "\n" + "\n".join(f"{where}: {fault}" for fault, where in found.items())


@pytest.mark.parametrize(("screen", "scale", "language"), FAST)
def test_nothing_overlaps_sticks_out_or_breaks(stage, filled, metrics, screen, scale, language):
    check(stage, filled, metrics, [(screen, scale, language)])


@pytest.mark.slow
@pytest.mark.parametrize(("screen", "scale", "language"), [each for each in ALL if each not in FAST])
def test_nothing_overlaps_sticks_out_or_breaks_anywhere(stage, filled, metrics, screen, scale, language):
    check(stage, filled, metrics, [(screen, scale, language)])


def test_every_print_has_a_contrast_of_at_least_4_5_on_what_lies_below_it(stage, filled, metrics, tmp_path):
    metrics(1, 1.0)
    stage.size = (360, 3000)  # all of a page in sight
    shell = filled()
    found = {}
    for name in field_places.open_places(shell.work):
        stage.draw(3)
        while shell.work.is_working:
            stage.draw(1)
        stage.draw(2)
        for fault in layout.contrast_faults(shell, str(tmp_path / f"{name}.png")):
            found.setdefault(fault, name)
    assert not found, "\n" + "\n".join(f"{where}: {fault}" for fault, where in found.items())


def test_the_layout_test_finds_what_is_wrong(stage):
    from kivy.uix.floatlayout import FloatLayout
    from kivy.uix.label import Label

    from app.widgets.controls import IconButton, Words

    root = FloatLayout()
    root.add_widget(Label(text="one", size_hint=(None, None), size=(100, 30), pos=(10, 10)))
    root.add_widget(Label(text="two", size_hint=(None, None), size=(100, 30), pos=(10, 12)))
    root.add_widget(Label(text="outside", size_hint=(None, None), size=(100, 30), pos=(320, 200)))
    root.add_widget(Words(text="0012345.5", size_hint=(None, None), width=40, font_size=30, pos=(10, 300)))
    root.add_widget(IconButton(name="close", size=(30, 30), pos=(200, 400)))
    stage.show(root)
    found = "\n".join(layout.faults(root))
    for fault in (
        "overlaps",
        "sticks out of the window's side",
        "the number 0012345.5 breaks",
        "too small for a finger",
    ):
        assert fault in found
