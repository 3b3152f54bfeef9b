"""Measures how a probe grows better with more people to learn from (tussis-probe curve)."""

import io
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from core.bundle import load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, make_folder, write_atomically
from core.probes import ClipSelection
from distill.corpus.tables import table_text
from distill.evaluation.metrics import auroc
from distill.probes.cohort import MIN_SUBJECTS_PER_CLASS, Cohort, check_enough, labelled_by, load_cohort
from distill.probes.embed import model_of_bundle
from distill.probes.embedding_cache import DEFAULT_FOLDER
from distill.probes.kinds import KINDS, check_event, kinds_of_heads
from distill.probes.linear_fit import (
    balanced_cross_entropy,
    fit_with_best_regularizer,
    logistic_path,
    mean_absolute_error,
    participant_means,
    ridge_path,
    subject_folds,
)
from distill.shown_text import PlainConsole

COMMAND, SCHEMA = "tussis-probe", "tussis.data_efficiency/1"
FRACTIONS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
N_DRAWS = 5
TEST_FOLD = 0
COLUMNS = ("fraction", "draw", "n_subjects", "n_recordings", "value")
HOW = (
    "a fifth of the subjects is held out and never fitted on; each draw fits the probe on a fraction of the others, "
    "drawn from each class where there are classes; the value is that of the held-out participants"
)


def data_efficiency(cohort: Cohort, output: str, seed: int = 0) -> list[dict[str, Any]]:
    """AUROC, or mean absolute error, on held-out subjects by fraction of the training subjects and by draw.

    A fraction that leaves too few subjects of a class has the value None, with the reason.
    """
    check_enough(cohort, output)
    is_test = subject_folds(cohort.subjects, cohort.labels, seed) == TEST_FOLD
    training, test = cohort.only(~is_test), cohort.only(is_test)
    if output == "classification" and len(set(test.labels)) < 2:
        raise DataError(f"{cohort.table} has too few subjects: those that are held out are of one class")
    rows = []
    for fraction in FRACTIONS:
        for draw in range(N_DRAWS if fraction < 1 else 1):
            part = training.only(_drawn(training, fraction, output, (seed, draw)))
            about = {"fraction": fraction, "draw": draw}
            about |= {"n_subjects": part.n_subjects, "n_recordings": len(part.labels)}
            about["n_test_participants"] = test.n_subjects
            rows.append({**about, **_value(part, test, output, seed)})
    return rows


def _drawn(cohort: Cohort, fraction: float, output: str, seed: tuple[int, int]) -> NDArray[np.bool_]:
    """The recordings of a random fraction of the subjects, at least one of each class."""
    subjects, generator = np.asarray(cohort.subjects, dtype=str), np.random.default_rng(seed)
    is_positive = cohort.labels == 1 if output == "classification" else np.zeros(len(subjects), bool)
    positive = np.unique(subjects[is_positive])
    classes = [positive, np.setdiff1d(subjects, positive)]
    chosen = [generator.permutation(each)[: max(1, round(fraction * len(each)))] for each in classes if len(each)]
    return np.isin(subjects, np.concatenate(chosen))


def _value(part: Cohort, test: Cohort, output: str, seed: int) -> dict[str, Any]:
    is_class = output == "classification"
    path, loss = (logistic_path, balanced_cross_entropy) if is_class else (ridge_path, mean_absolute_error)
    subjects = np.asarray(part.subjects, dtype=str)
    n_least = min(len(set(subjects[part.labels == each])) for each in (0.0, 1.0))
    if (n_least if is_class else part.n_subjects) < MIN_SUBJECTS_PER_CLASS:
        return {"value": None, "reason": f"fewer than {MIN_SUBJECTS_PER_CLASS} subjects{' of a class' * is_class}"}
    try:
        model = fit_with_best_regularizer(part.features, part.labels, part.subjects, path, loss, seed)
    except DataError as error:
        return {"value": None, "reason": str(error)}
    values, targets, _ = participant_means(model.scores(test.features), test.labels, test.subjects)
    return {"value": auroc(values, targets == 1) if is_class else mean_absolute_error(values, targets), "reason": None}


