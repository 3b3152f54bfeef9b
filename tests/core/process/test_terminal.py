"""What comes from outside never commands the terminal, and a stream that fails ends no run."""

import io
import sys

import pytest

from core.process.terminal import SafeParser, printable, say, steady_streams


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe.wav", "größe.wav"), ("a\x1b[31m\nb", "a\\x1b[31m\\nb"), ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("\x9b2J", "\\x9b2J"), ("\u202egpj", "\\u202egpj"), ("\u2066\u200f\u2028", "\\u2066\\u200f\\u2028"),
        ("\r\t\x07", "\\r\\t\\x07"), ("日本 咳", "日本 咳"),
    ],
)  # fmt: skip
def test_only_text_is_printed_as_it_is(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_lines_stay_lines_and_everything_else_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\ntwo\x1b[2J")
    say("three", is_error=True)
    assert capsys.readouterr() == ("one\ntwo\\x1b[2J\n", "three\n")


@pytest.mark.parametrize("stream", [None, Full()])
def test_streams_that_take_nothing_end_nothing(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with steady_streams():
        print("lost")
        print("lost as well", file=sys.stderr)
        say("and this")
    assert sys.stdout is stream


def test_what_an_encoding_lacks_is_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    say("größe")
    assert ascii_only.buffer.getvalue() == b"gr\\xf6\\xdfe\n"


def test_a_complaint_about_an_argument_is_safe_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        SafeParser(prog="x").parse_args(["--a\x1b[2J\nb"])
    assert "unrecognized arguments: --a\\x1b[2J\\nb" in capsys.readouterr().err
