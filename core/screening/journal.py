"""Keeps on disk what a run finds while it finds it, so that a kill or a power cut costs only what is under way."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import OutputError
from core.files import SCREEN_KIND, append_synced, check_replaceable, is_standard_output
from core.results import plain

ENDING = ".partial"
LOST_END = "the run ended without a word, after at least {:.0f} s; the totals are those of its whole hours."


@dataclass(frozen=True)
class KeptResult:
    """The result of a recording that an earlier run wrote into its journal."""

    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The recording's object in the contract."""
        return dict(self.content)

    @property
    def path(self) -> str:
        """Of the recording, as the result gives it."""
        return self.content["recording"]["path"]

    @property
    def is_whole(self) -> bool:
        """Whether the recording was heard to its end."""
        return not {"error", "remark"} & self.content.keys()


class Journal:
    """``OUT.partial`` beside the JSON file OUT: JSON Lines, each on disk at once; see docs/formats.md.

    A context manager. The file appears with the first line and goes with `close`; left by a kill, it holds all that was
    found, and the next run with the same OUT goes on with it. A disk that takes no line ends no run.

    Parameters
    ----------
    out : Path or None
        Where the JSON goes; without a file there is no journal.
    schema : str
        Of the JSON file.
    kind : str
        Of the JSON file, as `kind_of` says it.

    Raises
    ------
    OutputError
        If the file that stands there is something else, or another run is writing it.

    Attributes
    ----------
    kept : tuple of KeptResult
        The results that an earlier run left.
    problem : str
        Why a line could not be written; "" while all could.
    """

    def __init__(self, out: Path | None, schema: str, kind: str = SCREEN_KIND) -> None:
        self.path = None if out is None or is_standard_output(out) or _is_special(out) else journal_of(out)
        self.kept: tuple[KeptResult, ...] = ()
        self.problem = ""
        self._schema, self._lock = schema, None
        if self.path is not None and self.path.exists():
            check_replaceable(self.path, kind)
            self._lock = _locked(self.path)
            self.kept = read_journal(self.path, schema)
            _cut_torn_line(self.path)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def note(self, **line: Any) -> None:
        """Write a line; where the disk does not take it, `problem` says so."""
        if self.path is None:
            return
        try:
            header = b"" if self.path.exists() and self.path.stat().st_size else _line({"schema": self._schema})
            append_synced(self.path, header + _line(line))
            self._lock = self._lock or _locked(self.path)
        except (OSError, OutputError) as error:
            self.problem = str(error)

    def remove(self) -> None:
        """Remove the file, once the JSON file holds what it held."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()


def journal_of(out: Path) -> Path:
    """The journal's place for a JSON file."""
    return out.with_name(out.name + ENDING)


def read_journal(path: Path, schema: str | None = None) -> tuple[KeptResult, ...]:
    """The results in a journal, finished or not; raises OutputError where it is none, or of another schema."""
    try:
        content = path.read_bytes()
        lines = [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
        if lines and schema not in (None, lines[0]["schema"]):
            raise OutputError(f"{path}, which an earlier run left, holds {lines[0]['schema']}, not {schema}.")
        return tuple(map(KeptResult, _results(lines[1:])))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise OutputError(f"{path}, which an earlier run left, cannot be read: {reason}; move it away.") from error


def _results(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put lines together: whole results, and streams that began and have no result."""
    results: list[dict[str, Any]] = []
    open_stream: dict[str, Any] | None = None
    for line in lines:
        if "result" in line.keys():  # noqa: SIM118  (a list or a number has none, and is refused)
            results.append(dict(line["result"]))
            open_stream = None
        elif "begun" in line:
            results += [] if open_stream is None else [_ended(open_stream)]
            open_stream = {**line["begun"], "hours": [], "events": []}
        elif open_stream is not None:
            open_stream["events"] += line.get("events", [])
            open_stream["hours"] += line.get("hours", [])
            open_stream["totals"] = line.get("totals", open_stream["totals"])
            open_stream["recording"] = {**open_stream["recording"], "duration_s": line["heard_s"]}
    return results + ([] if open_stream is None else [_ended(open_stream)])


def _ended(stream: dict[str, Any]) -> dict[str, Any]:
    remark = LOST_END.format(stream["recording"]["duration_s"])
    events = sorted(stream["events"], key=lambda event: (event["start_s"], event["label"]))
    return {**stream, "events": events, "timing_ms": {}, "busy_ms_per_audio_hour": None, "remark": remark}


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(plain(content), allow_nan=False).encode() + b"\n"


def _is_special(out: Path) -> bool:
    return out.exists() and not out.is_file()


def _cut_torn_line(path: Path) -> None:
    """Remove the line that a kill left unfinished."""
    try:
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def _locked(path: Path) -> BinaryIO | None:
    """Keep other runs from writing the same file; None where the system has no such lock."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        file = path.open("rb")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{path} is being written by another run; wait for it, or choose another name.") from error
    except OSError:
        return None
    return file
