"""The only place that composes hours of sound for monitoring: recordings with pauses between them over faint noise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from core.demonstration import COUGH_LENGTH_S, COUGH_TIMES_S, DEMONSTRATION_S, synthesize_demonstration
from distill.corpus.manifests import build_manifest
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import ComposedRecording
from distill.evaluation.event_scoring import Span
from quantize.synthesized_clips import synthesized_clips

CHUNK_S = 10.0
CHUNK_SAMPLES = round(CHUNK_S * SAMPLE_RATE_HZ)
NOISE_DBFS = -60.0
NOISE_TILT = 0.5  # of the amplitude's fall with frequency: pink
LOWEST_HZ = 20.0
GAIN_DB = (-15.0, 0.0)
N_SYNTHESIZED_CLIPS = 12


@dataclass(frozen=True)
class Sound:
    """Something to be heard: its length, how to read it (float32 at 16 kHz), and its coughs where they are known."""

    n_samples: int
    read: Callable[[], np.ndarray]
    coughs: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Placed:
    """A sound at a place in the stream, and what it is multiplied by."""

    start_sample: int
    sound: Sound
    gain: float


@dataclass(frozen=True)
class SoundStream:
    """A stream that is planned at once and rendered chunk by chunk, so that an hour is never in memory."""

    duration_s: float
    placed: tuple[Placed, ...]
    seed: int

    @property
    def n_chunks(self) -> int:
        """Whole chunks of `CHUNK_S`."""
        return round(self.duration_s / CHUNK_S)

    @property
    def sound_share(self) -> float:
        """Share of the time in which one of the sounds is heard, and not only noise."""
        return sum(its.sound.n_samples for its in self.placed) / (self.n_chunks * CHUNK_SAMPLES)

    @property
    def coughs(self) -> list[Span]:
        """Known coughs, seconds from the stream's beginning."""
        return [
            (its.start_sample / SAMPLE_RATE_HZ + start_s, its.start_sample / SAMPLE_RATE_HZ + end_s)
            for its in self.placed
            for start_s, end_s in its.sound.coughs
        ]

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield the stream as float32 in [-1, 1], shape (160000,) each."""
        waiting = list(reversed(self.placed))
        playing: list[tuple[int, np.ndarray]] = []
        for number in range(self.n_chunks):
            first, chunk = number * CHUNK_SAMPLES, faint_noise(CHUNK_SAMPLES, [self.seed, number])
            while waiting and waiting[-1].start_sample < first + CHUNK_SAMPLES:
                its = waiting.pop()
                playing.append((its.start_sample, np.float32(its.gain) * its.sound.read()))
            for start, waveform in playing:
                begin, end = max(start, first), min(start + len(waveform), first + CHUNK_SAMPLES)
                chunk[begin - first : end - first] += waveform[begin - start : end - start]
            playing = [its for its in playing if its[0] + len(its[1]) > first + CHUNK_SAMPLES]
            yield np.clip(chunk, -1.0, 1.0)


def compose_stream(sounds: Sequence[Sound], duration_s: float, pause_s: float, seed: int = 0) -> SoundStream:
    """Draw sounds one after the other, each after a pause of `pause_s` on average and at a random gain.

    Pauses are drawn from an exponential distribution, so that some are long; the noise goes on through all of it.
    """
    generator = np.random.default_rng(seed)
    n_samples, placed = round(duration_s / CHUNK_S) * CHUNK_SAMPLES, []
    place = 0
    while True:
        place += round(generator.exponential(pause_s) * SAMPLE_RATE_HZ)
        sound = sounds[generator.integers(len(sounds))]
        if place + sound.n_samples > n_samples:
            return SoundStream(duration_s, tuple(placed), seed)
        placed.append(Placed(place, sound, 10 ** (generator.uniform(*GAIN_DB) / 20)))
        place += sound.n_samples


def in_a_row(sounds: Sequence[Sound], pause_s: float, seed: int = 0) -> SoundStream:
    """All sounds once, in order and as they are, with a pause of `pause_s` before each and after the last."""
    pause, place, placed = round(pause_s * SAMPLE_RATE_HZ), 0, []
    for sound in sounds:
        placed.append(Placed(place + pause, sound, 1.0))
        place += pause + sound.n_samples
    n_chunks = -(-(place + pause) // CHUNK_SAMPLES)
    return SoundStream(n_chunks * CHUNK_S, tuple(placed), seed)


def faint_noise(n_samples: int, seed: list[int]) -> np.ndarray:
    """Pink noise at `NOISE_DBFS`, shape (n_samples,), float32."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n_samples))
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ)
    noise = np.fft.irfft(spectrum * np.maximum(frequency_hz, LOWEST_HZ) ** -NOISE_TILT, n_samples)
    return (noise / noise.std() * 10 ** (NOISE_DBFS / 20)).astype(np.float32)


def validation_sounds(store: WaveformStore) -> list[Sound]:
    """The store's validation recordings, read when they are played; where their coughs are is not known."""

    def reader(index: int) -> Callable[[], np.ndarray]:
        return lambda: store.sound(index)

    indices = [index for index in store.indices("validation") if len(store.waveform(index))]
    return [Sound(len(store.waveform(index)), reader(index)) for index in indices]


def composed_sounds(recordings: Sequence[ComposedRecording]) -> list[Sound]:
    """Recordings composed with coughs at known times."""
    return [Sound(len(its.waveform), lambda its=its: its.waveform, tuple(its.coughs)) for its in recordings]


def synthesized_sounds() -> list[Sound]:
    """The demonstration's three coughs, and noise, bursts, tones and glides of 2 s: no recording is needed."""
    coughs = tuple((start_s, start_s + COUGH_LENGTH_S) for start_s in COUGH_TIMES_S)
    demonstration = synthesize_demonstration()
    others = synthesized_clips(N_SYNTHESIZED_CLIPS)[1:]
    demonstrated = Sound(round(DEMONSTRATION_S * SAMPLE_RATE_HZ), lambda: demonstration, coughs)
    return [demonstrated, *(Sound(CLIP_SAMPLES, lambda its=its: its) for its in others)]


def read_validation_store(data: Path, folder: Path) -> WaveformStore:
    """Decode the packs' validation recordings into `folder`."""
    return WaveformStore.build([row for row in build_manifest(data) if row.role == "validation"], data, folder)


def open_sounds(store: Path | None, data: Path, folder: Path) -> tuple[list[Sound], WaveformStore | None, str]:
    """What to play, the store it is from, and a sentence: a store, else packs decoded to `folder`, else synthesized."""
    opened, words = None, "synthesized sounds, because there is neither a store nor a folder of packs"
    if store is not None:
        opened, words = WaveformStore.open(store), "validation recordings of a store"
    elif data.is_dir():
        opened, words = read_validation_store(data, folder), "validation recordings of the packs"
    return (synthesized_sounds() if opened is None else validation_sounds(opened)), opened, words
