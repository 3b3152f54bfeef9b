"""Measures how fast the field app is, in an offscreen window; `make app-benchmark` prints every figure."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PASSCODE = "135792"
STARTED = "TUSSIS_BENCHMARK_STARTED_S"
RATE_HZ, BLOCK_S = 48_000, 0.02
RECORDING_S, SHORT_S, LONG_TASK_S = 60.0, 10.0, 110.0
HANG_AT_S = 20.0
LIMITS = {
    "first_frame_ms": 1500,
    "record_screen_ms": 3000,
    "stop_to_result_ms": 150,
    "frames_p99_ms": 100,
    "frames_max_ms": 250,
    "frames_p99_hanging_ms": 100,
    "frames_max_hanging_ms": 250,
    "peak_memory_mb": 250,
}
"""What each figure may be at most."""

Script = Iterator[Callable[[], bool]]


class LoopMicrophone:
    """Plays a waveform round and round in real time; from `hang_at_s` on it delivers nothing and answers nothing."""

    def __init__(self, waveform: np.ndarray, hang_at_s: float = float("inf")) -> None:
        import threading

        self._waveform, self._hang_at_s, self._thread = waveform.astype(np.float32), hang_at_s, threading.Thread
        self._never, self._number = threading.Event(), 0
        self.n_overflows, self.has_ended = 0, False
        self.facts = {"name": "loop", "sample_rate_hz": RATE_HZ}

    def start(self, on_block: Callable[[np.ndarray], None]) -> int:
        """Play from a thread."""
        self._number += 1
        self._thread(target=self._play, args=(on_block, self._number), daemon=True).start()
        return RATE_HZ

    def stop(self) -> None:
        """End, or hang."""
        self._number += 1
        if self._hang_at_s < float("inf"):
            self._never.wait(60)

    def _play(self, on_block: Callable[[np.ndarray], None], number: int) -> None:
        n_block, started_s, n_played = round(BLOCK_S * RATE_HZ), time.monotonic(), 0
        while number == self._number and n_played / RATE_HZ < self._hang_at_s:
            on_block(np.take(self._waveform, range(n_played, n_played + n_block), mode="wrap"))
            n_played += n_block
            time.sleep(max(0.0, started_s + n_played / RATE_HZ - time.monotonic()))


class Measured:
    """The application's window in this process, led by a script; `frames_s` are the moments of its main loop."""

    def __init__(self, folder: Path, microphone: Any = None) -> None:
        from app.main import _prepare_kivy

        _prepare_kivy(folder)
        from app import window
        from core.signing import ANYBODY

        window._quieten_kivy()
        window._open_window()
        self.work = window.open_work(folder, None, ANYBODY, 1)
        self.work.microphone = microphone or self.work.microphone
        self.app = window.TussisApp(self.work)
        self.frames_s: list[float] = []
        self.drawn_s = 0.0

    def run(self, script: Script) -> None:
        """Show the window; go on in `script` whenever what it waits for is there, and close at its end."""
        from kivy.clock import Clock
        from kivy.core.window import Window

        waiting: list[Callable[[], bool]] = [lambda: self.drawn_s > 0]

        def drawn(*_: object) -> None:
            self.drawn_s = time.monotonic()

        def frame(_: float) -> None:
            self.frames_s.append(time.monotonic())
            if waiting[0]():
                try:
                    waiting[0] = next(script)
                except StopIteration:
                    self.app.stop()

        Window.bind(on_flip=drawn)
        Clock.schedule_interval(frame, 0)
        self.app.run()

    def next_picture(self) -> Callable[[], bool]:
        """What is there once the window was drawn anew."""
        before_s = self.drawn_s
        return lambda: self.drawn_s > before_s

    def unlocked(self) -> Script:
        """Unlock, with all tasks long enough, and open the tasks of the first participant."""
        work = self.work
        yield lambda: work.study is not None
        work.unlock(PASSCODE, lambda error: sys.exit(str(error)))
        yield lambda: work.casebook is not None and work.navigation.top.name == "home"
        tasks = tuple(replace(task, duration_s=LONG_TASK_S) for task in work.study.tasks if task.kind == "coughs")
        work.study = replace(work.study, tasks=tasks)
        work.start_tasks(work.study.new_id(1))
        yield self.next_picture()


def prepare(folder: Path) -> dict[str, float]:
    """Set up with the practice study and one participant who consented."""
    measured = Measured(folder)
    work = measured.work

    def script() -> Script:
        work.navigation.restart("unlock", step="language")
        work.set_up(PASSCODE, None)
        yield lambda: work.casebook is not None and work.navigation.top.name == "home"
        participant_id = work.study.new_id(1)
        work.casebook.add_participant(participant_id, 1980, "female", {"cough_for": "no_cough", "smokes": "no"})
        work.casebook.give_consent(participant_id, "en", [[(0.1, 0.1), (0.9, 0.9)]])
        yield lambda: True

    measured.run(script())
    return {}


