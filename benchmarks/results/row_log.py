"""Keeps the finished rows of a measurement that may end early: a full disk, a crash, no phone."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.results.result import SCHEMA, Result, Row, check_result, write_result
from core.errors import DataError, OutputError, TussisError


class RowLog:
    """Rows of one result, each on disk (JSON Lines, ``TARGET.partial``) as soon as it is measured.

    A context manager. Left normally after `finish`, the whole result is in `target` and the partial file is gone. Left
    by a `TussisError`, the same kind of error is raised with a sentence that says where the finished rows are; left by
    anything else, or killed, the file stays too. ``read_result`` reads it.

    Parameters
    ----------
    target : Path or None
        The result's file; None keeps rows in memory only.
    kind, protocol : str
        Of the result.
    columns : sequence of str
        Names of what its tables show.

    Raises
    ------
    DataError
        If the rows of an earlier run, which ended early, are still there.
    """

    def __init__(self, target: Path | None, kind: str, protocol: str, columns: Sequence[str] = ()):
        self.rows: list[Row] = []
        self._target = target
        self._header = {"schema": SCHEMA, "kind": kind, "protocol": protocol}
        self._header |= {"facts": {"columns": list(columns)}} if columns else {}
        self._partial = None if target is None else Path(f"{target}.partial")
        self._n_saved = 0
        if self._partial is not None and self._partial.exists():
            raise DataError(f"{self._partial} holds rows of a run that ended early; use them or remove it first.")

    def __enter__(self) -> Self:
        return self

    def append(self, row: Row) -> None:
        """Check a row and keep it; OutputError where the disk does not take it."""
        check_result({**self._header, "rows": [row]}, f"the row {row.get('name')!r}")
        self.rows.append(row)
        if self._partial is None:
            return
        header = [] if self._n_saved else [self._header]
        lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in [*header, row])
        try:
            self._write(lines.encode("utf-8"))
        except OSError as error:
            raise OutputError(f"{self._partial} cannot be written: {error.strerror or error}.") from error
        self._n_saved += 1

    def finish(self, result: Result) -> None:
        """Write the whole result, which holds the rows, and remove the partial file."""
        check_result(result, "the result")
        if self._target is None:
            return
        write_result(self._target, result)
        self._partial.unlink(missing_ok=True)
        self._n_saved = 0

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, TussisError) and self._n_saved:
            what = "row is" if self._n_saved == 1 else f"{self._n_saved} rows are"
            raise type(error)(f"{str(error).rstrip('.')}; the finished {what} kept in {self._partial}.") from error

    def _write(self, content: bytes) -> None:
        """Append to the partial file and sync it: all of `content`, or nothing of it."""
        with self._partial.open("ab", buffering=0) as file:
            before_bytes = file.tell()
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), before_bytes)
                if before_bytes == 0:
                    self._partial.unlink()
                raise
