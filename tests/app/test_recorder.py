"""The recorder: what reaches the sink and the listeners, at any fault of the microphone or the disk."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.devices.microphone import Fault
from app.recorder import End, Recorder, dbfs, to_pcm16
from app.sealed_audio import DiskFullError, SealedAudioError, SealedAudioReader, SealedAudioWriter
from core.resample import Resampler
from tests.app.fake_microphones import ScriptedMicrophone

KEY, RECORD_ID = bytes(range(32)), "a recording"
WAIT_S = 30.0


class Kept:
    """A sink in memory that notes the order of what came; `refuse` may raise instead of taking."""

    def __init__(self, refuse=lambda n_samples: None) -> None:
        self.pieces, self.gaps, self.is_closed, self._refuse = [], [], False, refuse
        self.rate_hz, self.facts, self.n_idle = None, None, 0

    def open(self, rate_hz, facts):
        self.rate_hz, self.facts = rate_hz, facts
        return self

    @property
    def samples(self):
        return np.concatenate([np.zeros(0, np.int16), *self.pieces])

    def append(self, samples):
        error = self._refuse(len(self.samples))
        if not isinstance(error, SealedAudioError) or isinstance(error, DiskFullError):
            self.pieces.append(samples)
        if error is not None:
            raise error

    def mark_gap(self, lost_s):
        self.gaps.append((len(self.samples), lost_s))

    def sync_if_due(self):
        self.n_idle += 1

    def close(self):
        self.is_closed = True


class Heard:
    def __init__(self) -> None:
        self.pieces, self.rates_hz, self.is_finished, self.missed = [], set(), False, []

    def miss(self, lost_s):
        self.missed.append((sum(map(len, self.pieces)), lost_s))

    def hear(self, samples, sample_rate_hz):
        self.pieces.append(samples)
        self.rates_hz.add(sample_rate_hz)

    def finish(self):
        self.is_finished = True


def wait_until(condition):
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


def ended(recorder: Recorder):
    assert recorder.wait(WAIT_S)
    return recorder.progress


def recorded(microphone, sink, *listeners, **options):
    """Record all that a microphone plays from memory."""
    recorder = Recorder(microphone, sink.open, listeners, **options)
    recorder.start()
    assert microphone.all_delivered.wait(WAIT_S)
    wait_until(lambda: recorder.progress.first_sound)
    recorder.stop()
    return ended(recorder)


def test_samples_are_rounded_and_saturate_instead_of_wrapping():
    block = np.array([0.0, 1.0, -1.0, 1.7, -1.7, 0.6 / 32768, -0.6 / 32768, np.nan, np.inf], np.float32)
    assert to_pcm16(block).tolist() == [0, 32767, -32768, 32767, -32768, 1, -1, 0, 32767]


@pytest.mark.parametrize("sample_rate_hz", [16_000, 48_000])
def test_sink_and_listeners_take_the_very_same_samples_all_of_them(fake_microphone, bursts, sample_rate_hz):
    waveform, sink, heard = bursts(sample_rate_hz), Kept(), Heard()
    end = recorded(fake_microphone(waveform, sample_rate_hz), sink, heard)
    assert np.array_equal(sink.samples, to_pcm16(waveform))
    assert np.array_equal(np.concatenate(heard.pieces), sink.samples)
    assert (heard.rates_hz, sink.rate_hz) == ({sample_rate_hz}, sample_rate_hz)
    assert (sink.is_closed, heard.is_finished, sink.facts["sample_rate_hz"]) == (True, True, sample_rate_hz)
    assert (end.duration_s, end.n_gaps, end.fault, end.end, end.failure) == (3.0, 0, None, End.STOPPED, None)


def test_start_and_stop_return_at_once_whatever_microphone_and_store_do():
    goes_on = threading.Event()

    def slow(rate_hz, facts):
        goes_on.wait(WAIT_S)
        return Kept().open(rate_hz, facts)

    microphone = ScriptedMicrophone(stops=("hang",))
    recorder = Recorder(microphone, slow)
    for call in (recorder.start, recorder.go_on, recorder.stop):
        begun_s = time.monotonic()
        call()
        assert time.monotonic() - begun_s < 0.5
    goes_on.set()
    microphone.released.set()
    ended(recorder)


def test_nothing_is_recorded_and_no_time_passes_before_the_first_sound():
    sink = Kept()
    recorder = Recorder(ScriptedMicrophone(script={0: "zeros", 30: "sound"}), sink.open)
    recorder.start()
    time.sleep(0.3)
    assert (recorder.progress.first_sound, recorder.progress.duration_s, sink.rate_hz) == (False, 0.0, None)
    wait_until(lambda: recorder.progress.first_sound)
    wait_until(lambda: recorder.progress.duration_s > 0.1)
    recorder.stop()
    ended(recorder)
    assert sink.samples[:320].any()


@pytest.mark.long
@pytest.mark.parametrize("options", [{"starts": ("missing",)}, {"starts": ("hang",)}, {"script": {0: "zeros"}}])
def test_a_microphone_without_sound_leaves_no_recording(options):
    opened = []
    microphone = ScriptedMicrophone(**options)
    recorder = Recorder(microphone, lambda *facts: opened.append(facts))
    recorder.start()
    wait_until(lambda: recorder.progress.fault is not None)
    recorder.stop()
    assert ended(recorder).first_sound is False
    assert opened == []
    microphone.released.set()


def test_a_recording_ends_by_itself_at_its_full_length_to_the_sample(fake_microphone, bursts):
    sink, heard = Kept(), Heard()
    recorder = Recorder(fake_microphone(bursts(48_000)), sink.open, (heard,), max_s=1.01)
    recorder.start()
    assert ended(recorder).end is End.FULL_LENGTH
    assert len(sink.samples) == len(np.concatenate(heard.pieces)) == 48_480
    assert recorder.progress.duration_s == 1.01


def test_one_tap_goes_on_after_a_fault_and_the_gap_is_marked_where_it_is():
    microphone, sink, heard = ScriptedMicrophone(script={20: "hang", 21: "sound"}), Kept(), Heard()
    recorder = Recorder(microphone, sink.open, (heard,))
    recorder.start()
    wait_until(lambda: recorder.progress.fault is Fault.NO_SOUND)
    assert sink.n_idle > 1  # what waits was brought to the disk meanwhile
    recorder.go_on()
    wait_until(lambda: recorder.progress.duration_s > 0.6)
    recorder.stop()
    end = ended(recorder)
    assert (end.n_gaps, end.fault) == (1, None)
    ((at_sample, lost_s),) = sink.gaps
    assert at_sample == 20 * 320
    assert end.lost_s == lost_s > 0.7
    assert heard.missed == sink.gaps


@pytest.mark.long
@pytest.mark.parametrize("second_hz", [8_000, 48_000])
def test_a_microphone_that_comes_back_with_another_rate_goes_on_at_the_recordings_own(second_hz):
    microphone = ScriptedMicrophone(starts=("ok", second_hz), script={20: "hang", 21: "sound"})
    sink = Kept()
    recorder = Recorder(microphone, sink.open)
    recorder.start()
    wait_until(lambda: recorder.progress.fault is not None)
    recorder.go_on()
    wait_until(lambda: recorder.progress.duration_s > 1.2)
    recorder.stop()
    ended(recorder)
    second = np.random.default_rng(3).standard_normal(round(0.02 * second_hz) * 200) * 0.01
    expected = to_pcm16(Resampler(second_hz, 16_000).process(second.astype(np.float32)))
    got = sink.samples[20 * 320 :]
    assert [at_sample for at_sample, _ in sink.gaps] == [20 * 320]
    assert np.array_equal(got, expected[: len(got)])


def test_blocks_that_find_the_queue_full_are_a_gap_of_their_length(fake_microphone, bursts):
    goes_on, sink = threading.Event(), Kept()

    def slow(rate_hz, facts):
        assert goes_on.wait(WAIT_S)
        return sink.open(rate_hz, facts)

    microphone = ScriptedMicrophone()
    recorder = Recorder(microphone, slow, queue_blocks=4)
    recorder.start()
    wait_until(lambda: microphone.n_played > 12)
    goes_on.set()
    wait_until(lambda: recorder.progress.n_gaps)
    recorder.stop()
    end = ended(recorder)
    assert [at_sample for at_sample, _ in sink.gaps] == [5 * 320]
    assert end.lost_s == pytest.approx(0.02 * (microphone.n_played - len(sink.pieces)), abs=0.05)


def test_a_disk_that_is_nearly_full_ends_the_recording_by_itself_and_all_of_it_is_heard(fake_microphone, bursts):
    sink = Kept(lambda n_samples: DiskFullError("The disk is nearly full.") if n_samples >= 16_000 else None)
    heard = Heard()
    recorder = Recorder(fake_microphone(bursts(16_000), 16_000), sink.open, (heard,))
    recorder.start()
    end = ended(recorder)
    assert (end.end, end.failure, sink.is_closed) == (End.DISK_FULL, None, True)
    assert np.array_equal(np.concatenate(heard.pieces), sink.samples)
    assert end.duration_s == len(sink.samples) / 16_000 > 1.0


def disk_error():
    error = SealedAudioError("The recording cannot be written.")
    error.__cause__ = OSError(28, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (disk_error(), End.DISK_FULL),
        (OSError(5, "Input/output error"), End.DISK_FULL),
        (SealedAudioError("refused"), End.NOT_STORED),
    ],
)
def test_a_store_that_refuses_ends_the_recording_and_is_told(fake_microphone, bursts, error, end):
    sink = Kept(lambda n_samples: error if n_samples >= 16_000 else None)
    recorder = Recorder(fake_microphone(bursts(16_000), 16_000), sink.open)
    recorder.start()
    progress = ended(recorder)
    assert (progress.end, progress.failure, sink.is_closed) == (end, error, True)


def test_a_store_that_cannot_be_opened_ends_the_recording_and_is_told(fake_microphone, bursts):
    def refuse(rate_hz, facts):
        raise SealedAudioError("There is no consent.")

    recorder = Recorder(fake_microphone(bursts(16_000), 16_000), refuse)
    recorder.start()
    progress = ended(recorder)
    assert (progress.end, progress.first_sound, str(progress.failure)) == (
        End.NOT_STORED,
        False,
        "There is no consent.",
    )


def test_a_listener_that_fails_or_is_slow_delays_neither_disk_nor_the_others(fake_microphone, bursts, capfd):
    class Fails(Heard):
        def hear(self, samples, sample_rate_hz):
            raise ValueError("a mistake of ours")

    class Slow(Heard):
        def hear(self, samples, sample_rate_hz):
            goes_on.wait(WAIT_S)

    goes_on, sink, heard = threading.Event(), Kept(), Heard()
    microphone = fake_microphone(bursts(16_000), 16_000)
    recorder = Recorder(microphone, sink.open, (Fails(), Slow(), heard))
    recorder.start()
    assert microphone.all_delivered.wait(WAIT_S)
    wait_until(lambda: recorder.progress.first_sound)
    recorder.stop()
    wait_until(lambda: heard.is_finished)
    assert np.array_equal(sink.samples, to_pcm16(bursts(16_000)))
    assert not recorder.wait(0.05)
    goes_on.set()
    ended(recorder)
    assert "a mistake of ours" in capfd.readouterr().err


def test_where_there_is_no_end_a_slow_listener_holds_up_the_rest_and_memory_stays_flat():
    class Slow(Heard):
        def hear(self, samples, sample_rate_hz):
            assert goes_on.wait(WAIT_S)
            super().hear(samples, sample_rate_hz)

    goes_on, sink, slow, microphone = threading.Event(), Kept(), Slow(), ScriptedMicrophone()
    recorder = Recorder(microphone, sink.open, (slow,), listener_blocks=5, queue_blocks=5)
    recorder.start()
    wait_until(lambda: microphone.n_played > 30)
    assert len(sink.pieces) <= 7
    goes_on.set()
    wait_until(lambda: recorder.progress.n_gaps == 1)
    recorder.stop()
    ended(recorder)
    assert slow.missed == sink.gaps


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 9_000), max_size=8), seed=st.integers(0, 99))
def test_sealed_sound_holds_what_the_microphone_gave_however_it_was_cut(tmp_path_factory, cuts, seed):
    waveform = np.random.default_rng(seed).uniform(-1.2, 1.2, 9_000).astype(np.float32)

    class Cut:
        n_overflows, has_ended, facts = 0, False, {}

        def start(self, on_block):
            for block in np.split(waveform, sorted(cuts)):
                on_block(block)
            return 16_000

        def stop(self):
            pass

    path = tmp_path_factory.mktemp("cuts") / "a.sealed"
    recorder = Recorder(Cut(), lambda rate_hz, facts: SealedAudioWriter(path, KEY, RECORD_ID, rate_hz))
    recorder.start()
    wait_until(lambda: recorder.progress.duration_s == 9_000 / 16_000)
    recorder.stop()
    ended(recorder)
    reader = SealedAudioReader(path, KEY, RECORD_ID)
    assert np.array_equal(reader.read(), to_pcm16(waveform))
    assert reader.state == "complete"


def test_the_level_of_a_known_sine_is_exact(fake_microphone):
    times_s = np.arange(16_000) / 16_000
    sine = 0.1 * np.sin(2 * np.pi * 500 * times_s)  # peak -20 dBFS, RMS 3.01 dB less
    end = recorded(fake_microphone(sine, 16_000), Kept())
    assert end.peak_dbfs == pytest.approx(-20.0, abs=0.01)
    assert end.rms_dbfs == pytest.approx(-23.01, abs=0.01)
    assert dbfs(0.0) == -100.0


def test_changes_are_told_from_a_thread_of_the_recorder_and_last_of_all_the_end(fake_microphone, bursts):
    told, threads = [], set()

    def note():
        told.append(recorder.progress)
        threads.add(threading.current_thread().name)

    microphone = fake_microphone(bursts(16_000), 16_000)
    recorder = Recorder(microphone, Kept().open, on_change=note)
    recorder.start()
    assert microphone.all_delivered.wait(WAIT_S)
    wait_until(lambda: recorder.progress.first_sound)
    recorder.stop()
    ended(recorder)
    wait_until(lambda: told and told[-1].is_closed)
    assert threads == {"recording-watch"}


FAULTS = {
    Fault.MISSING: lambda at: {"starts": ("missing", "ok")},
    Fault.REFUSED: lambda at: {"starts": ("refused" if at % 2 else "crash", "ok")},
    Fault.HUNG: lambda at: {"starts": ("hang", "ok")},
    Fault.OTHER_RATE: lambda at: {"starts": (at, "ok")},
    Fault.NO_SOUND: lambda at: {"script": {at: "hang", at + 1: "sound"}},
    Fault.UNPLUGGED: lambda at: {"script": {at: "unplug", at + 1: "sound"}},
    Fault.NO_NUMBERS: lambda at: {"script": {at: "nan", at + 60: "sound"}},
    Fault.SILENT: lambda at: {"script": {at: "zeros", at + 220: "sound"}},
}


def go_through(fault: Fault, at_block: int) -> str:
    """Record with a microphone that goes wrong at a block, go on by one call, and tell what was not as it should be."""
    microphone, sink = ScriptedMicrophone(**FAULTS[fault](at_block)), Kept()
    recorder = Recorder(microphone, sink.open)
    recorder.start()
    wait_until(lambda: recorder.progress.fault is not None)
    named, before_s = recorder.progress.fault, recorder.progress.duration_s
    recorder.go_on()
    wait_until(lambda: recorder.progress.fault is None and recorder.progress.duration_s > before_s + 0.1)
    recorder.stop()
    progress = ended(recorder)
    microphone.released.set()
    n_gaps = progress.n_gaps if "script" in FAULTS[fault](at_block) else progress.n_gaps + 1
    is_whole = len(sink.samples) == round(progress.duration_s * 16_000) and sink.is_closed
    return "" if (named, n_gaps, is_whole) == (fault, 1, True) else f"{fault} at {at_block}: {named}, {progress}"


@pytest.mark.parametrize("n_faults", [16, pytest.param(200, marks=pytest.mark.slow)])
def test_every_fault_of_a_microphone_is_named_and_one_call_goes_on(n_faults, capfd):
    random = np.random.default_rng(n_faults)
    faults = [list(FAULTS)[number % len(FAULTS)] for number in range(n_faults)]
    with ThreadPoolExecutor(8) as pool:
        wrong = list(pool.map(go_through, faults, random.integers(5, 60, n_faults).tolist()))
    assert [one for one in wrong if one] == []
