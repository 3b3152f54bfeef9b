"""A microphone that is missing, hangs or delivers nonsense: told within a second, and tried again by one call."""

import threading
import time

import numpy as np
import pytest

from app.devices.microphone import Fault, MicrophoneError
from app.devices.watched_microphone import Arrival, WatchedMicrophone
from app.recorder import TICK_S
from tests.app.fake_microphones import ScriptedMicrophone

WAIT_S = 20.0
TOLD_WITHIN_S, SILENCE_TOLD_WITHIN_S = 1.0, 3.0
BUSY_S = 1.5  # what a busy machine may add to a gap


def wait_until(condition, limit_s=WAIT_S):
    """Wait until a condition holds; how long that took."""
    begun_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begun_s < limit_s, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - begun_s


class Watched(WatchedMicrophone):
    def __init__(self, microphone: ScriptedMicrophone) -> None:
        self.scripted = microphone
        self.arrivals: list[Arrival] = []
        super().__init__(microphone, self.arrivals.append)


@pytest.fixture
def watched():
    made = []

    def make(**options) -> Watched:
        made.append(Watched(ScriptedMicrophone(**options)))
        return made[-1]

    yield make
    for one in made:
        one.scripted.released.set()
        one.stop()


FAULTS = (
    ({"starts": ("missing",)}, Fault.MISSING),
    ({"starts": ("refused",)}, Fault.REFUSED),
    ({"starts": ("crash",)}, Fault.REFUSED),
    ({"starts": ("hang",)}, Fault.HUNG),
    ({"starts": (0,)}, Fault.OTHER_RATE),
    ({"starts": (1_000_000,)}, Fault.OTHER_RATE),
    ({"starts": ("ok",), "script": {0: "hang"}}, Fault.NO_SOUND),
    ({"starts": ("ok",), "script": {0: "unplug"}}, Fault.UNPLUGGED),
    ({"starts": ("ok",), "script": {0: "nan"}}, Fault.NO_NUMBERS),
)


def test_what_is_wrong_is_told_and_no_call_is_waited_for(watched, capfd):
    microphones = [watched(**options) for options, _ in FAULTS]
    begun_s = time.monotonic()
    for microphone in microphones:
        microphone.start()
    assert time.monotonic() - begun_s < 0.5
    wait_until(lambda: all(microphone.fault is not None for microphone in microphones))
    assert [microphone.fault for microphone in microphones] == [fault for _, fault in FAULTS]
    assert [microphone.arrivals for microphone in microphones] == [[]] * len(FAULTS)


class ByClock:
    """A microphone that delivers when a test says so, watched by a clock that the test moves."""

    def __init__(self, word: str, rate_hz: int = 16_000) -> None:
        self.n_overflows, self.has_ended, self.facts = 0, False, {}
        self.now_s, self.word, self.rate_hz = 100.0, word, rate_hz
        self.released = threading.Event()
        self.watched = WatchedMicrophone(self, lambda arrival: None, lambda: self.now_s)

    def start(self, on_block):
        if self.word == "hang":
            self.released.wait(WAIT_S)
        if self.word in ("missing", "refused"):
            raise MicrophoneError("It cannot be used.", Fault(f"microphone_{self.word}"))
        self.on_block = on_block
        return self.rate_hz

    def stop(self):
        self.released.set()

    def begin(self):
        """Start, and deliver a second of hiss where it starts."""
        self.watched.start()
        if self.word == "hang":
            return
        wait_until(lambda: self.watched._rate_hz or self.watched.fault)
        for _ in range(50 if self.watched.fault is None and self.word != "other_rate" else 0):
            self.step(np.full(320, 0.01, np.float32))
            assert self.watched.fault is None

    def step(self, block=None):
        self.now_s += 0.02
        if block is not None:
            self.on_block(block)

    def told_after_s(self) -> float:
        """How long after it goes wrong the fault is known, by its own clock."""
        begun_s, self.has_ended = self.now_s, self.word == "unplug"
        blocks = {"nan": np.full(320, np.nan, np.float32), "zeros": np.zeros(320, np.float32)}
        blocks["other_rate"] = np.full(882, 0.01, np.float32)  # 44.1 kHz, where 16 kHz were declared
        while self.watched.fault is None and self.now_s < begun_s + 10:
            self.step(blocks.get(self.word))
        return self.now_s - begun_s


