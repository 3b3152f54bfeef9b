"""Says, by the phone's maker, which of its settings keep it from ending what goes on in the background."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.words import _

Say = Callable[[], str]
OTHER = "other"


@dataclass(frozen=True)
class Maker:
    """A maker's name as people know it, the brands of its phones, and the steps in its settings."""

    name: Say
    brands: tuple[str, ...]
    steps: tuple[Say, ...]


def _app_battery() -> str:
    return _("Open Settings, Apps, Tussis, Battery.")


def _lock_in_recents() -> str:
    return _("Show the recent apps, hold Tussis, and choose the lock.")


MAKERS: Mapping[str, Maker] = {
    "xiaomi": Maker(
        lambda: "Xiaomi, Redmi, Poco",
        ("xiaomi", "redmi", "poco"),
        (
            lambda: _("Open Settings, Apps, Manage apps, Tussis."),
            lambda: _("Switch Autostart on."),
            lambda: _("Open Battery saver there, and choose No restrictions."),
            _lock_in_recents,
        ),
    ),
    "samsung": Maker(
        lambda: "Samsung",
        ("samsung",),
        (
            _app_battery,
            lambda: _("Choose Unrestricted."),
            lambda: _("Open Settings, Battery, Background usage limits."),
            lambda: _("Add Tussis to the apps that never sleep."),
        ),
    ),
    "huawei": Maker(
        lambda: "Huawei, Honor",
        ("huawei", "honor"),
        (
            lambda: _("Open Settings, Battery, App launch, Tussis."),
            lambda: _("Switch Manage automatically off."),
            lambda: _("Switch on all three: Auto-launch, Secondary launch, Run in background."),
        ),
    ),
    "oppo": Maker(
        lambda: "Oppo, Realme, OnePlus",
        ("oppo", "realme", "oneplus"),
        (
            lambda: _("Open Settings, Apps, App management, Tussis, Battery usage."),
            lambda: _("Switch on: Allow background activity, and Allow auto launch."),
            _lock_in_recents,
        ),
    ),
    "vivo": Maker(
        lambda: "Vivo, iQOO",
        ("vivo", "iqoo"),
        (
            lambda: _("Open Settings, Battery, Background power consumption management, Tussis."),
            lambda: _("Choose not to restrict it."),
            lambda: _("Open Settings, Apps, Autostart, and switch Tussis on."),
        ),
    ),
    "transsion": Maker(
        lambda: "Tecno, Infinix, itel",
        ("tecno", "infinix", "itel", "transsion"),
        (
            lambda: _("Open the app Phone Master, Toolbox, Auto-start management."),
            lambda: _("Switch Tussis on there."),
            _app_battery,
            lambda: _("Choose Unrestricted."),
            _lock_in_recents,
        ),
    ),
    OTHER: Maker(lambda: _("Another maker"), (), (_app_battery, lambda: _("Choose Unrestricted."))),
}
"""By a code, the makers whose phones end applications of their own accord, and the rest."""


def maker_of(device: str) -> str:
    """The code of the maker of a device, such as of ``"Xiaomi Redmi 9C"``."""
    words = device.casefold().split()
    return next((code for code, maker in MAKERS.items() if set(maker.brands) & set(words)), OTHER)
