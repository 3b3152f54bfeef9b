"""Finds what is wrong with the layout of a page: texts that overlap, stick out or break, small targets, faint print."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MIN_TARGET_DP = 48
MIN_CONTRAST = 4.5
TOLERANCE_PX = 1.5
NUMBER = re.compile(r"\d[\d.:,/-]*\d|\d")


@dataclass(frozen=True)
class Box:
    """A rectangle in the window, in pixels, and the widget that it belongs to."""

    left: float
    foot: float
    right: float
    top: float
    widget: object

    def overlaps(self, other: "Box") -> bool:
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.foot, other.foot)
        return wide > TOLERANCE_PX and high > TOLERANCE_PX

    def within(self, other: "Box") -> bool:
        return (
            self.left >= other.left - TOLERANCE_PX
            and self.right <= other.right + TOLERANCE_PX
            and self.foot >= other.foot - TOLERANCE_PX
            and self.top <= other.top + TOLERANCE_PX
        )


def faults(shell: object) -> list[str]:
    """One line for each fault of what the window shows now."""
    found = []
    texts = list(shown_texts(shell))
    layers = _layers(texts)
    for boxes in layers.values():
        for place, box in enumerate(boxes):
            found += [f"{_name(box)} overlaps {_name(other)}" for other in boxes[place + 1 :] if box.overlaps(other)]
    for box in texts:
        found += _text_faults(box, shell)
    found += _target_faults(shell)
    found += _covered_faults(shell, texts)
    return found


def shown_texts(shell: object) -> Iterator[Box]:
    """The box of the print of each label and field that can be seen."""
    from kivy.uix.label import Label
    from kivy.uix.textinput import TextInput

    for widget in _visible(shell):
        if isinstance(widget, Label) and widget.text.strip():
            width, height = widget.texture_size
            centre_x, centre_y = widget.to_window(*widget.center)
            yield Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2, widget)
        elif isinstance(widget, TextInput):
            yield box_of(widget)


def box_of(widget: object) -> Box:
    left, foot = widget.to_window(*widget.pos)
    return Box(left, foot, left + widget.width, foot + widget.height, widget)


def contrast_faults(shell: object, path: str) -> list[str]:
    """Texts whose print is too faint on the pixels around it; the whole page has to be in sight."""
    from kivy.core.image import Image
    from kivy.uix.textinput import TextInput

    shell.export_to_png(path)
    data = Image(path, keep_data=True, nocache=True).image._data[0]
    pixels = np.frombuffer(data.data, np.uint8).reshape(data.height, data.width, -1)[..., :3]
    found = []
    layers = _layers(list(shown_texts(shell)))
    top = max((layer for layer, _ in layers), default=0)  # what lies under a sheet is in its shade
    for box in (box for (layer, _), boxes in layers.items() if layer == top for box in boxes):
        if isinstance(box.widget, TextInput):
            continue
        rows = slice(max(0, int(data.height - box.top)), max(1, int(data.height - box.foot)))
        print_and_ground = pixels[rows, max(0, int(box.left)) : max(1, int(box.right))].reshape(-1, 3)
        if not len(print_and_ground):
            continue
        ground = Counter(map(tuple, print_and_ground[:: max(1, len(print_and_ground) // 4000)])).most_common(1)[0][0]
        ink = box.widget.disabled_color if box.widget.disabled else box.widget.color
        ratio = contrast([value * 255 for value in ink[:3]], ground)
        if ratio < MIN_CONTRAST:
            found.append(f"{_name(box)} has a contrast of {ratio:.1f} on {ground}")
    return found


def contrast(first: object, second: object) -> float:
    """The contrast of two colours of 0 to 255 (WCAG 2.1, 1.4.3)."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: object) -> float:
    scaled = [float(each) / 255 for each in colour]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in scaled]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _visible(widget: object) -> Iterator[object]:
    if widget.opacity == 0 or (widget.parent is not None and min(widget.size) <= 0):
        return
    yield widget
    for child in reversed(widget.children):
        yield from _visible(child)


