"""Screens sound while it comes, block by block: what `core.screener` does with every recording."""

from collections.abc import Mapping

import numpy as np

from core.bundle import Bundle
from core.errors import AudioError
from core.events import EventFinder, count_coughs
from core.interpreter import Interpreter
from core.listening import CutClip, HeardClip, Listener, check_block, is_live
from core.pooling import EventScores, PooledEmbedding
from core.probes import NO_COLUMNS, apply_probe
from core.quality import Quality, QualityMeter
from core.results import RecordingFacts, Screening, model_facts
from core.stopwatch import Stopwatch


class LiveScreening:
    """One screening under way: running results, never more than a few seconds of sound; use it from one thread.

    `core.screener.Screener.begin` makes it. The numbers do not depend on how the sound is cut into blocks, so they are
    those of the same samples in a file.
    """

    def __init__(
        self,
        bundle: Bundle,
        interpreter: Interpreter,
        sample_rate_hz: int,
        name: str,
        stopwatch: Stopwatch,
        ahead: Stopwatch | None = None,
        given: Mapping[str, str] = NO_COLUMNS,
    ) -> None:
        labels = bundle.event_labels
        self._bundle, self._stopwatch = bundle, stopwatch
        self._name, self._rate_hz, self._n_samples, self._given = name, sample_rate_hz, 0, given
        self._quality = QualityMeter()
        hop_s, frame_step_s = bundle.screening.hop_s, bundle.screening.activity_frame_step_s
        self._listener = Listener(
            interpreter, sample_rate_hz, hop_s, frame_step_s, stopwatch, self._quality, is_live, ahead
        )
        self._events = EventFinder(labels, bundle.screening)
        self._scores = EventScores(len(labels))
        size = bundle.model_shape.embedding_size
        self._pooled = [PooledEmbedding(probe.clips, labels, size) for probe in bundle.probes]

    @property
    def cough_count(self) -> int:
        """Coughs so far, about a second after each ends; the last one or two may still change."""
        return self._events.cough_count

    def hear(self, block: np.ndarray) -> list[HeardClip]:
        """Take the next samples at their own rate, shape (n,), float32 in [-1, 1]; the clips that they complete.

        AudioError if one is not a finite number.
        """
        check_block(block, self._name)
        self._stopwatch.resume()
        return self.take(self.cut(block))

    def cut(self, block: np.ndarray) -> list[CutClip]:
        """The first half of `hear`, for finite samples; a thread of its own may do it for later blocks."""
        self._n_samples += len(block)
        return self._listener.cut(block)

    def take(self, clips: list[CutClip]) -> list[HeardClip]:
        """The second half of `hear`, in the order of the blocks."""
        heard = self._listener.run(clips)
        self._pool(heard)
        return heard

    def finish(self, sha256: str | None = None) -> Screening:
        """Take what is left and give the screening; call once. AudioError where there was no sample.

        Parameters
        ----------
        sha256 : str or None
            SHA-256 of the recording's file, where there is a file.
        """
        if self._n_samples == 0:
            raise AudioError(f"{self._name} holds no samples; expected a recording.")
        self._stopwatch.resume()
        recording = RecordingFacts(self._name, sha256, self._n_samples / self._rate_hz, self._rate_hz)
        self._pool(self._listener.finish())
        with self._stopwatch.stage("quality"):
            quality = self._quality.verdict()
        with self._stopwatch.stage("events"):
            events = self._events.finish(recording.duration_s) if quality.acceptable else ()
        with self._stopwatch.stage("probes"):
            pairs = zip(self._bundle.probes, self._pooled, strict=True)
            probes = tuple(
                apply_probe(probe, pooled.mean, pooled.n_clips, quality, self._given) for probe, pooled in pairs
            )
        return Screening(
            recording=recording,
            quality=quality,
            event_scores=self._event_scores(quality),
            events=events,
            cough_count=count_coughs(events) if quality.acceptable else None,
            probes=probes,
            model=model_facts(self._bundle),
            timing_ms=self._stopwatch.timing_ms,
            columns=dict(self._given),
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
