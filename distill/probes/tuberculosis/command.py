"""Measures a tuberculosis cohort by its protocol, from the command line (tussis-evaluate tuberculosis)."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from core.bundle import load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, is_standard_output, write_atomically
from distill.probes.embed import model_of_bundle
from distill.probes.operating_points import TARGETS
from distill.probes.tuberculosis.protocol import SCHEMA, run_protocol
from distill.shown_text import PlainConsole


def tuberculosis(
    protocol: Annotated[str, typer.Argument(help="coda or cidrz.")],
    folder: Annotated[Path, typer.Argument(help="The data set as it is published.")],
    target: Annotated[str, typer.Option(help=f"{', '.join(TARGETS)}.")] = "who_2014_triage_minimum",
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0,
) -> None:
    """Probe the bundle's embedding for tuberculosis by a cohort's protocol: by subject, and by site and device.

    The operating point is fixed for a target sensitivity on people whom the probe was not fitted on, and measured on
    others. What comes out is a demonstration: it validates no probe.

    Example: tussis-evaluate tuberculosis coda coda_tb --json coda.json
    """
    with exit_on_error("tussis-evaluate"):
        if target not in TARGETS:
            raise DataError(f"--target is {target!r}; expected one of {', '.join(TARGETS)}")
        if json_path is not None:
            check_writable(json_path, SCHEMA.partition("/")[0])
        result = run_protocol(protocol, folder, model_of_bundle(load_bundle(bundle)), TARGETS[target], seed)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, PlainConsole(stderr=json_path is not None and is_standard_output(json_path)))


def show(result: dict[str, Any], console: PlainConsole) -> None:
    """Print one line a test, and what was left out."""
    target = result["target"]
    console.print(f"{result['protocol']}: {result['status']}; target: {target['source']}")
    console.print(_line("by subject", result["by_subject"]), soft_wrap=True)
    for group in result["held_out"]:
        name = f"{group['covariate']} {group['value']}"
        line = f"{name}: not run: {group['reason']}" if group["result"] is None else _line(name, group["result"])
        console.print(line, soft_wrap=True)
    if result["left_out"]:
        console.print(f"left out: {', '.join(f'{n} {kind}' for kind, n in result['left_out'].items())}")


def _line(name: str, found: dict[str, Any]) -> str:
    rates = found["at_operating_point"]
    words = [f"{rate} {_estimate(rates[rate])}" for rate in ("sensitivity", "specificity")]
    reached = {True: "reached", False: "not reached", None: "unknown"}[found["reaches_target"]["at_operating_point"]]
    people = f"{found['n_participants']} people, {found['n_positive']} positive"
    return f"{name}: {people}, AUROC {_estimate(found['auroc'])}, {', '.join(words)}; target {reached}"


def _estimate(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "unknown"
    interval = "" if estimate["low"] is None else f" ({estimate['low']:.3f}-{estimate['high']:.3f})"
    return f"{estimate['value']:.3f}{interval}"
