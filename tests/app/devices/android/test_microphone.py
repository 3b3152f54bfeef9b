"""Tests Android's microphone on the stub phone: nothing lost behind busy threads, every fault said, silence a gap."""

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from app.devices.android.microphone import AndroidMicrophone
from app.devices.microphone import CountsLosses, Fault, MicrophoneError
from app.recorder import Recorder, to_pcm16
from tests.android.desktop_java import Switches, events_of

pytestmark = pytest.mark.long

PERIOD = 32749
WITHIN_S = 1.0 + 1.5  # a second, and what a busy machine takes


class Sink:
    """Keeps what a microphone delivers, as the recorder makes int16 of it."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []

    def __call__(self, block: np.ndarray) -> None:
        self.blocks.append(to_pcm16(block))

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int16), *self.blocks])


def assert_in_order(samples: np.ndarray) -> None:
    """All of the stub's samples from the first on: none lost, none twice, none in another place."""
    np.testing.assert_array_equal(samples, np.arange(len(samples)) % PERIOD)


class GapSink(Sink):
    """A sink of the recorder's, with the places of its gaps."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[tuple[int, float]] = []
        self.is_closed = False

    def append(self, samples: np.ndarray) -> None:
        self.blocks.append(samples)

    def mark_gap(self, lost_s: float) -> None:
        self.gaps.append((len(self.samples), lost_s))

    def sync_if_due(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def recorder_of(phone: Switches, sink: GapSink) -> Recorder:
    return Recorder(AndroidMicrophone(phone.activity), lambda rate_hz, facts: sink)


def wait_until(condition, limit_s: float = 20.0) -> float:
    """Seconds until `condition` holds; fails after `limit_s`."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < limit_s, "it did not come about in time"
        time.sleep(0.005)
    return time.monotonic() - began_s


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    ended = threading.Event()

    def spin() -> None:
        while not ended.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=spin) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


class PausingSink(Sink):
    """Stands still once, as a Python that collects rubbish or writes to a slow disk."""

    def __init__(self, at_samples: int, pause_s: float) -> None:
        super().__init__()
        self.at_samples, self.pause_s, self.n_samples = at_samples, pause_s, 0

    def __call__(self, block: np.ndarray) -> None:
        super().__call__(block)
        before, self.n_samples = self.n_samples, self.n_samples + len(block)
        if before < self.at_samples <= self.n_samples:
            time.sleep(self.pause_s)


def record_beside_busy_threads(phone: Switches, duration_s: float, speed: float) -> None:
    phone.set("speed", speed)
    sink = PausingSink(at_samples=48_000, pause_s=5 / speed)
    microphone = AndroidMicrophone(phone.activity)
    with busy_threads(2):
        assert microphone.start(sink) == 48_000
        time.sleep(duration_s / speed)
        microphone.stop()
    assert_in_order(sink.samples)
    assert len(sink.samples) > 0.98 * duration_s * 48_000
    assert (microphone.n_overflows, microphone.lost_s, phone.get("lostSamples")) == (0, 0.0, 0)


def test_no_sample_is_lost_beside_two_busy_threads_and_a_pause_of_five_seconds(phone):
    record_beside_busy_threads(phone, duration_s=9, speed=1)


@pytest.mark.slow
def test_no_sample_of_ten_minutes_is_lost_beside_two_busy_threads(phone):
    record_beside_busy_threads(phone, duration_s=600, speed=5)


def test_a_pause_longer_than_the_ring_is_one_counted_gap_of_the_right_length(phone):
    phone.set("speed", 4)
    sink = PausingSink(at_samples=48_000, pause_s=3.75)  # 15 seconds of sound; the ring holds 10
    microphone = AndroidMicrophone(phone.activity)
    microphone.start(sink)
    time.sleep(5)
    microphone.stop()
    samples = sink.samples.astype(np.int64)
    (places,) = np.nonzero(np.diff(samples) % PERIOD != 1)
    assert len(places) == 1 and microphone.n_overflows == 1
    lost = (samples[places[0] + 1] - samples[places[0]] - 1) % PERIOD
    assert round(microphone.lost_s * 48_000) % PERIOD == lost
    assert 3 < microphone.lost_s < 8


