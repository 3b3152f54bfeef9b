"""The only place for the command ``tussis-probe``, and for the demonstration probes that come with Tussis."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from core.bundle import load_bundle
from core.errors import OutputError, ProbeError, exit_on_error
from core.files import check_writable, sha256_of_file, write_atomically
from core.interpreter import Interpreter, LiteRtInterpreter
from core.probes import ClipSelection
from distill.corpus.labels import EVENT_LABELS
from distill.probes.cohort import load_cohort
from distill.probes.embed import EmbeddingModel, model_of_bundle
from distill.probes.probe_fitting import ProbeDescription, check_description, fit_probe, probe_json
from distill.probes.synthetic_cohorts import write_cohort

DEMONSTRATION_HOP_S = 1.0
WHOLE_RECORDING = ClipSelection(event=None, min_probability=0.0, min_clips=1, pooling="mean")


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
    model = EmbeddingModel(interpreter, hop_s, EVENT_LABELS, model_sha256)
    _check_folder(out)
    written = []
    for description in DEMONSTRATIONS:
        with tempfile.TemporaryDirectory() as folder:
            table = write_cohort(description.name, Path(folder), seed=seed)
            cohort = load_cohort(table, description.kind, description.selection, model)
        written.append(out / f"{description.name}.json")
        write_atomically(written[-1], probe_json(fit_probe(description, cohort, model_sha256, seed=seed)))
    return written


app = typer.Typer(add_completion=False, help="Fit probes (linear heads) on the shipped model's embeddings.")


@app.command()
def fit(
    recordings: Annotated[Path, typer.Option(help="CSV: path (relative to it), subject_id, label, covariates.")],
    name: Annotated[str, typer.Option(help="Lower-case name of the probe; the file is NAME.json.")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.json.")],
    intended_use: Annotated[str, typer.Option(help="One line: who may use it, for what.")],
    data: Annotated[str, typer.Option(help="One line: where the recordings come from and how they were labelled.")],
    title: Annotated[str, typer.Option(help="Shown to people; the name when left out.")] = "",
    kind: Annotated[
        str, typer.Option(help="classification (labels 0 and 1) or regression (FEV1 in L).")
    ] = "classification",
    status: Annotated[
        str, typer.Option(help="research, demonstration, or validated (with --external-test).")
    ] = "research",
    event: Annotated[str, typer.Option(help="Listen to clips with this event; 'none' for all clips.")] = "cough",
    min_probability: Annotated[float, typer.Option(help="Of that event in a clip, 0 to 1.")] = 0.5,
    min_clips: Annotated[int, typer.Option(min=1, help="Fewer such clips leave a recording unscored.")] = 1,
    external_test: Annotated[Path | None, typer.Option(help="CSV of a second cohort, for measuring only.")] = None,
    embeddings: Annotated[Path | None, typer.Option(help="NPZ of tussis-embed, instead of embedding again.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
) -> None:
    """Fit a probe on labelled recordings, split by subject, and write NAME.json with its metrics.

    Example: tussis-probe fit --recordings tb.csv --name tb --out probes --intended-use "Research on ..." --data "..."
    """
    with exit_on_error("tussis-probe"):
        selection = ClipSelection(None if event == "none" else event, min_probability, min_clips, "mean")
        description = ProbeDescription(name, title or name, status, kind, intended_use, selection, data)
        check_description(description)
        _check_folder(out)
        model = model_of_bundle(load_bundle(bundle))
        _check_event(event, model)
        cohort = load_cohort(recordings, kind, selection, model, embeddings)
        external = load_cohort(external_test, kind, selection, model) if external_test else None
        content = fit_probe(description, cohort, model.sha256, external, seed)
        write_atomically(out / f"{name}.json", probe_json(content))
        Console().print_json(data=content["metrics"])


@app.command()
def demonstration(
    model: Annotated[Path, typer.Option(help="The quantized model.tflite that the probes will be shipped with.")],
    out: Annotated[Path, typer.Option(help="Folder for tb.json and spirometry.json.")],
    seed: Annotated[int, typer.Option(help="Of the synthetic cohorts and the folds.")] = 0,
) -> None:
    """Fit the two demonstration probes on synthetic sound; their status is demonstration, and core never scores them.

    Example: python -m distill.probes.fit_probe demonstration --model model.tflite --out probes
    """
    with exit_on_error("tussis-probe"):
        _check_folder(out)
        interpreter = LiteRtInterpreter(model)
        for path in fit_demonstration_probes(interpreter, sha256_of_file(model), out, seed=seed):
            Console().print(f"{path}: demonstration only, fitted on synthetic sound")


def main() -> None:
    """Entry point of ``tussis-probe``."""
    app()


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    check_writable(folder)


def _check_event(event: str, model: EmbeddingModel) -> None:
    if event not in ("none", *model.event_labels):
        raise ProbeError(
            f"--event is {event!r}; the model knows {', '.join(model.event_labels)}, and none for all clips"
        )


if __name__ == "__main__":
    main()
