"""Measures how honest a coach's verdict is: real single coughs at known times, under steady and real noise.

    python -m tests.app.coughs_under_noise ../shared/data    # about ten minutes

`../shared/data` has the packs of CONTRIBUTING.md with `cough_events_auto.csv`; esc50_part is not read.
"""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from app.coach import Coach, Verdict
from app.recorder import to_pcm16
from app.sound.hearing import ColumnRing, Hearing
from app.study import practice_study
from core.audio import SAMPLE_RATE_HZ, read_waveform
from core.screener import Screener

COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # by which power of the frequency the amplitude falls
SNRS_DB = (None, 40, 30, 20, 16, 12, 8, 4, 0, -5, -10)  # None: the coughs alone, over faint noise
REAL_NOISES = ("rain", "city", "restaurant", "train", "wind", "sea_waves", "engine_idling", "children_playing")
N_RECORDINGS = 40
DURATION_S = 10.0
TENTH_SAMPLES = SAMPLE_RATE_HZ // 10


@dataclass(frozen=True)
class Judged:
    """One recording: how many coughs it holds, how many are counted in it, and the verdict."""

    n_coughs: int
    counted: int | None
    verdict: Verdict


def noise_of(colour: float, n_samples: int, generator: Generator) -> np.ndarray:
    """Noise of RMS 1 whose amplitude falls with the frequency to the power of `colour`, from 20 Hz on."""
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(generator.standard_normal(n_samples)) / np.maximum(frequency_hz, 20.0) ** colour
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / noise.std()


def loudest_tenth(sound: np.ndarray) -> float:
    """RMS of the loudest tenth of a second."""
    powers = np.convolve(np.square(sound), np.full(TENTH_SAMPLES, 1 / TENTH_SAMPLES), "same")
    return float(np.sqrt(powers.max()))


def under(noise: np.ndarray, coughs: np.ndarray, snr_db: float | None, peak: float) -> np.ndarray:
    """Coughs whose loudest tenth of a second lies `snr_db` over the noise's RMS."""
    gain = 10 ** (-(60.0 if snr_db is None else snr_db) / 20) * loudest_tenth(coughs) / noise.std()
    mixed = coughs + gain * noise
    return (peak / np.abs(mixed).max() * mixed).astype(np.float32)


def judge(waveform: np.ndarray, screener: Screener, n_coughs: int) -> Judged:
    """What the practice study's limits make of a recording at 16 kHz."""
    study = practice_study()
    coach = Coach(study.limits, study.task("coughs"))
    listeners = (ColumnRing(coach), Hearing(lambda: screener, coach))
    samples = to_pcm16(waveform)
    for start in range(0, len(samples), 3200):
        for listener in listeners:
            listener.hear(samples[start : start + 3200], SAMPLE_RATE_HZ)
    listeners[1].finish()
    screening = listeners[1].screening
    return Judged(n_coughs, screening.cough_count, coach.verdict(screening))


def single_coughs(data: Path) -> list[np.ndarray]:
    """Clear single coughs of 150 to 600 ms, each with faded ends and the RMS of its loudest tenth of a second as 1."""
    pieces, waveforms = [], {}
    with (data / "cough_events_auto.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["tier"] == "A" and float(row["gap_after_s"]) >= 0.1]
    for row in rows:
        start_s, end_s = float(row["onset_s"]), float(row["offset_s"])
        if not 0.15 <= end_s - start_s <= 0.6:
            continue
        if row["path"] not in waveforms:
            waveforms = {row["path"]: read_waveform(data / row["path"])}
        first = max(0, round((start_s - 0.03) * SAMPLE_RATE_HZ))
        piece = waveforms[row["path"]][first : round((end_s + 0.05) * SAMPLE_RATE_HZ)].copy()
        piece[:240] *= np.linspace(0, 1, 240)
        piece[-480:] *= np.linspace(1, 0, 480)
        pieces.append(piece / loudest_tenth(piece))
    return pieces


def composed(pieces: list[np.ndarray], generator: Generator) -> tuple[np.ndarray, int]:
    """Three to eight coughs, at least 0.9 s from one beginning to the next, 3 dB louder or softer; how many."""
    n_coughs = int(generator.integers(3, 9))
    sound = np.zeros(round(DURATION_S * SAMPLE_RATE_HZ), np.float32)
    starts_s = np.sort(generator.uniform(0.5, DURATION_S - 0.7 - 0.9 * n_coughs, n_coughs)) + 0.9 * np.arange(n_coughs)
    for start_s in starts_s:
        piece, start = pieces[generator.integers(len(pieces))], round(start_s * SAMPLE_RATE_HZ)
        sound[start : start + len(piece)] += piece * np.float32(10 ** (generator.uniform(-3, 3) / 20))
    return sound, n_coughs


def real_noises(data: Path) -> dict[str, list[Path]]:
    """Recordings of noise by their label."""
    found: dict[str, list[Path]] = {}
    for pack in ("ambient_cc", "urbansound8k_part"):
        with (data / pack / "manifest.csv").open() as table:
            for row in csv.DictReader(table):
                for label in set(row["labels"].split(";")) & set(REAL_NOISES):
                    found.setdefault(label, []).append(data / pack / row["path"])
    return found


def measured(data: Path, screener: Screener, n_recordings: int) -> Iterator[tuple[str, float | None, Judged]]:
    """Yield the kind of noise, the signal over noise in dB and what was judged."""
    pieces, real = single_coughs(data), real_noises(data)
    for seed in range(n_recordings):
        generator = np.random.default_rng((seed, 27))
        coughs, n_coughs = composed(pieces, generator)
        noises = [("steady", noise_of(colour, len(coughs), generator)) for colour in COLOURS.values()]
        path = generator.choice(real[sorted(real)[seed % len(real)]])
        noises.append(("real", np.resize(read_waveform(path), len(coughs))))
        for kind, noise in noises:
            for snr_db in SNRS_DB:
                peak = 10 ** (generator.uniform(-20, -1) / 20)
                yield kind, snr_db, judge(under(noise, coughs, snr_db, peak), screener, n_coughs)


def table(rows: list[tuple[str, float | None, Judged]]) -> str:
    """Lines of the share that is judged and, of these, the share within one cough of the truth."""
    lines = ["noise   SNR dB  judged  of these within 1  zero of them  counted without a verdict, within 1"]
    for kind in ("steady", "real"):
        for snr_db in SNRS_DB:
            group = [judged for row_kind, row_db, judged in rows if (row_kind, row_db) == (kind, snr_db)]
            told = [one for one in group if one.verdict.coughs is not None]
            right = [abs(one.verdict.coughs - one.n_coughs) <= 1 for one in told]
            zeros = sum(one.verdict.coughs == 0 for one in told)
            bare = [abs((one.counted or 0) - one.n_coughs) <= 1 for one in group]
            share = f"{np.mean(right):.2f}" if told else "-"
            name = "alone" if snr_db is None else snr_db
            lines.append(
                f"{kind:7} {name!s:>6} {len(told) / len(group):7.2f} {share:>18} {zeros:13} {np.mean(bare):12.2f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    from core.bundle import load_bundle

    print(table(list(measured(Path(sys.argv[1]), Screener(load_bundle()), N_RECORDINGS))))


if __name__ == "__main__":
    main()
