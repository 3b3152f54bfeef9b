"""Composes validation recordings with coughs at known times."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError
from distill.corpus.cough_activity import STEP_SAMPLES, active_frames, runs
from distill.corpus.labels import is_cough_free
from distill.corpus.waveform_store import WaveformStore

DURATION_S = 10.0
MAX_COUGHS = 5
COUGH_FRAMES = (5, 15)  # of 40 ms: a single cough lasts 200 to 600 ms; shorter stretches are mostly parts of one
MIN_GAP_S = 0.4
SNR_DB = (5.0, 30.0)  # of the coughs above the background
PEAK = (0.03, 0.9)  # of the whole recording; 1 is full scale
FREE_DURATION_S = 20
FREE_PIECE_S = 6  # of each sound where no cough is: long recordings do not push the others aside
FREE_PEAK = (0.03, 0.9)
FREE_FLOOR = 3e-4


@dataclass(frozen=True)
class ComposedRecording:
    """``waveform`` (160000,) float32 at 16 kHz; ``coughs`` are (start_s, end_s) in order of time."""

    waveform: np.ndarray
    coughs: list[tuple[float, float]]


def compose_recordings(store: WaveformStore, n_recordings: int, seed: int = 0) -> list[ComposedRecording]:
    """Place single coughs of the validation recordings over cough-free ones; a pure function of store and seed.

    A recording has 0 to 5 coughs, at least 0.4 s apart, 5 to 30 dB above the background, which is speech, laughter,
    breathing, noise or what else is labelled as free of coughs.

    Raises
    ------
    DataError
        If the validation recordings have no cough with a clear start and end, or nothing that is free of coughs.
    """
    coughs = [piece for index in store.indices("validation") for piece in _single_coughs(store, index)]
    backgrounds = [
        index
        for index in store.indices("validation")
        if is_cough_free(store.rows[index].labels) and store.waveform(index).any()
    ]
    if not coughs or not backgrounds:
        raise DataError("the validation recordings have no clear single cough, or none that is free of coughs")
    generator = np.random.default_rng(seed)
    return [_compose(store, coughs, backgrounds, generator) for _ in range(n_recordings)]


def _single_coughs(store: WaveformStore, index: int) -> list[np.ndarray]:
    """The stretches of a cough recording that are active for 200 to 600 ms."""
    if "cough" not in store.rows[index].labels:
        return []
    waveform = store.sound(index)
    shortest, longest = COUGH_FRAMES
    return [
        waveform[start * STEP_SAMPLES : stop * STEP_SAMPLES]
        for start, stop in runs(active_frames(waveform))
        if shortest <= stop - start <= longest
    ]


def _compose(
    store: WaveformStore, coughs: list[np.ndarray], backgrounds: list[int], generator: Generator
) -> ComposedRecording:
    n_samples = round(DURATION_S * SAMPLE_RATE_HZ)
    background = store.waveform(int(generator.choice(backgrounds))).astype(np.float32)
    sound = np.resize(background, n_samples) / np.sqrt(np.mean(background**2) + 1e-9)
    times = []
    for piece in (coughs[n] for n in generator.integers(len(coughs), size=generator.integers(MAX_COUGHS + 1))):
        start = int(generator.integers(n_samples - len(piece)))
        span = (start / SAMPLE_RATE_HZ, (start + len(piece)) / SAMPLE_RATE_HZ)
        if all(span[1] + MIN_GAP_S < other[0] or other[1] + MIN_GAP_S < span[0] for other in times):
            level = np.sqrt(np.mean(piece**2) + 1e-12)
            gain = 10 ** (generator.uniform(*SNR_DB) / 20) / level
            sound[start : start + len(piece)] += np.float32(gain) * piece
            times.append(span)
    peak = generator.uniform(*PEAK)
    return ComposedRecording((sound * peak / np.abs(sound).max()).astype(np.float32), sorted(times))


def compose_cough_free(store: WaveformStore, hours: float, seed: int = 0) -> Iterator[ComposedRecording]:
    """Compose validation sound without a cough, `hours` in recordings of 20 s; a function of store and seed.

    Sounds follow one another with pauses of up to a second, each at a level of its own, over a faint noise. Every pack
    is heard equally often, and every second sound lies over a part of another one.

    Raises
    ------
    DataError
        If no validation recording is labelled as free of coughs.
    """
    rows_of_pack: dict[str, list[int]] = {}
    for index in store.indices("validation"):
        if is_cough_free(store.rows[index].labels) and store.waveform(index).any():
            rows_of_pack.setdefault(store.rows[index].pack, []).append(index)
    if not rows_of_pack:
        raise DataError("no validation recording is labelled as free of coughs")
    generator = np.random.default_rng((seed, 1))
    packs = [rows_of_pack[pack] for pack in sorted(rows_of_pack)]
    for _ in range(round(hours * 3600 / FREE_DURATION_S)):
        yield ComposedRecording(_compose_cough_free(store, packs, generator), [])


def _compose_cough_free(store: WaveformStore, packs: list[list[int]], generator: Generator) -> np.ndarray:
    n_samples = FREE_DURATION_S * SAMPLE_RATE_HZ
    sound = FREE_FLOOR * generator.standard_normal(n_samples).astype(np.float32)
    place = 0
    while place < n_samples:
        rows = packs[generator.integers(len(packs))]
        piece = store.sound(int(generator.choice(rows)))[: FREE_PIECE_S * SAMPLE_RATE_HZ]
        piece = piece[: n_samples - place]
        gain = generator.uniform(*np.log(FREE_PEAK))
        sound[place : place + len(piece)] += np.float32(np.exp(gain) / np.abs(piece).max(initial=1e-3)) * piece
        pause_s = generator.uniform(-0.5 * len(piece) / SAMPLE_RATE_HZ, 0) if generator.random() < 0.5 else None
        place += len(piece) + round((generator.uniform(0, 1) if pause_s is None else pause_s) * SAMPLE_RATE_HZ)
    return np.clip(sound, -1, 1)
