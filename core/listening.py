"""Runs the model over sound of any sample rate, clip by clip."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.audio import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from core.clips import Clip, ClipCutter
from core.errors import AudioError
from core.events import WindowProbabilities
from core.interpreter import Interpreter
from core.probes import sigmoid
from core.resample import Resampler
from core.sound.dead_air import FRAME_SAMPLES, LIVE_POWER, MIN_LIVE_FRAMES
from core.sound.high_pass import HighPass
from core.stopwatch import Stopwatch

LIVE_GROUPS = 5  # parts of a clip that are looked at one after the other for sound


@dataclass(frozen=True, eq=False)
class HeardClip(Clip):
    """A clip and the model's outputs for it; the three arrays are None where the model was not run.

    ``embedding`` has shape (embedding_size,), ``event_probabilities`` (n_events,), ``activity_probabilities``
    (n_activity_frames,).
    """

    embedding: np.ndarray | None = None
    event_probabilities: np.ndarray | None = None
    activity_probabilities: np.ndarray | None = None

    @property
    def is_gated(self) -> bool:
        """Whether the model was not run on the clip."""
        return self.embedding is None

    @property
    def window(self) -> WindowProbabilities:
        """The probabilities, as an `EventFinder` takes them; of a clip that the model was run on."""
        return WindowProbabilities(self.start_s, self.valid_s, self.event_probabilities, self.activity_probabilities)


CutClip = tuple[Clip, bool]
"""A clip, and whether the model is run on it."""


class Meter(Protocol):
    """Measures a stream at 16 kHz as it comes."""

    def push(self, block: np.ndarray) -> None:
        """Take the next samples, shape (n,)."""
        ...

    def push_passed(self, block: np.ndarray) -> None:
        """Take the next samples behind the high-pass, which come a little later, shape (n,)."""
        ...


class Listener:
    """Resamples a stream, takes out hum, cuts it into clips and runs the model; holds a few seconds of sound at most.

    Parameters
    ----------
    interpreter : Interpreter
    sample_rate_hz : int in [4000, 384000]
        Of the blocks.
    hop_s : float in (0, 2]
        From one clip to the next, on average: clips start on the grid of the model's activity frames.
    frame_step_s : float
        That grid: the length of one activity frame.
    stopwatch : Stopwatch or None
        Times the stages ``resample``, ``quality``, ``model`` and ``events`` (logits to probabilities).
    meter : Meter or None
        Takes all samples at 16 kHz as they come, before and behind the high-pass; timed as ``quality``.
    admits : callable or None
        Decides whether the model is run on a clip, timed as ``quality`` too, because it judges levels; None for all.
    ahead : Stopwatch or None
        Times `cut` where a thread of its own calls it; None for `stopwatch`.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        sample_rate_hz: int,
        hop_s: float,
        frame_step_s: float,
        stopwatch: Stopwatch | None = None,
        meter: Meter | None = None,
        admits: Callable[[Clip], bool] | None = None,
        ahead: Stopwatch | None = None,
    ):
        self._interpreter, self._meter, self._admits = interpreter, meter, admits
        self._stopwatch = stopwatch or Stopwatch()
        self._ahead = ahead or self._stopwatch
        self._resampler, self._high_pass = Resampler(sample_rate_hz), HighPass()
        self._cutter = ClipCutter(hop_s, frame_step_s)

    def hear(self, block: np.ndarray) -> list[HeardClip]:
        """Take the next samples at their own rate, shape (n,); the clips that they complete, in order."""
        return self.run(self.cut(block))

    def cut(self, block: np.ndarray) -> list[CutClip]:
        """The first half of `hear`, which a thread of its own may do for later blocks while `run` is at work."""
        with self._ahead.stage("resample"):
            samples = self._resampler.process(block)
        return self._take(samples)

    def run(self, clips: list[CutClip]) -> list[HeardClip]:
        """The second half of `hear`: the model's outputs for the clips that `cut` gave, in order."""
        return [self._run(clip) if is_admitted else _not_run(clip) for clip, is_admitted in clips]

    def finish(self) -> list[HeardClip]:
        """The clips that are left; the model is run on the last one in any case, unless all of it is dead air."""
        with self._ahead.stage("resample"):
            rest = self._resampler.flush()
        clips = self._take(rest, is_last=True)
        return self.run(clips + [(clip, is_live(clip) or clip.start_s == 0) for clip in self._cutter.finish()])

    def _take(self, samples: np.ndarray, is_last: bool = False) -> list[CutClip]:
        if self._meter is not None:
            with self._ahead.stage("quality"):
                self._meter.push(samples)
        with self._ahead.stage("resample"):
            passed = self._high_pass.process(samples)
            if is_last:
                passed = np.concatenate([passed, self._high_pass.flush()])
        if self._meter is not None:
            with self._ahead.stage("quality"):
                self._meter.push_passed(passed)
        with self._ahead.stage("resample"):
            clips = self._cutter.push(passed)
        return [(clip, self._is_admitted(clip)) for clip in clips]

    def _is_admitted(self, clip: Clip) -> bool:
        if self._admits is None:
            return True
        with self._ahead.stage("quality"):
            return self._admits(clip)

    def _run(self, clip: Clip) -> HeardClip:
        with self._stopwatch.stage("model"):
            outputs = self._interpreter.run(clip.waveform)
        with self._stopwatch.stage("events"):
            events, activity = sigmoid(outputs.event_logits), sigmoid(outputs.activity_logits)
        return HeardClip(clip.start_s, clip.waveform, clip.valid_s, outputs.embedding, events, activity)


