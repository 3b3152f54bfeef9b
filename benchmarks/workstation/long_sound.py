"""Makes hours of sound that take little memory: recordings with pauses over faint noise, or one minute again."""

import itertools
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from core.demonstration import (
    COUGH_LENGTH_S,
    COUGH_TIMES_S,
    DEMONSTRATION_S,
    synthesize_demonstration,
    synthesized_clips,
)
from core.errors import OutputError
from distill.corpus.manifests import build_manifest
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import ComposedRecording
from distill.evaluation.event_scoring import Span

CHUNK_S = 10.0
CHUNK_SAMPLES = round(CHUNK_S * SAMPLE_RATE_HZ)
NOISE_DBFS = -60.0
NOISE_TILT = 0.5  # of the amplitude's fall with frequency: pink
LOWEST_HZ = 20.0
GAIN_DB = (-15.0, 0.0)
N_SYNTHESIZED_CLIPS = 12
MINUTE_SAMPLES = 60 * SAMPLE_RATE_HZ
MINUTE_PAUSE_S = 2.0
SAMPLE_BYTES = 2


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
        return sum(placed.sound.n_samples for placed in self.placed) / (self.n_chunks * CHUNK_SAMPLES)

    @property
    def coughs(self) -> list[Span]:
        """Known coughs, seconds from the stream's beginning."""
        return [
            (placed.start_sample / SAMPLE_RATE_HZ + start_s, placed.start_sample / SAMPLE_RATE_HZ + end_s)
            for placed in self.placed
            for start_s, end_s in placed.sound.coughs
        ]

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield the stream as float32 in [-1, 1], shape (160000,) each."""
        waiting = list(reversed(self.placed))
        playing: list[tuple[int, np.ndarray]] = []
        for number in range(self.n_chunks):
            first, chunk = number * CHUNK_SAMPLES, faint_noise(CHUNK_SAMPLES, [self.seed, number])
            while waiting and waiting[-1].start_sample < first + CHUNK_SAMPLES:
                placed = waiting.pop()
                playing.append((placed.start_sample, np.float32(placed.gain) * placed.sound.read()))
            for start, waveform in playing:
                begin, end = max(start, first), min(start + len(waveform), first + CHUNK_SAMPLES)
                chunk[begin - first : end - first] += waveform[begin - start : end - start]
            playing = [
                (start, waveform) for start, waveform in playing if start + len(waveform) > first + CHUNK_SAMPLES
            ]
            yield np.clip(chunk, -1.0, 1.0)

    def blocks(self, block_s: float) -> Iterator[np.ndarray]:
        """Yield the stream in shorter blocks, of which a chunk holds a whole number."""
        for chunk in self.chunks():
            yield from chunk.reshape(-1, round(block_s * SAMPLE_RATE_HZ))


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


def in_a_row(sounds: Sequence[Sound], pause_s: float) -> SoundStream:
    """All sounds once, in order and as they are, with a pause of `pause_s` before each and after the last."""
    pause, place, placed = round(pause_s * SAMPLE_RATE_HZ), 0, []
    for sound in sounds:
        placed.append(Placed(place + pause, sound, 1.0))
        place += pause + sound.n_samples
    n_chunks = -(-(place + pause) // CHUNK_SAMPLES)
    return SoundStream(n_chunks * CHUNK_S, tuple(placed), 0)


def faint_noise(n_samples: int, seed: list[int]) -> np.ndarray:
    """Pink noise at `NOISE_DBFS`, shape (n_samples,), float32."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n_samples))
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ)
    noise = np.fft.irfft(spectrum * np.maximum(frequency_hz, LOWEST_HZ) ** -NOISE_TILT, n_samples)
    return (noise / noise.std() * 10 ** (NOISE_DBFS / 20)).astype(np.float32)


def validation_sounds(store: WaveformStore) -> list[Sound]:
    """The store's validation recordings, read when they are played; where their coughs are is not known."""

    lengths = {index: len(store.waveform(index)) for index in store.indices("validation")}
    return [Sound(length, partial(store.sound, index)) for index, length in lengths.items() if length]


def composed_sounds(recordings: Sequence[ComposedRecording]) -> list[Sound]:
    """Recordings composed with coughs at known times."""
    return [Sound(len(one.waveform), lambda one=one: one.waveform, tuple(one.coughs)) for one in recordings]


def synthesized_sounds() -> list[Sound]:
    """The demonstration's three coughs, and noise, bursts, tones and glides of 2 s: no recording is needed."""
    coughs = tuple((start_s, start_s + COUGH_LENGTH_S) for start_s in COUGH_TIMES_S)
    demonstration = synthesize_demonstration()
    others = synthesized_clips(N_SYNTHESIZED_CLIPS)[1:]
    demonstrated = Sound(round(DEMONSTRATION_S * SAMPLE_RATE_HZ), lambda: demonstration, coughs)
    return [demonstrated, *(Sound(CLIP_SAMPLES, lambda clip=clip: clip) for clip in others)]


def open_sounds(store: Path | None, data: Path, folder: Path) -> tuple[list[Sound], WaveformStore | None, str]:
    """What to play, the store it is from, and a sentence: a store, else packs decoded to `folder`, else synthesized."""
    opened, words = None, "synthesized sounds, because there is neither a store nor a folder of packs"
    if store is not None:
        opened, words = WaveformStore.open(store), "validation recordings of a store"
    elif data.is_dir():
        rows = [row for row in build_manifest(data) if row.role == "validation"]
        opened, words = WaveformStore.build(rows, data, folder), "validation recordings of the packs"
    return (synthesized_sounds() if opened is None else validation_sounds(opened)), opened, words


@cache
def one_minute() -> np.ndarray:
    """Three synthetic coughs, then bursts, tones and glides with pauses over faint noise: (960000,) float32, 16 kHz."""
    waveform = np.concatenate(list(in_a_row(synthesized_sounds(), MINUTE_PAUSE_S).chunks()))
    minute = np.resize(np.roll(waveform, -round(MINUTE_PAUSE_S * SAMPLE_RATE_HZ)), MINUTE_SAMPLES)
    minute.setflags(write=False)
    return minute


def write_long_wav(path: Path, seconds: float) -> Path:
    """Write the minute over and over, `seconds` long, as a 16-bit WAV at 16 kHz; OutputError for a full disk."""
    left = round(seconds * SAMPLE_RATE_HZ)
    try:
        with path.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(SAMPLE_BYTES)
            file.setframerate(SAMPLE_RATE_HZ)
            for block in itertools.cycle(one_minute().reshape(-1, CHUNK_SAMPLES)):
                file.writeframes(np.rint(block[:left] * 32767.0).astype("<i2").tobytes())
                left -= len(block)
                if left <= 0:
                    return path
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path
