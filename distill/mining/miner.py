"""Mines one recording: which of its clips hold a health sound, and which of those stay."""

import hashlib
import io
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from core.audio import SAMPLE_RATE_HZ, open_recording
from core.clips import CLIP_S, Clip, ClipCutter
from core.errors import InterpreterError, OutputError, TussisError
from core.files import encodable, write_atomically
from core.interpreter import Interpreter
from core.listening import HeardClip, listen
from core.quality import QualityMeter
from distill.corpus.waveform_store import to_int16
from distill.mining.pack import MinedClip, MinedRecording
from distill.mining.recordings import Skipped, Source
from distill.settings import Settings

MAX_RUN_WINDOWS = 30  # overlapping windows that are compared at once: 4 MB


class MiningSettings(Settings):
    """What the choice of clips depends on; a pack is only ever continued with the same.

    ``near_duplicate_cosine``, of centred embeddings, was measured with the shipped model (EXPERIMENTS.md, 2026-11-27).
    Above 0.99 lie all clips changed in gain and 81 to 100 % of those coded anew (MP3, Vorbis, Opus). 99 % of clips have
    no other recording above it. Of sounds cut 0.2 s later a quarter is recognized.
    """

    name: str = Field(min_length=1)
    labels: tuple[str, ...]
    min_probability: float = Field(gt=0, le=1)
    event_labels: tuple[str, ...]
    model_sha256: str
    hop_s: float = 1.0
    near_duplicate_cosine: float = 0.99
    n_compared: int = 8192


@dataclass(frozen=True, eq=False)
class Candidate:
    """A clip with a health sound; ``score`` is the greatest probability among the labels that count."""

    clip: Clip
    score: float
    probabilities: tuple[float, ...]
    embedding: np.ndarray

    @property
    def start(self) -> int:
        """First sample, at 16 kHz."""
        return round(self.clip.start_s * SAMPLE_RATE_HZ)


class LocalMaxima:
    """Of candidates that come in order of time, keeps those that no better one overlaps, and of the rest the same.

    What is kept never overlaps. A run of more than `MAX_RUN_WINDOWS` overlapping candidates is judged in pieces of that
    length, so that memory is bounded however long the recording.
    """

    def __init__(self) -> None:
        self._run: list[Candidate] = []
        self._last_kept: list[Candidate] = []

    def push(self, candidate: Candidate) -> list[Candidate]:
        """Take the next candidate and return those that are now known to stay, in order of time."""
        ended = self._run and not _overlap(candidate, self._run[-1])
        kept = self.finish() if ended or len(self._run) == MAX_RUN_WINDOWS else []
        self._run.append(candidate)
        return kept

    def finish(self) -> list[Candidate]:
        """Return what stays of the candidates that are still waiting."""
        kept: list[Candidate] = []
        for candidate in sorted(self._run, key=lambda candidate: -candidate.score):
            if not any(_overlap(candidate, other) for other in kept + self._last_kept):
                kept.append(candidate)
        kept.sort(key=lambda candidate: candidate.start)
        self._run, self._last_kept = [], kept[-1:] or self._last_kept
        return kept


def _overlap(one: Candidate, other: Candidate) -> bool:
    return abs(one.start - other.start) < CLIP_S * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Heard:
    """What came of one recording, and the processor time that it took, in seconds."""

    source: Source
    result: MinedRecording | Skipped
    core_s: float


@dataclass(frozen=True)
class Miner:
    """Mines one recording after the other with one model.

    ``scratch`` is the folder in which each recording's clips are left, until a pack takes them from there.
    ``frame_step_s`` is the length of the model's activity frames, on whose grid clips start.
    """

    interpreter: Interpreter
    settings: MiningSettings
    scratch: Path
    frame_step_s: float

    def hear(self, source: Source) -> Heard:
        """Mine one recording and note what it took."""
        started_s = time.process_time()
        result = self.mine(source)
        return Heard(source, result, time.process_time() - started_s)

    def mine(self, source: Source) -> MinedRecording | Skipped:
        """Mine one recording in constant memory; one that cannot be read to its end is skipped as a whole."""
        try:
            return self._mine(source)
        except (InterpreterError, OutputError):
            raise
        except (TussisError, OSError) as error:
            sentence = str(error) if isinstance(error, TussisError) else f"{source.path} cannot be read: {error}."
            return Skipped(source.path_key, source.source_id, encodable(sentence))

    def _mine(self, source: Source) -> MinedRecording:
        maxima = LocalMaxima()
        clips: list[MinedClip] = []
        with open_recording(source.path) as reader:
            hop_s, step_s = self.settings.hop_s, self.frame_step_s
            recorded = _RecordedClips(hop_s, step_s)
            for clip in listen(reader.blocks(), reader.sample_rate_hz, self.interpreter, hop_s, step_s, recorded):
                if (candidate := self._candidate(replace(clip, waveform=recorded.next()))) is not None:
                    clips += self._write(source, maxima.push(candidate))
            clips += self._write(source, maxima.finish())
            return MinedRecording(reader.sha256, reader.duration_s, tuple(clips))

    def _candidate(self, clip: HeardClip) -> Candidate | None:
        """The clip with its score; None for dead air, where no label is probable enough, or quality is unacceptable."""
        if clip.is_gated:
            return None
        probabilities = tuple(clip.event_probabilities.tolist())
        score = max(probabilities[self.settings.event_labels.index(label)] for label in self.settings.labels)
        if score < self.settings.min_probability or not _is_acceptable(_valid(clip)):
            return None
        return Candidate(clip, score, probabilities, clip.embedding.astype(np.float16))

    def _write(self, source: Source, candidates: Sequence[Candidate]) -> list[MinedClip]:
        """Leave each clip as a FLAC file in the recording's own scratch folder."""
        folder = self.scratch / source.key
        if candidates:
            _make(folder)
        clips = []
        for candidate in candidates:
            samples = to_int16(_valid(candidate.clip))
            file = folder / f"{candidate.start}.flac"
            write_atomically(file, _flac(samples))
            sha256 = hashlib.sha256(samples.tobytes()).hexdigest()
            at_s, duration_s = candidate.clip.start_s, candidate.clip.valid_s
            clips.append(MinedClip(file, at_s, duration_s, candidate.probabilities, sha256, candidate.embedding))
        return clips


class _RecordedClips:
    """The clips of a recording as they were before the high-pass, each once it was heard; a `Meter`."""

    def __init__(self, hop_s: float, step_s: float) -> None:
        self._cutter = ClipCutter(hop_s, step_s)
        self._clips: deque[Clip] = deque()

    def push(self, block: np.ndarray) -> None:
        self._clips.extend(self._cutter.push(block))

    def push_passed(self, block: np.ndarray) -> None:
        """Nothing: what the model hears is not kept."""

    def next(self) -> np.ndarray:
        """The clip that was heard next, shape (32000,); the last one is cut once all others were taken."""
        if not self._clips:
            self._clips.extend(self._cutter.finish())
        return self._clips.popleft().waveform


def _valid(clip: Clip) -> np.ndarray:
    """The clip without the repetitions that fill it where the recording is shorter."""
    return clip.waveform[: round(clip.valid_s * SAMPLE_RATE_HZ)]


def _is_acceptable(waveform: np.ndarray) -> bool:
    meter = QualityMeter()
    meter.push(waveform)
    return meter.verdict().acceptable


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _flac(samples: np.ndarray) -> bytes:
    """Code int16 samples at 16 kHz, shape (n,), as FLAC."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, its C library is not
        raise OutputError("clips are written as FLAC, which needs the soundfile package: install it.") from error
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
    return content.getvalue()
