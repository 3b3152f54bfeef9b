"""Shows people text that came from files: on a terminal it is never markup or a command, in Markdown never a mark."""

from typing import Any

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.text import Text

_MARKS = {mark: f"&#{ord(mark)};" for mark in "\\`*[]!|"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class PlainConsole(Console):
    """A terminal on which every string stands as it is, whatever brackets, colons or control characters it holds."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text of a string, of which whatever is not printable is shown as an escape."""
        return super().render_str(shown(text), **options)

    def print_json(self, json: str | None = None, **options: Any) -> None:
        """JSON in which whatever is not ASCII is an escape."""
        super().print_json(json, **{"ensure_ascii": True, **options})


def progress_label(text: str) -> str:
    """The words beside a progress bar, which rich takes for markup whatever the console."""
    return escape_markup(shown(text))


def shown(text: str) -> str:
    """Text with an escape for each character that is not printable, but for line breaks."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode("ascii") for char in text
    )


def escape_markdown(text: str) -> str:
    """Text that means nothing to Markdown, in one line: in a sentence, a table's cell, a heading or between backticks.

    Characters that mark something are written as HTML does: a backslash would not hold between backticks.
    """
    return "".join(_MARKS.get(char, char) for char in shown(" ".join(text.split())))


def escaped(value: Any) -> Any:
    """A value of JSON with every text in it escaped for Markdown, keys too."""
    if isinstance(value, str):
        return escape_markdown(value)
    if isinstance(value, dict):
        return {escape_markdown(str(key)): escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list | tuple) else value
