"""The sound card: what is said where there is none, and real PortAudio fed by a PulseAudio that the test starts."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from app.devices.desktop.microphone import DesktopMicrophone
from app.devices.microphone import Fault, MicrophoneError
from app.devices.time_limits import TimedCall, TimeLimitError
from core.audio import open_recording, write_wav

ROOT = Path(__file__).resolve().parents[4]
ALSA_CONFIGURATION = "</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n"
RECORD = """
import sys, time
import numpy as np
from app.devices.desktop.microphone import DesktopMicrophone
from app.recorder import Recorder
from core.audio import write_wav
class Kept(list):
    def __init__(self, rate_hz, facts):
        self.rate_hz = rate_hz
    def mark_gap(self, lost_s):
        pass
    def sync_if_due(self):
        pass
    def close(self):
        write_wav(sys.argv[1], np.concatenate(self) / 32768, self.rate_hz)
microphone = DesktopMicrophone()
recorder = Recorder(microphone, Kept)
recorder.start()
while not microphone.facts:
    time.sleep(0.01)
print("recording", flush=True)
sys.stdin.readline()
recorder.stop()
recorder.wait(20)
print(recorder.progress.n_gaps)
"""


class FakeSoundDevice(ModuleType):
    """Stands in for the package sounddevice; supports the given rates, or has no device at all."""

    class PortAudioError(Exception):
        pass

    def __init__(self, rates_hz=(), opens=True) -> None:
        super().__init__("sounddevice")
        self.rates_hz, self.opens, self.streams = rates_hz, opens, []
        self.InputStream = self._open_stream

    def _initialize(self) -> None: ...

    def _terminate(self) -> None: ...

    def query_devices(self, kind):
        if not self.rates_hz:
            raise self.PortAudioError("Error querying device -1")
        return {"name": "Built-in", "default_samplerate": float(self.rates_hz[0])}

    def check_input_settings(self, channels, dtype, samplerate):
        if samplerate not in self.rates_hz:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def _open_stream(self, **settings):
        if not self.opens:
            raise self.PortAudioError("Error opening InputStream: Device unavailable [PaErrorCode -9985]")
        self.streams.append(FakeStream(settings))
        return self.streams[-1]


class FakeStream:
    def __init__(self, settings) -> None:
        self.settings, self.open = settings, True

    def start(self) -> None: ...

    def close(self) -> None:
        self.open = False


@pytest.mark.parametrize(
    ("rates_hz", "expected_hz"), [((44_100, 48_000, 16_000), 48_000), ((16_000,), 16_000), ((44_100,), 44_100)]
)
def test_the_rate_is_48_khz_or_else_16_or_else_the_devices(monkeypatch, rates_hz, expected_hz):
    sounddevice = FakeSoundDevice(rates_hz)
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)
    assert DesktopMicrophone().start(lambda block: None) == expected_hz
    assert sounddevice.streams[0].settings["samplerate"] == expected_hz
    assert sounddevice.streams[0].settings["channels"] == 1


def test_blocks_are_mono_and_overflows_are_counted(monkeypatch):
    sounddevice = FakeSoundDevice((48_000,))
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)
    blocks, microphone = [], DesktopMicrophone()
    microphone.start(blocks.append)
    callback = sounddevice.streams[0].settings["callback"]
    for overflow in (False, True, True):
        status = type("CallbackFlags", (), {"input_overflow": overflow})
        callback(np.full((960, 1), 0.5, np.float32), 960, None, status)
    assert [block.shape for block in blocks] == [(960,)] * 3
    assert microphone.n_overflows == 2
    microphone.stop()
    microphone.stop()
    assert not sounddevice.streams[0].open


def test_a_missing_device_a_busy_one_and_a_missing_package_each_get_their_sentence(monkeypatch):
    for sounddevice, words, fault in [
        (FakeSoundDevice(), "No microphone was found; opening a recording still works.", Fault.MISSING),
        (FakeSoundDevice((48_000,), opens=False), "Error opening InputStream: Device unavailable", Fault.REFUSED),
        (None, "sounddevice, which is not installed", Fault.NO_LIBRARY),
    ]:
        monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)
        with pytest.raises(MicrophoneError, match=words) as raised:
            DesktopMicrophone().start(lambda block: None)
        assert raised.value.fault is fault


def test_a_missing_portaudio_library_gets_a_sentence(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MicrophoneError, match="PortAudio library, which is not installed"):
        DesktopMicrophone().start(lambda block: None)


def test_a_start_that_comes_back_too_late_closes_its_own_stream_and_delivers_nothing(monkeypatch):
    sounddevice, hangs, goes_on = FakeSoundDevice((48_000,)), threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)

    def start(stream):
        hangs.set()
        assert goes_on.wait(60)

    with monkeypatch.context() as hung:
        hung.setattr(FakeStream, "start", start)
        microphone, blocks = DesktopMicrophone(), []
        late = TimedCall(lambda: microphone.start(blocks.append), "start")
        assert hangs.wait(60)
    with pytest.raises(TimeLimitError):
        late.wait(0.01)
    again = TimedCall(lambda: microphone.start(blocks.append), "start")
    with pytest.raises(TimeLimitError):
        again.wait(0.05)  # PortAudio must not be entered twice
    goes_on.set()
    with pytest.raises(MicrophoneError, match="answered too late"):
        late.wait(60)
    assert again.wait(60) == 48_000
    assert [stream.open for stream in sounddevice.streams] == [False, True]
    status = type("CallbackFlags", (), {"input_overflow": False})
    for stream in sounddevice.streams:
        stream.settings["callback"](np.full((960, 1), 0.5, np.float32), 960, None, status)
    assert len(blocks) == 1
    assert microphone.facts == {"name": "Built-in", "sample_rate_hz": 48_000}


def test_a_device_that_ends_is_told_from_a_stream_that_we_close(monkeypatch):
    sounddevice = FakeSoundDevice((48_000,))
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)
    microphone = DesktopMicrophone()
    microphone.start(lambda block: None)
    sounddevice.streams[0].settings["finished_callback"]()
    assert microphone.has_ended
    microphone.start(lambda block: None)
    assert not microphone.has_ended
    microphone.stop()
    sounddevice.streams[1].settings["finished_callback"]()
    assert not microphone.has_ended


@pytest.fixture
def pulse_environment(tmp_path):
    """A PulseAudio server of the test's own, with a null sink whose monitor is the default microphone."""
    missing = [name for name in ("pulseaudio", "paplay", "pactl") if shutil.which(name) is None]
    if missing or not has_portaudio():
        pytest.skip("PortAudio or PulseAudio is not installed (Debian: libportaudio2 libasound2-plugins pulseaudio)")
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    (tmp_path / "asoundrc").write_text(ALSA_CONFIGURATION)
    socket = runtime / "socket"
    environment = os.environ | {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(tmp_path),
        "ALSA_CONFIG_PATH": str(tmp_path / "asoundrc"),
        "PULSE_SERVER": f"unix:{socket}",
    }
    command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes"]
    command += ["-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1"]
    command += ["-L", "module-null-sink sink_name=speaker rate=48000 channels=1"]
    server = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if not answers(environment):
            pytest.skip("PulseAudio does not start here")
        yield environment
    finally:
        server.terminate()
        server.wait(10)


