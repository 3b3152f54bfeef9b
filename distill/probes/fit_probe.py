"""Fits probes (linear heads) on the shipped model's embeddings, as the files that a bundle takes (tussis-probe)."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from core.bundle import load_bundle
from core.errors import ProbeError, exit_on_error
from core.files import check_writable, is_standard_output, make_folder, sha256_of_file, write_atomically
from core.interpreter import EMBEDDING_SIZE, Interpreter, LiteRtInterpreter
from core.probes import PROBE_FORMAT_VERSION, ClipSelection, parse_probe
from distill.command_line import run_app
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS
from distill.distillation.targets_command import TEACHER_HELP
from distill.probes.cohort import WHOLE_RECORDING, Cohort, check_disjoint, load_cohort
from distill.probes.embed import EmbeddingModel, model_of_bundle
from distill.probes.linear_fit import N_FOLDS, FittedProbe, LinearModel
from distill.probes.spirometry.agreement import MEASURES
from distill.probes.spirometry.command import app as spirometry_app
from distill.probes.spirometry.lung_function import evaluate_spirometry, fit_spirometry
from distill.probes.synthetic_cohorts import write_cohort
from distill.probes.triage import evaluate_triage, fit_triage
from distill.shown_text import PlainConsole

SYNTHETIC_WARNING = "measured on synthetic sound: these numbers say nothing about people or about any other recording"


class Kind(NamedTuple):
    """How probes of one kind are fitted, tested on an external cohort, and in which unit they answer.

    ``output`` is "classification" or "regression", the kind that core reads. ``fit(cohort, seed)``;
    ``test(fitted, training_cohort, external_cohort, seed)`` returns metrics.
    """

    output: str
    unit: str
    fit: Callable[[Cohort, int], FittedProbe]
    test: Callable[[FittedProbe, Cohort, Cohort, int], dict[str, Any]]


def _kind_of(measure: str) -> Kind:
    fit, test = partial(fit_spirometry, measure=measure), partial(evaluate_spirometry, measure=measure)
    return Kind("regression", MEASURES[measure].unit, fit, test)


KINDS = {
    "classification": Kind("classification", "probability", fit_triage, evaluate_triage),
    "regression": _kind_of("fev1_l"),
    "fvc": _kind_of("fvc_l"),
    "fev1_fvc": _kind_of("fev1_fvc"),
    "pef": _kind_of("pef_l_per_s"),
}


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


DEMONSTRATION_HOP_S = 1.0

# The shipped probes hold `data` as it is here: another text is for the next bundle.
DEMONSTRATIONS = (
    ProbeDescription(
        name="tb",
        title="Tuberculosis triage from coughs (demonstration)",
        status="demonstration",
        kind="classification",
        intended_use="None. It shows how a probe is fitted, shipped and refused; it was fitted on synthetic sound.",
        selection=WHOLE_RECORDING,
        data="synthetic cohort written by distill/cohorts.py: noise shaped into coughs, labels drawn at random",
    ),
    ProbeDescription(
        name="spirometry",
        title="FEV1 from a forced breath (demonstration)",
        status="demonstration",
        kind="regression",
        intended_use="None. It shows how a probe is fitted, shipped and refused; it was fitted on synthetic sound.",
        selection=WHOLE_RECORDING,
        data="synthetic cohort written by distill/cohorts.py: noise shaped into blows, lungs drawn at random",
    ),
)


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
    kind = KINDS[description.kind]
    fitted = kind.fit(cohort, seed)
    if external is not None:
        fitted.metrics["external_test"] = kind.test(fitted, cohort, external, seed)
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
    if description.kind not in KINDS:
        raise ProbeError(f"a probe is of kind {' or '.join(KINDS)}, not {description.kind!r}")
    parse_probe(probe_json(_probe_file(description, empty, {})), f"{description.name}.json")


def check_event(selection: ClipSelection, model: EmbeddingModel) -> None:
    """Refuse a selection by an event that the model does not know."""
    if selection.event not in (None, *model.event_labels):
        raise ProbeError(
            f"--event is {selection.event!r}; the model knows {', '.join(model.event_labels)}, and none for all clips"
        )


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
        "kind": KINDS[description.kind].output,
        "unit": KINDS[description.kind].unit,
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


def fit_demonstration_probes(
    interpreter: Interpreter, model_sha256: str, out: Path, hop_s: float = DEMONSTRATION_HOP_S, seed: int = 0
) -> list[Path]:
    """Write ``tb.json`` and ``spirometry.json`` to ``out``, fitted on cohorts that are synthesized for the purpose.

    Parameters
    ----------
    interpreter : Interpreter
        The quantized model that the probes will be shipped with.
    model_sha256 : str
        Of its file.
    hop_s : float
        The hop of the bundle that will hold the probes.
    """
    model = EmbeddingModel(interpreter, hop_s, ACTIVITY_FRAME_STEP_S, EVENT_LABELS, model_sha256)
    make_folder(out)
    written = []
    for description in DEMONSTRATIONS:
        with tempfile.TemporaryDirectory() as folder:
            table = write_cohort(description.name, Path(folder), seed=seed)
            cohort = load_cohort(table, KINDS[description.kind].output, description.selection, model)
        written.append(out / f"{description.name}.json")
        write_atomically(written[-1], probe_json(fit_probe(description, cohort, model_sha256, seed=seed)))
    return written


COMMAND = "tussis-probe"
app = typer.Typer(add_completion=False, help="Fit probes (linear heads) on the shipped model's embeddings.")
app.add_typer(spirometry_app, name="spirometry")

_about = partial(typer.Option, rich_help_panel="What the probe file says")
_hears = partial(typer.Option, rich_help_panel="What the probe listens to")
_learns = partial(typer.Option, rich_help_panel="What it is fitted and tested on")
_STATUS_HELP = "research, demonstration, or validated (with --external-test)."
_KIND_HELP = "classification (labels 0 and 1), regression (FEV1 in L), fvc (L), fev1_fvc (a ratio) or pef (L/s)."


@app.command()
def fit(
    name: Annotated[str, _about(help="Lower-case name of the probe; the file is NAME.json.")],
    out: Annotated[Path, _about(help="Folder for NAME.json.")],
    intended_use: Annotated[str, _about(help="One line: who may use it, for what.")],
    data: Annotated[str, _about(help="One line: where the recordings come from and how they were labelled.")],
    recordings: Annotated[Path, _learns(help="CSV: path (relative to it), subject_id, label, covariates.")],
    title: Annotated[str, _about(help="Shown to people; the name when left out.")] = "",
    kind: Annotated[str, _about(help=_KIND_HELP)] = "classification",
    status: Annotated[str, _about(help=_STATUS_HELP)] = "research",
    bundle: Annotated[Path | None, _hears(help="Bundle folder; the shipped one when left out.")] = None,
    event: Annotated[str, _hears(help="Listen to clips with this event; 'none' for all clips.")] = "cough",
    min_probability: Annotated[float, _hears(help="Of that event in a clip, 0 to 1.")] = 0.5,
    min_clips: Annotated[int, _hears(min=1, help="Fewer such clips leave a recording unscored.")] = 1,
    external_test: Annotated[Path | None, _learns(help="CSV of a second cohort, for measuring only.")] = None,
    embeddings: Annotated[Path | None, _learns(help="NPZ of tussis-embed, instead of embedding again.")] = None,
    seed: Annotated[int, _learns(help="Of the folds.")] = 0,
) -> None:
    """Fit a probe on labelled recordings, split by subject, and write NAME.json with its metrics.

    Example: tussis-probe fit --recordings tb.csv --name tb --out probes --intended-use "Research on ..." --data "..."
    """
    with exit_on_error(COMMAND):
        selection = ClipSelection(None if event == "none" else event, min_probability, min_clips, "mean")
        description = ProbeDescription(name, title or name, status, kind, intended_use, selection, data)
        check_description(description)
        make_folder(out)
        check_writable(out / f"{name}.json", "JSON that begins with format_version")
        model = model_of_bundle(load_bundle(bundle))
        check_event(selection, model)
        output = KINDS[kind].output
        cohort = load_cohort(recordings, output, selection, model, embeddings)
        external = load_cohort(external_test, output, selection, model) if external_test else None
        content = fit_probe(description, cohort, model.sha256, external, seed)
        write_atomically(out / f"{name}.json", probe_json(content))
        PlainConsole().print_json(data=content["metrics"])


@app.command()
def demonstration(
    model: Annotated[Path, typer.Option(help="The quantized model.tflite that the probes will be shipped with.")],
    out: Annotated[Path, typer.Option(help="Folder for tb.json and spirometry.json.")],
    seed: Annotated[int, typer.Option(help="Of the synthetic cohorts and the folds.")] = 0,
) -> None:
    """Fit the two demonstration probes on synthetic sound; their status is demonstration, and core never scores them.

    Example: tussis-probe demonstration --model model.tflite --out probes
    """
    with exit_on_error(COMMAND):
        make_folder(out)
        interpreter = LiteRtInterpreter(model)
        for path in fit_demonstration_probes(interpreter, sha256_of_file(model), out, seed=seed):
            PlainConsole().print(f"{path}: demonstration only, fitted on synthetic sound")


@app.command()
def encoder(
    store: Annotated[Path, typer.Option(help="Folder written by tussis-corpus store.")],
    teacher: Annotated[list[str], typer.Option(help=f"May be repeated, to compare. {TEACHER_HELP}")],
    out: Annotated[Path | None, typer.Option(help="JSON to write.")] = None,
) -> None:
    """Probe encoders for cough, breathing, speech, sneeze and noise, beside log-mel statistics: AUROC by subject.

    Example: tussis-probe encoder --store cache/store --teacher mae:runs/pretrain/final.pt
    """
    with exit_on_error(COMMAND):
        from distill.corpus.waveform_store import WaveformStore
        from distill.distillation.teachers import load_teacher
        from distill.probes.encoder_probes import SCHEMA, measure_encoders, show

        if out is not None:
            check_writable(out, SCHEMA.partition("/")[0])
        teachers = [load_teacher(spec) for spec in teacher]
        result = measure_encoders(WaveformStore.open(store), teachers)
        if out is not None:
            write_atomically(out, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, PlainConsole(soft_wrap=True, stderr=out is not None and is_standard_output(out)))


def main() -> None:
    """Entry point of ``tussis-probe``."""
    run_app(app)


if __name__ == "__main__":
    main()
