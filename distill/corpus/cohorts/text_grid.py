"""Reads Praat's TextGrid files: which label stands from when to when."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError

_NUMBER = r"(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_TEXT = r'"((?:[^"]|"")*)"'
_INTERVAL = re.compile(rf"xmin\s*=\s*{_NUMBER}\s*xmax\s*=\s*{_NUMBER}\s*text\s*=\s*{_TEXT}")
_POINT = re.compile(rf"(?:number|time)\s*=\s*{_NUMBER}\s*mark\s*=\s*{_TEXT}")
_SHORT_INTERVAL = re.compile(rf"^{_NUMBER}\s*\n{_NUMBER}\s*\n{_TEXT}", re.MULTILINE)


@dataclass(frozen=True)
class LabelledInterval:
    """A label from ``start_s`` to ``end_s``; a point begins and ends at once."""

    start_s: float
    end_s: float
    label: str


def read_text_grid(path: Path) -> list[LabelledInterval]:
    """The intervals and points of all tiers that have a label, in the order of their beginning.

    Raises
    ------
    DataError
        If the file cannot be read or is no TextGrid, or an interval ends before it begins.
    """
    text = _decoded(path)
    if "ooTextFile" not in text[:200] or "TextGrid" not in text[:200]:
        raise DataError(f"{path} is no TextGrid of Praat: it does not begin with ooTextFile and TextGrid")
    pattern = _INTERVAL if "xmin" in text else _SHORT_INTERVAL
    found = [(float(start), float(end), label) for start, end, label in pattern.findall(text)]
    found += [(float(at), float(at), label) for at, label in _POINT.findall(text)]
    for start_s, end_s, label in found:
        if end_s < start_s:
            raise DataError(f"{path} has the label {label!r} from {start_s:g} to {end_s:g} s, which ends too early")
    labelled = [LabelledInterval(*times, label.replace('""', '"')) for *times, label in found if label.strip()]
    return sorted(labelled, key=lambda interval: interval.start_s)


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if is_utf16 else "utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a TextGrid: {getattr(error, 'strerror', None) or error}") from error
