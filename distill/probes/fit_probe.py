"""Fits probes (linear heads) on the shipped model's embeddings, as the files that a bundle takes (tussis-probe)."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from core.bundle import load_bundle
from core.errors import ProbeError, exit_on_error
from core.files import check_writable, is_standard_output, make_folder, sha256_of_file, write_atomically
from core.interpreter import EMBEDDING_SIZE, Interpreter, LiteRtInterpreter
from core.probes import ClipSelection, parse_probes
from core.probing.clinical import ClinicalColumn
from core.probing.domain import Domain
from distill.command_line import run_app
from distill.corpus.labels import ACTIVITY_FRAME_STEP_S, EVENT_LABELS
from distill.distillation.targets_command import TEACHER_HELP
from distill.probes.clinical_fit import beside_columns, learn_columns, only_sound, with_columns
from distill.probes.cohort import (
    LABEL,
    MIN_SUBJECTS,
    WHOLE_RECORDING,
    Cohort,
    check_disjoint,
    check_enough,
    labelled_by,
    load_cohort,
)
from distill.probes.domain_fit import OtherSound, fit_domain
from distill.probes.efficiency import curve
from distill.probes.embed import EmbeddingModel, model_of_bundle
from distill.probes.embedding_cache import DEFAULT_FOLDER
from distill.probes.group_tests import disjoint_tests
from distill.probes.kinds import KINDS, ProbeDescription, check_event, check_status, kinds_of_heads
from distill.probes.linear_fit import N_FOLDS, FittedProbe, LinearModel
from distill.probes.probe_file import Head, SharedFacts, probe_file, probe_json
from distill.probes.spirometry.command import app as spirometry_app
from distill.probes.synthetic_cohorts import write_cohort
from distill.probes.unlike_sound import embed_unlike, read_unlike
from distill.shown_text import PlainConsole

SYNTHETIC_WARNING = "measured on synthetic sound: these numbers say nothing about people or about any other recording"
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
    description: ProbeDescription,
    cohort: Cohort,
    model_sha256: str,
    external: Cohort | None = None,
    seed: int = 0,
    unlike: Mapping[str, OtherSound | None] | None = None,
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
    unlike : name -> OtherSound, optional
        Other sound, which the distance from the training embeddings shall tell.

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
    columns = learn_columns(cohort, description.columns)
    heads = [
        _fit_head(name, kind, description, columns, cohort, external, seed)
        for name, kind in _heads_of(description).items()
    ]
    if cohort.n_subjects < MIN_SUBJECTS:
        check_enough(cohort, "regression")
    domain = fit_domain(cohort.features, cohort.subjects, unlike, seed)
    training = _training_facts(description, cohort, heads, model_sha256, seed)
    content = probe_file(_shared(description, columns, domain, training), heads)
    parse_probes(probe_json(content), f"{description.name}.json")
    return content


def _fit_head(
    name: str,
    kind_name: str,
    description: ProbeDescription,
    columns: tuple[ClinicalColumn, ...],
    cohort: Cohort,
    external: Cohort | None,
    seed: int,
) -> Head:
    """One head with its metrics: out of fold, on other sites and devices, and on the external cohort."""
    kind = KINDS[kind_name]
    column = name if description.heads else LABEL
    is_value_with_columns = bool(columns) and kind.output == "regression"
    ours = labelled(cohort, column, kind.output, columns)
    theirs = None if external is None else labelled(external, column, kind.output, columns)
    if theirs is not None:
        check_enough(theirs, kind.output)
    fitted = kind.fit(only_sound(ours), seed) if is_value_with_columns else kind.fit(ours, seed)
    fitted.metrics["disjoint_tests"] = disjoint_tests(ours, kind.output, seed)
    if theirs is not None and not is_value_with_columns:
        fitted.metrics["external_test"] = kind.test(fitted, ours, theirs, seed)
    elif theirs is not None:
        fitted.metrics["external_test"] = kind.test(fitted, only_sound(ours), only_sound(theirs), seed)
    if is_value_with_columns:
        fitted = beside_columns(fitted, ours, theirs, seed)
    if cohort.is_synthetic:
        fitted.metrics["how"] = f"{SYNTHETIC_WARNING}; {fitted.metrics['how']}"
    title = kind.title or name if description.heads else description.title
    return Head(name, title, kind.output, kind.unit, fitted)


def labelled(cohort: Cohort, column: str, output: str, columns: tuple[ClinicalColumn, ...]) -> Cohort:
    """The recordings that a head can be fitted or tested on."""
    chosen = cohort if column == LABEL else labelled_by(cohort, column, output)
    return with_columns(chosen, columns)


def told(content: dict[str, Any]) -> dict[str, Any]:
    """What a fit prints: each head's metrics, and what the distance from the training recordings tells apart."""
    metrics = {head["name"]: head["metrics"] for head in content["heads"]}
    return {"heads": metrics, "far_from_training": content["domain"]["measured"]}


