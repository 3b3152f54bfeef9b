"""The recorder: what is on the disk, at any moment, whatever happens."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.devices.microphone import MicrophoneError
from app.wav_recorder import Recorder, WavAppender, dbfs, to_pcm16
from core.audio import open_recording
from core.errors import OutputError

ROOT = Path(__file__).resolve().parents[2]


def samples_of(path: Path) -> np.ndarray:
    with open_recording(path) as recording:
        return np.concatenate(list(recording.blocks()))


def record_all(microphone, path: Path):
    recorder = Recorder(microphone, path)
    recorder.start()
    assert microphone.all_delivered.wait(60)
    return recorder.stop()


def test_samples_are_rounded_and_saturate_instead_of_wrapping():
    block = np.array([0.0, 1.0, -1.0, 1.7, -1.7, 0.6 / 32768, -0.6 / 32768, np.nan, np.inf], np.float32)
    assert to_pcm16(block).tolist() == [0, 32767, -32768, 32767, -32768, 1, -1, 0, 32767]


@pytest.mark.parametrize("sample_rate_hz", [16_000, 48_000])
def test_the_file_holds_what_the_microphone_gave_at_its_rate(tmp_path, fake_microphone, bursts, sample_rate_hz):
    waveform = bursts(sample_rate_hz)
    end = record_all(fake_microphone(waveform, sample_rate_hz), tmp_path / "a.wav")
    with open_recording(tmp_path / "a.wav") as recording:
        assert (recording.sample_rate_hz, recording.n_channels) == (sample_rate_hz, 1)
    assert np.array_equal(samples_of(tmp_path / "a.wav"), to_pcm16(waveform) / np.float32(32768))
    assert (end.duration_s, end.n_gaps, end.error) == (3.0, 0, None)


def test_a_killed_recording_loses_at_most_the_last_second(tmp_path, bursts):
    """A child records from a microphone in real time, says how much it was given, and is killed with SIGKILL."""
    path, rate_hz = tmp_path / "killed.wav", 16_000
    waveform = np.tile(bursts(rate_hz), 4)
    np.save(tmp_path / "waveform.npy", waveform)
    script = f"""
        import sys, threading, time
        from pathlib import Path
        import numpy as np
        from app.wav_recorder import Recorder
        class Microphone:
            n_overflows = 0
            def start(self, on_block):
                threading.Thread(target=self.play, args=(on_block,), daemon=True).start()
                return {rate_hz}
            def play(self, on_block):
                waveform = np.load({str(tmp_path / "waveform.npy")!r})
                for start in range(0, len(waveform), 320):
                    on_block(waveform[start:start + 320])
                    print(start + 320, flush=True)
                    time.sleep(0.02)
            def stop(self): pass
        Recorder(Microphone(), Path({str(path)!r})).start()
        time.sleep(60)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE)
    n_given = 0
    while n_given < 2.3 * rate_hz:
        n_given = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    n_given = max(n_given, *map(int, child.communicate()[0].split()), 0)
    kept = samples_of(path)
    assert n_given - rate_hz <= len(kept) <= n_given
    assert np.array_equal(kept, to_pcm16(waveform[: len(kept)]) / np.float32(32768))


def test_the_header_never_promises_more_than_the_file_holds(tmp_path, monkeypatch):
    """Read the file after every single block, while it is written, as a kill at that moment would leave it."""
    monkeypatch.setattr("app.wav_recorder.SYNC_S", 0.0)
    appender = WavAppender(tmp_path / "a.wav", 16_000)
    for n_blocks in range(1, 20):
        appender.append(np.full(100, n_blocks, np.int16))
        assert len(samples_of(tmp_path / "a.wav")) == 100 * n_blocks
    appender.close()


def test_sound_gets_into_the_header_even_when_no_further_block_comes(tmp_path):
    class FallsSilent:
        n_overflows = 0

        def start(self, on_block):
            on_block(np.full(800, 0.25, np.float32))
            return 16_000

        def stop(self):
            pass

    recorder = Recorder(FallsSilent(), tmp_path / "a.wav")
    recorder.start()
    deadline_s = time.monotonic() + 30
    while (tmp_path / "a.wav").read_bytes()[40:44] != (1600).to_bytes(4, "little"):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert len(samples_of(tmp_path / "a.wav")) == 800
    recorder.stop()


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=8), seed=st.integers(0, 99))
def test_how_the_sound_is_cut_into_blocks_does_not_matter(tmp_path_factory, cuts, seed):
    path = tmp_path_factory.mktemp("cuts") / "a.wav"
    waveform = np.random.default_rng(seed).uniform(-1.2, 1.2, 1000).astype(np.float32)
    appender = WavAppender(path, 16_000)
    for block in np.split(waveform, sorted(cuts)):
        appender.append(to_pcm16(block))
    appender.close()
    assert path.stat().st_size == 44 + 2000
    assert np.array_equal(samples_of(path), to_pcm16(waveform) / np.float32(32768))


def test_an_existing_recording_is_never_overwritten(tmp_path, fake_microphone, bursts):
    path = tmp_path / "a.wav"
    path.write_bytes(b"an earlier recording")
    microphone = fake_microphone(bursts(16_000), 16_000)
    with pytest.raises(OutputError, match=r"a\.wav"):
        Recorder(microphone, path).start()
    assert path.read_bytes() == b"an earlier recording"
    assert microphone.stopped.is_set()


def test_a_microphone_that_does_not_start_leaves_no_file(tmp_path):
    class Missing:
        n_overflows = 0

        def start(self, on_block):
            raise MicrophoneError("No microphone was found.")

    with pytest.raises(MicrophoneError):
        Recorder(Missing(), tmp_path / "a.wav").start()
    assert list(tmp_path.iterdir()) == []


def test_blocks_that_find_the_queue_full_are_counted_and_so_are_the_devices_own_overflows(tmp_path):
    class Flood:
        n_overflows = 3

        def start(self, on_block):
            for _ in range(10):  # before the writer runs
                on_block(np.full(100, 0.5, np.float32))
            return 16_000

        def stop(self):
            pass

    recorder = Recorder(Flood(), tmp_path / "a.wav", queue_blocks=4)
    recorder.start()
    end = recorder.stop()
    assert end.n_gaps == 6 + 3
    assert len(samples_of(tmp_path / "a.wav")) == 400


def test_a_full_disk_is_reported_and_what_was_written_stays_readable(tmp_path, monkeypatch, fake_microphone, bursts):
    append = WavAppender.append

    def append_until_full(self, samples):
        if self.n_samples >= 16_000:
            raise OSError(28, "No space left on device")
        append(self, samples)

    monkeypatch.setattr(WavAppender, "append", append_until_full)
    end = record_all(fake_microphone(bursts(16_000), 16_000), tmp_path / "a.wav")
    assert end.error == f"The recording {tmp_path / 'a.wav'} cannot be written: No space left on device."
    assert len(samples_of(tmp_path / "a.wav")) == 16_000


def test_the_level_of_a_known_sine_is_exact(tmp_path, fake_microphone):
    times_s = np.arange(16_000) / 16_000
    sine = 0.1 * np.sin(2 * np.pi * 500 * times_s)  # peak -20 dBFS, RMS 3.01 dB less
    end = record_all(fake_microphone(sine, 16_000), tmp_path / "a.wav")
    assert end.peak_dbfs == pytest.approx(-20.0, abs=0.01)
    assert end.rms_dbfs == pytest.approx(-23.01, abs=0.01)
    assert dbfs(0.0) == -100.0
