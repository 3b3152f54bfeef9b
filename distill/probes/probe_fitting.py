"""The only place where a fitted probe becomes the probe file that a bundle takes, checked by core.probes itself."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.errors import ProbeError
from core.interpreter import EMBEDDING_SIZE
from core.probes import PROBE_FORMAT_VERSION, ClipSelection, parse_probe
from distill.probes.cohort import Cohort, check_disjoint
from distill.probes.linear_fit import N_FOLDS, FittedProbe, LinearModel
from distill.probes.spirometry import evaluate_spirometry, fit_spirometry
from distill.probes.triage import evaluate_triage, fit_triage

SYNTHETIC_WARNING = "measured on synthetic sound: these numbers say nothing about people or about any other recording"
UNITS = {"classification": "probability", "regression": "L"}


@dataclass(frozen=True)
class ProbeDescription:
    """What a probe file says about the probe beside its numbers; the fields are core.probes.Probe's."""

    name: str
    title: str
    status: str
    kind: str
    intended_use: str
    selection: ClipSelection
    data: str


def fit_probe(
    description: ProbeDescription, cohort: Cohort, model_sha256: str, external: Cohort | None = None, seed: int = 0
) -> dict[str, Any]:
    """Fit a probe and return the content of its file, already accepted by core.probes.

    Parameters
    ----------
    description : ProbeDescription
    cohort : Cohort
        What it is fitted on.
    model_sha256 : str
        The model whose embeddings the cohort holds.
    external : Cohort, optional
        A second cohort, for measuring only; needed for the status "validated".

    Raises
    ------
    ProbeError
        If the status is not one that these cohorts can give.
    DataError
        If a cohort is too small, has one class only, or shares a subject with the other.
    """
    check_status(description, cohort, external)
    if external is not None:
        check_disjoint(cohort, external)
    is_triage = description.kind == "classification"
    fitted = fit_triage(cohort, seed) if is_triage else fit_spirometry(cohort, seed)
    if external is not None:
        tested = evaluate_triage(fitted, external) if is_triage else evaluate_spirometry(fitted, cohort, external, seed)
        fitted.metrics["external_test"] = tested
    if cohort.is_synthetic:
        fitted.metrics["how"] = f"{SYNTHETIC_WARNING}; {fitted.metrics['how']}"
    content = _probe_file(description, fitted, _training_facts(description, cohort, fitted, model_sha256, seed))
    parse_probe(probe_json(content), f"{description.name}.json")
    return content


def check_status(description: ProbeDescription, cohort: Cohort, external: Cohort | None) -> None:
    """Refuse a status that promises more than the cohorts can show."""
    if description.status != "demonstration" and (cohort.is_synthetic or (external and external.is_synthetic)):
        raise ProbeError(
            f"probe {description.name!r} uses synthetic recordings: its status can only be demonstration, "
            f"not {description.status}"
        )
    if description.status == "validated" and external is None:
        raise ProbeError(
            f"probe {description.name!r} cannot be validated by the cohort it was fitted on: "
            "give a second cohort with --external-test, or the status research"
        )


def check_description(description: ProbeDescription) -> None:
    """Let core.probes read an empty probe of this description, before any recording is embedded."""
    zeros, ones = np.zeros(EMBEDDING_SIZE), np.ones(EMBEDDING_SIZE)
    empty = FittedProbe(LinearModel(zeros, ones, zeros, 0.0, 1.0), 1.0, None, None, {})
    if description.kind not in UNITS:
        raise ProbeError(f"a probe is of kind {' or '.join(UNITS)}, not {description.kind!r}")
    parse_probe(probe_json(_probe_file(description, empty, {})), f"{description.name}.json")


def _training_facts(
    description: ProbeDescription, cohort: Cohort, fitted: FittedProbe, model_sha256: str, seed: int
) -> dict[str, Any]:
    return {
        "description": description.data,
        "synthetic": cohort.is_synthetic,
        "n_subjects": cohort.n_subjects,
        "n_recordings": len(cohort.labels),
        "n_clips": cohort.n_clips,
        "n_unscored_recordings": cohort.n_unscored,
        "recordings_csv_sha256": cohort.table_sha256,
        "model_sha256": model_sha256,
        "regularizer": fitted.model.regularizer,
        "n_folds": N_FOLDS,
        "seed": seed,
    }


def _probe_file(description: ProbeDescription, fitted: FittedProbe, training: dict[str, Any]) -> dict[str, Any]:
    def rounded(values: np.ndarray) -> list[float]:
        return [float(f"{value:.8g}") for value in values]

    return {
        "format_version": PROBE_FORMAT_VERSION,
        "name": description.name,
        "title": description.title,
        "status": description.status,
        "kind": description.kind,
        "unit": UNITS[description.kind],
        "intended_use": description.intended_use,
        "clips": asdict(description.selection),
        "mean": rounded(fitted.model.mean),
        "scale": rounded(fitted.model.scale),
        "weights": rounded(fitted.model.weights),
        "intercept": fitted.model.intercept,
        "temperature": fitted.temperature,
        "operating_point": fitted.operating_point,
        "abstention_band": None if fitted.abstention_band is None else list(fitted.abstention_band),
        "training": training,
        "metrics": fitted.metrics,
    }


def probe_json(content: dict[str, Any]) -> bytes:
    """The probe file's bytes."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