def is_live(clip: Clip) -> bool:
    """Whether there is sound in a clip: in dead air the model hears what is not there, in the noise of the last bit."""
    n_live = 0
    for frames in clip.waveform.reshape(LIVE_GROUPS, -1, FRAME_SAMPLES):  # the first of them nearly always tell
        powers = np.einsum("ij,ij->i", frames, frames) / FRAME_SAMPLES
        n_live += int(np.count_nonzero(powers >= LIVE_POWER))
        if n_live >= MIN_LIVE_FRAMES:
            return True
    return False


def _not_run(clip: Clip) -> HeardClip:
    return HeardClip(clip.start_s, clip.waveform, clip.valid_s)


def listen(
    blocks: Iterable[np.ndarray],
    sample_rate_hz: int,
    interpreter: Interpreter,
    hop_s: float,
    frame_step_s: float,
    meter: Meter | None = None,
) -> Iterator[HeardClip]:
    """Run the model over the clips of a recording that a screening hears: all but dead air.

    The recording comes in blocks, none of which is kept; the parameters are a `Listener`'s.
    """
    listener = Listener(interpreter, sample_rate_hz, hop_s, frame_step_s, meter=meter, admits=is_live)
    for block in blocks:
        yield from listener.hear(block)
    yield from listener.finish()


def check_sample_rate(sample_rate_hz: int, name: str) -> None:
    """Refuse a rate that nothing is screened at with an AudioError that gives the sound's `name`."""
    if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        expected = f"expected {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz"
        raise AudioError(f"{name} has a sample rate of {sample_rate_hz} Hz; {expected}.")


def check_block(block: np.ndarray, name: str) -> None:
    """Refuse samples that are not one channel of finite numbers with an AudioError that gives the sound's `name`."""
    if block.ndim != 1 or not np.isfinite(block).all():
        raise AudioError(f"{name} holds samples that are not finite numbers, or more than one channel.")


class Supply:
    """Passes the blocks of a recording on until they end, cannot be read further, or the run is asked to end.

    Attributes
    ----------
    error : str
        Why the rest could not be read; "" where it could. An error before the first sample is raised as AudioError.
    is_cut : bool
        Whether blocks were left because the run was asked to end.
    n_samples : int
        Passed on so far.
    """

    def __init__(self, blocks: Iterable[np.ndarray], name: str, is_ended: Callable[[], bool] = lambda: False) -> None:
        self._blocks, self._name, self._is_ended = blocks, name, is_ended
        self.error, self.is_cut, self.n_samples = "", False, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for block in self._blocks:
                check_block(block, self._name)
                if self.n_samples and self._is_ended():  # what was begun is heard for a moment, so that it has a result
                    self.is_cut = True
                    return
                self.n_samples += len(block)
                yield block
        except (AudioError, OSError) as error:
            self.error = str(error)
            if isinstance(error, OSError):
                self.error = f"{self._name} cannot be read to its end: {error.strerror or error}."
            if self.n_samples == 0:
                raise AudioError(self.error) from error
