"""Judges blows, compares a lung with its reference, and tells what sound adds (tussis-probe spirometry)."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from core.audio import open_recording, read_waveform
from core.bundle import load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, is_standard_output, make_folder, write_atomically
from distill.corpus.tables import parsed_number
from distill.probes.cohort import WHOLE_RECORDING, Cohort, check_enough, load_cohort
from distill.probes.embed import model_of_bundle
from distill.probes.spirometry.acceptability import JudgedBlow, judge_blow, judge_session, reasons_in_words
from distill.probes.spirometry.agreement import MEASURES, LungTable, compare_estimates, left_out_estimates
from distill.probes.spirometry.agreement_plot import draw_bland_altman
from distill.probes.spirometry.blow_sound import Place
from distill.probes.spirometry.gli_2022 import gli_reference
from distill.probes.spirometry.lung_function import how_measured, lung_table
from distill.probes.spirometry.simulated_cohort import simulated_blows
from distill.probes.synthetic_cohorts import write_recordings
from distill.shown_text import PlainConsole

COMMAND = "tussis-probe"
BLOWS_SCHEMA, AGREEMENT_SCHEMA = "tussis.blows/1", "tussis.spirometry/1"
MAX_BLOW_RECORDING_S = 60.0
SCALE_WARNING = "the litres hold only for the lips, the distance and the phone that are assumed"

app = typer.Typer(add_completion=False, help="Forced blows: acceptability, reference values and what sound adds.")


@app.command()
def blows(
    recordings: Annotated[list[Path], typer.Argument(help="Blows of one person, one a recording.")],
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Say whether each blow is acceptable, why not, and whether the best two agree (ATS/ERS 2019, by sound alone).

    Example: tussis-probe spirometry blows blow1.wav blow2.wav blow3.wav
    """
    with exit_on_error(COMMAND):
        if json_path is not None:
            check_writable(json_path, BLOWS_SCHEMA.partition("/")[0])
        judged = [judge_blow(_read_blow(path), Place()) for path in recordings]
        result = _blows_object(recordings, judged)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        console = PlainConsole(soft_wrap=True, stderr=json_path is not None and is_standard_output(json_path))
        for path, blow in zip(recordings, judged, strict=True):
            console.print(f"{path}: {' '.join(reasons_in_words(blow)) or 'acceptable'}")
        console.print(result["session"]["sentence"])
        console.print(f"note: {SCALE_WARNING}")


@app.command()
def reference(
    sex: Annotated[str, typer.Option(help="F or M.")],
    age_years: Annotated[float, typer.Option(help="3 to 95.")],
    height_cm: Annotated[float, typer.Option(help="50 to 250.")],
    fev1_l: Annotated[float | None, typer.Option(help="Measured FEV1 in litres.")] = None,
    fvc_l: Annotated[float | None, typer.Option(help="Measured FVC in litres.")] = None,
) -> None:
    """Print predicted values and lower limits of normal by GLI Global 2022, and z-scores of measured values.

    Example: tussis-probe spirometry reference --sex F --age-years 40 --height-cm 165 --fev1-l 2.1 --fvc-l 3.2
    """
    with exit_on_error(COMMAND):
        ratio = fev1_l / fvc_l if fev1_l is not None and fvc_l else None
        for name, value in {"fev1_l": fev1_l, "fvc_l": fvc_l, "fev1_fvc": ratio}.items():
            healthy = gli_reference(name, sex, age_years, height_cm)
            measure = MEASURES[name]
            line = f"{measure.title} ({measure.unit}): predicted {healthy.median:.3f}"
            line += f", lower limit of normal {healthy.lower_limit:.3f}"
            if value is not None:
                line += f", measured {value:.3f}, z-score {healthy.z_score(value):.2f}"
                line += f", {healthy.percent_predicted(value):.0f} % of predicted"
            PlainConsole(soft_wrap=True).print(line)