@pytest.mark.parametrize(
    ("switch", "sentence"),
    [
        ("isForbidden", "does not let Tussis use the microphone"),
        ("isRefused", "no microphone that records"),
        ("isBusy", "Another app has the microphone"),
    ],
)
def test_a_microphone_that_does_not_start_is_a_sentence_and_nothing_stays_open(phone, switch, sentence):
    phone.set(switch, True)
    microphone = AndroidMicrophone(phone.activity)
    began_s = time.monotonic()
    with pytest.raises(MicrophoneError, match=sentence):
        microphone.start(Sink())
    assert time.monotonic() - began_s < WITHIN_S
    assert phone.get("open") == 0 and phone.threads("tussis-capture") == 0


@pytest.mark.parametrize("switch", ["deadAfterSamples", "failsAfterSamples"])
def test_a_sound_server_that_dies_ends_the_recording_at_its_last_good_sample(phone, switch):
    phone.set(switch, 24_000)
    microphone, sink = AndroidMicrophone(phone.activity), Sink()
    microphone.start(sink)
    assert wait_until(lambda: microphone.has_ended) < 0.5 + WITHIN_S  # half a second of sound, then the fault
    microphone.stop()
    assert_in_order(sink.samples)
    assert len(sink.samples) == 24_000


def test_a_phone_that_hangs_delivers_nothing_and_still_stops(phone):
    phone.set("isStuck", True)
    microphone, sink = AndroidMicrophone(phone.activity), Sink()
    microphone.start(sink)
    time.sleep(0.2)
    began_s = time.monotonic()
    microphone.stop()
    assert time.monotonic() - began_s < 2
    assert len(sink.samples) == 0
    wait_until(lambda: phone.threads("tussis-capture") == 0)


@pytest.mark.parametrize(("is_told", "api"), [(True, 36), (False, 28)])
def test_silence_that_android_gives_is_one_gap_and_the_recording_goes_on(phone, is_told, api):
    phone.set_sdk(api)
    phone.set("speed", 4)
    microphone, sink = AndroidMicrophone(phone.activity), Sink()
    microphone.start(sink)
    time.sleep(0.5)
    phone.microphone.silence(True) if is_told else phone.set("givesZeros", True)
    seen_s = wait_until(lambda: microphone.is_silenced)
    time.sleep(max(0.0, 5 / 4 - seen_s))
    phone.microphone.silence(False) if is_told else phone.set("givesZeros", False)
    wait_until(lambda: not microphone.is_silenced)
    time.sleep(0.5)
    microphone.stop()
    assert seen_s < WITHIN_S
    assert microphone.n_overflows == 1
    assert microphone.lost_s == pytest.approx(5 if is_told else 4, abs=0.7)  # the first second of zeros was delivered
    assert len(sink.samples) > 3.5 * 48_000 and sink.samples[-1] != 0


def test_another_rate_is_taken_and_said(phone):
    phone.set("onlyRateHz", 16_000)
    microphone, sink = AndroidMicrophone(phone.activity), Sink()
    assert microphone.start(sink) == 16_000
    time.sleep(0.3)
    microphone.stop()
    assert_in_order(sink.samples)
    assert microphone.facts == {
        "name": "Android VOICE_RECOGNITION", "source": "VOICE_RECOGNITION", "sample_rate_hz": 16_000
    }  # fmt: skip


@pytest.mark.parametrize(("has_unprocessed", "number"), [(True, 9), (False, 6)])
def test_the_least_processed_source_is_taken_and_kept_private(phone, has_unprocessed, number):
    phone.set("hasUnprocessed", has_unprocessed)
    microphone = AndroidMicrophone(phone.activity)
    microphone.start(Sink())
    assert (phone.get("source"), phone.get("isPrivate")) == (number, 1)
    microphone.stop()


def test_a_source_that_a_person_chose_is_taken(phone):
    microphone = AndroidMicrophone(phone.activity, "MIC")
    microphone.start(Sink())
    microphone.stop()
    assert phone.get("source") == 1


@pytest.mark.parametrize("api", [24, 28, 29, 30, 36])
def test_it_records_on_every_android_and_reads_at_the_highest_priority(phone, api):
    phone.set_sdk(api)
    microphone, sink = AndroidMicrophone(phone.activity), Sink()
    microphone.start(sink)
    time.sleep(0.15)
    microphone.stop()
    assert_in_order(sink.samples)
    assert len(sink.samples) > 1000
    assert "priority -19 of tussis-capture" in events_of(phone)