def draw_curve(rows: list[dict[str, Any]], quantity: str) -> bytes:
    """The draws as dots and their mean as a line, an SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    known = [row for row in rows if row["value"] is not None]
    groups = [[row for row in known if row["fraction"] == each] for each in sorted({row["fraction"] for row in known})]
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axis = figure.subplots()
    axis.plot([row["n_subjects"] for row in known], [row["value"] for row in known], "o", alpha=0.4, label="a draw")
    means = [[np.mean([row[key] for row in group]) for group in groups] for key in ("n_subjects", "value")]
    axis.plot(*means, "-", label="mean of the draws")
    axis.set_xlabel("subjects that the probe is fitted on")
    axis.set_ylabel(f"{quantity} of held-out subjects")
    axis.legend()
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def curve(
    recordings: Annotated[
        Path, typer.Option(help="CSV: path (relative to it), subject_id, label or the head's column.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for curve.json, curve.csv and curve.svg.")],
    head: Annotated[str, typer.Option(help="COLUMN or COLUMN:KIND, as of fit; the column label when left out.")] = "",
    kind: Annotated[str, typer.Option(help="Where no head is given: classification or regression.")] = "classification",
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    event: Annotated[str, typer.Option(help="Listen to clips with this event; 'none' for all clips.")] = "cough",
    min_probability: Annotated[float, typer.Option(min=0, max=1, help="Of that event in a clip.")] = 0.5,
    cache: Annotated[Path, typer.Option(help="Folder that keeps embeddings.")] = DEFAULT_FOLDER,
    seed: Annotated[int, typer.Option(help="Of the folds and the draws.")] = 0,
) -> None:
    """Fit on growing fractions of the subjects, five draws each, and measure on a fifth that is held out.

    Example: tussis-probe curve --recordings tb.csv --out curve
    """
    with exit_on_error(COMMAND):
        make_folder(out)
        check_writable(out / "curve.json", SCHEMA.partition("/")[0])
        heads = kinds_of_heads([head] if head else [])
        if unknown := sorted({kind, *heads.values()} - KINDS.keys()):
            raise DataError(f"a probe is of kind {' or '.join(KINDS)}, not {unknown[0]!r}")
        output = KINDS[next(iter(heads.values()), kind)].output
        selection = ClipSelection(None if event == "none" else event, min_probability, 1, "mean")
        model = model_of_bundle(load_bundle(bundle))
        check_event(selection, model)
        cohort = load_cohort(recordings, None if heads else output, selection, model, cache=cache)
        for column in heads:
            cohort = labelled_by(cohort, column, output)
        _write_curve(data_efficiency(cohort, output, seed), cohort, output, model.sha256, out)


def _write_curve(rows: list[dict[str, Any]], cohort: Cohort, output: str, model_sha256: str, out: Path) -> None:
    quantity = "AUROC" if output == "classification" else "mean absolute error"
    about = {"schema": SCHEMA, "how": HOW, "quantity": quantity, "synthetic": cohort.is_synthetic}
    about["n_test_participants"] = rows[0]["n_test_participants"]
    about |= {"table_sha256": cohort.table_sha256, "model_sha256": model_sha256, "draws": rows}
    write_atomically(out / "curve.svg", draw_curve(rows, quantity))
    write_atomically(out / "curve.csv", table_text(COLUMNS, rows))
    write_atomically(out / "curve.json", json.dumps(about, indent=1, allow_nan=False) + "\n")
    for fraction in FRACTIONS:
        mean = _mean_in_words([row["value"] for row in rows if row["fraction"] == fraction])
        PlainConsole(soft_wrap=True).print(f"{fraction:.0%} of the subjects: {quantity} {mean}")


def _mean_in_words(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f} ({min(known):.3f} to {max(known):.3f})" if known else "- (too few subjects)"
