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
COVERED_DP = {  # what a phone covers: left, top, right, bottom; at the sides only where it is turned
    "bars": (0, 24, 0, 48),
    "turned": (48, 24, 48, 24),
    "keyboard": (0, 24, 0, 0.42),  # of the window's height
}
LONGER = "40 % longer"
FAST = (("320x568", 1.5, LONGER), ("640x360", 1.3, "fr"))  # the narrowest and the lowest, in large print
ALL = [
    (screen, scale, language) for screen in SCREENS for scale in FONT_SCALES for language in (*words.LANGUAGES, LONGER)
]


PHONE_FAST = (("360x640", 1.5, "en", "bars"),)
PHONE_ALL = [
    (screen, 1.5, language, covered)
    for screen, (width, height, _) in SCREENS.items()
    for language in ("en", LONGER)
    for covered in COVERED_DP
    if covered != "turned" or width > height
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


def draw_whole(stage, shell):
    shell.work.touched()  # on a slow machine the walk takes longer than the app waits before it locks itself
    stage.draw(3)
    while shell.work.is_working:
        stage.draw(1)
    stage.draw(2)


def walk(stage, shell, found, label):
    """Look at each page after each step of the generators."""

    def look(name):
        draw_whole(stage, shell)
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


@pytest.mark.long
@pytest.mark.parametrize(("screen", "scale", "language"), FAST)
def test_nothing_overlaps_sticks_out_or_breaks(stage, filled, metrics, screen, scale, language):
    check(stage, filled, metrics, [(screen, scale, language)])


@pytest.mark.slow
@pytest.mark.parametrize(("screen", "scale", "language"), [each for each in ALL if each not in FAST])
def test_nothing_overlaps_sticks_out_or_breaks_anywhere(stage, filled, metrics, screen, scale, language):
    check(stage, filled, metrics, [(screen, scale, language)])


class Phone:
    """Does to each page what a phone does: covers strips of it, pauses and comes back, and goes Back."""

    def __init__(self, stage, shell, found):
        self.stage, self.shell, self.found = stage, shell, found
        self.seen_after_back = set()

    def cover(self, covered, density):
        left, top, right, foot = COVERED_DP[covered]
        foot = foot * self.shell.height if 0 < foot < 1 else foot * density
        self.shell.insets = [left * density, top * density, right * density, foot]

    def look(self, name):
        self.settle()
        self.note(name)
        before = self.stage.text
        self.shell.rebuild()
        self.settle()
        after = self.stage.text
        if not (before.startswith(after) or after.startswith(before)):  # a list's last row may come a frame later
            self.found.setdefault(f"after a pause it says\n{self.stage.text}\ninstead of\n{before}", name)
        self.note(f"{name}, back from a pause,")
        self.go_back(name)

    def go_back(self, name):
        """Press Back, look, and put everything back where it was."""
        navigation = self.shell.work.navigation
        places, question = navigation._places[:], navigation.question
        if question is None or None not in question.answers.values():
            self.stage.press_back()
            asked = navigation.question.code if navigation.question is not None else ""
            now = (navigation.top.name, navigation.top.facts.get("step"), asked)
            if now not in self.seen_after_back:
                self.seen_after_back.add(now)
                self.settle()
                self.note(f"{name}, after Back,")
        navigation._places[:], navigation.question = places, question
        navigation._tell()

    def note(self, name):
        for fault in layout.faults(self.shell):
            self.found.setdefault(fault, name)

    def settle(self):
        self.shell.work.touched()
        self.stage.draw(2)
        while self.shell.work.is_working:
            self.stage.draw(1)
        self.stage.draw(2)


def check_on_a_phone(stage, filled, metrics, screen, scale, language, covered):
    width, height, density = SCREENS[screen]
    metrics(density, scale)
    show_language("en")
    stage.size, found = (width, height), {}
    shell = filled()
    show_language(language)
    phone = Phone(stage, shell, found)
    phone.cover(covered, density)
    for name in field_places.open_places(shell.work):
        phone.look(name)
    shell.work.lock()
    for name in field_places.locked_places(shell.work):
        phone.look(name)
    assert not found, "\n" + "\n".join(f"{where}: {fault}" for fault, where in found.items())


@pytest.mark.long
@pytest.mark.parametrize(("screen", "scale", "language", "covered"), PHONE_FAST)
def test_bars_a_pause_and_back_leave_every_page_whole(stage, filled, metrics, screen, scale, language, covered):
    check_on_a_phone(stage, filled, metrics, screen, scale, language, covered)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("screen", "scale", "language", "covered"), [each for each in PHONE_ALL if each not in PHONE_FAST]
)
def test_bars_keyboard_a_pause_and_back_leave_every_page_whole_anywhere(
    stage, filled, metrics, screen, scale, language, covered
):
    check_on_a_phone(stage, filled, metrics, screen, scale, language, covered)


@pytest.mark.long
def test_a_field_in_which_somebody_writes_stays_in_sight_above_the_keyboard(stage, filled, metrics):
    from app.widgets.inputs import EntryLine

    metrics(1, 1.5)
    stage.size = (360, 640)
    shell = filled()
    record_id = shell.work.casebook.attempts()[2].record_id
    shell.work.navigation.go("recording", record_id=record_id)
    stage.draw(4)
    (field,) = [widget for widget in shell.page.walk() if isinstance(widget, EntryLine)]
    stage.touch(field)
    assert field.focus
    shell.insets = [0, 24, 0, 270]
    stage.draw(6)
    box, scroll = layout.box_of(field), layout.box_of(shell.page.ids.scroll)
    assert box.overlaps(scroll) and box.foot >= 270 - 1
    field.focus = False


@pytest.mark.long
def test_every_print_has_a_contrast_of_at_least_4_5_on_what_lies_below_it(stage, filled, metrics, tmp_path):
    metrics(1, 1.0)
    stage.size = (360, 3000)  # all of a page in sight
    shell = filled()
    found = {}
    for name in field_places.open_places(shell.work):
        draw_whole(stage, shell)
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