@pytest.mark.parametrize("times", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_starts_and_stops_leak_no_thread(phone, times):
    microphone = AndroidMicrophone(phone.activity)
    before = threading.active_count()
    for _ in range(times):
        microphone.start(lambda block: None)
        microphone.stop()
    assert phone.get("open") == 0
    wait_until(lambda: phone.threads("tussis-capture") == 0)
    assert threading.active_count() == before
    assert phone.threads("microphone") == 0


def test_it_counts_its_losses_as_the_recorder_expects(phone):
    assert isinstance(AndroidMicrophone(phone.activity), CountsLosses)


@pytest.mark.parametrize(
    ("switch", "value", "fault"),
    [
        ("isForbidden", 1, Fault.REFUSED),
        ("isRefused", 1, Fault.MISSING),
        ("isBusy", 1, Fault.REFUSED),
        ("isStuck", 1, Fault.NO_SOUND),
        ("onlyRateHz", 8000, Fault.MISSING),
    ],
)
def test_a_recorder_tells_each_fault_within_a_second_and_keeps_nothing(phone, switch, value, fault):
    phone.set(switch, value)
    sink = GapSink()
    recorder = recorder_of(phone, sink)
    recorder.start()
    took_s = wait_until(lambda: recorder.progress.fault is fault)
    recorder.stop()
    assert recorder.wait(3)
    assert took_s < WITHIN_S
    assert len(sink.samples) == 0 and not recorder.progress.first_sound


@pytest.mark.parametrize(
    ("switch", "fault", "samples"),
    [("deadAfterSamples", Fault.UNPLUGGED, 48_000), ("failsAfterSamples", Fault.UNPLUGGED, 48_000)],
)
def test_a_recording_ends_at_the_last_good_sample_before_a_fault_and_can_go_on(phone, switch, fault, samples):
    phone.set(switch, samples)
    sink = GapSink()
    recorder = recorder_of(phone, sink)
    recorder.start()
    assert wait_until(lambda: recorder.progress.fault is fault) < 1 + WITHIN_S  # a second of sound is before it
    wait_until(lambda: len(sink.samples) >= samples)
    assert_in_order(sink.samples)
    phone.set(switch, 0)
    recorder.go_on()
    wait_until(lambda: recorder.progress.fault is None and len(sink.samples) > 1.5 * samples)
    recorder.stop()
    assert recorder.wait(3) and sink.is_closed
    assert [place for place, _ in sink.gaps] == [samples]


def test_a_slow_microphone_is_told_by_its_rate(phone):
    phone.set("speed", 0.3)
    recorder = recorder_of(phone, GapSink())
    recorder.start()
    wait_until(lambda: recorder.progress.fault is Fault.OTHER_RATE)
    recorder.stop()
    assert recorder.wait(3)


def test_an_app_that_takes_the_microphone_for_five_seconds_leaves_one_gap_and_the_recording_goes_on(phone):
    sink = GapSink()
    recorder = recorder_of(phone, sink)
    recorder.start()
    wait_until(lambda: recorder.progress.duration_s > 0.5)
    phone.microphone.silence(True)
    assert wait_until(lambda: recorder.progress.fault is Fault.REFUSED) < WITHIN_S
    time.sleep(5)
    phone.microphone.silence(False)
    wait_until(lambda: recorder.progress.fault is None)
    before_s = recorder.progress.duration_s
    wait_until(lambda: recorder.progress.duration_s > before_s + 0.5)
    recorder.stop()
    assert recorder.wait(3)
    ((place, lost_s),) = sink.gaps
    assert lost_s == pytest.approx(5, abs=0.5)
    samples = sink.samples.astype(np.int64)
    # Android may take the microphone, and give it back, in the middle of a block.
    last, first = np.flatnonzero(samples[:place])[-1], place + np.flatnonzero(samples[place:])[0]
    n_missing = round(lost_s * 48_000) + first - last - 1
    assert (samples[first] - samples[last] - 1) % PERIOD == n_missing % PERIOD
    assert_in_order(samples[: last + 1])


def test_a_python_that_stands_still_for_five_seconds_marks_no_gap(phone):
    sink = GapSink()
    recorder = recorder_of(phone, sink)
    recorder.start()
    wait_until(lambda: recorder.progress.duration_s > 0.4)
    stand_still(5)
    wait_until(lambda: recorder.progress.duration_s > 5.5)
    recorder.stop()
    assert recorder.wait(3)
    assert_in_order(sink.samples)
    assert sink.gaps == []


def stand_still(duration_s: float) -> None:
    """Hold the interpreter's lock, as a long call of a library does that does not give it up."""
    ctypes.PyDLL(None).usleep(round(duration_s * 1e6))