def _clip_of(widget: object) -> object | None:
    """What cuts a widget off where it does not fit: the part that scrolls, nearest first."""
    from kivy.uix.scrollview import ScrollView

    parent = widget.parent
    while parent is not None and parent.parent is not parent:
        if isinstance(parent, ScrollView):
            return parent
        parent = parent.parent
    return None


def _layers(texts: list[Box]) -> dict[tuple[int, int], list[Box]]:
    """Texts by what they lie in: those of a sheet may lie over those of the page below it."""
    from app.widgets.dialogs import Sheet, Working

    layers: dict[tuple[int, int], list[Box]] = {}
    for box in texts:
        parent, layer = box.widget.parent, 0
        while parent is not None and parent.parent is not parent:
            if isinstance(parent, Sheet | Working):
                layer = id(parent)
            parent = parent.parent
        layers.setdefault((layer, id(_clip_of(box.widget))), []).append(box)
    return layers


def _text_faults(box: Box, shell: object) -> list[str]:
    found = []
    clip = _clip_of(box.widget)
    room = box_of(clip.children[0] if clip is not None and clip.children else shell)
    if not box.within(room):
        found.append(f"{_name(box)} sticks out of what holds it")
    if not box.within(Box(0, -1e9, shell.width, 1e9, shell)):
        found.append(f"{_name(box)} sticks out of the window's side")
    widget = box.widget
    if hasattr(widget, "texture_size"):
        if not box.within(box_of(widget)):
            found.append(f"{_name(box)} is larger than its place")
        found += _broken(widget)
    return found


def _broken(label: object) -> list[str]:
    """Numbers, and words of usual length, that a line's end cuts in two."""
    lines = ["".join(word.text for word in line.words) for line in label._label._cached_lines]
    found = []
    for number, count in Counter(NUMBER.findall(label.text)).items():
        if sum(NUMBER.findall(line).count(number) for line in lines) < count:
            found.append(f"the number {number} breaks in {label.text!r}")
    shown = Counter(word for line in lines for word in line.split())
    for word, count in Counter(label.text.split()).items():
        if len(word) <= 20 and shown[word] < count and not found:
            found.append(f"the word {word!r} breaks in {label.text!r}")
    return found


def _covered_faults(shell: object, texts: list[Box]) -> list[str]:
    """Print and targets that lie where the system covers the window, of what no scrolling can bring away."""
    from kivy.uix.behaviors import ButtonBehavior

    left, top, right, foot = getattr(shell, "insets", (0, 0, 0, 0))
    free = Box(left, foot, shell.width - right, shell.height - top, shell)
    targets = [box_of(widget) for widget in _visible(shell) if isinstance(widget, ButtonBehavior)]
    named = [box for box in targets if getattr(box.widget, "name", None) != ""]
    return [f"{_name(box)} lies below the system's bars" for box in (*texts, *named) if _is_covered(box, free)]


def _is_covered(box: Box, free: Box) -> bool:
    clip = _clip_of(box.widget)
    if clip is None:
        return not box.within(free)
    room = box_of(clip)
    if not box.overlaps(room):
        return False
    left, foot = max(box.left, room.left), max(box.foot, room.foot)
    seen = Box(left, foot, min(box.right, room.right), min(box.top, room.top), box.widget)
    return not seen.within(free)


def _target_faults(shell: object) -> list[str]:
    from kivy.metrics import dp
    from kivy.uix.behaviors import ButtonBehavior
    from kivy.uix.textinput import TextInput

    found = []
    for widget in _visible(shell):
        if not isinstance(widget, ButtonBehavior | TextInput) or getattr(widget, "name", None) == "":
            continue
        box = box_of(widget)
        if min(widget.size) < dp(MIN_TARGET_DP) - 0.5:
            found.append(f"{_name(box)} is {widget.width:.0f} x {widget.height:.0f}: too small for a finger")
        if box.left < -TOLERANCE_PX or box.right > shell.width + TOLERANCE_PX:
            found.append(f"{_name(box)} sticks out of the window's side")
    return found


def _name(box: Box) -> str:
    text = getattr(box.widget, "text", "") or getattr(box.widget, "name", "")
    return f"{type(box.widget).__name__} {text[:40]!r}"
