"""Hears a recording while it is made: the screening, and the columns of its moving spectrogram."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from app.sound.spectrogram import N_ROWS
from core.bundle import COUGH
from core.errors import TussisError
from core.results import Screening
from core.screener import Screener
from core.screening.live_screening import LiveScreening

SPEECH_LABEL = "speech"
MAX_COLUMNS = 250  # ten seconds
NAME = "the recording"


class Coach(Protocol):
    """The part of an `app.coach.Coach` that is fed."""

    def push(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray: ...

    def note_clip(self, cough_probability: float, speech_probability: float) -> None: ...


def to_float(samples: np.ndarray) -> np.ndarray:
    """int16 to float32 in [-1, 1), as a WAV file of the samples is read."""
    return samples.astype(np.float32) / np.float32(32768)


class Hearing:
    """Feeds a live screening, and tells the coach what the model heard; a listener of a recorder.

    Attributes
    ----------
    cough_count : int
        So far.
    screening : Screening or None
        After `finish`; None where the screener could not be had or nothing was heard.
    """

    def __init__(self, screener_loader: Callable[[], Screener], coach: Coach) -> None:
        self._screener_loader, self._coach = screener_loader, coach
        self._live: LiveScreening | None = None
        self._cough_index: int | None = None
        self._speech_index: int | None = None
        self._has_failed = False
        self.cough_count = 0
        self.screening: Screening | None = None

    def miss(self, lost_s: float) -> None:
        """The screening goes on with what comes next, as it does with the recording that is exported."""

    def hear(self, samples: np.ndarray, sample_rate_hz: int) -> None:
        """Take int16 samples; waits for the screener the first time."""
        if self._has_failed:
            return
        try:
            if self._live is None:
                self._begin(self._screener_loader(), sample_rate_hz)
            heard = [clip for clip in self._live.hear(to_float(samples)) if not clip.is_gated]
        except TussisError:
            self._has_failed = True
            return
        for clip in heard:
            if self._speech_index is not None:
                probabilities = clip.event_probabilities
                self._coach.note_clip(float(probabilities[self._cough_index]), float(probabilities[self._speech_index]))
        if heard:
            self.cough_count = self._live.cough_count

    def finish(self) -> None:
        """End the screening."""
        if self._live is not None and not self._has_failed:
            self.screening = self._live.finish()

    def _begin(self, screener: Screener, sample_rate_hz: int) -> None:
        labels = screener.bundle.event_labels
        self._cough_index = labels.index(COUGH)
        self._speech_index = labels.index(SPEECH_LABEL) if SPEECH_LABEL in labels else None
        self._live = screener.begin(sample_rate_hz, NAME)


class ColumnRing:
    """Feeds a coach and keeps the newest columns of the spectrogram that it makes; a listener of a recorder."""

    def __init__(self, coach: Coach) -> None:
        self._coach = coach
        self._columns: tuple[int, np.ndarray] = (0, np.zeros((0, N_ROWS), np.uint8))

    @property
    def n_columns(self) -> int:
        """How many there were in all."""
        return self._columns[0]

    @property
    def newest(self) -> np.ndarray:
        """The newest, at most `MAX_COLUMNS`, uint8, shape (n, 48); never changed afterwards."""
        return self._columns[1]

    def since(self, number: int) -> np.ndarray:
        """The columns from number `number` on, of those that are left."""
        n_columns, kept = self._columns
        return kept[max(0, len(kept) - max(0, n_columns - number)) :]

    def miss(self, lost_s: float) -> None:
        """The picture goes on with what comes next."""

    def hear(self, samples: np.ndarray, sample_rate_hz: int) -> None:
        """Take int16 samples."""
        columns = self._coach.push(to_float(samples), sample_rate_hz)
        if len(columns):
            number, kept = self._columns
            self._columns = (number + len(columns), np.concatenate([kept, columns])[-MAX_COLUMNS:])

    def finish(self) -> None:
        """Nothing is left to do."""


def screen_kept(audio: Any, screener_loader: Callable[[], Screener], coach: Coach) -> Screening | None:
    """Screen what can be read of a recording, and have `coach` hear it.

    Parameters
    ----------
    audio : SealedAudioReader
    """
    listeners = (ColumnRing(coach), Hearing(screener_loader, coach))
    for samples in audio.blocks():
        for listener in listeners:
            listener.hear(samples, audio.sample_rate_hz)
    for listener in listeners:
        listener.finish()
    return listeners[1].screening