@app.command()
def agreement(
    recordings: Annotated[
        Path, typer.Option(help="CSV: path, subject_id, label (FEV1 in L), age_years, sex, height_cm.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for agreement.json and a Bland-Altman plot of each measure.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
) -> None:
    """Leave one subject out: what sound tells beside the mean and beside age, sex and height, with the verdict.

    Columns fvc_l and pef_l_per_s add FVC, FEV1/FVC and PEF.

    Example: tussis-probe spirometry agreement --recordings blows.csv --out agreement
    """
    with exit_on_error(COMMAND):
        make_folder(out)
        check_writable(out / "agreement.json", AGREEMENT_SCHEMA.partition("/")[0])
        cohort = load_cohort(recordings, "regression", WHOLE_RECORDING, model_of_bundle(load_bundle(bundle)))
        check_enough(cohort, "regression")
        tables = lung_tables(cohort)
        estimates = {name: left_out_estimates(table, seed) for name, table in tables.items()}
        result = _agreement_object(cohort, tables, estimates)
        for name, table in tables.items():
            draw_bland_altman(estimates[name], table, MEASURES[name], out / f"bland_altman_{name}.svg")
        write_atomically(out / "agreement.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
        _show(result, PlainConsole(soft_wrap=True))


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for WAV files and recordings.csv.")],
    n_subjects: Annotated[int, typer.Option(min=1, max=1000, help="People, three blows each.")] = 40,
    places_differ: Annotated[bool, typer.Option(help="Lips, distance and phone differ from person to person.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of people and sound.")] = 0,
) -> None:
    """Write a cohort of simulated lungs and the sound of their blows: the positive control for `agreement`.

    Example: tussis-probe spirometry simulate --out lungs
    """
    with exit_on_error(COMMAND):
        PlainConsole().print(f"{write_recordings(simulated_blows(n_subjects, seed, places_differ), out)}: simulated")


def lung_tables(cohort: Cohort) -> dict[str, LungTable]:
    """The cohort with each measure that its table has: FEV1 is the label, the others are columns.

    Raises
    ------
    DataError
        If a column has a cell that is no number, or one out of range.
    """
    values = {"fev1_l": cohort.labels}
    for name in ("fvc_l", "pef_l_per_s"):
        if all(name in covariates for covariates in cohort.covariates):
            values[name] = np.array([_number(cohort, i, name) for i in range(len(cohort.labels))])
    if "fvc_l" in values:
        values["fev1_fvc"] = cohort.labels / values["fvc_l"]
    return {name: lung_table(cohort, values[name], name) for name in MEASURES if name in values}


def _number(cohort: Cohort, row: int, name: str) -> float:
    value = parsed_number(text := cohort.covariates[row][name])
    if not np.isfinite(value):
        raise DataError(f"{cohort.table}: subject {cohort.subjects[row]!r} has the {name} {text!r}; expected a number")
    return value


def _read_blow(path: Path) -> np.ndarray:
    with open_recording(path) as reader:
        duration_s = reader.duration_s
    if duration_s > MAX_BLOW_RECORDING_S:
        raise DataError(
            f"{path} lasts {duration_s:.0f} s; a recording of one blow has {MAX_BLOW_RECORDING_S:g} s at most"
        )
    return read_waveform(path)


def _blows_object(paths: Sequence[Path], judged: Sequence[JudgedBlow]) -> dict[str, Any]:
    blows_of = [
        {"path": str(path), "acceptable": blow.is_acceptable, "reasons": list(blow.reasons), "lung": _lung_object(blow)}
        for path, blow in zip(paths, judged, strict=True)
    ]
    session = asdict(judge_session(judged))
    return {
        "schema": BLOWS_SCHEMA,
        "scale": SCALE_WARNING,
        "place": asdict(Place()),
        "blows": blows_of,
        "session": session,
    }


def _lung_object(blow: JudgedBlow) -> dict[str, Any] | None:
    return None if blow.lung is None else {**asdict(blow.lung), "fev1_fvc": blow.lung.fev1_fvc}


def _agreement_object(
    cohort: Cohort, tables: dict[str, LungTable], estimates: dict[str, dict[str, np.ndarray]]
) -> dict[str, Any]:
    measures = {
        name: {"unit": MEASURES[name].unit, **compare_estimates(estimates[name], table, MEASURES[name])}
        for name, table in tables.items()
    }
    return {
        "schema": AGREEMENT_SCHEMA,
        "how": how_measured(cohort),
        "table_sha256": cohort.table_sha256,
        "synthetic": cohort.is_synthetic,
        "n_subjects": cohort.n_subjects,
        "n_recordings": len(cohort.labels),
        "n_unscored": cohort.n_unscored,
        "measures": measures,
    }


def _show(result: dict[str, Any], console: PlainConsole) -> None:
    if result["synthetic"]:
        console.print("synthetic sound: these numbers say nothing about people")
    for name, measured in result["measures"].items():
        errors = ", ".join(
            f"{estimate.replace('_', ' ')} {measured[estimate]['mean_percentage_error']['value']:.1f} %"
            for estimate in ("mean", "demographics", "audio", "audio_and_demographics")
        )
        console.print(f"{MEASURES[name].title}, mean error: {errors}")
        console.print(f"  {measured['verdict']}")
