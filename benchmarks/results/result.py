"""Makes, checks, writes and reads a benchmark's result (tussis.benchmark/1)."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from benchmarks.results.device import describe_device, load_average
from core.errors import DataError, one_line
from core.files import write_atomically
from distill.checkpoints import source_commit

SCHEMA = "tussis.benchmark/1"
SCHEMA_FILE = Path(__file__).with_name("result_schema.json")
SAMPLE_DIGITS = 4
LARGEST_NUMBER = 1e18
MAX_DEPTH = 20
DATE_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

Row = dict[str, Any]
Result = dict[str, Any]
_commit = cache(source_commit)  # of the code that runs; a later one in the same folder is not what was measured


@dataclass(frozen=True)
class Kind:
    """A kind of benchmark: its name, how it is measured in a sentence or two, and what its tables show.

    ``columns`` are names of metrics and of facts of its rows, the most important first; all of them where it is empty.
    Rows whose first column differs stand in tables of their own.
    """

    name: str
    protocol: str
    columns: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What travels in a result, so that its readers need not know the kind."""
        return {"columns": list(self.columns)} if self.columns else {}


def litert_runtime() -> str:
    """Name and version of the runtime that the app uses."""
    return f"ai-edge-litert {version('ai-edge-litert')}"


def utc_date(seconds: float | None = None) -> str:
    """A row's date: UTC, of a time in seconds since 1970, None for now."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.strftime(DATE_FORMAT)


def describe_run(
    threads: int, delegate: str, model: bytes | None, runtime: str | None = None, load_before: float | None = None
) -> dict[str, Any]:
    """What the numbers of a row depend on beside the code: machine, runtime, model, commit, time and load.

    `delegate` runs the operators, "none" where no model is run; `model` is the content of its file; `runtime` is None
    for LiteRT as installed; `load_before` is the load average before measuring, None for now.
    """
    now = load_average()
    return {
        **describe_device(),
        "runtime": runtime or litert_runtime(),
        "delegate": delegate,
        "threads": threads,
        "model_sha256": None if model is None else hashlib.sha256(model).hexdigest(),
        "commit": _commit(),
        "date": utc_date(),
        "load_average": {"before": now if load_before is None else load_before, "after": now},
    }


def make_row(
    name: str,
    stage: str,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, float],
    audio_s: float | None = None,
    n_runs: int = 1,
    samples_ms: Sequence[float] | np.ndarray | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Row:
    """One row: what was measured (`name`, `stage`), its numbers, and what they depend on (`describe_run`).

    Numbers that could not be had are left out of `metrics`; text, lists and nested things go into `facts`.
    """
    row = {"name": name, "stage": stage, "audio_s": audio_s, "n_runs": n_runs}
    row |= {"metrics": {key: _plain(value, f"{name}, {stage}: {key}") for key, value in metrics.items()}, **provenance}
    if samples_ms is not None:
        row["samples_ms"] = [round(float(sample_ms), SAMPLE_DIGITS) for sample_ms in samples_ms]
    if facts:
        row["facts"] = dict(facts)
    return row


def make_result(
    kind: str,
    protocol: str,
    rows: Sequence[Row],
    ratios: Sequence[Mapping[str, Any]] = (),
    comparisons: Sequence[Mapping[str, Any]] = (),
    facts: Mapping[str, Any] | None = None,
) -> Result:
    """A whole result; the lists that are empty, other than the rows, are left out."""
    result: Result = {"schema": SCHEMA, "kind": kind, "protocol": protocol, "rows": list(rows)}
    optional = {"ratios": list(ratios), "comparisons": list(comparisons), "facts": dict(facts or {})}
    return result | {key: value for key, value in optional.items() if value}


def check_result(result: Any, source: str) -> Result:
    """Return a result that keeps to the schema; DataError with `source` and the first problem otherwise."""
    schema = result.get("schema") if isinstance(result, dict) else None
    if schema != SCHEMA:
        fault = f'is of the schema "{schema[:80]}"' if isinstance(schema, str) else "names no schema"
        raise DataError(f'{source} {fault}; expected "{SCHEMA}".')
    if problem := jsonschema.exceptions.best_match(_validator().iter_errors(result)):
        place, what = problem.json_path.removeprefix("$").removeprefix("."), " ".join(problem.message.split())[:200]
        raise DataError(f"{source} is not a result of {SCHEMA}: {f'{place}: ' if place else ''}{what}.")
    return result


def write_result(path: Path, result: Result) -> None:
    """Check a result and write it as JSON, whole or not at all."""
    check_result(result, "the result")
    write_atomically(path, json.dumps(result, indent=1, allow_nan=False) + "\n")


def read_result(path: Path) -> Result:
    """Read a result, or the finished rows of a run that ended early; DataError with the file and the first problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not JSON: it is not text in UTF-8.") from error
    content = _from_lines(text, path) if path.suffix == ".partial" else _parse_json(text, str(path))
    return check_result(content, str(path))


def _parse_json(text: str, source: str) -> Any:
    """Parse JSON, without the NaN and Infinity that Python would take; DataError with the place of the mistake."""
    try:
        value = json.loads(text, parse_constant=_refuse_number, parse_float=_usable, parse_int=_usable_integer)
        _check_depth(value)
        return value
    except json.JSONDecodeError as error:
        raise DataError(f"{source} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source} is not JSON: {one_line(error)}.") from error


def _from_lines(text: str, path: Path) -> Any:
    """A result from a header line and one line a row; a last line that was not finished is left out."""
    lines = text.split("\n")[:-1]
    whole = [_parse_json(line, f"{path}, line {n}") for n, line in enumerate(lines, 1)]
    if not whole or not isinstance(whole[0], dict):
        raise DataError(f"{path} holds no finished row.")
    facts = whole[0].get("facts")
    facts = {"ended_early": True, **(facts if isinstance(facts, dict) else {})}
    return {**whole[0], "rows": whole[1:], "facts": facts}


def _plain(value: Any, what: str) -> int | float:
    """A number as JSON has it, which NumPy's own types are not; DataError where it is not finite."""
    number = value.item() if isinstance(value, np.generic) else value
    if not math.isfinite(number):
        raise DataError(f"{what} is {number}; expected a finite number.")
    return number


def _refuse_number(name: str) -> float:
    raise ValueError(f"it holds {name[:40]}, which is not a finite number, or larger than {LARGEST_NUMBER:g}")


def _usable(digits: str) -> float:
    value = float(digits)
    return value if abs(value) <= LARGEST_NUMBER else _refuse_number(digits)


def _usable_integer(digits: str) -> int:
    return int(digits) if abs(float(digits)) <= LARGEST_NUMBER else _refuse_number(digits)


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"its lists and objects lie more than {MAX_DEPTH} deep in each other")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, depth + 1)


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
