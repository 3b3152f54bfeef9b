"""Judges a recording while it is made and once it is there, from levels and from what the model heard."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from app.sound.spectrogram import BANDS_HZ, FRAMES_A_SECOND, TINY, Spectrogram
from core.bundle import COUGH
from core.results import Screening

ROOM_NOISE, COUGHS, FORCED_BREATHS = "room_noise", "coughs", "forced_breaths"  # kinds of tasks

# How the numbers were chosen: EXPERIMENTS.md, 2026-11-27, coughs under noise.
HIDING_PERCENTILE = 90.0  # of the frames beside the counted coughs: also what comes and goes can hide a cough
NOISE_PERCENTILE = 50.0  # of the same: what is told as the noise
BESIDE_S = (0.1, 0.2)  # before and after a counted cough that is not beside it
MIN_BESIDE_FRAMES = 25
LOUD_FRAMES = 5  # a tenth of a second, the loudest of a cough
WEAK_PERCENTILE = 25.0  # of the counted coughs: three quarters of them stand out by what is told, or more
MAX_BAND_DB = 40.0  # more in one band says nothing of the others

READY_FRAMES = 25
NOISE_KNOWN_FRAMES = 75
QUIET_PERCENTILE = 20.0
LOOK_BACK_FRAMES = 200
LOUD_BACK_FRAMES = 75
CLOSER_AFTER_FRAMES = 150
SPEECH_BACK_FRAMES = 150
CLIPPED_PEAK = 0.98


class Advice(StrEnum):
    """The one thing to say while something can still be put right."""

    GET_READY = "get_ready"
    CLOSER = "closer"
    TOO_LOUD = "too_loud"
    TOO_NOISY = "too_noisy"
    SPEECH = "speech"
    GOOD = "good"


class Outcome(StrEnum):
    """What a recording is worth to the study."""

    GOOD = "good"
    POOR = "poor"
    COULD_NOT_BE_JUDGED = "could_not_be_judged"


TOO_NOISY, NOTHING_STOOD_OUT, TOO_FEW_COUGHS = "too_noisy", "nothing_stood_out", "too_few_coughs"
TOO_QUIET, TOO_LOUD, SPEECH, NOT_SCREENED, GAPS = "too_quiet", "too_loud", "speech", "not_screened", "gaps"
STILL_ROOM = ("silent", "hum")  # of `core.quality`: no fault of a room
REASONS = (TOO_NOISY, NOTHING_STOOD_OUT, TOO_FEW_COUGHS, TOO_QUIET, TOO_LOUD, SPEECH, NOT_SCREENED, GAPS)
"""The codes of `Verdict.reasons`, beside those of `core.quality.REASON_SENTENCES`."""


class Limits(Protocol):
    """What a study demands of a recording, such as `app.studies.study_parts.Limits`.

    Levels are of 20 ms frames above 150 Hz. ``min_snr_db`` is compared with `Verdict.snr_db`.
    """

    max_noise_dbfs: float
    min_snr_db: float
    min_level_dbfs: float
    max_level_dbfs: float
    max_clipped_fraction: float
    max_speech_probability: float


class Task(Protocol):
    """The part of a study's task that counts here."""

    kind: str
    min_coughs: int


