"""A casebook of the practice study in a new folder, somebody who consented, and recordings, which tests share."""

import dataclasses
from pathlib import Path

import numpy as np

from app.casebook import Casebook
from app.records import Records
from app.study import Study, practice_study
from tests.app.opened_vault import STUDY_PUBLIC, new_vault

RATE_HZ = 16_000
SOUND = (np.arange(2 * RATE_HZ) % 30_000).astype(np.int16)
STROKES = [[(0.1, 0.2), (0.3, 0.4)], [(0.5, 0.5)]]
MICROPHONE = {"name": "built in"}
STUDY = dataclasses.replace(practice_study(), handover_public_key=STUDY_PUBLIC)
TASK_ID = next(task.id for task in STUDY.tasks if task.kind == "coughs")
_FIRST_ANSWERS = {"choice": lambda question: question.choices[0].id, "number": lambda question: question.min}
ANSWERS = {one.id: _FIRST_ANSWERS.get(one.kind, lambda _: "a line")(one) for one in STUDY.questions if one.required}


class Clock:
    """A clock that tests set."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now_s


def new_casebook(folder: Path) -> Casebook:
    """A casebook in `folder`, whose vault was just made."""
    return Casebook(Records(folder, new_vault(folder), STUDY_PUBLIC), STUDY, Clock())


def reopened(casebook: Casebook, study: Study | None = None) -> Casebook:
    """The same after a restart, with the vault open, and perhaps another version of the study."""
    records = casebook.records
    records.close()
    again = Records(records.folder, records._vault, STUDY_PUBLIC)
    return Casebook(again, study or casebook.study, casebook._clock)


def consented(casebook: Casebook, serial: int = 17) -> str:
    """The id of somebody who was added and consented."""
    participant = casebook.add_participant(STUDY.new_id(serial), 1980, "female", ANSWERS)
    casebook.give_consent(participant.participant_id, "sw", STROKES)
    return participant.participant_id


def recorded(casebook: Casebook, participant_id: str, round: int = 1, state: str = "kept", reason: str = "") -> str:
    """The id of an attempt of two seconds that was finished."""
    attempt = casebook.begin_attempt(participant_id, TASK_ID, round, RATE_HZ, MICROPHONE)
    attempt.append(SOUND)
    attempt.close()
    casebook.finish_attempt(attempt.record_id, {"n_coughs": 3}, {"outcome": "good"}, state, reason)
    return attempt.record_id
