"""Says what kinds of probes there are, how each is fitted and tested, and what a probe may be called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from core.errors import ProbeError
from core.probes import ClipSelection
from distill.probes.cohort import Cohort, check_sites_known
from distill.probes.embed import EmbeddingModel
from distill.probes.linear_fit import FittedProbe
from distill.probes.spirometry.agreement import MEASURES
from distill.probes.spirometry.lung_function import evaluate_spirometry, fit_spirometry
from distill.probes.triage import evaluate_triage, fit_triage


class Kind(NamedTuple):
    """How probes of one kind are fitted, tested on an external cohort, and in which unit they answer.

    ``output`` is "classification" or "regression", the kind that core reads; ``title`` is what people call the
    quantity, empty where it has no name. ``fit(cohort, seed)``;
    ``test(fitted, training_cohort, external_cohort, seed)`` returns metrics.
    """

    output: str
    unit: str
    fit: Callable[[Cohort, int], FittedProbe]
    test: Callable[[FittedProbe, Cohort, Cohort, int], dict[str, Any]]
    title: str = ""


def _kind_of(measure: str) -> Kind:
    fit, test = partial(fit_spirometry, measure=measure), partial(evaluate_spirometry, measure=measure)
    return Kind("regression", MEASURES[measure].unit, fit, test, MEASURES[measure].title)


KINDS = {
    "classification": Kind("classification", "probability", fit_triage, evaluate_triage),
    "regression": _kind_of("fev1_l"),
    "fvc": _kind_of("fvc_l"),
    "fev1_fvc": _kind_of("fev1_fvc"),
    "pef": _kind_of("pef_l_per_s"),
}


@dataclass(frozen=True)
class ProbeDescription:
    """What a probe file says about the probe beside its numbers; the fields are core.probes.Probe's.

    ``heads`` (name to kind) are columns of the table with a head each; without any there is one head, of ``kind``,
    whose labels are in the column ``label``. ``columns`` are clinical columns that all heads take beside the sound.
    """

    name: str
    title: str
    status: str
    kind: str
    intended_use: str
    selection: ClipSelection
    data: str
    heads: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()


KIND_OF_COLUMN = {"fev1_l": "regression", "fvc_l": "fvc", "fev1_fvc": "fev1_fvc", "pef_l_per_s": "pef"}


def kinds_of_heads(given: Sequence[str]) -> dict[str, str]:
    """The kind of each head that is given as COLUMN or COLUMN:KIND; the column is the head's name."""
    heads = {}
    for each in given:
        column, _, kind = each.partition(":")
        if column in heads:
            raise ProbeError(f"--head names the column {column!r} twice")
        heads[column] = kind or KIND_OF_COLUMN.get(column, "classification")
    return heads


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
    if description.status == "validated" and external is not None:
        check_sites_known(cohort, external)


def check_event(selection: ClipSelection, model: EmbeddingModel) -> None:
    """Refuse a selection by an event that the model does not know."""
    if selection.event not in (None, *model.event_labels):
        raise ProbeError(
            f"--event is {selection.event!r}; the model knows {', '.join(model.event_labels)}, and none for all clips"
        )
