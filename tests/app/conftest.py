"""The fake microphone, the screener and the offscreen window that the app's tests share."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from core.bundle import load_bundle
from core.screener import Screener
from tests.app.field_day import field_work
from tests.app.opened_casebook import consented, new_casebook
from tests.app.stage import Stage

# Kivy reads these while it is imported, which the test modules do only inside the fixture `window`.
KIVY_ENVIRONMENT = {
    "KIVY_NO_ARGS": "1",
    "KIVY_NO_FILELOG": "1",
    "KIVY_LOG_MODE": "PYTHON",
    "SDL_VIDEODRIVER": "offscreen",
    "KIVY_METRICS_DENSITY": "1",
    "KCFG_GRAPHICS_MULTISAMPLES": "0",  # without a graphics card, smooth edges are half of what a frame costs
    "LP_NUM_THREADS": "0",  # as many tests at a time as cores: a thread more for each would only wait
}


class FakeMicrophone:
    """Plays a waveform in blocks from a thread of its own, as fast as it is taken or in real time."""

    def __init__(self, waveform: np.ndarray, sample_rate_hz: int = 48_000, paced: bool = False) -> None:
        self.waveform = waveform.astype(np.float32)
        self.sample_rate_hz = sample_rate_hz
        self.paced = paced
        self.n_overflows = 0
        self.has_ended = False
        self.facts = {"name": "from memory", "sample_rate_hz": sample_rate_hz}
        self.all_delivered = threading.Event()
        self.stopped = threading.Event()

    def start(self, on_block: Callable[[np.ndarray], None]) -> int:
        self.all_delivered.clear()
        self.stopped.clear()
        threading.Thread(target=self._play, args=(on_block,), daemon=True).start()
        return self.sample_rate_hz

    def stop(self) -> None:
        self.stopped.set()

    def _play(self, on_block: Callable[[np.ndarray], None]) -> None:
        n_block = self.sample_rate_hz // 50
        reused = np.empty(n_block, np.float32)  # as PortAudio reuses its buffer
        for start in range(0, len(self.waveform), n_block):
            block = self.waveform[start : start + n_block]
            reused[: len(block)] = block
            on_block(reused[: len(block)])
            reused[:] = np.nan
            time.sleep(n_block / self.sample_rate_hz if self.paced else 0.0002)
            if self.stopped.is_set():
                return
        self.all_delivered.set()


@pytest.fixture(autouse=True)
def passcode_cost(monkeypatch):
    """Makes a key of a passcode in a millisecond; a module that needs the app's own cost has a fixture of this name."""
    monkeypatch.setattr("app.vault.SCRYPT_N", 2**8)


@pytest.fixture
def casebook(tmp_path):
    """The casebook of a new data folder, unlocked."""
    casebook = new_casebook(tmp_path)
    yield casebook
    casebook.records.close()


@pytest.fixture
def participant_id(casebook):
    """A participant of that casebook who consented."""
    return consented(casebook)


@pytest.fixture(scope="session")
def fake_microphone() -> type[FakeMicrophone]:
    return FakeMicrophone


@pytest.fixture
def stand_in_screener(write_bundle, probe_content, energy_interpreter) -> Screener:
    """The real screener with a stand-in for the model, for tests that are not about the model."""
    folder = write_bundle(probes=(probe_content(title="A probe that only shows how", status="demonstration"),))
    return Screener(load_bundle(folder), interpreter=energy_interpreter)


@pytest.fixture(scope="session")
def bursts() -> Callable[[int], np.ndarray]:
    """Makes 3 s of faint hiss with two loud, decaying bursts of noise, at 0.8 and 1.9 s, for a sample rate in Hz."""

    def synthesize(sample_rate_hz: int) -> np.ndarray:
        random = np.random.default_rng(7)
        waveform = 0.001 * random.standard_normal(3 * sample_rate_hz)
        for start_s in (0.8, 1.9):
            times_s = np.arange(round(0.3 * sample_rate_hz)) / sample_rate_hz
            start = round(start_s * sample_rate_hz)
            burst = 0.3 * np.exp(-times_s / 0.15) * random.standard_normal(len(times_s))
            waveform[start : start + len(times_s)] += burst
        return np.clip(waveform, -0.99, 0.99).astype(np.float32)

    return synthesize


@pytest.fixture(scope="session")
def kivy_environment() -> Iterator[dict[str, str]]:
    """An environment in which a process of its own draws offscreen and keeps out of the user's folders."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "KIVY_UNITTEST_SCREENSHOTS"}
        yield environment | KIVY_ENVIRONMENT | {"KIVY_HOME": folder, "XDG_CONFIG_HOME": folder}


@pytest.fixture(scope="session")
def drawing_surface(kivy_environment: dict[str, str]) -> None:
    """Skips where Kivy or OpenGL is missing; asked in another process, because Kivy may end its own."""
    pytest.importorskip("kivy", reason="Kivy is not installed (the extra 'app')")
    script = "import sys; from kivy.core.window import Window; sys.exit(Window is None)"
    done = subprocess.run([sys.executable, "-c", script], env=kivy_environment, capture_output=True, timeout=120)
    if done.returncode:
        pytest.skip("no OpenGL drawing surface here (Debian: libgl1-mesa-dri libgl1 libmtdev1)")


@pytest.fixture
def stage(drawing_surface: None, kivy_environment: dict[str, str]) -> Stage:
    for name in (*KIVY_ENVIRONMENT, "KIVY_HOME"):
        os.environ.setdefault(name, kivy_environment[name])
    return Stage()


@pytest.fixture
def window(stage, tmp_path):
    """Opens the application's window on the stage; `window(…)` gives the shell, and can be called again in one test."""
    from kivy.clock import Clock

    from app import words
    from app.screens.shell import Shell

    opened = []

    def open_window(**options) -> Shell:
        work = field_work(tmp_path, lambda job: Clock.schedule_once(lambda _: job()), **options)
        opened.append(work)
        shell = Shell(work)
        stage.show(shell)
        work.open()
        stage.draw()
        return shell

    yield open_window
    for work in opened:
        work.close()
    words.set_language("en")