@pytest.mark.parametrize(
    ("word", "fault", "limit_s"),
    [
        ("missing", Fault.MISSING, TOLD_WITHIN_S),
        ("refused", Fault.REFUSED, TOLD_WITHIN_S),
        ("hang", Fault.HUNG, TOLD_WITHIN_S),
        ("stall", Fault.NO_SOUND, TOLD_WITHIN_S),
        ("unplug", Fault.UNPLUGGED, TOLD_WITHIN_S),
        ("nan", Fault.NO_NUMBERS, TOLD_WITHIN_S),
        ("other_rate", Fault.OTHER_RATE, TOLD_WITHIN_S),
        ("zeros", Fault.SILENT, SILENCE_TOLD_WITHIN_S),
    ],
)
def test_by_the_clock_of_the_watch_a_fault_is_known_a_tick_before_its_time_is_over(word, fault, limit_s):
    microphone = ByClock(word)
    microphone.begin()
    assert microphone.told_after_s() + TICK_S <= limit_s
    assert microphone.watched.fault is fault
    microphone.watched.stop()


def test_a_sound_microphone_has_no_fault_and_all_its_blocks_arrive(watched):
    microphone = watched()
    microphone.start()
    wait_until(lambda: len(microphone.arrivals) >= 60)
    assert microphone.fault is None
    assert {(arrival.rate_hz, len(arrival.block), arrival.lost_s) for arrival in microphone.arrivals} == {
        (16_000, 320, 0.0)
    }


def test_blocks_that_come_before_start_returns_are_not_lost():
    class Early:
        n_overflows, has_ended, facts = 0, False, {}

        def start(self, on_block):
            for number in range(3):
                on_block(np.full(320, 0.1 * (number + 1), np.float32))
            return 16_000

        def stop(self):
            pass

    arrivals = []
    microphone = WatchedMicrophone(Early(), arrivals.append)
    microphone.start()
    wait_until(lambda: len(arrivals) == 3)
    assert [round(float(arrival.block[0]), 1) for arrival in arrivals] == [0.1, 0.2, 0.3]


@pytest.mark.long
def test_silence_is_told_and_over_by_itself(watched):
    microphone = watched(script={10: "zeros", 250: "sound"})
    microphone.start()
    wait_until(lambda: microphone.scripted.n_played > 10)
    wait_until(lambda: microphone.fault is Fault.SILENT)
    wait_until(lambda: microphone.fault is None)
    assert not microphone.arrivals[20].block.any()  # silence is what was heard: it is delivered


def test_a_microphone_that_answers_late_is_told_and_then_delivers(watched):
    microphone = watched(starts=("late",))
    microphone.start()
    wait_until(lambda: microphone.fault is Fault.HUNG)
    wait_until(lambda: microphone.arrivals and microphone.fault is None)


@pytest.mark.parametrize("first", ["missing", "refused", "hang", 0])
def test_one_more_start_goes_on_after_a_start_that_failed(watched, first):
    microphone = watched(starts=(first, "ok"))
    microphone.start()
    wait_until(lambda: microphone.fault is not None)
    microphone.start()
    wait_until(lambda: len(microphone.arrivals) > 5)
    assert microphone.fault is None


@pytest.mark.parametrize("word", ["hang", "unplug"])
def test_one_more_start_goes_on_after_sound_stopped_and_the_gap_is_known(watched, word):
    microphone = watched(script={20: word, 21: "sound"})
    microphone.start()
    wait_until(lambda: microphone.fault is not None)
    time.sleep(0.5)
    microphone.start()
    wait_until(lambda: len(microphone.arrivals) > 25)
    assert microphone.fault is None
    gaps = [(number, arrival.lost_s) for number, arrival in enumerate(microphone.arrivals) if arrival.lost_s]
    assert [number for number, _ in gaps] == [20]
    assert 0.5 < gaps[0][1] < 1.5 + BUSY_S


