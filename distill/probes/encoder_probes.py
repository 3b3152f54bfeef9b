"""Measures how well a linear probe reads labels off an encoder's embeddings, on people whom it never heard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES
from core.errors import DataError
from distill.corpus.labels import event_labels_of
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore, as_float
from distill.distillation.targets import MAX_BLOCK_SIZE, principal_axes
from distill.distillation.teachers import Teacher
from distill.evaluation.metrics import auroc, auroc_difference_with_interval, auroc_with_interval
from distill.probes.linear_fit import fit_with_best_regularizer, ridge_path
from distill.shown_text import PlainConsole, progress_label

SCHEMA = "tussis.label_probes/1"
FLOOR = "log-mel statistics"
NOISE = "noise"
LABELS = ("cough", "breathing", "speech", "sneeze", NOISE)
HELD_OUT_PACK = "coswara_20200413"  # one microphone recorded its coughs, breaths and speech: the channel cannot help
_LOUDEST_GRID_SAMPLES = 1_600  # 0.1 s
_BATCH = 64

_WINDOW_SAMPLES = 400
_HOP_SAMPLES = 160
_N_MELS = 64
_MEL_MIN_HZ, _MEL_MAX_HZ = 60.0, 7_800.0
_RELATIVE_FLOOR = 1e-5  # 50 dB below the clip's mean energy
_SILENCE_POWER = 1e-12

Embed = Callable[[Tensor], Tensor]


class LogMelStatistics:
    """The floor for embeddings, with nothing learnt: mean, standard deviation and maximum over time of each mel band.

    Of the sets of statistics that were tried this one gives the highest floor (EXPERIMENTS.md).
    64 HTK bands of 25 ms windows every 10 ms, relative to the clip's mean energy, so that gain changes nothing.
    """

    name = FLOOR
    fingerprint = None
    embedding_size = 3 * _N_MELS

    def __init__(self) -> None:
        from librosa.filters import mel

        filters = mel(
            sr=SAMPLE_RATE_HZ,
            n_fft=_WINDOW_SAMPLES,
            n_mels=_N_MELS,
            fmin=_MEL_MIN_HZ,
            fmax=_MEL_MAX_HZ,
            htk=True,
            norm=None,
        )
        self._filters = torch.tensor(filters.T.copy())
        self._window = torch.hann_window(_WINDOW_SAMPLES)

    def embed(self, waveform: Tensor) -> Tensor:
        """Describe waveforms (batch, 32000), float32 at 16 kHz, as (batch, 192)."""
        frames = waveform.unfold(1, _WINDOW_SAMPLES, _HOP_SAMPLES) * self._window
        energy = torch.fft.rfft(frames).abs().square() @ self._filters
        relative = energy / (energy.mean(dim=(1, 2), keepdim=True) + _SILENCE_POWER)
        log_mel = torch.log(relative + _RELATIVE_FLOOR)
        return torch.cat([log_mel.mean(dim=1), log_mel.std(dim=1), log_mel.amax(dim=1)], dim=1)


def loudest_clip(recording: np.ndarray) -> np.ndarray:
    """Cut the 2 s with the most energy from an int16 recording, to 0.1 s; (32000,), float32. A shorter one is tiled."""
    waveform = as_float(recording)
    if len(waveform) <= CLIP_SAMPLES:
        return np.resize(waveform, CLIP_SAMPLES)
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    starts = np.arange(0, len(waveform) - CLIP_SAMPLES + 1, _LOUDEST_GRID_SAMPLES)
    start = starts[np.argmax(energy[starts + CLIP_SAMPLES] - energy[starts])]
    return waveform[start : start + CLIP_SAMPLES]


def labelled_rows(store: WaveformStore) -> list[int]:
    """Return the positions of the labelled recordings of training, validation and test."""
    return [
        index for index, row in enumerate(store.rows) if row.labelled and row.role in ("train", "validation", "test")
    ]


def embed_rows(store: WaveformStore, rows: Sequence[int], embed: Embed, what: str) -> np.ndarray:
    """Embed the loudest clip of each of `rows`, shape (n, d), float32; DataError where a value is not finite."""
    embeddings = []
    for start in track(range(0, len(rows), _BATCH), progress_label(what), console=PlainConsole(stderr=True)):
        clips = np.stack([loudest_clip(store.waveform(row)) for row in rows[start : start + _BATCH]])
        with torch.inference_mode():
            embeddings.append(embed(torch.from_numpy(clips)).float().cpu().numpy())
    values = np.concatenate(embeddings)
    if not np.isfinite(values).all():
        raise DataError(f"{what} gives embeddings that are not finite")
    return values


def probe_labels(embeddings: Mapping[str, np.ndarray], rows: Sequence[ManifestRow]) -> dict[str, dict[str, Any]]:
    """Fit a ridge probe per task on each embedding and measure it on people whom no probe was fitted on.

    HeAR's protocol (arXiv:2403.02522): standardized embeddings, 50 regularizers from 1e-5 to 1e5, chosen by five
    participant-level folds of the recordings that the probe is fitted on, then a fit to all of these.

    Parameters
    ----------
    embeddings : name -> array, shape (n, d); where one is called `FLOOR`, the others are compared with it
        One of more than `MAX_BLOCK_SIZE` values is standardized and reduced to its principal components on the training
        recordings, as the student's targets are.
    rows : the n recordings, of any role but "augment"

    Returns
    -------
    dict
        Per task (each of `LABELS` on the validation recordings; cough on Coswara, fitted without it; cough on the test
        packs) the counts, and per embedding AUROC with its interval by subject, regularizer, and the difference to the
        floor's AUROC with its interval. Tasks without both classes are left out.
    """
    embeddings = {name: _compact(values, rows) for name, values in embeddings.items()}
    results = {}
    for name, (label, fitted_on, measured_on) in _tasks(rows).items():
        positive = np.array([_holds(row, label) for row in rows])
        if min(len(set(positive[part])) for part in (fitted_on, measured_on)) == 2:
            results[name] = _probe_task(embeddings, rows, positive, fitted_on, measured_on)
    return results


def _compact(values: np.ndarray, rows: Sequence[ManifestRow]) -> np.ndarray:
    if values.shape[1] <= MAX_BLOCK_SIZE:
        return values.astype(np.float64)
    train = np.array([row.role == "train" for row in rows])
    scaled = (values - values[train].mean(axis=0)) / (values[train].std(axis=0) + 1e-6)
    return scaled @ principal_axes(scaled[train], min(MAX_BLOCK_SIZE, int(train.sum()))).astype(np.float64)


def _tasks(rows: Sequence[ManifestRow]) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    role, pack = (np.array([getattr(row, name) for row in rows]) for name in ("role", "pack"))
    train, held_out = role == "train", pack == HELD_OUT_PACK
    return {
        **{label: (label, train, role == "validation") for label in LABELS},
        "cough, Coswara": ("cough", train & ~held_out, held_out),
        "cough, test packs": ("cough", train, role == "test"),
    }


def _holds(row: ManifestRow, label: str) -> bool:
    return NOISE in row.labels if label == NOISE else label in event_labels_of(row.labels)


def _probe_task(
    embeddings: Mapping[str, np.ndarray],
    rows: Sequence[ManifestRow],
    positive: np.ndarray,
    fitted_on: np.ndarray,
    measured_on: np.ndarray,
) -> dict[str, Any]:
    fitted_subjects, subjects = (
        [row.subject_id for row, chosen in zip(rows, part, strict=True) if chosen] for part in (fitted_on, measured_on)
    )
    targets, truth = positive[fitted_on].astype(np.float64), positive[measured_on]
    scores, results = {}, {}
    for name, values in embeddings.items():
        model = fit_with_best_regularizer(values[fitted_on], targets, fitted_subjects, ridge_path, _one_minus_auroc)
        scores[name] = model.scores(values[measured_on])
        results[name] = asdict(auroc_with_interval(scores[name], truth, subjects)) | {"regularizer": model.regularizer}
    for name in results.keys() - {FLOOR} if FLOOR in results else ():
        difference = auroc_difference_with_interval(scores[name], scores[FLOOR], truth, subjects)
        results[name]["above_floor"] = asdict(difference)
    counts = {"n_fitted": int(fitted_on.sum()), "n_measured": len(truth), "n_positive": int(truth.sum())}
    return counts | {"n_subjects": len(set(subjects)), "auroc": results}


def _one_minus_auroc(scores: np.ndarray, targets: np.ndarray) -> float:
    return 1.0 - auroc(scores, targets > 0.5)


def measure_encoders(store: WaveformStore, teachers: Sequence[Teacher]) -> dict[str, Any]:
    """Probe each teacher, and the floor beside them, on the labelled recordings; the result in `SCHEMA`."""
    rows = labelled_rows(store)
    encoders = [LogMelStatistics(), *teachers]
    embeddings = {encoder.name: embed_rows(store, rows, encoder.embed, encoder.name) for encoder in encoders}
    facts = {encoder.name: {"fingerprint": encoder.fingerprint, "size": encoder.embedding_size} for encoder in encoders}
    tasks = probe_labels(embeddings, [store.rows[row] for row in rows])
    return {"schema": SCHEMA, "embeddings": facts, "tasks": tasks}


def show(result: dict[str, Any], console: PlainConsole) -> None:
    """Print AUROC with its interval, a row per task and a column per embedding."""
    names = list(result["embeddings"])
    table = Table("task", "n (positive)", *names, title="AUROC of linear probes on held-out subjects (95 % interval)")
    for task, measured in result["tasks"].items():
        cells = [_in_words(measured["auroc"][name]) for name in names]
        table.add_row(task, f"{measured['n_measured']} ({measured['n_positive']})", *cells)
    console.print(table)


def _in_words(estimate: dict[str, Any]) -> str:
    interval = "" if estimate["low"] is None else f" ({estimate['low']:.3f}-{estimate['high']:.3f})"
    return f"{estimate['value']:.3f}{interval}"
