"""Runs one benchmark from the check of its options to the printed result, and keeps its finished rows meanwhile."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import Progress

from benchmarks.results.result import SCHEMA, Kind, Result, Row, check_result, make_result, write_result
from benchmarks.results.tables import print_result
from core.errors import DataError, OutputError, TussisError, exit_on_error
from core.files import check_writable
from distill.shown_text import PlainConsole, progress_label


def run_benchmark(kind: Kind, json_path: Path | None, measure: Callable[["Run"], Result]) -> Result:
    """Measure, write the result whole or not at all, and print it; a `TussisError` is one sentence and exit status 2.

    A benchmark is a module with a `Kind` and a function, and a command in ``benchmarks/command.py``::

        STARTS = Kind("starts", "each start is a new process", columns=("p50_ms", "peak_bytes"))

        def measure(chosen: ChosenModel, n_starts: int, run: Run) -> Result:
            with run.progress("starting", n_starts) as step:
                for _ in range(n_starts):
                    run.append(make_row(...))  # on disk as soon as it is measured: FILE.partial
                    step()
            return run.result(facts={"n_starts": n_starts})

        run_benchmark(STARTS, json_path, lambda run: measure(choose_model(bundle, model), 9, run))
    """
    with exit_on_error("tussis-benchmark"):
        if json_path is not None:
            check_writable(json_path)
        with Run(kind, json_path) as run:
            result = measure(run)
            run.finish(result)
        print_result(result)
    return result


class Run:
    """A benchmark that is running: its rows, each on disk at once, and what it tells the person meanwhile.

    A context manager. Rows are in ``TARGET.partial`` (JSON Lines, for `read_result`) until `finish` has written the
    whole result. Left by a `TussisError`, the same kind of error is raised with a sentence that tells where the
    finished rows are; left by anything else, or killed, the file stays too. A `target` of None keeps rows in memory
    only. DataError is raised where the rows of an earlier run, which ended early, are still there.
    """

    def __init__(self, kind: Kind, target: Path | None = None):
        self.kind, self.rows = kind, []
        self._target, self._n_saved = target, 0
        self._partial = None if target is None else Path(f"{target}.partial")
        self._header = {"schema": SCHEMA, "kind": kind.name, "protocol": kind.protocol, "facts": kind.facts}
        self._notes = PlainConsole(stderr=True, soft_wrap=True)
        self._noted: set[str] = set()
        if self._partial is not None and self._partial.exists():
            raise DataError(f"{self._partial} holds rows of a run that ended early; use them or remove it first.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, TussisError) and self._n_saved:
            kept = "row is" if self._n_saved == 1 else f"{self._n_saved} rows are"
            raise type(error)(f"{str(error).rstrip('.')}; the finished {kept} kept in {self._partial}.") from error

    def append(self, *rows: Row) -> None:
        """Check finished rows and keep them; OutputError where the disk does not take them."""
        for row in rows:
            check_result({**self._header, "rows": [row]}, f"the row {row.get('name')!r}")
            self.rows.append(row)
            if self._partial is not None:
                lines = [row] if self._n_saved else [self._header, row]
                self._save("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode("utf-8"))
                self._n_saved += 1

    def note(self, sentence: str) -> None:
        """Tell the person a sentence on stderr, each sentence once."""
        if sentence not in self._noted:
            self._notes.print(sentence)
        self._noted.add(sentence)

    def present(self, path: Path, name: str) -> Path | None:
        """`path`, or None and a note where there is no such file, so that a peer may be absent."""
        if path.exists():
            return path
        self.note(f"{name} is left out: there is no file {path}")
        return None

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[..., None]]:
        """A progress bar on a terminal; yields ``step()``, and ``step(n)`` where n of `total` are done."""
        terminal = self._notes.is_terminal
        with Progress(console=self._notes, transient=True, disable=not terminal, refresh_per_second=2) as bar:
            task = bar.add_task(progress_label(label), total=total)

            def step(completed: int | None = None) -> None:
                bar.update(task, completed=completed, advance=1 if completed is None else None)

            yield step

    def result(
        self,
        rows: Sequence[Row] | None = None,
        ratios: Sequence[Mapping[str, Any]] = (),
        comparisons: Sequence[Mapping[str, Any]] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Result:
        """The whole result; `rows` in place of those that were appended, where these were parts of it."""
        shown = self.rows if rows is None else rows
        facts = {**self.kind.facts, **(facts or {})}
        return make_result(self.kind.name, self.kind.protocol, shown, ratios, comparisons, facts)

    def finish(self, result: Result) -> None:
        """Check the whole result, which holds the rows, write it and remove the partial file."""
        check_result(result, "the result")
        if self._target is not None:
            write_result(self._target, result)
            self._partial.unlink(missing_ok=True)
            self._n_saved = 0

    def _save(self, content: bytes) -> None:
        """Append to the partial file and sync it: all of `content`, or nothing of it."""
        try:
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
        except OSError as error:
            raise OutputError(f"{self._partial} cannot be written: {error.strerror or error}.") from error
