"""The only place that makes a benchmark's rows of instruction counts on emulated ARM64 processors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from benchmarks.arm64.check import SCHEMA, agreement_lines
from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Result, Row, make_result, make_row, parse_json, utc_date, write_result
from core.errors import DataError, exit_on_error
from core.files import check_writable

KIND = "arm64"
WHOLE = "whole"
RUNTIME_WHEEL = "ai-edge-litert"
# What each emulated processor has of benchmarks.results.device.TELLING_FLAGS: only the A76 has 8-bit dot products.
INSTRUCTION_SETS = {"cortex-a76": ["asimddp"], "cortex-a53": []}


def from_arm64(report: Mapping[str, Any], date: str, source: str = "the report") -> list[Row]:
    """Rows of what `benchmarks.arm64.check` measured: one a processor and part of a model, with its instructions a run.

    Parameters
    ----------
    report : mapping
        As ``make arm64-check`` writes it.
    date : str
        When it was measured, UTC; used where the report does not say.
    source : str
        Names the report in an error.

    Raises
    ------
    DataError
        If it is of another schema, or lacks what the rows need.
    """
    if report.get("schema") != SCHEMA:
        raise DataError(f"{source} is of the schema {str(report.get('schema'))[:80]!r}; expected {SCHEMA!r}.")
    try:
        return [
            _row(count, _provenance(report, processor, count["name"], date), agreement_lines(processor))
            for processor in report["processors"]
            for count in processor["counts"]
        ]
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as reason:
        raise DataError(f"{source} lacks a part of {SCHEMA}: {reason}.") from reason


def _row(count: Mapping[str, Any], provenance: Mapping[str, Any], agreement: Sequence[str]) -> Row:
    model, _, part = count["name"].partition(" ")
    metrics = {key: count[key] for key in ("instructions", "dot_products", "spread")}
    metrics["instructions_per_audio_s"] = count["per_audio_s"]
    if count["of_yamnet"] is not None:
        metrics["of_yamnet"] = count["of_yamnet"]
    is_whole = part in ("", WHOLE)
    facts = {"agreement": list(agreement)} if is_whole else None
    return make_row(model, part or WHOLE, provenance, metrics, count["audio_s"], facts=facts)


def _provenance(report: Mapping[str, Any], processor: Mapping[str, Any], name: str, date: str) -> dict[str, Any]:
    """What a row depends on; the load and heat of this machine do not matter to a count."""
    cpu = processor["processor"]
    runtime = next((its for its in report["guest"] if its.startswith(RUNTIME_WHEEL)), RUNTIME_WHEEL)
    return {
        **{"device": f"emulated {cpu}", "machine": "aarch64", "cpu": cpu, "n_cores": None},
        **{"instructions": INSTRUCTION_SETS.get(cpu, []), "governor": None, "cpu_mhz": None, "temperature_c": None},
        **{"os": report["emulator"], "runtime": runtime.replace("==", " "), "delegate": XNNPACK, "threads": 1},
        "model_sha256": report["models"].get(name.partition(" ")[0]),
        **{"commit": report["commit"], "date": report.get("date", date)},
        "load_average": {"before": None, "after": None},
    }


def read_arm64(path: Path) -> Result:
    """A result of kind ``arm64`` from the file that ``make arm64-check`` wrote; DataError where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        written = utc_date(path.stat().st_mtime)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not JSON: it is not text in UTF-8.") from error
    report = parse_json(text, str(path))
    if not isinstance(report, dict):
        raise DataError(f"{path} is not a report of {SCHEMA}: it is no object.")
    rows = from_arm64(report, written, str(path))
    return make_result(KIND, report.get("protocol") or "instructions of one run", rows)


def show(result: Result, console: Console) -> None:
    """Print a result for a person: million instructions a second of sound, a column a processor."""
    processors = list(dict.fromkeys(row["cpu"] for row in result["rows"]))
    columns = [column for cpu in processors for column in (cpu, "of YAMNet's")]
    title = "million instructions a second of sound"
    table = Table("what", *(Column(its, justify="right") for its in columns), title=title, box=SIMPLE)
    by_name: dict[str, list[str]] = {}
    for row in result["rows"]:
        its = row["metrics"]
        share = f"{its['of_yamnet']:.3f}" if "of_yamnet" in its else ""
        cells = f"{its['instructions_per_audio_s'] / 1e6:.3f}", share
        by_name.setdefault(f"{row['name']} {row['stage']}", []).extend(cells)
    for name, cells in by_name.items():
        table.add_row(name, *cells)
    console.print(table)


def arm64(
    report: Annotated[Path, typer.Argument(help="What make arm64-check wrote: runs/arm64.json.")],
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Make instruction counts on emulated ARM64 processors a part of a report.

    Example: tussis-benchmark arm64 runs/arm64.json --json arm64_rows.json
    """
    with exit_on_error("tussis-benchmark"):
        if json_path is not None:
            check_writable(json_path)
        result = read_arm64(report)
        if json_path is not None:
            write_result(json_path, result)
        show(result, Console(soft_wrap=True))
