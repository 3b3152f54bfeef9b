"""Builds the files that recorders, phones and people make, and screens them: what the recipes of field_files use."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ = 16_000
COUGH_TIMES_S = (1.0, 4.0, 7.0, 10.0)
BUILDERS = ("ffmpeg", "sox")


@dataclass
class Screened:
    """What a call of tussis-screen gave: ``result`` is the first recording's object, empty where there is no JSON."""

    status: int
    words: str
    errors: str
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that recipes expect something of."""
        totals, recording = self.result.get("totals", {}), self.result.get("recording", {})
        quality = self.result.get("quality", {})
        return {
            "status": self.status,
            "coughs": totals.get("cough_count") if totals else self.result.get("cough_count"),
            "duration_s": recording.get("duration_s"),
            "truncated": recording.get("truncated"),
            "channel": recording.get("channel"),
            "reasons": quality.get("reasons"),
            "scored_s": totals.get("scored_s"),
            "refused": self.status == 2 and self.errors.count("\n") == 1,
            "remarked": bool(recording.get("remarks")) or bool(self.result.get("remark")),
            "no_escape": "\x1b" not in self.words + self.errors,
        }


@dataclass(frozen=True)
class Recipe:
    """A file of a ``kind`` of fault, how it is built and screened in a folder, and what is right."""

    kind: str
    name: str
    run: Callable[["Bench"], Screened]
    expected: dict[str, Any]

    def wrong(self, screened: Screened) -> dict[str, Any]:
        """The facts that are not as expected; a length may be 0.1 s off, a pair is a range."""
        facts = screened.facts
        return {name: facts[name] for name, value in self.expected.items() if not _is_right(facts[name], value)}


def _is_right(fact: Any, expected: Any) -> bool:
    if isinstance(expected, tuple):
        return fact is not None and expected[0] <= fact <= expected[1]
    if isinstance(expected, float):
        return fact is not None and abs(fact - expected) <= 0.1
    return fact == expected


class Bench:
    """A folder with the base recording ``B.wav`` (12 s, four synthetic coughs), in which recipes build and screen."""

    def __init__(self, folder: Path) -> None:
        from core.audio import write_wav
        from core.demonstration import synthesize_demonstration

        self.folder = folder
        demonstration = synthesize_demonstration()
        cough = demonstration[round(0.8 * RATE_HZ) : round(1.4 * RATE_HZ)]
        sound = np.random.default_rng(0).normal(0, 0.001, 12 * RATE_HZ)
        for start_s in COUGH_TIMES_S:
            start = round(start_s * RATE_HZ)
            sound[start : start + len(cough)] += 0.5 * cough / np.abs(cough).max()
        self.sound = sound.astype(np.float32)
        self.base = folder / "B.wav"
        write_wav(self.base, self.sound)

    def path(self, name: str) -> Path:
        """A file of the folder."""
        return self.folder / name

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the folder."""
        self.path(name).write_bytes(content)
        return self.path(name)

    def wav(self, name: str, sound: np.ndarray) -> Path:
        """Write samples, shape (n,) or (n, n_channels), as 16-bit WAV through a library that is not ours."""
        import soundfile

        soundfile.write(self.path(name), np.clip(sound, -1, 1), RATE_HZ, subtype="PCM_16")
        return self.path(name)

    def ffmpeg(self, name: str, *options: str, source: Path | None = None) -> Path:
        """Encode the base, or `source`, at 44.1 kHz."""
        given = ("-i", str(source or self.base), "-ar", "44100")
        call = ("ffmpeg", "-v", "error", "-y", *given, *options, str(self.path(name)))
        subprocess.run(call, check=True, stdin=subprocess.DEVNULL)
        return self.path(name)

    def piped(self, name: str, *options: str) -> Path:
        """Encode the base into a pipe, in which the encoder cannot seek back."""
        call = ("ffmpeg", "-v", "error", "-y", "-i", str(self.base), "-ar", "44100", *options, "pipe:1")
        encoded = subprocess.run(call, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout
        return self.write(name, encoded)

    def sox(self, *arguments: str) -> None:
        """Call sox in the folder."""
        subprocess.run(("sox", *arguments), check=True, cwd=self.folder, stdin=subprocess.DEVNULL)

    def screen(
        self, *arguments: str | Path, standard_input: bytes | None = None, signal_after_s: float | None = None
    ) -> Screened:
        """Call tussis-screen with ``--json`` and read what it wrote."""
        output = self.path("result.json")
        output.unlink(missing_ok=True)
        given = [str(argument) for argument in arguments]
        call = [sys.executable, "-m", "core.screen_command", *given]
        call += [] if "--json" in given else ["--json", str(output)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(call, cwd=self.folder, env=environment, **pipes) as process:
            if signal_after_s is not None:
                process.stdin.write(standard_input)
                process.stdin.flush()
                time.sleep(signal_after_s)
                process.send_signal(signal.SIGTERM)
                standard_input = None
            words, errors = process.communicate(standard_input)
        result = json.loads(output.read_text())["recordings"][0] if output.exists() else {}
        return Screened(process.returncode, words.decode(errors="replace"), errors.decode(errors="replace"), result)

    def screen_file(self, path: Path, *options: str) -> Screened:
        """Call tussis-screen for a file."""
        return self.screen(path, *options)


def missing_builders() -> list[str]:
    """The programs that build the files and are not installed."""
    return [name for name in BUILDERS if shutil.which(name) is None]
