"""Evaluates a bundle on a labelled pack, and its embedding on the tasks of a recipe (tussis-evaluate)."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from core.bundle import load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, is_standard_output, write_atomically
from distill.command_line import run_app
from distill.evaluation.evaluate import app
from distill.evaluation.events_command import events
from distill.probes.embed import model_of_bundle
from distill.probes.tasks import HEAR_TASKS, SCHEMA, read_tasks, run_tasks
from distill.probes.tuberculosis.command import tuberculosis
from distill.shown_text import PlainConsole

app.command()(events)
app.command()(tuberculosis)


@app.command()
def tasks(
    cohort: Annotated[list[str], typer.Option(help="KIND=FOLDER of a published data set; may be repeated.")],
    recipe: Annotated[Path | None, typer.Option(help="CSV of tasks; HeAR's when left out.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
) -> None:
    """Probe the bundle's embedding on the tasks whose data you have; AUROC or error with 95 % intervals.

    Example: tussis-evaluate tasks --cohort coswara=Coswara-Data --cohort fsd50k=FSD50K
    """
    with exit_on_error("tussis-evaluate"):
        if json_path is not None:
            check_writable(json_path, SCHEMA.partition("/")[0])
        folders = dict(_folder_of(given) for given in cohort)
        result = run_tasks(read_tasks(recipe or HEAR_TASKS), folders, model_of_bundle(load_bundle(bundle)), seed)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show_tasks(result, PlainConsole(stderr=json_path is not None and is_standard_output(json_path)))


def show_tasks(result: dict[str, Any], console: PlainConsole) -> None:
    """Print the tasks as a table for a person, and what was left out of each data set."""
    table = Table(title=f"tasks of the embedding of model {result['model_sha256'][:12]}")
    for column in ("group", "data set", "task", "test participants", "positive", "result"):
        table.add_column(column, justify="right" if column in ("test participants", "positive") else "left")
    for task in result["tasks"]:
        measured = task["result"] or {}
        counts = [str(measured.get(name, "-")) for name in ("n_test_participants", "n_positive")]
        table.add_row(task["group"], task["data_set"], task["label"], *counts, _in_words(task))
    console.print(table)
    for data_set, left_out in result["left_out"].items():
        if left_out:
            console.print(f"left out of {data_set}: {', '.join(f'{n} {kind}' for kind, n in left_out.items())}")


def _in_words(task: dict[str, Any]) -> str:
    if task["result"] is None:
        return f"not run: {task['reason']}"
    name = "auroc" if task["answer"] == "classification" else "mean_absolute_error"
    estimate = task["result"][name]
    interval = "" if estimate["low"] is None else f" ({estimate['low']:.3f}-{estimate['high']:.3f})"
    return f"{'AUROC' if name == 'auroc' else 'mean error'} {estimate['value']:.3f}{interval}"


def _folder_of(given: str) -> tuple[str, Path]:
    kind, is_given, folder = given.partition("=")
    if not (is_given and kind and folder):
        raise DataError(f"--cohort is {given!r}; expected KIND=FOLDER")
    return kind, Path(folder).expanduser()


def main() -> None:
    """Entry point of ``tussis-evaluate``."""
    run_app(app)


if __name__ == "__main__":
    main()
