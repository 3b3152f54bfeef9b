"""Measures how well each event label is told from the rest on validation recordings, by student and teachers."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from distill.corpus.labels import EVENT_LABELS, holds_event
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.event_teachers import EventTeacherSettings
from distill.distillation.targets import Targets, crop_offsets, cut_crop
from distill.evaluation.metrics import Estimate, auroc, auroc_with_interval
from distill.models.student import Student
from distill.shown_text import PlainConsole

_BATCH = 64
_COUGH = EVENT_LABELS.index("cough")
_TEACHERS = {"YAMNet": 0.0, "mn04_as": 1.0, "both": None}


def validate(student: Student, store: WaveformStore) -> dict[str, float]:
    """AUROC of each label on the labelled validation recordings (highest logit of their crops), as ``LABEL_auroc``.

    For coughs that of Coswara alone too: there one microphone recorded coughs, breaths and speech, so that the channel
    cannot help. A set of recordings without both classes has no AUROC and is left out.
    """
    best = student_logits(student, store)
    coswara = {row: logits for row, logits in best.items() if store.rows[row].pack.startswith("coswara")}
    return label_aurocs(best, store) | {
        f"{name}_coswara": value for name, value in label_aurocs(coswara, store).items() if name == "cough_auroc"
    }


def label_aurocs(logits_of_row: dict[int, np.ndarray], store: WaveformStore) -> dict[str, float]:
    """AUROC of each label, by the logits (n_events,) of recordings of a store; those undecided are left out."""
    aurocs = {}
    for column, label in enumerate(EVENT_LABELS):
        truth = {row: holds_event(store.rows[row].labels, label) for row in logits_of_row}
        decided = [row for row, holds in truth.items() if holds is not None]
        holds = [truth[row] for row in decided]
        if len(set(holds)) == 2:
            aurocs[f"{label}_auroc"] = auroc([float(logits_of_row[row][column]) for row in decided], holds)
    return aurocs


def left_out_aurocs(student: Student, store: WaveformStore, packs: Collection[str]) -> dict[str, Estimate]:
    """AUROC of the coughs of each pack with coughs, of `packs`, that `student` left out, by the pack's name.

    Others are the pack's own recordings without a cough, and the validation recordings without one that share no
    subject or source with `packs`. Intervals are over resampled subjects.
    """
    store = store.without_packs(packs)
    rows = store.indices("validation") + [row for row, of in enumerate(store.rows) if of.pack in packs]
    truth = {row: holds_event(store.rows[row].labels, "cough") for row in rows if store.rows[row].labelled}
    logits = student_logits(student, store, [row for row, holds in truth.items() if holds is not None])
    others = [row for row in logits if not truth[row] and store.rows[row].role == "validation"]
    aurocs = {}
    for pack in packs:
        of_pack = [row for row in logits if store.rows[row].pack == pack]
        if any(truth[row] for row in of_pack):
            items = [*of_pack, *others]
            scores, subjects = [logits[row][_COUGH] for row in items], [store.rows[row].subject_id for row in items]
            aurocs[pack] = auroc_with_interval(scores, [truth[row] for row in items], subjects)
    return aurocs


def student_logits(student: Student, store: WaveformStore, rows: Iterable[int] | None = None) -> dict[int, np.ndarray]:
    """The highest logit of each label in the crops of recordings `rows`, by row; of the labelled validation ones."""
    if rows is None:
        rows = [row for row in store.indices("validation") if store.rows[row].labelled]
    crops = [(row, offset) for row in rows for offset in crop_offsets(len(store.waveform(row)))]
    device = next(student.parameters()).device
    best: dict[int, np.ndarray] = {}
    for start in range(0, len(crops), _BATCH):
        batch = crops[start : start + _BATCH]
        clips = np.stack([cut_crop(store.waveform(row), offset) for row, offset in batch])
        with torch.inference_mode():
            logits = student(torch.from_numpy(clips).to(device)).event_logits.float().cpu().numpy()
        for (row, _), of_crop in zip(batch, logits, strict=True):
            best[row] = np.maximum(best.get(row, -np.inf), of_crop)
    return best


def teacher_logits(store: WaveformStore, targets: Targets) -> dict[int, np.ndarray]:
    """The highest score of each label in the crops of each labelled validation recording, by the recording's row."""
    best: dict[int, np.ndarray] = {}
    for row, scores in zip(targets.row.tolist(), targets.scores, strict=True):
        if store.rows[row].role == "validation" and store.rows[row].labelled:
            best[row] = np.maximum(best.get(row, -np.inf), scores)
    return best


def compare(
    store: WaveformStore, folder: Path, settings: EventTeacherSettings, student: Student | None
) -> dict[str, dict[str, float]]:
    """AUROC of each label on validation recordings, for each event teacher, their blend and a student, by name."""
    result = {}
    for name, mn04_weight in _TEACHERS.items():
        blends = {label: settings.of(label, mn04_weight) for label in EVENT_LABELS}
        targets = Targets.load_blended(folder, settings.model_copy(update={"labels": blends}))
        result[name] = label_aurocs(teacher_logits(store, targets), store)
    return result | ({"student": label_aurocs(student_logits(student, store), store)} if student else {})


def show(result: dict[str, dict[str, float]], console: PlainConsole) -> None:
    """Print a row per label and a column per teacher and student."""
    table = Table("label", *result, title="AUROC on validation recordings, maximum over their crops")
    labels = list(dict.fromkeys(label for aurocs in result.values() for label in aurocs))
    for label in labels:
        cells = [f"{aurocs[label]:.4f}" if label in aurocs else "-" for aurocs in result.values()]
        table.add_row(label.removesuffix("_auroc"), *cells)
    console.print(table)


def show_left_out(aurocs: dict[str, Estimate], console: PlainConsole) -> None:
    """Print a row per pack."""
    table = Table("pack left out", "AUROC", "95 %", "n", "subjects", title="AUROC of the coughs of a pack left out")
    for pack, of in aurocs.items():
        interval = "-" if of.low is None else f"{of.low:.3f} to {of.high:.3f}"
        table.add_row(pack, f"{of.value:.4f}", interval, str(of.n), str(of.n_subjects))
    console.print(table)
