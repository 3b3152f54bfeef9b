"""Synthesizes cohorts from noise, to show how probes are fitted and for nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from core.audio import SAMPLE_RATE_HZ, write_wav
from core.errors import OutputError
from core.files import write_atomically
from distill.corpus.tables import table_text

N_SUBJECTS = 40
N_RECORDINGS = 3
COUGH_RECORDING_S = 3.0
BLOW_RECORDING_S = 4.0
BLOW_SPREAD = 0.08  # of one subject's blows, as a fraction of the FEV1
FLOOR_DBFS = (-70.0, -60.0)

Waveform = NDArray[np.float32]
Cohort = Iterator["SyntheticRecording"]


@dataclass(frozen=True)
class CoughShape:
    """How one synthetic subject coughs; the three parts follow the explosive, intermediate and voiced phase."""

    band_hz: tuple[float, float]
    decay_s: float
    wetness: float
    voice_hz: float


@dataclass(frozen=True)
class SyntheticRecording:
    """One recording of a synthetic subject; ``covariates`` are extra columns of the cohort's CSV."""

    subject_id: str
    label: float
    covariates: dict[str, str]
    waveform: Waveform


def tb_cohort(n_subjects: int = N_SUBJECTS, n_recordings: int = N_RECORDINGS, seed: int = 0) -> Cohort:
    """Yield `SyntheticRecording`s with 1 to 3 coughs in 3 s; every other subject has label 1."""
    for subject in range(n_subjects):
        generator = np.random.default_rng([seed, 1, subject])
        label = subject % 2
        shape = _draw_cough_shape(generator, label)
        for _ in range(n_recordings):
            yield SyntheticRecording(f"synthetic-tb-{subject:03d}", label, {}, _cough_recording(shape, generator))


def spirometry_cohort(n_subjects: int = N_SUBJECTS, n_recordings: int = N_RECORDINGS, seed: int = 0) -> Cohort:
    """Yield `SyntheticRecording`s of a forced blow of 4 s; the label is the simulated FEV1 in litres.

    Age 25-70 years, height and sex are drawn; the predicted FEV1 and FVC are those of ECSC 1993 (Quanjer et al.,
    doi:10.1183/09041950.005s1693); the obstruction is drawn independently of all three.
    """
    for subject in range(n_subjects):
        generator = np.random.default_rng([seed, 2, subject])
        covariates, fev1_l, fvc_l = _draw_lungs(generator)
        level_dbfs = generator.uniform(-24, -12)
        for _ in range(n_recordings):
            waveform = _blow_recording(fev1_l, fvc_l, level_dbfs, generator)
            yield SyntheticRecording(f"synthetic-spirometry-{subject:03d}", round(fev1_l, 3), covariates, waveform)


COHORTS: dict[str, Callable[..., Cohort]] = {"tb": tb_cohort, "spirometry": spirometry_cohort}


def write_cohort(name: str, folder: Path, n_subjects: int = N_SUBJECTS, seed: int = 0) -> Path:
    """Write one of `COHORTS` as `write_recordings` does, and return its table.

    Nothing in it is or resembles a measurement of anybody. The "TB" label and the FEV1 are drawn at random and then
    steer the synthesis (wetness, band and decay of a cough; decay and band of a blow), so that a probe has something
    to find. A probe fitted on it has the status `demonstration` and ``training.synthetic = true``, always.

    The CSV has the columns that ``tussis-probe fit --recordings`` reads: path (relative to the CSV), subject_id,
    label, synthetic (always 1), and for spirometry age_years, sex (F or M) and height_cm.
    """
    return write_recordings(COHORTS[name](n_subjects, seed=seed), folder)


