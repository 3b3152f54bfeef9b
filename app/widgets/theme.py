"""Defines the colours; text has a contrast of at least 4.5 to 1 on its ground (WCAG 2.1, 1.4.3)."""

from kivy.utils import get_color_from_hex as _rgba

GROUND = _rgba("#F2F5F7")
CARD = _rgba("#FFFFFF")
LINE = _rgba("#D5DDE3")
TRACK = _rgba("#E6ECEF")
TEXT = _rgba("#15212B")
SECONDARY = _rgba("#4C5B67")
ON_COLOUR = _rgba("#FFFFFF")
FIELD_LINE = _rgba("#72838F")

PRIMARY = _rgba("#0A6A6A")
PRIMARY_DOWN = _rgba("#064B4B")
PRIMARY_GROUND = _rgba("#E0F0EF")
RECORD = _rgba("#C62828")
RECORD_DOWN = _rgba("#8E1B1B")

GOOD = _rgba("#1F7A4D")
GOOD_GROUND = _rgba("#E3F4EA")
WARNING = _rgba("#7A4B00")
WARNING_GROUND = _rgba("#FFF1D0")
WARNING_LINE = _rgba("#E3A008")
ERROR = _rgba("#9B1C1C")
ERROR_GROUND = _rgba("#FDE8E8")
NOTE = _rgba("#2C4A6B")
NOTE_GROUND = _rgba("#E4EDF7")
QUIET_BAR = _rgba("#8FA3B0")
SHADE = (0.08, 0.13, 0.17, 0.55)
CLEAR = (0, 0, 0, 0)

KINDS = {
    "plain": (TEXT, CARD, LINE),
    "note": (NOTE, NOTE_GROUND, NOTE_GROUND),
    "good": (GOOD, GOOD_GROUND, GOOD_GROUND),
    "warning": (WARNING, WARNING_GROUND, WARNING_LINE),
    "error": (ERROR, ERROR_GROUND, ERROR),
    "grey": (SECONDARY, TRACK, QUIET_BAR),
}
"""Ink of the heading, ground and line of a card by what it tells."""
