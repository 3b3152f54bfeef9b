"""Microphones for tests: one that plays in real time, and one that goes wrong as it is told."""

import threading
import time
from collections.abc import Callable

import numpy as np

from app.devices.microphone import Fault, MicrophoneError

BLOCK_S = 0.02


class ScriptedMicrophone:
    """Plays hiss in real time, and does what its script says from the block of that number on.

    ``script`` maps a block's number to a word: ``zeros``, ``nan``, ``hang`` (no block any more), ``unplug`` (the same,
    and the device says so), ``drop`` (an overflow), ``pause`` (a second without blocks), ``sound`` (hiss again).
    ``starts`` and ``stops`` say how each call of those ends, the last word counting for all later ones: ``ok``,
    ``missing``, ``refused``, ``crash``, ``hang``, ``late`` (after a second), or a rate in Hz.
    """

    def __init__(
        self,
        script: dict[int, str] | None = None,
        starts: tuple[str | int, ...] = ("ok",),
        stops: tuple[str, ...] = ("ok",),
        sample_rate_hz: int = 16_000,
        delivers_hz: int | None = None,
    ) -> None:
        self.script, self._starts, self._stops = script or {}, list(starts), list(stops)
        self.sample_rate_hz, self._delivers_hz = sample_rate_hz, delivers_hz
        self.n_overflows, self.has_ended, self.facts = 0, False, {}
        self.released = threading.Event()  # what hangs goes on
        self.n_played = 0
        self._number = 0

    def start(self, on_block: Callable[[np.ndarray], None]) -> int:
        self._number += 1
        number, word = self._number, self._next(self._starts)
        rate_hz = word if isinstance(word, int) else self.sample_rate_hz
        self.n_overflows, self.has_ended = 0, False
        if word == "hang":
            self.released.wait(60)
        elif word == "late":
            time.sleep(1.2)
        elif word == "missing":
            raise MicrophoneError("No microphone was found.", Fault.MISSING)
        elif word == "refused":
            raise MicrophoneError("Its use is not allowed.", Fault.REFUSED)
        elif word == "crash":
            raise RuntimeError("a driver's own mistake")
        self.facts = {"name": "scripted", "sample_rate_hz": rate_hz}
        threading.Thread(target=self._play, args=(on_block, rate_hz, number), daemon=True).start()
        return rate_hz

    def stop(self) -> None:
        self._number += 1
        word = self._next(self._stops)
        if word == "hang":
            self.released.wait(60)
        elif word == "crash":
            raise RuntimeError("a driver's own mistake")

    @staticmethod
    def _next(words: list) -> str | int:
        return words.pop(0) if len(words) > 1 else words[0]

    def _play(self, on_block: Callable[[np.ndarray], None], rate_hz: int, number: int) -> None:
        random, word = np.random.default_rng(number), "sound"
        n_block, next_s = round(BLOCK_S * (self._delivers_hz or rate_hz)), time.monotonic()
        while number == self._number:
            word = self.script.get(self.n_played, word)
            self.n_played += 1
            if word in ("hang", "unplug"):
                self.has_ended = word == "unplug"
                return
            if word == "pause":
                time.sleep(1.2)
                next_s, word = time.monotonic(), "sound"
            self.n_overflows += word == "drop"
            block = {"zeros": np.zeros(n_block), "nan": np.full(n_block, np.nan)}.get(word)
            if block is None:
                block = 0.01 * random.standard_normal(n_block)
            on_block(block.astype(np.float32))
            next_s += BLOCK_S
            time.sleep(max(0.0, next_s - time.monotonic()))
