"""Text from files is text: nothing in it is markup, a command of the terminal or a mark of Markdown."""

import html
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import track
from rich.table import Table

from distill.shown_text import PlainConsole, escape_markdown, escaped, progress_label, shown

BRACKETS = ["[/x]", "[black on black conceal]", "[link=file:///etc/passwd]here[/link]", "br[red]/b", "\\[x]"]


def printed(show) -> str:
    """What a console that is a terminal of many colours writes."""
    file = io.StringIO()
    show(PlainConsole(file=file, force_terminal=True, color_system="truecolor", soft_wrap=True, width=300))
    return file.getvalue()


@pytest.mark.parametrize("text", [*BRACKETS, ":warning:"])
def test_brackets_are_brackets_in_a_line_a_table_and_a_heading(text: str) -> None:
    def table(console: PlainConsole) -> None:
        rows = Table(text)
        rows.add_row(text)
        console.print(rows)

    assert printed(lambda console: console.print(f"a {text} b")) == f"a {text} b\n"
    cells = re.sub(r"\x1b\[[0-9;]*m", "", printed(table))
    assert cells.count(text) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\rb", "a\\rb"),
        ("\x9b1m", "\\x9b1m"),
        ("\u202egnp", "\\u202egnp"),
        ("\udce9", "\\udce9"),
    ],
)
def test_what_would_command_the_terminal_is_an_escape(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert printed(lambda console: console.print(text)) == expected + "\n"
    assert "\x9b" not in printed(lambda console: console.print_json(data={"a": "\x9b1m"}))


@pytest.mark.parametrize("text", BRACKETS)
def test_words_beside_a_progress_bar_are_not_markup(text: str) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=200)
    assert list(track([1], progress_label(text), console=console)) == [1]
    assert text in file.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "![t](http://x/y)",
        "a | b",
        "x\n\n## Intended use\n\nApproved.",
        "`code` *bold*",
        "\\|",
    ],
)
def test_no_mark_of_markdown_is_left(text: str) -> None:
    assert not re.search(r"[\n<>|\[\]!`*\\]", escape_markdown(text))
    assert escaped({text: [text, 1, None]}) == {escape_markdown(text): [escape_markdown(text), 1, None]}


@given(st.text())
def test_any_text_becomes_one_line_that_is_read_as_that_text(text: str) -> None:
    line = escape_markdown(text)
    assert line.isprintable() or not line
    assert html.unescape(line) == shown(" ".join(text.split()))


def test_ordinary_words_stay_as_they_are() -> None:
    for words in ("CC BY-NC 4.0", "esc50_part", "throat_clear (2 s)", "a: b, c; 95 %", "google/hear-pytorch"):
        assert escape_markdown(words) == words
