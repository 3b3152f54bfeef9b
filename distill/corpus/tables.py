"""Reads and writes every table (CSV), and says in which line and column one is wrong."""

import codecs
import contextlib
import csv
import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO, TextIOWrapper
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from core.errors import DataError, one_line
from core.results import printable

DELIMITERS = ",;\t"
_DELIMITER_LINE = re.compile(r"sep=([,;\t])[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)  # Excel's own first line
_LINE_END = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp", "Cs"})
TRUE_WORDS = frozenset({"1", "1.0", "true", "t", "yes", "y", "ja", "j", "wahr", "oui", "vrai"})
FALSE_WORDS = frozenset({"", "0", "0.0", "false", "f", "no", "n", "nein", "falsch", "non", "faux"})
_MAX_SHOWN = 60
_MAX_LINE_CHARACTERS = 2**20


class OtherColumnsError(DataError):
    """A table that can be read and lacks a column; ``columns`` are those that it has."""

    def __init__(self, sentence: str, columns: Sequence[str]) -> None:
        super().__init__(sentence)
        self.columns = tuple(columns)


class Row(dict[str, str]):
    """The cells of one row by their column, without the spaces around them; ``place`` is its file and line."""

    def __init__(self, place: str, cells: Iterable[tuple[str, str]]) -> None:
        super().__init__(cells)
        self.place = place

    def refused(self, column: str, expected: str) -> DataError:
        """The error that a cell is: its place, its value, and what was expected."""
        return DataError(f"{self.place}, column {column} holds {shown(self.get(column, ''))}; expected {expected}")

    def text(self, column: str) -> str:
        """A cell in Unicode's composed form (NFC), empty where there is no such column; no line break or control."""
        text = self.get(column, "")
        if text.isascii() and text.isprintable():  # nearly always, and checked at once
            return text
        text = unicodedata.normalize("NFC", text)
        if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
            raise self.refused(column, "text without line breaks and control characters")
        return text

    def number(self, column: str, lowest: float = -math.inf, highest: float = math.inf) -> float:
        """A finite number from `lowest` to `highest`, written with a decimal point."""
        value = parsed_number(self.get(column, ""))
        if not (math.isfinite(value) and lowest <= value <= highest):
            raise self.refused(column, f"a number with a decimal point{_in_range(lowest, highest)}")
        return value

    def whole(self, column: str, lowest: int, highest: int = 2**53) -> int:
        """A whole number; ``5.0`` is 5."""
        value = self.number(column, lowest, highest)
        if value != int(value):
            raise self.refused(column, f"a whole number{_in_range(lowest, highest)}")
        return int(value)

    def truth(self, column: str) -> bool:
        """Yes or no, in the words of `TRUE_WORDS` and `FALSE_WORDS`; an empty cell is no."""
        word = self.get(column, "").casefold()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise self.refused(column, "true or false (1 or 0, yes or no)")
        return word in TRUE_WORDS

    def relative_path(self, column: str) -> str:
        """A path below the table's folder, in its own Unicode form: not absolute, on any system, and without ``..``."""
        self.text(column)  # refuses control characters
        paths = PurePosixPath(self[column]), PureWindowsPath(self[column])
        if not paths[0].name or any(path.drive or path.root or ".." in path.parts for path in paths):
            raise self.refused(column, "a path below the table's folder, without '..'")
        return str(paths[0])


def parsed_number(text: str) -> float:
    """The number that `text` is in plain ASCII with a decimal point; NaN for anything else."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else math.nan


def read_table(
    path: Path, required: Sequence[str], optional: Sequence[str] = (), others: bool = False
) -> Iterator[Row]:
    """Read a table: UTF-8 with or without its mark, or UTF-16 with it; ``,``, ``;`` or tabs between the cells.

    Rows without any text are passed over. A column is found in capitals, or with an "s" more or less, too; a line on
    stderr says so. With `others` a row holds the other columns too, under their own names.

    Raises
    ------
    OtherColumnsError
        If one of `required` is missing.
    DataError
        If the file cannot be read, is in another encoding or damaged, or a row has not as many cells as the header.
    """
    wanted, lines = {*required, *optional}, _lines(path)
    first = list(_up_to_header(lines))
    delimiter, n_skipped = _layout(first, wanted)
    reader = csv.reader(chain(first[n_skipped:], lines), delimiter=delimiter, strict=True, skipinitialspace=True)
    records = _records(path, reader, n_skipped)
    _, header = next(records, (1, []))
    columns = _columns(path, header, required, optional)
    for line, cells in records:
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            raise DataError(
                f"{path}, line {line} does not have as many cells as the header: {len(cells)}, not {len(columns)}"
            )
        named = zip(columns, cells, strict=False)
        yield Row(f"{path}, line {line}", named if others else ((name, text) for name, text in named if name in wanted))


def table_text(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """A table as `read_table` takes it: CSV with these columns; what a record holds beside them is left out."""
    text = StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def remark(path: Path, sentence: str) -> None:
    """Say on stderr how something in a table was taken."""
    print(f"{printable(str(path))}: {sentence}", file=sys.stderr)


def shown(text: str) -> str:
    """A cell's text as an error shows it: quoted, escaped, cut short."""
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")


def listed(texts: Iterable[str]) -> str:
    """The first few of some cells' texts, for a sentence."""
    first, *others = sorted(set(texts))
    named = [shown(text) for text in (first, *others[:2])]
    return ", ".join(named) + (f" and {len(others) - 2} more" if len(others) > 2 else "")


def _lines(path: Path) -> Iterator[str]:
    """The table's lines with their ends, one at a time, so that a table may be larger than the memory."""
    try:
        with path.open("rb") as file:
            is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            file.seek(0)
            encoding, name = ("utf-16", "UTF-16") if is_utf16 else ("utf-8-sig", "UTF-8")
            text = TextIOWrapper(file, encoding=encoding, newline="")
            yield from _checked_lines(path, text)
    except UnicodeDecodeError as error:
        raise _not_text(path, f"is not {name}", *_undecodable(path, encoding)) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _checked_lines(path: Path, text: TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(_MAX_LINE_CHARACTERS):
        number += 1
        if "\0" in line:
            raise _not_text(path, "holds a zero character", number, line.index("\0") + 1)
        if len(line) == _MAX_LINE_CHARACTERS:
            raise DataError(f"{path}, line {number} has {_MAX_LINE_CHARACTERS} characters or more; that is no table")
        yield line


def _undecodable(path: Path, encoding: str) -> tuple[int, int]:
    """Line and column of the first character that cannot be decoded."""
    decoder, before = codecs.getincrementaldecoder(encoding)(), _Place()
    with path.open("rb") as file:
        while block := file.read(2**16):
            state = decoder.getstate()
            try:
                before.pass_over(decoder.decode(block))
            except UnicodeDecodeError:
                decoder.setstate(state)
                with contextlib.suppress(UnicodeDecodeError):
                    for byte in block:
                        before.pass_over(decoder.decode(bytes([byte])))
                break
    return before.line, before.column


class _Place:
    """Line and column of what follows some text, both from 1 on."""

    def __init__(self) -> None:
        self.line, self.column, self._is_after_cr = 1, 1, False

    def pass_over(self, text: str) -> None:
        if self._is_after_cr and text.startswith("\n"):
            text = text[1:]  # the rest of a line end that was counted
        elif not text:
            return
        *ends, last = _LINE_END.split(text)
        self.line += len(ends)
        self.column = len(last) + (1 if ends else self.column)
        self._is_after_cr = text.endswith("\r")


def _not_text(path: Path, what: str, line: int, column: int) -> DataError:
    """The error for a file that is no text at this line and column."""
    place = f"in line {line}, column {column}"
    return DataError(f"{path} cannot be read as a table: it {what} {place}; save it as CSV in UTF-8")


def _up_to_header(lines: Iterator[str]) -> Iterator[str]:
    """The lines up to the first that holds text, Excel's own line aside."""
    for number, line in enumerate(lines):
        yield line
        if line.strip() and not (number == 0 and _DELIMITER_LINE.match(line)):
            return


def _layout(first: Sequence[str], wanted: Iterable[str]) -> tuple[str, int]:
    """What stands between the cells, and how many lines stand before the header."""
    if first and (match := _DELIMITER_LINE.match(first[0])):
        return match[1], 1
    header = first[-1].rstrip("\r\n") if first else ""
    names = {_folded(name) for name in wanted}

    def n_found(delimiter: str) -> int:
        cells = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        return len(names & {_folded(cell) for cell in cells})

    return max(DELIMITERS, key=n_found), 0


def _records(path: Path, reader: Any, n_skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The records that hold any text, each with its first line; cells without the spaces around them."""
    while True:
        line = n_skipped + reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            reason = one_line(error)
            raise DataError(f"{path} cannot be read as a table: in line {line}, {reason}") from error
        if any(cells):
            yield line, cells


def _columns(path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> list[str]:
    """The header's names, those that are wanted in their own spelling."""
    columns = list(header)
    for name in (*required, *optional):
        alike = [index for index, found in enumerate(columns) if _folded(found) == _folded(name)]
        if name not in columns and len(alike) == 1:
            remark(path, f"the column {shown(columns[alike[0]])} is taken as {name!r}")
            columns[alike[0]] = name
    if missing := [name for name in required if name not in columns]:
        expected = f"expected {', '.join(required)}"
        raise OtherColumnsError(f"{path} lacks the column {', '.join(missing)}; {expected}", columns)
    names = [name.casefold() for name in columns if name]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} names the column {shown(twice[0])} more than once")
    return columns


def _folded(name: str) -> str:
    """A column's name as it is compared."""
    return re.sub(r"[\s-]+", "_", unicodedata.normalize("NFKC", name).strip().casefold()).removesuffix("s")


def _in_range(lowest: float, highest: float) -> str:
    limits = [f"at least {lowest:g}"] * math.isfinite(lowest) + [f"at most {highest:g}"] * (highest < 2**53)
    return ", ".join(["", *limits])
