"""Runs one benchmark from the check of its options to the printed result."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.results.result import Kind, Result, Row, make_result
from benchmarks.results.row_log import RowLog
from benchmarks.results.tables import print_result
from core.errors import exit_on_error
from core.files import check_writable


class Run:
    """A benchmark that is running: its rows, and what it tells the person meanwhile.

    Parameters
    ----------
    kind : Kind
    log : RowLog or None
        Keeps each row on disk at once; None keeps rows in memory only, as tests do.
    notes : Console or None
        For sentences and progress; None for stderr.
    """

    def __init__(self, kind: Kind, log: RowLog | None = None, notes: Console | None = None):
        self.kind, self._log = kind, log or RowLog(None, kind.name, kind.protocol)
        self._notes = notes or Console(stderr=True, soft_wrap=True)
        self._noted: set[str] = set()

    @property
    def rows(self) -> list[Row]:
        """All rows so far."""
        return self._log.rows

    def append(self, *rows: Row) -> None:
        """Keep finished rows; OutputError where the disk does not take them."""
        for row in rows:
            self._log.append(row)

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

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[..., None]]:
        """A progress bar on a terminal; yields ``step()``, and ``step(n)`` where n of `total` are done."""
        terminal = self._notes.is_terminal
        with Progress(console=self._notes, transient=True, disable=not terminal, refresh_per_second=2) as bar:
            task = bar.add_task(label, total=total)

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
        kind = self.kind
        facts = {**({"columns": list(kind.columns)} if kind.columns else {}), **(facts or {})}
        return make_result(kind.name, kind.protocol, self.rows if rows is None else rows, ratios, comparisons, facts)


def run_benchmark(kind: Kind, json_path: Path | None, measure: Callable[[Run], Result]) -> Result:
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

    Whatever `measure` raises after the first row, the finished rows stay in ``FILE.partial``.
    """
    with exit_on_error("tussis-benchmark"):
        if json_path is not None:
            check_writable(json_path)
        with RowLog(json_path, kind.name, kind.protocol, kind.columns) as log:
            result = measure(Run(kind, log))
            log.finish(result)
        print_result(result)
    return result