def _heads_of(description: ProbeDescription) -> Mapping[str, str]:
    return description.heads or {description.name: description.kind}


def check_description(description: ProbeDescription) -> None:
    """Let core.probes read an empty probe of this description, before any recording is embedded."""
    zeros, ones = np.zeros(EMBEDDING_SIZE), np.ones(EMBEDDING_SIZE)
    empty = FittedProbe(LinearModel(zeros, ones, zeros, 0.0, 1.0), 1.0, None, None, {"external_test": {}})
    for kind in _heads_of(description).values():
        if kind not in KINDS:
            raise ProbeError(f"a probe is of kind {' or '.join(KINDS)}, not {kind!r}")
    heads = [
        Head(name, name, KINDS[kind].output, KINDS[kind].unit, empty) for name, kind in _heads_of(description).items()
    ]
    content = probe_file(_shared(description, (), None, {"model_sha256": "0" * 64}), heads)
    parse_probes(probe_json(content), f"{description.name}.json")


def _training_facts(
    description: ProbeDescription, cohort: Cohort, heads: Sequence[Head], model_sha256: str, seed: int
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
        "regularizer": {head.name: head.fitted.model.regularizer for head in heads},
        "n_folds": N_FOLDS,
        "seed": seed,
    }


def _shared(
    description: ProbeDescription,
    columns: tuple[ClinicalColumn, ...],
    domain: Domain | None,
    training: dict[str, Any],
) -> SharedFacts:
    zeros, ones = np.zeros(EMBEDDING_SIZE), np.ones(EMBEDDING_SIZE)
    return SharedFacts(
        name=description.name,
        status=description.status,
        intended_use=description.intended_use,
        selection=description.selection,
        mean=zeros if domain is None else domain.mean,
        scale=ones if domain is None else domain.scale,
        columns=columns,
        domain=domain,
        training=training,
    )


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
app.command()(curve)

_about = partial(typer.Option, rich_help_panel="What the probe file says")
_hears = partial(typer.Option, rich_help_panel="What the probe listens to")
_learns = partial(typer.Option, rich_help_panel="What it is fitted and tested on")
_STATUS_HELP = "research, demonstration, or validated (with --external-test)."
_HEAD_HELP = (
    "Fit a head on this column, COLUMN or COLUMN:KIND; may be repeated. fev1_l, fvc_l, fev1_fvc and pef_l_per_s are "
    "values, others yes-or-no labels."
)
_COLUMN_HELP = "A clinical column that the probe takes beside the sound; may be repeated."
_UNLIKE_HELP = "NAME=FOLDER (or a CSV with path) of other sound, to measure abstention; may be repeated."
CACHE_HELP = "Folder that keeps embeddings by the hashes of file and model."
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
    head: Annotated[list[str], _learns(help=_HEAD_HELP)] = [],  # noqa: B006
    column: Annotated[list[str], _learns(help=_COLUMN_HELP)] = [],  # noqa: B006
    unlike: Annotated[list[str], _learns(help=_UNLIKE_HELP)] = [],  # noqa: B006
    cache: Annotated[Path, _learns(help=CACHE_HELP)] = DEFAULT_FOLDER,
    seed: Annotated[int, _learns(help="Of the folds.")] = 0,
) -> None:
    """Fit a probe on labelled recordings, split by subject, and write NAME.json with its metrics.

    Example: tussis-probe fit --recordings tb.csv --name tb --out probes --intended-use "Research on ..." --data "..."
    """
    with exit_on_error(COMMAND):
        selection = ClipSelection(None if event == "none" else event, min_probability, min_clips, "mean")
        heads, texts = kinds_of_heads(head), (name, title or name, status, kind, intended_use)
        description = ProbeDescription(*texts, selection, data, heads, tuple(column))
        check_description(description)
        make_folder(out)
        check_writable(out / f"{name}.json", "JSON that begins with format_version")
        model = model_of_bundle(load_bundle(bundle))
        check_event(selection, model)
        output, others = None if heads else KINDS[kind].output, read_unlike(unlike)
        cohort = load_cohort(recordings, output, selection, model, embeddings, cache)
        external = load_cohort(external_test, output, selection, model, cache=cache) if external_test else None
        far = embed_unlike(others, cohort, selection, model, cache)
        content = fit_probe(description, cohort, model.sha256, external, seed, far)
        write_atomically(out / f"{name}.json", probe_json(content))
        PlainConsole().print_json(data=told(content))


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