def has_portaudio() -> bool:
    done = subprocess.run([sys.executable, "-c", "import sounddevice"], capture_output=True, timeout=60)
    return done.returncode == 0


def answers(environment, wait_s=5.0) -> bool:
    """Whether the server came up, with the sink's monitor as its microphone."""
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        command = ["pactl", "set-default-source", "speaker.monitor"]
        if subprocess.run(command, env=environment, capture_output=True).returncode == 0:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.long
def test_real_portaudio_delivers_what_is_played(tmp_path, pulse_environment, bursts):
    for attempt in range(3):  # a machine that is busy elsewhere loses sound, and says so
        path = tmp_path / f"recorded{attempt}.wav"
        if record_while_playing(bursts(48_000), path, pulse_environment) == 0:
            break
    else:
        pytest.skip("this machine is too busy to record without gaps")
    with open_recording(path) as recording:
        assert recording.sample_rate_hz == 48_000
        recorded = np.concatenate(list(recording.blocks()))
    assert similarity(bursts(48_000)[36_000:60_000], recorded) > 0.99  # the first burst


def record_while_playing(waveform: np.ndarray, path: Path, environment: dict[str, str]) -> int:
    """Record the default microphone in another process while a waveform at 48 kHz is played; the number of gaps."""
    played = path.with_suffix(".played.wav")
    write_wav(played, waveform, 48_000)
    command = [sys.executable, "-c", RECORD, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as child:
        if not child.stdout.readline():
            pytest.fail(child.communicate()[1])
        subprocess.run(["paplay", str(played)], env=environment, check=True, timeout=60)
        return int(child.communicate("stop\n", timeout=60)[0])


def similarity(part: np.ndarray, whole: np.ndarray) -> float:
    """The cosine between a waveform and the stretch of a longer one that resembles it most."""
    size = len(part) + len(whole)
    products = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
    start = int(products[: len(whole) - len(part)].argmax())
    stretch = whole[start : start + len(part)]
    return float(stretch @ part / (np.linalg.norm(stretch) * np.linalg.norm(part)))
