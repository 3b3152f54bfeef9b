"""The only place where sound at any rate becomes what the model says of it, for a recording and for a stream."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.audio import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from core.bundle import Bundle
from core.clips import Clip, ClipCutter
from core.errors import AudioError
from core.events import EventFinder, WindowProbabilities
from core.interpreter import Interpreter
from core.monitoring.gate import Gate
from core.pooling import probabilities
from core.resample import Resampler
from core.stopwatch import Stopwatch


@dataclass(frozen=True, eq=False)
class HeardClip:
    """A clip and what the model says of it; both arrays are None where the gate left the clip out.

    ``embedding`` has shape (embedding_size,), ``event_probabilities`` (n_events,).
    """

    start_s: float
    embedding: np.ndarray | None
    event_probabilities: np.ndarray | None

    @property
    def is_gated(self) -> bool:
        """Whether the model was not run on it."""
        return self.embedding is None


class Listener:
    """Resamples, cuts, runs the model and finds events; keeps a few seconds of sound, however long it listens.

    Parameters
    ----------
    bundle : Bundle
    interpreter : Interpreter
    sample_rate_hz : int in [4000, 384000]
        Of the blocks.
    hop_s : float in (0, 2]
        From one clip to the next, on average: clips start on the grid of the model's activity frames.
    stopwatch : Stopwatch
    measure : callable
        Takes all samples at 16 kHz as they come, for instance `QualityMeter.push`; timed as ``quality``.
    gate : Gate or None
        What decides which clips are run, timed as ``quality`` too, because it judges levels; None for all of them.

    Attributes
    ----------
    events : EventFinder
        For whoever listens to release events from and to finish.
    """

    def __init__(
        self,
        bundle: Bundle,
        interpreter: Interpreter,
        sample_rate_hz: int,
        hop_s: float,
        stopwatch: Stopwatch,
        measure: Callable[[np.ndarray], None],
        gate: Gate | None = None,
    ):
        self._interpreter, self._stopwatch, self._measure, self._gate = interpreter, stopwatch, measure, gate
        self._resampler = Resampler(sample_rate_hz)
        self._cutter = ClipCutter(hop_s, bundle.screening.activity_frame_step_s)
        self.events = EventFinder(bundle.event_labels, bundle.screening)

    def hear(self, block: np.ndarray) -> list[HeardClip]:
        """Take the next samples at their own rate, shape (n,); the clips that they complete, in order."""
        with self._stopwatch.stage("resample"):
            samples = self._resampler.process(block)
        return self._take(samples)

    def finish(self) -> list[HeardClip]:
        """The clips that are left; the last one, which ends with the sound, is run whatever the gate says."""
        with self._stopwatch.stage("resample"):
            rest = self._resampler.flush()
        return self._take(rest) + [self._run(clip) for clip in self._cutter.finish()]

    def _take(self, samples: np.ndarray) -> list[HeardClip]:
        with self._stopwatch.stage("quality"):
            self._measure(samples)
        with self._stopwatch.stage("resample"):
            clips = self._cutter.push(samples)
        return [self._run(clip) if self._admits(clip) else self._pass_over(clip) for clip in clips]

    def _admits(self, clip: Clip) -> bool:
        if self._gate is None:
            return True
        with self._stopwatch.stage("quality"):
            return self._gate.admits(clip)

    def _run(self, clip: Clip) -> HeardClip:
        with self._stopwatch.stage("model"):
            outputs = self._interpreter.run(clip.waveform)
        with self._stopwatch.stage("events"):
            events, activity = probabilities(outputs.event_logits), probabilities(outputs.activity_logits)
            self.events.push(WindowProbabilities(clip.start_s, clip.valid_s, events, activity))
        return HeardClip(clip.start_s, outputs.embedding, events)

    def _pass_over(self, clip: Clip) -> HeardClip:
        with self._stopwatch.stage("events"):
            self.events.pass_over(clip.start_s)
        return HeardClip(clip.start_s, None, None)


def check_sample_rate(sample_rate_hz: int, name: str) -> None:
    """Refuse a rate that nothing is screened at with an AudioError that gives the sound's `name`."""
    if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        expected = f"expected {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz"
        raise AudioError(f"{name} has a sample rate of {sample_rate_hz} Hz; {expected}.")


def check_block(block: np.ndarray, name: str) -> None:
    """Refuse samples that are not one channel of finite numbers with an AudioError that gives the sound's `name`."""
    if block.ndim != 1 or not np.isfinite(block).all():
        raise AudioError(f"{name} holds samples that are not finite numbers, or more than one channel.")
