"""The study's tasks one by one, by taps, with real recordings of a fake microphone."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from app.study import practice_study
from core.screener import Screener
from tests.app.fake_microphones import ScriptedMicrophone
from tests.app.field_day import PASSCODE

PARTICIPANT = practice_study().new_id(1)
STROKES = [[(0.1, 0.1), (0.9, 0.9)]]
RATE_HZ = 16_000


class Voice:
    """A microphone that plays one waveform a start, in real time, then faint hiss; the last waveform comes again."""

    def __init__(self, *waveforms: np.ndarray) -> None:
        self.waveforms = list(waveforms)
        self.n_overflows, self.has_ended, self.facts = 0, False, {"name": "voice", "sample_rate_hz": RATE_HZ}
        self._hiss = ScriptedMicrophone(sample_rate_hz=RATE_HZ)

    def start(self, on_block) -> int:
        waveform = self.waveforms.pop(0) if len(self.waveforms) > 1 else self.waveforms[0]
        self._place = 0

        def play(block: np.ndarray) -> None:
            part = waveform[self._place : self._place + len(block)]
            self._place += len(block)
            on_block(np.concatenate([part, block[len(part) :]]).astype(np.float32))

        return self._hiss.start(play)

    def stop(self) -> None:
        self._hiss.stop()


def hiss(duration_s: float, dbfs: float = -70.0) -> np.ndarray:
    random = np.random.default_rng(3)
    return 10 ** (dbfs / 20) * random.standard_normal(round(duration_s * RATE_HZ)).astype(np.float32)


def short_study(room_s: float):
    """The practice study with one or two rounds of each task, a few seconds long."""
    study = practice_study()
    lengths_s = {"room_noise": room_s, "coughs": 4.0, "forced_breaths": 1.5}
    tasks = [replace(task, duration_s=lengths_s[task.kind], rounds=1, min_coughs=0) for task in study.tasks]
    tasks[1] = replace(tasks[1], rounds=2, min_coughs=2)
    return replace(study, tasks=tuple(tasks))


@pytest.fixture
def at_tasks(window, stage, stand_in_screener, monkeypatch):
    """Sets up, adds a participant with a consent, and opens the tasks with a microphone."""

    def open_tasks(microphone, room_s=3.0):
        monkeypatch.setattr("app.field_work.practice_study", lambda: short_study(room_s))
        shell = window(microphone=microphone, load_screener=lambda: stand_in_screener)
        work = shell.work
        work.navigation.restart("unlock", step="language")
        work.set_up(PASSCODE, None)
        stage.wait(lambda: work.casebook is not None and work.navigation.top.name == "home")
        answers = {"cough_for": "no_cough", "smokes": "no"}
        work.casebook.add_participant(PARTICIPANT, 1980, "female", answers)
        work.casebook.give_consent(PARTICIPANT, "en", STROKES)
        work.navigation.go("participant", participant_id=PARTICIPANT)
        work.start_tasks(PARTICIPANT)
        stage.draw()
        return shell

    return open_tasks


def step_of(shell) -> str:
    return shell.work.session.state.step


def record_button(stage):
    from app.widgets.controls import RecordButton

    (button,) = [button for button in stage.buttons() if isinstance(button, RecordButton)]
    return button


def live_view(shell):
    from app.widgets.live_view import LiveView

    (view,) = [child for child in shell.walk(restrict=True) if isinstance(child, LiveView)]
    return view


def record(shell, stage) -> None:
    """Press start, and wait until the recording has ended by itself and is judged.

    On a machine that is too busy for a microphone in real time it goes on after a fault, as a person would.
    """
    stage.press(record_button(stage))
    stage.wait(lambda: step_of(shell) in ("decide", "stopped"))
    while step_of(shell) == "stopped":
        stage.press_words("Go on")
        stage.wait(lambda: step_of(shell) in ("decide", "stopped"))


@pytest.mark.long
def test_the_tasks_come_one_by_one_and_end_at_the_result(at_tasks, stage, bursts):
    shell = at_tasks(Voice(hiss(5), bursts(RATE_HZ)))
    assert "Keep silent for 3 seconds" in stage.text
    record(shell, stage)
    stage.press_words("Keep")
    stage.wait(lambda: "Coughs, 1 of 2" in stage.text)
    for _ in range(2):
        record(shell, stage)
        assert "Recording quality: good" in stage.text
        stage.press_words("Keep")
        stage.wait(lambda: step_of(shell) == "ready")
    assert "Forced breath" in stage.text
    record(shell, stage)
    stage.press_words("Keep" if "Recording quality: good" in stage.text else "Keep it, with a reason")
    if "Why is it kept?" in stage.text:
        stage.press_words("The participant cannot do it better")
        stage.press_words("Keep")
    stage.wait(lambda: shell.work.navigation.top.name == "result")
    assert "4 coughs" in stage.text
    assert shell.work.session is None
    assert [attempt.state.value for attempt in shell.work.casebook.attempts(PARTICIPANT)][:3] == ["kept"] * 3


@pytest.mark.long
def test_get_ready_stays_and_no_number_runs_until_sound_has_arrived(at_tasks, stage, monkeypatch):
    has_come = threading.Event()
    monkeypatch.setattr("app.devices.watched_microphone.NO_SOUND_S", 60.0)  # a busy machine draws for longer than 0.8

    class Late(ScriptedMicrophone):
        def start(self, on_block):
            def wait(block):
                if has_come.is_set():
                    on_block(block)

            return super().start(wait)

    shell, texts = at_tasks(Late(), room_s=30.0), []
    stage.press(record_button(stage))
    stage.wait(lambda: texts.append(stage.text) or "Get ready" in texts[-1])
    assert "0:00" not in texts[-1]
    assert shell.work.facilities.vibration.shaken_s == []
    has_come.set()
    stage.wait(lambda: "Keep silent" in stage.text)
    assert "Get ready" not in stage.text
    assert len(shell.work.facilities.vibration.shaken_s) == 1
    stage.wait(lambda: live_view(shell).clock >= "0:01")


@pytest.mark.long
def test_while_recording_the_clock_level_spectrogram_coughs_and_one_advice_move(at_tasks, stage, bursts):
    shell = at_tasks(Voice(hiss(5), bursts(RATE_HZ)))
    record(shell, stage)
    stage.press_words("Keep")
    stage.wait(lambda: step_of(shell) == "ready")
    stage.press(record_button(stage))
    stage.wait(lambda: step_of(shell) == "recording")
    view, seen = live_view(shell), {"clocks": set(), "coughs": set(), "levels": set()}
    while step_of(shell) == "recording":
        stage.draw(1)
        time.sleep(0.01)  # the microphone and the listener are other threads
        seen["clocks"].add(view.clock)
        seen["coughs"].add(view.coughs)
        seen["levels"].add(round(view.level_dbfs))
    assert {"0:01", "0:02", "0:03"} <= seen["clocks"]  # the first second may be over before the step is seen
    assert {"0", "2"} <= seen["coughs"]
    assert len(seen["levels"]) > 5
    assert view.ids.spectrogram.n_columns > 80
    stage.wait(lambda: step_of(shell) == "decide")
    assert "2" in stage.text.splitlines()


@pytest.mark.long
def test_stop_ends_a_recording_early_and_its_length_is_told(at_tasks, stage):
    shell = at_tasks(ScriptedMicrophone(), room_s=30.0)
    stage.press(record_button(stage))
    stage.wait(lambda: shell.work.session.state.elapsed_s > 0.4)
    stage.press(record_button(stage))
    stage.wait(lambda: step_of(shell) == "decide")
    (attempt,) = shell.work.casebook.attempts(PARTICIPANT)
    assert 0.4 <= attempt.duration_s < 20


@pytest.mark.long
def test_done_again_every_attempt_stays_and_the_page_counts_them(at_tasks, stage):
    shell = at_tasks(Voice(hiss(5)))
    record(shell, stage)
    stage.press_words("Record again")
    stage.wait(lambda: step_of(shell) == "ready")
    assert "Attempt 2" in stage.text
    record(shell, stage)
    stage.press_words("Keep")
    stage.wait(lambda: step_of(shell) == "ready")
    assert [attempt.state.value for attempt in shell.work.casebook.attempts(PARTICIPANT)] == ["redone", "kept"]


@pytest.mark.long
def test_in_noise_above_the_limit_the_words_are_could_not_be_judged_and_it_is_kept_only_with_a_reason(at_tasks, stage):
    noisy = hiss(5, -14.0)
    shell = at_tasks(Voice(hiss(5), noisy))
    record(shell, stage)
    stage.press_words("Keep")
    stage.wait(lambda: step_of(shell) == "ready")
    record(shell, stage)
    assert "could not be judged" in stage.text and "No cough" not in stage.text
    assert "Keep" not in stage.text.splitlines()
    stage.press_words("Keep it, with a reason")
    keep = next(button for button in shell.page.walk(restrict=True) if getattr(button, "text", "") == "Keep")
    assert keep.disabled
    stage.press_words("There is no quieter place")
    shell.rebuild()
    stage.draw()
    stage.press_words("Keep")
    stage.wait(lambda: step_of(shell) == "ready")
    attempt = shell.work.casebook.attempts(PARTICIPANT)[-1]
    assert (attempt.state.value, attempt.reason) == ("kept_with_reason", "noise")
    assert attempt.verdict["outcome"] == "could_not_be_judged" and attempt.verdict["coughs"] is None


@pytest.mark.long
def test_a_microphone_that_fails_is_one_sentence_and_one_tap_goes_on_with_the_gap_marked(at_tasks, stage):
    shell = at_tasks(ScriptedMicrophone({20: "unplug", 21: "sound"}))
    stage.press(record_button(stage))
    stage.wait(lambda: "The microphone was unplugged. Connect it again, then go on." in stage.text)
    assert "What was recorded before is kept: 0:00." in stage.text
    stage.press_words("Go on")
    stage.wait(lambda: step_of(shell) == "decide")
    (attempt,) = shell.work.casebook.attempts(PARTICIPANT)
    assert len(attempt.gaps) >= 1


@pytest.mark.long
@pytest.mark.parametrize(("word", "sentence"), [("missing", "No microphone was found."), ("refused", "not allowed.")])
def test_a_microphone_that_is_not_there_is_told_within_a_second_and_leaves_no_recording(
    at_tasks, stage, word, sentence
):
    shell = at_tasks(ScriptedMicrophone(starts=(word, "ok")))
    stage.press(record_button(stage))
    started_s = time.monotonic()
    stage.wait(lambda: sentence in stage.text)
    assert time.monotonic() - started_s < 1.5
    assert shell.work.casebook.attempts(PARTICIPANT) == []
    stage.press_words("Go on")
    stage.wait(lambda: step_of(shell) == "decide")


@pytest.mark.long
def test_back_asks_in_a_recording_and_leaving_keeps_what_was_recorded_as_unfinished(at_tasks, stage):
    shell = at_tasks(ScriptedMicrophone(), room_s=30.0)
    stage.press(record_button(stage))
    stage.wait(lambda: shell.work.session.state.elapsed_s > 0.3)
    stage.press_back()
    assert "Leave this recording?" in stage.text
    stage.press_words("Stay")
    assert step_of(shell) in ("recording", "judging", "decide")
    stage.press_back()
    stage.press_words("Leave it")
    stage.wait(lambda: shell.work.navigation.top.name == "participant")
    stage.wait(lambda: [attempt.duration_s > 0.2 for attempt in shell.work.casebook.unfinished()] == [True])


@pytest.mark.long
def test_back_before_a_recording_goes_up_unasked(at_tasks, stage):
    shell = at_tasks(ScriptedMicrophone())
    stage.press_back()
    assert shell.work.navigation.top.name == "participant"


def test_a_page_that_is_built_anew_in_a_recording_goes_on_showing_it(at_tasks, stage):
    shell = at_tasks(ScriptedMicrophone(), room_s=30.0)
    stage.press(record_button(stage))
    stage.wait(lambda: shell.work.session.state.elapsed_s > 0.3)
    shell.rebuild()
    stage.draw()
    assert "Keep silent" in stage.text
    assert live_view(shell).ids.spectrogram.n_columns > 3


@pytest.mark.long
@pytest.mark.parametrize("size", [(320, 568), (360, 640), (640, 360)])
@pytest.mark.parametrize("font_scale", [1.0, 1.5])
def test_the_record_button_covers_nothing_and_the_clock_is_one_line(at_tasks, stage, monkeypatch, size, font_scale):
    from kivy.metrics import Metrics

    before = Metrics.fontscale
    monkeypatch.setattr(type(stage), "size", size)
    try:
        Metrics.fontscale = font_scale
        shell = at_tasks(ScriptedMicrophone())
        assert_nothing_is_covered(shell, stage)
        stage.press(record_button(stage))
        stage.wait(lambda: step_of(shell) == "recording")
        stage.draw(4)
        assert_nothing_is_covered(shell, stage)
        clock = live_view(shell).ids.clock.ids.value
        assert clock.texture_size[1] < 1.6 * clock.font_size
        assert clock.texture_size[0] <= clock.width
    finally:
        Metrics.fontscale = before


def assert_nothing_is_covered(shell, stage) -> None:
    """The button is 48 dp at least, inside the window, and below the part that scrolls."""
    button = record_button(stage)
    left, foot = button.to_window(button.x, button.y)
    assert min(button.size) >= 48
    assert left >= 0 and foot >= 0 and left + button.width <= stage.size[0]
    scroll = shell.page.ids.scroll
    assert foot + button.height <= scroll.to_window(*scroll.pos)[1] + 1


@pytest.mark.long
def test_the_real_model_counts_while_recording_and_gives_the_same_as_the_file(at_tasks, stage, default_bundle):
    from core.demonstration import synthesize_demonstration

    shell = at_tasks(Voice(hiss(5), synthesize_demonstration()))
    shell.work.screener = screener = Screener(default_bundle)
    record(shell, stage)
    stage.press_words("Keep")
    stage.wait(lambda: step_of(shell) == "ready")
    record(shell, stage)
    decided = shell.work.session.state
    blocks = [block / np.float32(32768) for block in shell.work.casebook.audio(decided.record_id).blocks()]
    again = screener.screen_blocks(blocks, RATE_HZ, "again").to_json()
    assert decided.screening["events"] == again["events"] and decided.screening["cough_count"] == again["cough_count"]
