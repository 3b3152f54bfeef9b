"""A study's keys, the folder that it is made of, and a phone that works for it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.casebook import Casebook
from app.handover import HandOver, write_handover
from app.records import Records
from app.study import PRACTICE_STUDY, Study, read_study
from core.keys.private_keys import generate_key, generate_sealing_key
from core.results import plain
from tests.app.opened_vault import STUDY_PUBLIC, new_vault
from tests.app.signed_studies import write_study

RATE_HZ = 16_000
SOUND = (8_000 * np.sin(np.arange(RATE_HZ) / 7)).astype(np.int16)
STROKES = [[(0.1, 0.2), (0.3, 0.4)]]
MODEL_SHA256 = "5e" * 32
GOOD = {"outcome": "good", "reasons": [], "coughs": 3, "snr_db": 24.5, "noise_dbfs": -61.0}
UNJUDGED = {"outcome": "could_not_be_judged", "reasons": ["too_noisy"], "coughs": None, "snr_db": 2.0}


def probe(name: str, status: str, decision: str | None, score: float | None) -> dict[str, Any]:
    """One probe's outcome, as a screening has it."""
    return {"name": name, "status": status, "decision": decision, "score": score, "unit": "p", "reason": None}


SCREENING = {
    "model": {"bundle": "tussis-small", "sha256": MODEL_SHA256, "format_version": 1},
    "probes": [
        probe("tb", "validated", "refer", 0.93),
        probe("spirometry", "research", None, 2.7),
        probe("shown", "demonstration", "refer", 0.99),
    ],
}


class Phone:
    """A phone with a casebook of a study, which hands over to a folder."""

    def __init__(self, folder: Path, study: Study):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.study = folder, study
        self.vault = new_vault(folder)
        self.casebook = Casebook(Records(folder, self.vault, study.handover_public_key), study)

    def participant(self, serial: int = 17, **answers: Any) -> str:
        """The id of somebody who consented."""
        given = {"cough_for": "no_cough", "smokes": "yes", **answers}
        made = self.casebook.add_participant(self.study.new_id(serial), 1980, "female", given)
        self.casebook.give_consent(made.participant_id, "sw", STROKES)
        return made.participant_id

    def recording(
        self, participant_id: str, task_id: str = "coughs", round: int = 1, state: str = "kept", **changes: Any
    ) -> str:
        """The id of a recording of one second."""
        attempt = self.casebook.begin_attempt(participant_id, task_id, round, RATE_HZ, {"name": "built in"})
        attempt.append(SOUND)
        attempt.close()
        results = {"screening": plain(SCREENING), "verdict": GOOD, "state": state, "reason": ""} | changes
        self.casebook.finish_attempt(attempt.record_id, **results)
        return attempt.record_id

    def hand_over(self, ids: list[str] | None = None) -> HandOver:
        """Write a file, and note in the casebook what it holds, as the app does."""
        written = write_handover(self.casebook.records, self.study, self.folder / "card", ids)
        self.casebook.mark_handed_over(written.rows, written.id)
        return written


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A signed study in earnest, whose private key is `STUDY_PRIVATE`."""
    return read_study(write_study(tmp_path / "cough.tussis-study", STUDY_PUBLIC))


@pytest.fixture
def phone(tmp_path: Path, study: Study) -> Iterator[Phone]:
    """A phone on which nobody was recorded yet."""
    phone = Phone(tmp_path / "phone", study)
    yield phone
    phone.casebook.records.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a test receives to."""
    return tmp_path / "received"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the two keys that ``tussis-study keygen`` makes."""
    folder = tmp_path / "keys"
    folder.mkdir()
    generate_key(folder / "signing.key", None)
    generate_sealing_key(folder / "handover.key", None)
    return folder


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """The folder of a study in earnest, as a person begins it: a copy of the practice study with another id."""
    shutil.copytree(PRACTICE_STUDY, tmp_path / "cough_study")
    edit_draft(tmp_path / "cough_study", lambda fields: fields.update(id="cough_study", is_practice=False))
    return tmp_path / "cough_study"


def edit_draft(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change study.json as a person does in an editor."""
    fields = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    edit(fields)
    (folder / "study.json").write_text(json.dumps(fields), encoding="utf-8")