def test_a_late_answer_to_a_start_that_was_given_up_delivers_nothing(watched):
    microphone = watched(starts=("hang", "ok"))
    microphone.start()
    wait_until(lambda: microphone.fault is Fault.HUNG)
    microphone.stop()
    microphone.scripted.released.set()
    time.sleep(0.3)
    assert microphone.arrivals == []


def test_samples_that_are_no_numbers_and_overflows_are_gaps_of_their_length(watched):
    microphone = watched(script={10: "nan", 13: "sound", 30: "drop", 32: "sound"})
    microphone.start()
    wait_until(lambda: len(microphone.arrivals) > 40)
    lost_s = {number: round(arrival.lost_s, 3) for number, arrival in enumerate(microphone.arrivals) if arrival.lost_s}
    assert lost_s == {10: 0.06, 27: 0.02, 28: 0.02}
    assert all(np.isfinite(arrival.block).all() for arrival in microphone.arrivals)


def test_a_pause_of_the_device_is_a_gap(watched):
    microphone = watched(script={20: "pause"})
    microphone.start()
    wait_until(lambda: microphone.fault is Fault.NO_SOUND)
    wait_until(lambda: microphone.fault is None)
    wait_until(lambda: len(microphone.arrivals) > 22)
    assert 1.0 < microphone.arrivals[20].lost_s < 1.3 + BUSY_S


@pytest.mark.parametrize("delivers_hz", [48_000, 5_000])
def test_a_device_that_delivers_another_rate_than_it_says_is_found_out(watched, delivers_hz):
    microphone = watched(delivers_hz=delivers_hz)
    microphone.start()
    assert wait_until(lambda: microphone.fault is Fault.OTHER_RATE) < 2.0 + BUSY_S
    n_arrivals = len(microphone.arrivals)
    time.sleep(0.2)
    assert len(microphone.arrivals) == n_arrivals


@pytest.mark.long
def test_a_busy_machine_that_delivers_in_bursts_is_no_other_rate():
    class Bursts:
        n_overflows, has_ended, facts = 0, False, {}

        def start(self, on_block):
            threading.Thread(target=self._deliver, args=(on_block,), daemon=True).start()
            return 16_000

        def _deliver(self, on_block):
            for _ in range(6):
                time.sleep(0.4)
                for _ in range(20):
                    on_block(np.full(320, 0.1, np.float32))
                    time.sleep(0.001)

        def stop(self):
            pass

    arrivals = []
    microphone = WatchedMicrophone(Bursts(), arrivals.append)
    microphone.start()
    wait_until(lambda: len(arrivals) == 120)
    assert microphone.fault is None


def test_sound_from_memory_that_comes_all_at_once_is_no_fault():
    class Memory:
        n_overflows, has_ended, facts = 0, False, {}

        def start(self, on_block):
            for _ in range(500):
                on_block(np.full(320, 0.1, np.float32))
            return 16_000

        def stop(self):
            pass

    arrivals = []
    microphone = WatchedMicrophone(Memory(), arrivals.append)
    microphone.start()
    wait_until(lambda: len(arrivals) == 500)
    assert microphone.fault is None


def test_a_stop_that_hangs_is_told_and_not_waited_for(watched):
    microphone = watched(stops=("hang",))
    microphone.start()
    wait_until(lambda: microphone.arrivals)
    begun_s = time.monotonic()
    microphone.stop()
    assert time.monotonic() - begun_s < 0.5
    n_arrivals = len(microphone.arrivals)
    assert wait_until(lambda: microphone.fault is Fault.HUNG) < TOLD_WITHIN_S + BUSY_S
    assert len(microphone.arrivals) == n_arrivals
    assert not microphone.wait_for_stop()
    microphone.scripted.released.set()
    wait_until(lambda: microphone.fault is None)
