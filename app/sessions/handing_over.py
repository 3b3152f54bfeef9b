"""Hands records over on a thread, tells how far it is, and leaves nothing where it is stopped or not taken."""

import threading
from collections.abc import Callable, Collection
from pathlib import Path

from app.casebook import Casebook
from app.cases.index import HANDOVER
from app.devices.facilities import FacilityError, FileExchange
from app.errands import Errands, outcome_of
from app.handover import (
    SUFFIX,
    HandOver,
    HandOverProgress,
    HandOverStoppedError,
    forget_handover,
    handovers,
    write_handover,
)
from app.records import Records
from app.study import Study
from app.vault import Vault
from core.errors import OutputError, TussisError

OUTGOING = "outgoing"
"""Holds a hand-over until the system's own dialogue has saved it elsewhere: until then nobody has it."""
STOPPED = "The hand-over was stopped. Nothing was handed over."
ASKED_AGAIN_S = 0.2

Then = Callable[[HandOver], None]
Otherwise = Callable[[TussisError], None]


class HandOvers:
    """The hand-over that is made now; for the main thread.

    Parameters
    ----------
    errands : Errands
        Runs the work and tells of changes.
    folder : Path
        The data folder.
    vault : Vault
    files : FileExchange

    Attributes
    ----------
    is_running : bool
    progress : HandOverProgress
        How far the one is that runs; it moves without a change being told.
    is_saving : bool
        Whether the file is written and the system's dialogue saves it; then it cannot be stopped here.
    n_rescued : int or None
        Of the records' file, where it was found damaged while locked; see `Records.n_rescued`.
    """

    def __init__(self, errands: Errands, folder: Path, vault: Vault, files: FileExchange) -> None:
        self.is_running = self.is_saving = False
        self.progress = HandOverProgress()
        self.n_rescued: int | None = None
        self._errands, self._folder, self._vault, self._files = errands, folder, vault, files
        self._stopped, self._ended = threading.Event(), threading.Event()

    def write(
        self,
        study: Study,
        casebook: Casebook | None,
        target: Path | None,
        ids: Collection[str] | None,
        then: Then,
        otherwise: Otherwise,
    ) -> None:
        """Write records, None for all, as one file for the study, and mark them.

        Without a `casebook` the application is locked: everything goes, and is marked after the next unlock. Without a
        `target` folder the system's own dialogue asks where the file goes.
        """
        self.is_running, self.is_saving, self.progress = True, False, HandOverProgress()
        self._stopped.clear()
        self._ended.clear()

        def job() -> HandOver:
            try:
                written = self._written(study, casebook, target or self._folder / OUTGOING, ids)
                if target is None:
                    self._save(written)
                if casebook is not None:
                    casebook.mark_handed_over(written.rows, written.id)
                return written
            finally:
                self._ended.set()

        def end(tell: Callable) -> Callable:
            def settle(outcome: HandOver | TussisError) -> None:
                self.is_running = False
                tell(outcome)

            return settle

        self._errands.run(job, end(then), end(otherwise), in_background=True)

    def stop(self) -> None:
        """End what is written, and leave nothing of it; returns at once."""
        self._stopped.set()

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of a hand-over that was stopped, where one runs."""
        if self.is_running:
            self._ended.wait(timeout_s)

    def _written(self, study: Study, casebook: Casebook | None, target: Path, ids: Collection[str] | None) -> HandOver:
        def follow(progress: HandOverProgress) -> None:
            self.progress = progress
            if self._stopped.is_set():
                raise HandOverStoppedError(STOPPED)

        if casebook is not None:
            return write_handover(casebook.records, study, target, ids, follow)
        records = Records(self._folder, self._vault, study.handover_public_key)
        try:
            self.n_rescued = self.n_rescued if records.n_rescued is None else records.n_rescued
            forget_unsaved(self._folder)
            return write_handover(records, study, target, ids, follow)
        finally:
            records.close()

    def _save(self, written: HandOver) -> None:
        """Have the person save the file where the system lets them; without that nothing was handed over."""
        answered, sentences = threading.Event(), []

        def take(sentence: str) -> None:
            sentences.append(sentence)
            answered.set()

        def ask() -> None:
            _, error = outcome_of(lambda: self._files.ask_to_save(written.path, written.path.name, take))
            if error is not None:
                take(str(error))

        self.is_saving = True
        self._errands.schedule(ask)
        while not answered.wait(ASKED_AGAIN_S):  # a person chooses, as long as it takes
            if self._stopped.is_set():
                take(STOPPED)
        if sentences[0]:
            forget_handover(self._folder, written.id)
        written.path.unlink(missing_ok=True)
        if sentences[0]:
            raise HandOverStoppedError(STOPPED) if sentences[0] == STOPPED else FacilityError(sentences[0])


def ids_of(records: Records, participant_ids: Collection[str]) -> set[str]:
    """Ids of all records of these participants."""
    return {record.id for record in records.all() if record.content.get("participant_id") in participant_ids}


def forget_unsaved(folder: Path) -> None:
    """Remove hand-overs that were written and never saved, with their notes, where the application was ended first.

    Raises
    ------
    HandOverError, OutputError
        If they cannot be removed.
    """
    for path in (folder / OUTGOING).glob(f"*{SUFFIX}"):
        try:
            forget_handover(folder, path.stem.rpartition("-")[2])
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed: {error.strerror or error}.") from error


def mark_unmarked(casebook: Casebook) -> int:
    """Mark what was handed over while locked; returns how many hand-overs that were. Raises as the casebook does."""
    folder = casebook.records.folder
    forget_unsaved(folder)
    marked = {record.content["handover_id"] for record in casebook.records.all(HANDOVER)}
    notes = [note for note in handovers(folder) if note.id not in marked]
    for note in notes:
        casebook.mark_handed_over(note.rows, note.id)
    return len(notes)