@dataclass(frozen=True)
class Verdict:
    """What one recording is worth.

    Attributes
    ----------
    outcome : {"good", "poor", "could_not_be_judged"}
    reasons : tuple of str
        Codes, the most important first; empty where it is good.
    coughs : int or None
        None where they could not be judged, which is never "no cough", and in tasks without coughs.
    snr_db : float or None
        How far three quarters of the coughs, or the breath, stand out from the noise: their loudest tenth of a second
        over it, the mean of four octave bands from 300 to 4800 Hz. None where nothing was counted.
    noise_dbfs : float or None
        The noise beside the coughs in these bands, 0 dBFS being a mean square of 1.
    """

    outcome: str
    reasons: tuple[str, ...] = ()
    coughs: int | None = None
    snr_db: float | None = None
    noise_dbfs: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as a casebook keeps them."""
        return {**asdict(self), "reasons": list(self.reasons)}


class Coach:
    """Follows one recording; pure numbers, no device, no clock.

    Parameters
    ----------
    limits : Limits
    task : Task
    room_noise_dbfs : float or None
        The noise that the room-noise task measured, before this recording has told its own.

    Attributes
    ----------
    has_gaps : bool
        To be set where sound was lost.
    """

    def __init__(self, limits: Limits, task: Task, room_noise_dbfs: float | None = None) -> None:
        self._limits, self._task, self._room_noise_dbfs = limits, task, room_noise_dbfs
        self.has_gaps = False
        self._spectrogram: Spectrogram | None = None
        self._powers, self._band_powers, self._peaks = _Series(1), _Series(len(BANDS_HZ)), _Series(1)
        self._speech_at_frame: int | None = None

    def push(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Take the next samples, shape (n,), float32; the spectrogram's new columns, uint8, shape (m, 48)."""
        if self._spectrogram is None:
            self._spectrogram = Spectrogram(sample_rate_hz)
        frames = self._spectrogram.push(samples)
        self._powers.extend(frames.powers[:, None])
        self._band_powers.extend(frames.band_powers)
        self._peaks.extend(frames.peaks[:, None])
        return frames.columns

    def note_clip(self, cough_probability: float, speech_probability: float) -> None:
        """Take what the model heard in the newest clip: coughs alone sound like some speech, but more like coughs."""
        if speech_probability > max(self._limits.max_speech_probability, cough_probability):
            self._speech_at_frame = len(self._powers)

    @property
    def level_dbfs(self) -> float:
        """Of the newest tenth of a second, above 150 Hz."""
        return _dbfs(_loudest(self._powers.last(LOUD_FRAMES)))

    @property
    def advice(self) -> Advice:
        """The one thing to say now."""
        n_frames = len(self._powers)
        if n_frames < READY_FRAMES:
            return Advice.GET_READY
        if self._speech_at_frame is not None and n_frames - self._speech_at_frame < SPEECH_BACK_FRAMES:
            return Advice.SPEECH
        noise_dbfs = self._noise_so_far_dbfs()
        if noise_dbfs is not None and noise_dbfs > self._limits.max_noise_dbfs:
            return Advice.TOO_NOISY
        if self._task.kind == ROOM_NOISE:
            return Advice.GOOD
        if self._is_too_loud(self._peaks.last(LOUD_BACK_FRAMES), self._powers.last(LOUD_BACK_FRAMES)):
            return Advice.TOO_LOUD
        loudest_dbfs = _dbfs(_loudest(self._powers.last(LOOK_BACK_FRAMES)))
        is_heard = n_frames >= CLOSER_AFTER_FRAMES
        return Advice.CLOSER if is_heard and loudest_dbfs < self._limits.min_level_dbfs else Advice.GOOD

    def verdict(self, screening: Screening | None) -> Verdict:
        """Judge the whole recording; `screening` is None where it could not be screened."""
        if screening is None or not len(self._powers):
            return Verdict(Outcome.COULD_NOT_BE_JUDGED.value, (NOT_SCREENED,))
        if self._task.kind == ROOM_NOISE:
            return self._verdict_on_room(screening)
        if not screening.quality.acceptable:
            return Verdict(Outcome.COULD_NOT_BE_JUDGED.value, screening.quality.reasons)
        is_counted = self._task.kind == COUGHS
        spans = [(event.start_s, event.end_s) for event in screening.events if event.label == COUGH and is_counted]
        noise_dbfs, rise_db = self._noise_and_rise(spans)
        snr_db = _snr_of(spans, rise_db) if is_counted else float(_loudest(rise_db))
        hidden = self._hidden_by(noise_dbfs, snr_db, float(_loudest(rise_db)))
        if hidden:
            return Verdict(Outcome.COULD_NOT_BE_JUDGED.value, (hidden,), None, snr_db, noise_dbfs)
        coughs = screening.cough_count if is_counted else None
        reasons = [*self._faults(screening), *screening.quality.reasons]
        if is_counted and coughs < self._task.min_coughs:
            reasons.insert(0, TOO_FEW_COUGHS)
        return _with_reasons(reasons, coughs, snr_db, noise_dbfs)

    def _verdict_on_room(self, screening: Screening) -> Verdict:
        noise = np.percentile(self._band_powers.all, NOISE_PERCENTILE, axis=0)
        noise_dbfs = _dbfs(float(noise.sum()))
        reasons = [TOO_NOISY] if noise_dbfs > self._limits.max_noise_dbfs else []
        reasons += [SPEECH] if self._speech_at_frame is not None else []
        reasons += [reason for reason in screening.quality.reasons if reason not in STILL_ROOM]
        return _with_reasons(reasons, None, None, noise_dbfs)

    def _faults(self, screening: Screening) -> list[str]:
        """What makes a recording poor that can be judged."""
        limits, faults = self._limits, []
        if self._speech_at_frame is not None:
            faults.append(SPEECH)
        if screening.quality.clipped_fraction > limits.max_clipped_fraction:
            faults.append(TOO_LOUD)
        elif _dbfs(_loudest(self._powers.all)) < limits.min_level_dbfs:
            faults.append(TOO_QUIET)
        return faults + ([GAPS] if self.has_gaps else [])

    def _hidden_by(self, noise_dbfs: float, snr_db: float | None, best_rise_db: float) -> str | None:
        """Why coughs or a breath can be hidden by noise, if so."""
        if noise_dbfs > self._limits.max_noise_dbfs:
            return TOO_NOISY
        if snr_db is None:  # none was counted: a true zero only where something else stood out far enough
            return None if best_rise_db >= self._limits.min_snr_db else NOTHING_STOOD_OUT
        return TOO_NOISY if snr_db < self._limits.min_snr_db else None

    def _noise_and_rise(self, spans: list[tuple[float, float]]) -> tuple[float, np.ndarray]:
        """The noise in dBFS, and how far each frame rises over what can hide it, dB, shape (n_frames,)."""
        powers = self._band_powers.all
        if self._task.kind != COUGHS:
            noise = hiding = self._quiet(powers)
        else:
            beside = powers[_beside(len(powers), spans)]
            noise, hiding = np.percentile(beside, [NOISE_PERCENTILE, HIDING_PERCENTILE], axis=0)
        known = np.flatnonzero(powers.any(axis=0))  # a low sample rate lacks the highest band
        rise_db = 10.0 * np.log10((powers[:, known] + TINY) / (hiding[known] + TINY))
        return _dbfs(float(noise.sum())), np.clip(rise_db, 0.0, MAX_BAND_DB).sum(axis=1) / max(1, len(known))

    def _quiet(self, powers: np.ndarray) -> np.ndarray:
        """The noise under a breath, in each band; as it may fill its recording, no more than the room had."""
        quiet = np.percentile(powers, QUIET_PERCENTILE, axis=0)
        if self._room_noise_dbfs is None:
            return quiet
        return quiet * min(1.0, 10.0 ** (self._room_noise_dbfs / 10.0) / max(float(quiet.sum()), TINY))

    def _noise_so_far_dbfs(self) -> float | None:
        if len(self._powers) < NOISE_KNOWN_FRAMES:
            return self._room_noise_dbfs
        quiet = np.percentile(self._band_powers.last(LOOK_BACK_FRAMES), QUIET_PERCENTILE, axis=0)
        return _dbfs(float(quiet.sum()))

    def _is_too_loud(self, peaks: np.ndarray, powers: np.ndarray) -> bool:
        is_clipped = np.count_nonzero(peaks >= CLIPPED_PEAK) > self._limits.max_clipped_fraction * len(peaks)
        return bool(is_clipped) or _dbfs(_loudest(powers)) > self._limits.max_level_dbfs


