"""Leads through every page of the application in every state that looks different."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from app.casebook import Casebook
from app.cases.facts import Attempt
from app.coach import Advice, Verdict
from app.handover import HandOverProgress, write_handover
from app.recording_session import SessionState
from app.sound.spectrogram import Spectrogram
from core.demonstration import synthesize_demonstration
from tests.app.field_day import PASSCODE, AskedSystem

SIGNATURE = [[(0.1, 0.3), (0.3, 0.8), (0.5, 0.2)], [(0.6, 0.4), (0.9, 0.5)]]
VERDICTS = {
    "good": Verdict("good", (), 4, 31.0, -62.0),
    "poor": Verdict("poor", ("too_few_coughs", "speech"), 1, 14.0, -50.0),
    "could_not_be_judged": Verdict("could_not_be_judged", ("too_noisy",), None, 3.0, -22.0),
}


def settle(work: object, draw: Callable[[], None]) -> None:
    """Draw until the first page of an unlocked application is there."""
    deadline_s = time.monotonic() + 60
    while work.is_working or work.navigation.top.name != "home":
        if time.monotonic() > deadline_s:
            raise AssertionError("the application works for ever")
        draw()


def add_participant(casebook: Casebook, serial: int = 1, consents: bool = True) -> str:
    """Add somebody who answered what has to be answered, and consented where that is wanted; gives the id."""
    participant_id = casebook.study.new_id(serial)
    casebook.add_participant(participant_id, 1980, "female", {"cough_for": "no_cough", "smokes": "no"})
    if consents:
        casebook.give_consent(participant_id, "en", SIGNATURE)
    return participant_id


def add_recording(
    casebook: Casebook, participant_id: str, task_id: str, round: int = 1, seconds: float = 1.0, state: str = ""
) -> Attempt:
    """Add a recording of hiss, finished with a good verdict where a state is given."""
    attempt = casebook.begin_attempt(participant_id, task_id, round, 16_000, {"name": "test"})
    attempt.append(np.random.default_rng(5).integers(-300, 300, int(16_000 * seconds)).astype(np.int16))
    attempt.close()
    if state:
        casebook.finish_attempt(attempt.record_id, None, VERDICTS["good"].to_json(), state)
    return casebook.attempt(attempt.record_id)


def fill(work: object, draw: Callable[[], None], screener: object) -> None:
    """Set up with the practice study: participants, consents, attempts of each kind, notes and a hand-over."""
    work.set_up(PASSCODE, None)
    settle(work, draw)
    casebook, study = work.casebook, work.study
    for serial, sex in enumerate(("female", "male", "other", "unknown"), start=1):
        answers = {"cough_for": "from_2_weeks", "smokes": "no", "height_cm": 168}
        casebook.add_participant(study.new_id(serial), 1950 + 9 * serial, sex, answers)
    first, second, withdrawn = (study.new_id(serial) for serial in (1, 2, 3))
    for participant_id in (first, second, withdrawn):
        casebook.give_consent(participant_id, "en", SIGNATURE)
    sound = (synthesize_demonstration() * 20_000).astype(np.int16)
    screening = screener.screen_blocks([sound.astype(np.float32) / 32768], 16_000, "demonstration").to_json()
    for task_id, round_, outcome, state, reason in (
        ("room_noise", 1, "good", "kept", ""),
        ("coughs", 1, "poor", "redone", ""),
        ("coughs", 1, "good", "kept", ""),
        ("coughs", 2, "could_not_be_judged", "kept_with_reason", "noise"),
        ("forced_breaths", 1, "", "", ""),
    ):
        attempt = casebook.begin_attempt(first, task_id, round_, 16_000, {"name": "Built-in microphone"})
        attempt.append(sound)
        attempt.mark_gap(0.4)
        attempt.close()
        if state:
            verdict = VERDICTS[outcome].to_json()
            casebook.finish_attempt(attempt.record_id, screening, verdict, state, reason)
    casebook.add_note(casebook.attempts(first)[2].record_id, "Sat on a bench in the yard; a motorbike passed.")
    casebook.withdraw(withdrawn)
    written = write_handover(work.records, study, work.facilities.files.folders()[0])
    casebook.mark_handed_over(written.rows, written.id)


def locked_places(work: object) -> Iterator[str]:
    """The pages of the set-up and of the passcode; the vault has to be locked, or not to exist yet."""
    restart = work.navigation.restart
    for step in ("language", "study", "passcode", "repeat", "forgotten"):
        restart("unlock", step=step, passcode="", study=None)
        yield f"unlock_{step}"
    restart("unlock", step="forgotten", reason="device_secret")
    yield "unlock_lost_secret"
    restart("unlock", step="")
    yield "unlock"
    if work.vault.exists:
        work.navigation.go("handover")
        yield "handover_locked"


def open_places(work: object) -> Iterator[str]:
    """The pages of an unlocked application that `fill` filled."""
    study, casebook = work.study, work.casebook
    first, navigation = study.new_id(1), work.navigation
    work.go_home()
    yield "home"
    work.say("error", "The file practice-20261127.tussis-handover cannot be written: No space left on device.")
    yield "message"
    for name in (
        *("participants", "enrolment", "history", "study", "monitor", "engineer", "latency", "battery", "damage"),
        "handover",
    ):
        show(navigation, name)
        yield name
    yield from _permission_places(work)
    yield from _participant_places(work)
    for attempt in casebook.attempts(first):
        show(navigation, "recording", record_id=attempt.record_id)
        yield f"recording_{attempt.task_id}_{attempt.state}"
    show(navigation, "result", participant_id=first)
    yield "result"
    yield from _handover_places(work)
    for step in ("language", "study", "old", "new", "again"):
        show(navigation, "study", step=step)
        yield f"study_{step}"
    navigation.confirm("use_study", lambda: None)
    yield "question_use_study"
    navigation.restart("home")
    work.choose_file((".wav",), lambda path: None)
    yield "files"
    yield from _task_places(work, first)


def show(navigation: object, name: str, **facts: object) -> None:
    """Show a page over the first one, which is not built for that, with no question open."""
    navigation.question = None
    (navigation.replace if navigation.can_go_back else navigation.go)(name, **facts)


def _participant_places(work: object) -> Iterator[str]:
    """A participant by the state of the consent, and the consent that is given."""
    study, navigation = work.study, work.navigation
    first, no_consent, withdrawn = study.new_id(1), study.new_id(4), study.new_id(3)
    for kind, participant_id in (("given", first), ("none", no_consent), ("withdrawn", withdrawn)):
        show(navigation, "participant", participant_id=participant_id)
        yield f"participant_{kind}"
    show(navigation, "participant", participant_id=first)
    navigation.confirm("withdraw", lambda: None, participant_id=first, n_recordings=5)
    yield "question_withdraw"
    show(navigation, "consent", participant_id=no_consent)
    enter(navigation, ticked=True, strokes=SIGNATURE)
    yield "consent"


def _permission_places(work: object) -> Iterator[str]:
    """The page before the system's question, and the one after it was denied for ever."""
    allowed, system = work.facilities, AskedSystem()
    work.facilities = replace(allowed, permission=system)
    for name in ("permission", "permission_denied"):
        show(work.navigation, "permission", then=work.go_home)
        yield name
        system.is_denied = True
    work.facilities = allowed


