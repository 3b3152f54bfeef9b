"""Writes a report on a bundle's events over packs, or on a probe over a table of people (tussis-evaluate report)."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.bundle import Bundle, load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, make_folder, write_atomically
from core.probes import ClipSelection
from core.screening.journal import Journal
from distill.probes.embedding_cache import DEFAULT_FOLDER
from distill.shown_text import PlainConsole

if TYPE_CHECKING:
    from distill.evaluation.report.measure import ReportOptions

JSON_NAME, PAGE_NAME = "report.json", "report.html"
PLOT_NAMES = ("discrimination.svg", "reliability.svg")
DIGITS = 6

_events = partial(typer.Option, rich_help_panel="A report on events: packs of recordings")
_probe = partial(typer.Option, rich_help_panel="A report on a probe: a table of people")
_figures = partial(typer.Option, rich_help_panel="How it is measured")


def report(
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.html and two plots.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    data: Annotated[Path | None, _events(help="Folder of packs; only held-out subjects are measured.")] = None,
    pack: Annotated[list[str] | None, _events(help="Which pack; may be repeated. All when left out.")] = None,
    store: Annotated[Path | None, _events(help="Of tussis-corpus store, to find one sound in two files.")] = None,
    recordings: Annotated[Path | None, _probe(help="CSV: path, subject_id, label (0 or 1), covariates.")] = None,
    probe: Annotated[str, _probe(help="Name of a probe of the bundle; a new one is fitted when left out.")] = "",
    training: Annotated[
        Path | None, _probe(help="CSV that the probe was fitted on, or is to be; out of fold when left out.")
    ] = None,
    event: Annotated[str, _probe(help="A new probe listens to clips with this event; 'none' for all.")] = "cough",
    min_probability: Annotated[float, _probe(min=0, max=1, help="Of that event in a clip, 0 to 1.")] = 0.5,
    cache: Annotated[Path, _probe(help="Folder that keeps a new probe's embeddings.")] = DEFAULT_FOLDER,
    by: Annotated[list[str] | None, _figures(help="A further covariate to make subgroups of; repeatable.")] = None,
    prevalence: Annotated[float, _figures(help="Share of the ill, 0 to 1, for predictive values.")] = 0.1,
    draws: Annotated[int, _figures(min=100, help="Of subjects for an interval, and shuffles for a test.")] = 1000,
    seed: Annotated[int, _figures(min=0, help="Of folds, draws and shuffles.")] = 0,
) -> None:
    """Judge a bundle or a probe in one JSON file and one page: intervals, operating points, subgroups, controls.

    A run that was stopped goes on where it was.

    Example: tussis-evaluate report --data ../shared/data --out report
    """
    with exit_on_error("tussis-evaluate"):
        from distill.evaluation.report.measure import ReportOptions
        from distill.evaluation.report.scores import KIND, open_journal

        if (data is None) == (recordings is None):
            raise DataError("give --data for a report on events, or --recordings for one on a probe")
        options = ReportOptions(prevalence, draws, seed, tuple(by or ()))
        make_folder(out)
        check_writable(out / JSON_NAME, KIND)
        check_writable(out / PAGE_NAME, "a page titled evaluation report")
        opened = load_bundle(bundle)
        with open_journal(out / JSON_NAME) as journal:
            if data is not None:
                result = _report_on_events(opened, data, pack or [], store, journal, options)
            else:
                selection = ClipSelection(None if event == "none" else event, min_probability, 1, "mean")
                result = _report_on_probe(opened, probe, recordings, training, selection, journal, options, cache)
            _write(out, result)
            journal.remove()
        _show(result, out)


def _report_on_events(
    bundle: Bundle, data: Path, packs: list[str], store: Path | None, journal: Journal, options: "ReportOptions"
) -> dict[str, Any]:
    from core.screener import Screener
    from distill.evaluation.report.measure import make_report
    from distill.evaluation.report.packs import ask_packs

    asked = ask_packs(Screener(bundle), data, packs, store, journal)
    return make_report(asked, {"kind": "events", **_about(bundle)}, options)


def _report_on_probe(
    bundle: Bundle,
    name: str,
    recordings: Path,
    training: Path | None,
    selection: ClipSelection,
    journal: Journal,
    options: "ReportOptions",
    cache: Path,
) -> dict[str, Any]:
    from distill.evaluation.report.measure import make_report
    from distill.probes.scored_cohort import ask_fitted_probe, ask_shipped_probe

    if name:
        asked = ask_shipped_probe(bundle, name, recordings, training, journal)
    else:
        asked = ask_fitted_probe(bundle, selection, recordings, training, journal, options.seed, cache)
    result = make_report(asked.asked, {"kind": "probe", **_about(bundle), **asked.about}, options)
    return result | {"warnings": [*asked.warnings, *result["warnings"]]}


def _about(bundle: Bundle) -> dict[str, Any]:
    facts = {"name": bundle.name, "sha256": bundle.sha256, "format_version": bundle.format_version}
    return {"bundle": facts, "model_sha256": bundle.model_sha256}


def _write(out: Path, result: dict[str, Any]) -> None:
    from distill.evaluation.report.page import render_page
    from distill.evaluation.report.plots import draw_overview

    result = _rounded(result)
    write_atomically(out / JSON_NAME, json.dumps(result, allow_nan=False, separators=(",", ":")) + "\n")
    write_atomically(out / PAGE_NAME, render_page(result))
    for name, svg in zip(PLOT_NAMES, draw_overview(result), strict=True):
        write_atomically(out / name, svg)


def _rounded(value: Any) -> Any:
    """A value of JSON with every number to `DIGITS` digits: more are noise, and a page holds many."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _show(result: dict[str, Any], out: Path) -> None:
    from distill.evaluation.report.discrimination import estimate_in_words

    console = PlainConsole(soft_wrap=True)
    for question in result["questions"]:
        error = question["reliability"]["after"]["calibration_error"]
        console.print(
            f"{question['name']}, {question['part']}: AUROC {estimate_in_words(question['auroc'])}, "
            f"{question['n_positive']} of {question['n']} positive; calibration error after scaling "
            f"{estimate_in_words(error)}"
        )
    for skipped in result["not_measured"]:
        console.print(f"not measured: {skipped['reason']}")
    for warning in result["warnings"]:
        console.print(f"warning: {warning}")
    console.print(f"{out / JSON_NAME} and {out / PAGE_NAME}")
