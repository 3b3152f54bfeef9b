"""Tests handing over while the application goes on, locked or not, and through the system's own dialogue."""

import queue
import threading

import pytest

from app.handover import HandOverStoppedError, handovers
from app.sessions.handing_over import OUTGOING, mark_unmarked
from tests.app.field_day import PASSCODE, SystemDialogue, field_work
from tests.app.field_places import add_participant, add_recording

WAIT_S = 60


class Desk:
    """The application's state with one recording, and what runs its main thread."""

    def __init__(self, folder):
        self.jobs = queue.Queue()
        self.work = field_work(folder, self.jobs.put)
        self.work.open()
        self.work.set_up(PASSCODE, None)
        self.until(lambda: self.work.navigation.top.name == "home")
        self.recording = add_recording(self.work.casebook, add_participant(self.work.casebook), "coughs", state="kept")
        self.card = folder / "card"
        self.outcomes = []

    def until(self, condition):
        while not condition():
            self.jobs.get(timeout=WAIT_S)()

    def hand_over(self, target, ids=None):
        """Hand over; the hand-over, or the error."""
        n_before = len(self.outcomes)
        take = self.outcomes.append
        self.work.handovers.write(self.work.study, self.work.casebook, target, ids, take, take)
        self.until(lambda: len(self.outcomes) > n_before)
        return self.outcomes[-1]

    def unlock(self):
        self.work.unlock(PASSCODE, self.outcomes.append)
        self.until(lambda: self.work.navigation.top.name == "home")

    @property
    def is_marked(self):
        return self.work.casebook.attempt(self.recording.record_id).handed_over


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.work.close()


def test_what_was_handed_over_while_locked_is_marked_after_the_next_unlock_and_only_once(desk):
    desk.work.lock()
    written = desk.hand_over(desk.card)
    assert written.n_records >= 3 and written.path.is_file()
    assert not desk.work.vault.is_open and desk.work.records is None
    desk.unlock()
    assert desk.is_marked
    assert mark_unmarked(desk.work.casebook) == 0


def test_after_a_forgotten_passcode_everything_can_still_be_handed_over(desk):
    desk.work.lock()
    desk.work.start_anew("another 1")
    desk.until(lambda: desk.work.navigation.top.name == "home")
    desk.work.lock()
    assert desk.recording.record_id in desk.hand_over(desk.card).rows


def test_one_that_is_stopped_leaves_nothing_and_marks_nothing(desk, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()

    def hold(*arguments):
        reached.set()
        assert go_on.wait(WAIT_S)
        return real(*arguments)

    from app import handover

    real = handover._pieces
    monkeypatch.setattr("app.handover._pieces", hold)
    desk.work.handovers.write(
        desk.work.study, desk.work.casebook, desk.card, None, desk.outcomes.append, desk.outcomes.append
    )
    assert reached.wait(WAIT_S)
    assert desk.work.is_working
    desk.work.handovers.stop()
    go_on.set()
    desk.until(lambda: desk.outcomes)
    assert isinstance(desk.outcomes[0], HandOverStoppedError)
    assert list(desk.card.iterdir()) == [] and handovers(desk.work.folder) == []
    assert not desk.is_marked and not desk.work.is_working


def test_the_systems_dialogue_saves_the_file_and_nothing_stays_here(desk):
    dialogue = SystemDialogue(desk.card)
    desk.work.handovers._files = dialogue
    written = desk.hand_over(None)
    assert (desk.card / written.path.name).stat().st_size == written.n_bytes
    assert list((desk.work.folder / OUTGOING).iterdir()) == []
    assert desk.is_marked


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_dialogue_that_was_closed_hands_nothing_over(desk, is_locked):
    if is_locked:
        desk.work.lock()
    desk.work.handovers._files = SystemDialogue(desk.card, "No place was chosen.")
    assert str(desk.hand_over(None)) == "No place was chosen."
    assert list((desk.work.folder / OUTGOING).iterdir()) == [] and handovers(desk.work.folder) == []
    if is_locked:
        desk.unlock()
    assert not desk.is_marked


def test_a_dialogue_that_breaks_or_never_answers_can_be_left(desk):
    class Broken(SystemDialogue):
        def ask_to_save(self, source, name, on_end):
            raise ValueError("no activity")

    class Silent(SystemDialogue):
        def ask_to_save(self, source, name, on_end):
            threading.Timer(0.3, desk.work.handovers.stop).start()

    desk.work.handovers._files = Broken(desk.card)
    assert "ValueError" in str(desk.hand_over(None))
    desk.work.handovers._files = Silent(desk.card)
    assert isinstance(desk.hand_over(None), HandOverStoppedError)
    assert list((desk.work.folder / OUTGOING).iterdir()) == [] and not desk.is_marked


def test_a_file_that_was_never_saved_because_the_application_ended_counts_as_not_handed_over(desk):
    from app.handover import write_handover

    write_handover(desk.work.records, desk.work.study, desk.work.folder / OUTGOING)
    desk.work.lock()
    desk.unlock()
    assert not desk.is_marked
    assert list((desk.work.folder / OUTGOING).iterdir()) == [] and handovers(desk.work.folder) == []