class _Series:
    """Rows that are added one after the other, in memory that doubles as it fills."""

    def __init__(self, n_columns: int) -> None:
        self._rows, self._n = np.zeros((1024, n_columns), np.float32), 0

    def __len__(self) -> int:
        return self._n

    def extend(self, rows: np.ndarray) -> None:
        while self._n + len(rows) > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[self._n : self._n + len(rows)] = rows
        self._n += len(rows)

    def last(self, n_rows: int) -> np.ndarray:
        return self._rows[max(0, self._n - n_rows) : self._n]

    @property
    def all(self) -> np.ndarray:
        return self._rows[: self._n]


def _with_reasons(reasons: list[str], coughs: int | None, snr_db: float | None, noise_dbfs: float | None) -> Verdict:
    outcome = Outcome.POOR if reasons else Outcome.GOOD
    return Verdict(outcome.value, tuple(dict.fromkeys(reasons)), coughs, snr_db, noise_dbfs)


def _beside(n_frames: int, spans: list[tuple[float, float]]) -> np.ndarray:
    """Which frames lie beside the coughs, bool, shape (n_frames,); all, where hardly any does."""
    is_beside = np.ones(n_frames, bool)
    for start_s, end_s in spans:
        is_beside[_frame(start_s - BESIDE_S[0]) : _frame(end_s + BESIDE_S[1]) + 1] = False
    return is_beside if is_beside.sum() >= MIN_BESIDE_FRAMES else np.ones(n_frames, bool)


def _snr_of(spans: list[tuple[float, float]], rise_db: np.ndarray) -> float | None:
    """How far three quarters of the coughs stand out, at least."""
    rises = [_loudest(rise_db[_frame(start_s) : max(_frame(start_s), _frame(end_s)) + 1]) for start_s, end_s in spans]
    return float(np.percentile(rises, WEAK_PERCENTILE)) if rises else None


def _loudest(values: np.ndarray) -> float:
    """The mean of the largest `LOUD_FRAMES` values; 0 where there is none."""
    return float(np.sort(values, axis=None)[-LOUD_FRAMES:].mean()) if values.size else 0.0


def _frame(at_s: float) -> int:
    return max(0, round(at_s * FRAMES_A_SECOND))


def _dbfs(power: float) -> float:
    return float(10.0 * np.log10(max(power, TINY)))