def first_frame(folder: Path) -> dict[str, float]:
    """From the start of the process to the first picture."""
    measured = Measured(folder)
    drawn_s: list[float] = []

    def script() -> Script:
        drawn_s.append(measured.drawn_s)
        yield lambda: True

    measured.run(script())
    return {"first_frame_ms": 1000 * (drawn_s[0] - float(os.environ[STARTED]))}


def record_screen(folder: Path) -> dict[str, float]:
    """From the start of the process, over the passcode, to the picture of the record button."""
    measured = Measured(folder)
    drawn_s: list[float] = []

    def script() -> Script:
        yield from measured.unlocked()
        drawn_s.append(measured.drawn_s)
        yield lambda: True

    measured.run(script())
    return {"record_screen_ms": 1000 * (drawn_s[0] - float(os.environ[STARTED]))}


def stop_to_result(folder: Path, n_times: int) -> dict[str, float]:
    """From the press on stop to the picture of the result, of recordings of 10 s."""
    measured = Measured(folder, LoopMicrophone(sound()))
    took_ms: list[float] = []

    def script() -> Script:
        work = measured.work
        yield from measured.unlocked()
        for _ in range(n_times):
            work.session.start()
            yield lambda: work.session.state.elapsed_s >= SHORT_S
            pressed_s = time.monotonic()
            work.session.stop()
            yield lambda: work.session.state.step == "decide"
            yield measured.next_picture()
            took_ms.append(1000 * (measured.drawn_s - pressed_s))
            work.session.redo()
            yield lambda: work.session.state.step == "ready"
        work.end_session()

    measured.run(script())
    return {"stop_to_result_ms": median(took_ms)}


def recording(folder: Path, hang_at_s: float, suffix: str) -> dict[str, float]:
    """The main loop's pauses in a recording of 60 s with spectrogram and live count."""
    measured = Measured(folder, LoopMicrophone(sound(), hang_at_s))
    begun: list[int] = []

    def script() -> Script:
        work = measured.work
        yield from measured.unlocked()
        yield lambda: work.screener is not None
        work.session.start()
        begun.append(len(measured.frames_s))
        end_s = time.monotonic() + RECORDING_S
        yield lambda: time.monotonic() >= end_s
        begun.append(len(measured.frames_s))
        work.end_session()

    measured.run(script())
    pauses_ms = 1000 * np.diff(measured.frames_s[begun[0] : begun[1]])
    figures = {f"frames_p99{suffix}_ms": float(np.percentile(pauses_ms, 99)), f"frames_max{suffix}_ms": pauses_ms.max()}
    memory = {} if suffix else {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    return {**{name: float(value) for name, value in figures.items()}, **memory}


def sound() -> np.ndarray:
    """The demonstration's coughs at the microphone's rate."""
    from core.audio import SAMPLE_RATE_HZ
    from core.demonstration import synthesize_demonstration

    return np.repeat(synthesize_demonstration(), RATE_HZ // SAMPLE_RATE_HZ)


MEASUREMENTS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "prepare": lambda folder, n_times: prepare(folder),
    "first_frame": lambda folder, n_times: first_frame(folder),
    "record_screen": lambda folder, n_times: record_screen(folder),
    "stop_to_result": stop_to_result,
    "recording": lambda folder, n_times: recording(folder, float("inf"), ""),
    "hanging": lambda folder, n_times: recording(folder, HANG_AT_S, "_hanging"),
}


def measure(name: str, home: Path, n_times: int) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    environment = os.environ | {
        "SDL_VIDEODRIVER": "offscreen",
        "TUSSIS_HOME": str(home),
        STARTED: str(time.monotonic()),
    }
    arguments = [sys.executable, "-m", "tests.app_benchmark", "--measure", name, "--times", str(n_times)]
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print every figure beside its limit; exit status 1 where one is over it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="how often what is short is measured; its median counts")
    parser.add_argument("--only", choices=list(MEASUREMENTS)[1:], help="measure this alone")
    parser.add_argument("--measure", choices=list(MEASUREMENTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASUREMENTS[options.measure](Path(os.environ["TUSSIS_HOME"]), options.times)))
        return
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        measure("prepare", home, 1)
        for name in [options.only] if options.only else list(MEASUREMENTS)[1:]:
            n_runs = options.times if name in ("first_frame", "record_screen") else 1
            runs = [measure(name, home, options.times) for _ in range(n_runs)]
            figures |= {key: median(run[key] for run in runs) for key in runs[0]}
    for key, value in figures.items():
        print(f"{key:24} {value:8.0f}   at most {LIMITS[key]:5}   {'' if value <= LIMITS[key] else 'OVER'}")
    sys.exit(any(value > LIMITS[key] for key, value in figures.items()))


if __name__ == "__main__":
    main()
