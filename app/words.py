"""Gives the words that people read in their language; a screen looks them up whenever it shows them."""

import gettext as _gettext
from pathlib import Path

DOMAIN = "tussis"
FOLDER = Path(__file__).with_name("locale")
SOURCE_LANGUAGE = "en"
LANGUAGES = {"en": "English", "fr": "Français", "sw": "Kiswahili", "pt": "Português", "es": "Español"}
"""Code of each language of the application, and its name in itself."""

_shown: dict[str, object] = {"language": SOURCE_LANGUAGE, "catalogue": _gettext.NullTranslations()}


def set_language(language: str) -> None:
    """Show words in `language` from now on; one that the application lacks gives English."""
    catalogue = _gettext.translation(DOMAIN, FOLDER, [language], fallback=True)
    use_catalogue(catalogue, language if language in LANGUAGES else SOURCE_LANGUAGE)


def use_catalogue(catalogue: _gettext.NullTranslations, language: str) -> None:
    """Show the words of `catalogue`, which answers for `language`."""
    _shown.update(language=language, catalogue=catalogue)


def shown_language() -> str:
    """Code of the language whose words are shown, one of `LANGUAGES`."""
    return _shown["language"]


def _(text: str) -> str:
    """The words for an English source string; nothing for nothing."""
    return _shown["catalogue"].gettext(text) if text else ""


def ngettext(one: str, many: str, count: int) -> str:
    """The words for `count` things, with ``{n}`` in them replaced by it."""
    return _shown["catalogue"].ngettext(one, many, count).format(n=count)


def marked(text: str) -> str:
    """Mark an English source string for translation where it is only kept; `_` then shows it."""
    return text
