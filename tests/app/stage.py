"""The offscreen window of the tests: shows a widget at a phone's size, draws frames, and presses with real touches."""

import time
from collections.abc import Callable, Iterator

WAIT_S = 60.0
PASSED_ON_S = 1.0  # a page that scrolls lets go of a button 0.2 s after the finger


class Stage:
    """The offscreen window; `size` is in pixels."""

    size = (360, 640)

    def show(self, widget: object) -> None:
        from kivy.base import runTouchApp
        from kivy.core.window import Window

        for child in Window.children[:]:
            Window.remove_widget(child)
        Window.add_widget(self._sized(widget))
        if not getattr(Stage, "_running", False):
            runTouchApp(embedded=True)
            Stage._running = True
        self.draw()

    def _sized(self, widget: object) -> object:
        self.widget = widget
        widget.size_hint = (None, None)
        widget.size = self.size
        return widget

    def draw(self, n_frames: int = 3) -> None:
        from kivy.base import EventLoop

        for _ in range(n_frames):
            EventLoop.idle()
            time.sleep(0.002)

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() >= deadline_s:
                raise AssertionError(f"waited {WAIT_S} s in vain; the window says:\n{self.words(self.widget)}")
            self.draw(1)
        self.draw()

    def press(self, widget: object) -> None:
        """Touch a button, and wait until it was pressed: a page that scrolls passes a touch on a little later."""
        released = []
        widget.fbind("on_release", released.append)
        self.touch(widget)
        passed_on_by_s = time.monotonic() + PASSED_ON_S
        while not released and time.monotonic() < passed_on_by_s:
            self.draw(1)
        widget.funbind("on_release", released.append)
        assert released, f"{own_words(widget)} was not pressed"
        self.draw()

    def touch(self, widget: object) -> None:
        """Touch the middle of anything, even of what something else covers."""
        from kivy.tests.common import UnitTestTouch

        self.bring_into_sight(widget)
        touch = UnitTestTouch(*widget.to_window(*widget.center))
        touch.touch_down()
        self.draw(2)
        touch.touch_up()
        self.draw()

    def drag(self, widget: object, points: list[tuple[float, float]]) -> None:
        """Draw with a finger through points from 0 to 1 of the widget's width and height."""
        from kivy.tests.common import UnitTestTouch

        self.bring_into_sight(widget)
        left, foot = widget.to_window(*widget.pos)
        places = [(left + x * widget.width, foot + y * widget.height) for x, y in points]
        touch = UnitTestTouch(*places[0])
        touch.touch_down()
        for place in places[1:]:
            touch.touch_move(*place)
        self.draw(1)
        touch.touch_up()
        self.draw()

    def bring_into_sight(self, widget: object) -> None:
        from kivy.uix.scrollview import ScrollView

        for view in (parent for parent in parents(widget) if isinstance(parent, ScrollView)):
            for _ in range(20):
                foot, centre = view.to_window(*view.pos)[1], widget.to_window(*widget.center)[1]
                if not view.children or foot < centre < foot + view.height:
                    break
                view.scroll_to(widget, padding=4, animate=False)
                self.draw(2)
        self._wait_until_still(widget)

    def _wait_until_still(self, widget: object) -> None:
        """Draw until the widget moves no more, as it does while a page grows or comes to rest."""
        for _ in range(50):
            before = widget.to_window(*widget.center)
            self.draw(1)
            if widget.to_window(*widget.center) == before:
                return

    def press_words(self, words: str) -> None:
        """Press the button, row or field that shows exactly these words, wherever on the screen it is."""
        self.press(self.button(words))

    def button(self, words: str) -> object:
        """What can be pressed and shows exactly these words; the topmost layer's where there are several."""
        found = [button for button in self.buttons() if words in own_words(button)]
        if not found:
            raise AssertionError(f"nothing to press says {words!r}; the window says:\n{self.words(self.widget)}")
        return found[-1]

    def buttons(self) -> list:
        """Everything that can be pressed now, from the bottom layer to the top one."""
        from kivy.uix.behaviors import ButtonBehavior

        return [
            child
            for child in walk_forward(self.widget)
            if isinstance(child, ButtonBehavior) and child.opacity and not child.disabled
        ]

    def enter(self, label: str, text: str) -> None:
        """Type into the text field, or on the number pad, below this label."""
        from app.widgets.inputs import NumberField, PasscodeField, TextField

        (field,) = [
            child
            for child in walk_forward(self.widget)
            if isinstance(child, TextField | NumberField | PasscodeField) and child.label == label
        ]
        if isinstance(field, TextField):
            self.touch(field.ids.entry)
            field.ids.entry.text = ""
            field.ids.entry.insert_text(text)
            field.ids.entry.focus = False
        else:
            if isinstance(field, NumberField) and not field.is_open:
                self.press(field.ids.box)
            pad = field.ids.pad if isinstance(field, PasscodeField) else field.pad
            for key in ["erase"] * len(field.value) + list(text):
                self.press(next(child for child in pad.children if getattr(child, "code", None) == key))
            if isinstance(field, NumberField):
                self.press(field.ids.box)
        self.draw()

    def press_back(self) -> None:
        """The device's Back: Escape on a desktop."""
        from kivy.core.window import Window

        Window.dispatch("on_keyboard", 27, 1, None, [])
        self.draw()

    def words(self, widget: object) -> str:
        """Every text below `widget` that can be seen, one per line, from top to bottom."""
        shown = [child for child in widget.walk(restrict=True) if getattr(child, "text", "") and child.opacity]
        return "\n".join(child.text for child in sorted(shown, key=lambda child: -child.to_window(*child.pos)[1]))

    @property
    def text(self) -> str:
        """Every text of the window."""
        return self.words(self.widget)


def parents(widget: object) -> Iterator[object]:
    """The widgets that hold `widget`, the nearest first."""
    from kivy.core.window import Window

    parent = widget.parent
    while parent is not None and parent is not Window:
        yield parent
        parent = parent.parent


def walk_forward(widget: object) -> Iterator[object]:
    """`widget` and all below it, in the order in which they were added: what lies on top comes last."""
    yield widget
    for child in reversed(widget.children):
        yield from walk_forward(child)


def own_words(button: object) -> set[str]:
    """The texts that a button shows, its own and those inside it."""
    return {child.text for child in button.walk(restrict=True) if getattr(child, "text", "")}
