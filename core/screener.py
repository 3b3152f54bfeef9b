"""Screens recordings: the command, the app, the benchmarks and the Python API all call it."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.audio import RecordingReader, open_recording
from core.bundle import Bundle, load_bundle
from core.clips import CLIP_S, Clip
from core.errors import AudioError, IncompleteError, TussisError
from core.events import EventFinder, count_coughs
from core.interpreter import Interpreter, LiteRtInterpreter
from core.listening import HeardClip, Listener, Supply, check_sample_rate
from core.pooling import EventScores, PooledEmbedding
from core.probes import apply_probe
from core.quality import Quality, QualityMeter
from core.results import ModelFacts, RecordingFacts, Screening
from core.stopwatch import Stopwatch


class Screener:
    """Screens recordings one after the other with one model; use it from one thread at a time.

    Parameters
    ----------
    bundle : Bundle
    threads : int in [1, 64]
        Threads of the model's runtime.
    interpreter : Interpreter or None
        What runs the model; None for LiteRT with the bundle's model.
    is_ended : callable
        Whether the run was asked to end; then a recording is left in its middle.

    Raises
    ------
    BundleError, InterpreterError
        If the model was altered since the bundle was opened, or cannot be run.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        interpreter: Interpreter | None = None,
        is_ended: Callable[[], bool] = lambda: False,
    ):
        self.bundle, self._is_ended = bundle, is_ended
        self.interpreter = interpreter or LiteRtInterpreter(bundle.read_model(), threads, bundle.model_shape)

    def screen(self, path: str | Path, channel: int | None = None) -> Screening:
        """Screen one file in constant memory; `channel` is that of `open_recording`.

        Raises
        ------
        AudioError
            If it is no recording.
        IncompleteError
            If it cannot be read to its end, or the run was asked to end; it holds the screening of what was heard.
        """
        stopwatch = Stopwatch()
        with stopwatch.stage("decode"):
            recording = open_recording(path, channel)
        with recording:
            with stopwatch.stage("decode"):
                sha256 = sha256_if_readable(recording)
            supply = Supply(recording.blocks(), str(path), self._is_ended)
            try:
                screening = self._screen(supply, recording.sample_rate_hz, str(path), sha256, stopwatch)
            except IncompleteError as error:
                error.result = error.result.read_from(recording)
                raise
            return screening.read_from(recording)

    def screen_blocks(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate_hz: int,
        name: str,
        sha256: str | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> Screening:
        """Screen a recording that comes in blocks, none of which is kept.

        Parameters
        ----------
        blocks : iterable of ndarray, shape (n,), float32 in [-1, 1]
            Mono samples at `sample_rate_hz`; how they are divided into blocks does not matter.
        sample_rate_hz : int in [4000, 384000]
        name : str
            The recording's path, for the result and for sentences.
        sha256 : str or None
            SHA-256 of the recording's file, where there is a file.
        stopwatch : Stopwatch or None
            One that already holds the time it took to open the recording.

        Raises
        ------
        AudioError
            If the rate is out of range, there is no sample, or the first block holds one that is not a finite number.
        IncompleteError
            If blocks after the first cannot be had; it holds the screening of what was heard.
        """
        return self._screen(Supply(blocks, name), sample_rate_hz, name, sha256, stopwatch or Stopwatch())

    def _screen(
        self, supply: Supply, sample_rate_hz: int, name: str, sha256: str | None, stopwatch: Stopwatch
    ) -> Screening:
        check_sample_rate(sample_rate_hz, name)
        hearing = _Hearing(self.bundle, self.interpreter, sample_rate_hz, stopwatch)
        for block in stopwatch.iterate("decode", supply):
            hearing.hear(block)
        if supply.n_samples == 0:
            raise AudioError(f"{name} holds no samples; expected a recording.")
        duration_s = supply.n_samples / sample_rate_hz
        screening = hearing.finish(RecordingFacts(name, sha256, duration_s, sample_rate_hz))
        if supply.error:
            raise IncompleteError(supply.error, replace(screening, error=supply.error))
        if supply.is_cut:
            remark = cut_remark(duration_s)
            raise IncompleteError(f"{name}: {remark}", replace(screening, remark=remark))
        return screening


def screen_recording(path: str | Path, bundle: Bundle | Path | None = None, threads: int = 1) -> Screening:
    """Screen one recording; `bundle` is an open bundle, a bundle folder, or None for the one that comes with Tussis."""
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    return Screener(opened, threads).screen(path)


class _Hearing:
    """The state of one screening: running results, never sound."""

    def __init__(self, bundle: Bundle, interpreter: Interpreter, sample_rate_hz: int, stopwatch: Stopwatch):
        labels = bundle.event_labels
        self._bundle, self._stopwatch = bundle, stopwatch
        self._quality = QualityMeter()
        hop_s, frame_step_s = bundle.screening.hop_s, bundle.screening.activity_frame_step_s
        self._listener = Listener(
            interpreter, sample_rate_hz, hop_s, frame_step_s, stopwatch, self._quality, self._is_live
        )
        self._events = EventFinder(labels, bundle.screening)
        self._scores = EventScores(len(labels))
        size = bundle.model_shape.embedding_size
        self._pooled = [PooledEmbedding(probe.clips, labels, size) for probe in bundle.probes]

    def _is_live(self, clip: Clip) -> bool:
        """Whether there is sound in a clip: dead air's last bits sound like events to the model."""
        return self._quality.dead_air.is_live(clip.start_s, clip.start_s + CLIP_S)

    def hear(self, block: np.ndarray) -> None:
        """Take the next samples at the recording's own rate."""
        self._pool(self._listener.hear(block))

    def finish(self, recording: RecordingFacts) -> Screening:
        """Take what is left and give the screening."""
        self._pool(self._listener.finish())
        with self._stopwatch.stage("quality"):
            quality = self._quality.verdict()
        with self._stopwatch.stage("events"):
            events = self._events.finish(recording.duration_s) if quality.acceptable else ()
        with self._stopwatch.stage("probes"):
            pairs = zip(self._bundle.probes, self._pooled, strict=True)
            probes = tuple(apply_probe(probe, pooled.mean, pooled.n_clips, quality) for probe, pooled in pairs)
        return Screening(
            recording=recording,
            quality=quality,
            event_scores=self._event_scores(quality),
            events=events,
            cough_count=count_coughs(events) if quality.acceptable else None,
            probes=probes,
            model=model_facts(self._bundle),
            timing_ms=self._stopwatch.timing_ms,
        )

    def _pool(self, heard: list[HeardClip]) -> None:
        with self._stopwatch.stage("events"):
            for clip in heard:
                if clip.is_gated:
                    self._events.pass_over(clip.start_s)
                else:
                    self._events.push(clip.window)
                    self._scores.push(clip.event_probabilities)
        with self._stopwatch.stage("probes"):
            for clip in (clip for clip in heard if not clip.is_gated):
                for pooled in self._pooled:
                    pooled.push(clip.embedding, clip.event_probabilities)

    def _event_scores(self, quality: Quality) -> dict[str, float] | None:
        if not quality.acceptable:
            return None
        return dict(zip(self._bundle.event_labels, self._scores.probabilities.tolist(), strict=True))


def sha256_if_readable(recording: RecordingReader) -> str | None:
    """SHA-256 of a recording's file; None where it cannot be read to its end, which may still have been heard."""
    with contextlib.suppress(TussisError):
        return recording.sha256
    return None


def cut_remark(duration_s: float) -> str:
    """What is said of a recording that was left because the run was asked to end."""
    return f"the run was ended after {duration_s:.1f} s of this recording; the rest was not heard."


def model_facts(bundle: Bundle) -> ModelFacts:
    """The facts that a result gives about its bundle."""
    return ModelFacts(bundle.name, bundle.model_sha256, bundle.format_version)