def write_recordings(recordings: Cohort, folder: Path) -> Path:
    """Write WAV files, `N_RECORDINGS` a subject, and last their table ``recordings.csv``, which is returned."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    rows = []
    for number, recording in enumerate(recordings):
        path = folder / f"{recording.subject_id}-{number % N_RECORDINGS}.wav"
        write_wav(path, recording.waveform)
        row = {"path": path.name, "subject_id": recording.subject_id, "label": recording.label, "synthetic": 1}
        rows.append({**row, **recording.covariates})
    write_atomically(folder / "recordings.csv", table_text(list(rows[0]), rows))
    return folder / "recordings.csv"


def synthesize_cough(shape: CoughShape, generator: Generator) -> Waveform:
    """One cough of 0.3 to 0.6 s, peak 1: a burst of noise, a decaying rush, and a voiced end."""
    n_samples = round(generator.uniform(0.3, 0.6) * SAMPLE_RATE_HZ)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    noise = _band_noise(n_samples, shape.band_hz, generator)
    rush = noise * (np.exp(-time_s / 0.015) + 0.5 * np.exp(-time_s / shape.decay_s)) * np.minimum(1, time_s / 0.003)
    crackle_hz = generator.uniform(25, 45)
    crackle = 1 - shape.wetness * 0.5 * (1 + np.sign(np.sin(2 * np.pi * crackle_hz * time_s + generator.uniform(0, 6))))
    glide = shape.voice_hz * (1.1 - 0.3 * time_s)
    voice = sum(np.sin(2 * np.pi * k * np.cumsum(glide) / SAMPLE_RATE_HZ) / k for k in range(1, 8))
    voice *= 0.15 * np.clip((time_s - 0.15) / 0.05, 0, 1) * np.exp(-np.maximum(0, time_s - 0.2) / 0.06)
    cough = (rush * crackle + voice) * np.minimum(1, (n_samples - np.arange(n_samples)) / 400)
    return (cough / np.abs(cough).max()).astype(np.float32)


def synthesize_blow(fev1_l: float, fvc_l: float, n_samples: int, generator: Generator) -> Waveform:
    """A forced blow, peak 1: noise whose level and band follow an exponentially emptying lung.

    The flow is ``fvc / tau * exp(-t / tau)`` with the tau that empties ``fev1_l`` of ``fvc_l`` litres in one second.
    """
    tau_s = -1 / np.log(1 - fev1_l / fvc_l)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    flow_l_per_s = fvc_l / tau_s * np.exp(-time_s / tau_s) * np.minimum(1, time_s / 0.08)
    share = np.clip(flow_l_per_s / 8, 0, 1)
    low = _band_noise(n_samples, (150, 900), generator)
    high = _band_noise(n_samples, (900, 5000), generator)
    blow = share * ((1 - share) * low + share * high) + 0.2 * share * low
    return (blow / np.abs(blow).max()).astype(np.float32)


def _draw_cough_shape(generator: Generator, label: int) -> CoughShape:
    """Label 1 shifts each parameter by about one standard deviation of the spread between subjects."""
    low_hz = np.clip(generator.normal(450 - 80 * label, 80), 200, 700)
    return CoughShape(
        band_hz=(float(low_hz), float(np.clip(generator.normal(4200 - 600 * label, 600), 2500, 6000))),
        decay_s=float(np.clip(generator.normal(0.10 + 0.03 * label, 0.03), 0.04, 0.25)),
        wetness=float(np.clip(generator.normal(0.3 + 0.3 * label, 0.2), 0, 0.9)),
        voice_hz=float(generator.uniform(110, 260)),
    )


def _draw_lungs(generator: Generator) -> tuple[dict[str, str], float, float]:
    """Covariates of the CSV, FEV1 and FVC in litres."""
    is_male = bool(generator.integers(2))
    age_years = int(generator.integers(25, 71))
    height_cm = round(float(generator.normal(176 if is_male else 163, 7)), 1)
    height_m = height_cm / 100
    fev1_l = 4.30 * height_m - 0.029 * age_years - 2.49 if is_male else 3.95 * height_m - 0.025 * age_years - 2.60
    fvc_l = 5.76 * height_m - 0.026 * age_years - 4.34 if is_male else 4.43 * height_m - 0.026 * age_years - 2.89
    ratio = np.clip(fev1_l / fvc_l, 0.6, 0.9) * generator.uniform(0.5, 1.05)
    fvc_l = max(1.2, fvc_l * generator.normal(1, 0.08))
    sex = "M" if is_male else "F"
    return {"age_years": str(age_years), "sex": sex, "height_cm": str(height_cm)}, float(ratio * fvc_l), float(fvc_l)


def _cough_recording(shape: CoughShape, generator: Generator) -> Waveform:
    waveform = _room(round(COUGH_RECORDING_S * SAMPLE_RATE_HZ), generator)
    n_coughs = int(generator.integers(1, 4))
    starts_s = 0.2 + 0.8 * np.arange(n_coughs) + generator.uniform(0, 0.2, n_coughs)
    for start_s in starts_s:
        cough = synthesize_cough(shape, generator) * 10 ** (generator.uniform(-14, -4) / 20)
        start = round(start_s * SAMPLE_RATE_HZ)
        waveform[start : start + len(cough)] += cough
    return waveform


def _blow_recording(fev1_l: float, fvc_l: float, level_dbfs: float, generator: Generator) -> Waveform:
    waveform = _room(round(BLOW_RECORDING_S * SAMPLE_RATE_HZ), generator)
    start = round(generator.uniform(0.1, 0.4) * SAMPLE_RATE_HZ)
    fev1_l = min(fev1_l * generator.normal(1, BLOW_SPREAD), 0.95 * fvc_l)
    peak = 10 ** ((level_dbfs + generator.normal(0, 1)) / 20)
    waveform[start:] += peak * synthesize_blow(fev1_l, fvc_l, len(waveform) - start, generator)
    return waveform


def _room(n_samples: int, generator: Generator) -> Waveform:
    """Background noise between -70 and -60 dBFS."""
    level = 10 ** (generator.uniform(*FLOOR_DBFS) / 20)
    return (level * generator.standard_normal(n_samples)).astype(np.float32)


def _band_noise(n_samples: int, band_hz: tuple[float, float], generator: Generator) -> NDArray[np.float64]:
    from scipy.signal import butter, sosfilt  # a second to import, for nobody who only reads the help

    sections = butter(2, band_hz, btype="bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return sosfilt(sections, generator.standard_normal(n_samples))