def _handover_places(work: object) -> Iterator[str]:
    from app.handover import handovers

    navigation, (note, *_) = work.navigation, handovers(work.records.folder)
    show(navigation, "handover", step="choose")
    enter(navigation, chosen={work.study.new_id(1)})
    yield "handover_choose"
    for name, draft in (("typing", {"receipt": "12345"}), ("received", {"receipt_is_right": True})):
        show(navigation, "handover", step="receipt", handover_id=note.id)
        enter(navigation, **draft)
        yield f"handover_{name}"
    work.handovers.progress = HandOverProgress(37, 112, 18_400_000, 61_000_000)
    show(navigation, "handover", step="writing")
    yield "handover_writing"
    navigation.confirm("stop_handover", lambda: None)
    yield "question_stop_handover"
    navigation.confirm("delete_handed_over", lambda: None, n_records=12)
    yield "question_delete"


def enter(navigation: object, **draft: object) -> None:
    """Have the place that is shown hold what a person entered, as a page that is found again does."""
    navigation.top.draft.update(draft)
    navigation.go("home")
    navigation.back()


class ShownSession:
    """A session that stands still in one state."""

    n_steps, n_done = 7, 3

    def __init__(self, state: SessionState, columns: np.ndarray) -> None:
        self.state, self._columns = state, columns

    def columns_from(self, first: int) -> np.ndarray:
        return self._columns[first : self.state.n_columns]

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_: None


def _task_places(work: object, participant_id: str) -> Iterator[str]:
    room, coughs, breaths = work.study.tasks
    heard = Spectrogram(16_000).push(synthesize_demonstration()).columns
    columns = np.tile(heard, (2, 1))[:250]
    moving = {"n_columns": len(columns), "level_dbfs": -24.0, "elapsed_s": 7.4}
    states = {
        "ready": SessionState("ready", coughs, 2),
        "waiting": SessionState("waiting_for_sound", coughs, 2),
        "room": SessionState("recording", room, **moving),
        "breath": SessionState("recording", breaths, **moving, advice=Advice.TOO_LOUD),
        "judging": SessionState("judging", coughs, 2, **moving),
    }
    for advice in (Advice.GOOD, Advice.CLOSER, Advice.TOO_NOISY, Advice.SPEECH):
        states[f"recording_{advice.value}"] = SessionState("recording", coughs, 2, **moving, coughs=3, advice=advice)
    for outcome, verdict in VERDICTS.items():
        facts = {"verdict": verdict, "coughs": verdict.coughs, "record_id": "x"}
        states[f"decide_{outcome}"] = SessionState("decide", coughs, 2, **moving, **facts)
    states["fault"] = SessionState("stopped", coughs, 2, **moving, coughs=3, message="microphone_unplugged", gaps=1)
    for name, state in states.items():
        work.session = ShownSession(state, columns)
        show(work.navigation, "task", participant_id=participant_id)
        yield f"task_{name}"
    work.session = ShownSession(states["decide_poor"], columns)
    show(work.navigation, "task", participant_id=participant_id)
    enter(work.navigation, reason="")
    yield "task_reason"
    work.navigation.ask(SimpleNamespace(code="leave_recording", answers={"yes": None, "no": None}, facts={}))
    yield "question_leave"
    work.navigation.restart("home")
    work.session = None
