"""The only place that checks the shipped model on emulated ARM64 processors (make arm64-check)."""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.arm64.comparison import compare_arrays, compare_outputs, count_flips, read_counts, where_identical
from benchmarks.arm64.debian import Arm64Root, prepare
from benchmarks.arm64.jobs import FLOAT, INT8, N_CLIPS, Job, Results, audio_s, plan
from benchmarks.arm64.packages import WHEELS, EmulationError
from benchmarks.results.device import describe_device
from benchmarks.results.names import YAMNET_FILE, YAMNET_NAME
from benchmarks.results.result import utc_date
from core.bundle import Bundle, load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, sha256_of_file, write_atomically
from distill.checkpoints import source_commit
from quantize.tflite_graph import list_operators, read_model
from quantize.tflite_parts import FRONT_END, INTEGER_BODY, TO_CODES

SCHEMA = "tussis.arm64/1"
ROOT = Path("cache/arm64")
MODELS = (INT8, FLOAT, YAMNET_NAME)
PROCESSORS = ("cortex-a76", "cortex-a53")
PROTOCOL = (
    "the same program, inputs and model files on x86 and on QEMU's user mode; parts are cut out of the model files; "
    "instructions between the marks before and after invoke, one thread, median over runs without the first"
)

# Sums in float32 are added up in another order on another processor, so a value on the edge of two 8-bit codes may
# fall to the other one; integers may not differ at all.
MAX_LOG_MEL_DIFFERENCE = 1e-3
MAX_CODE_STEPS = 1
MAX_FLIPPED_SHARE = 0.01
MAX_SPREAD = 1e-4


def measure(bundle: Bundle, job: Job, root: Arm64Root, console: Console) -> dict[str, Any]:
    """Run a job here and on each emulated processor, compare and count."""
    console.print("running on this machine")
    here = job.run_here()
    processors = []
    for cpu in PROCESSORS:
        console.print(f"running on an emulated {cpu}")
        there, marks = job.run_emulated(root, cpu)
        counts = _per_audio_s(read_counts(marks, job.counted()))
        processors.append({"processor": cpu, "counts": counts, **compare_processors(bundle, here, there)})
    return {
        "schema": SCHEMA,
        "protocol": PROTOCOL,
        "clips": f"{N_CLIPS} synthesized",
        "models": {name: sha256_of_file(job.folder / f"{name}.tflite") for name in MODELS if name in job.n_runs},
        "reference": {**describe_device(), "runtime": f"ai-edge-litert {version('ai-edge-litert')}"},
        "emulator": root.emulator_version(),
        "guest": list(WHEELS),
        "preparation": root.report(),
        "commit": source_commit(),
        "date": utc_date(),
        "processors": processors,
    }


def compare_processors(bundle: Bundle, here: Results, there: Results) -> dict[str, Any]:
    """What is the same on two processors and what is not, from the front end to the decisions.

    Returns
    -------
    dict
        ``front_end`` (log-mel) and ``outputs`` by model; of the int8 model ``codes`` (what its front end and stem
        give to the integer body), ``integer_body`` on the same codes, ``outputs_of_same_codes`` (only clips whose
        codes are the same; null where there are none) and ``decisions``.
    """
    log_mel = {name: f"{name} {FRONT_END}" for name in (INT8, FLOAT) if name in here}
    codes_here, codes_there = (its[f"{INT8} {TO_CODES}"]["0"] for its in (here, there))
    same = where_identical(codes_here, codes_there)
    kept = [{name: array[same] for name, array in its[INT8].items()} for its in (here, there)]
    integers = (its[f"{INT8} {INTEGER_BODY}"]["0"] for its in (here, there))
    return {
        "front_end": {name: compare_arrays(here[task]["0"], there[task]["0"]) for name, task in log_mel.items()},
        "codes": compare_arrays(codes_here, codes_there),
        "integer_body": compare_arrays(*integers),
        "outputs": {name: compare_outputs(here[name], there[name]) for name in log_mel},
        "outputs_of_same_codes": compare_outputs(*kept) if same.any() else None,
        "decisions": count_flips(bundle, here[INT8], there[INT8]),
    }


def _per_audio_s(counts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts a second of sound, and as a share of YAMNet's where it is there."""
    rows = [
        {"name": name, "audio_s": audio_s(name), **its, "per_audio_s": its["instructions"] / audio_s(name)}
        for name, its in counts.items()
    ]
    yamnet = next((row["per_audio_s"] for row in rows if row["name"] == YAMNET_NAME), None)
    return [{**row, "of_yamnet": row["per_audio_s"] / yamnet if yamnet else None} for row in rows]


def beyond_limits(processor: dict[str, Any]) -> list[str]:
    """Say in words what differs more than it may between x86 and an emulated processor; empty where all is well."""
    integer, codes, decisions = (processor[key] for key in ("integer_body", "codes", "decisions"))
    log_mel = max(its["max_abs"] for its in processor["front_end"].values())
    flips = {
        "event decisions": decisions["event_flips"] / decisions["n_event_decisions"],
        "activity frames": decisions["frame_flips"] / decisions["n_frames"],
    }
    spread = max(row["spread"] for row in processor["counts"])
    limits = [
        ("the integer body's codes that differ", integer["n_different"], 0),
        ("the largest difference of the front end's log-mel", log_mel, MAX_LOG_MEL_DIFFERENCE),
        ("the largest difference of a code before the integer body", codes["max_abs"], MAX_CODE_STEPS),
        *((f"the share of flipped {what}", share, MAX_FLIPPED_SHARE) for what, share in flips.items()),
        ("the relative spread of an instruction count", spread, MAX_SPREAD),
    ]
    return [
        f"{processor['processor']}: {what} is {value:.3g} (at most {limit:g})"
        for what, value, limit in limits
        if not value <= limit
    ]


def show(result: dict[str, Any], console: Console) -> None:
    """Print a result for a person."""
    table = Table(title="million instructions a second of sound, one thread")
    table.add_column("what")
    for its in result["processors"]:
        table.add_column(its["processor"], justify="right")
        table.add_column("of YAMNet's", justify="right")
    for rows in zip(*(its["counts"] for its in result["processors"]), strict=True):
        table.add_row(rows[0]["name"], *(cell for row in rows for cell in _cells(row)))
    console.print(table)
    for its in result["processors"]:
        for line in agreement_lines(its):
            console.print(f"{its['processor']}: {line}")
    console.print(f"{result['emulator']}; {', '.join(result['guest'])}; here {result['reference']['runtime']}")


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    share = "" if row["of_yamnet"] is None else f"{row['of_yamnet']:.3f}"
    return f"{row['per_audio_s'] / 1e6:.3f}", share


def agreement_lines(processor: dict[str, Any]) -> list[str]:
    """The comparison with x86, a line for each step."""
    integer, codes, decisions = (processor[key] for key in ("integer_body", "codes", "decisions"))
    lines = [
        f"{name} front end: log-mel differs from x86 by at most {its['max_abs']:.1e}"
        for name, its in processor["front_end"].items()
    ]
    dots = [f"{row['dot_products'] / 1e6:.3f} M in {row['name']}" for row in processor["counts"] if row["dot_products"]]
    lines.append(f"int8 dot products a run: {', '.join(dots) or 'none'}")
    lines.append(f"codes before the integer body: {codes['n_different']} of {codes['n_values']} differ")
    lines.append(f"integer body on the same codes: {integer['n_identical']} of {integer['n_inputs']} inputs bit-exact")
    for name, outputs in processor["outputs"].items():
        worst = ", ".join(f"{output} {its['max_abs']:.1e}" for output, its in outputs.items())
        lines.append(f"{name} outputs differ by at most: {worst}")
    if same := processor["outputs_of_same_codes"]:
        worst = ", ".join(f"{output} {its['max_abs']:.1e}" for output, its in same.items())
        lines.append(f"the same on the {same['embedding']['n_inputs']} clips whose codes are the same: {worst}")
    flipped = f"{decisions['event_flips']} of {decisions['n_event_decisions']} event decisions"
    lines.append(f"{flipped} and {decisions['frame_flips']} of {decisions['n_frames']} activity frames flip")
    return lines


def _optional(path: Path | None, what: str, console: Console) -> bytes | None:
    if path is None or not path.exists():
        console.print(f"{what} is left out: there is no file {path}" if path else f"{what} is left out")
        return None
    content = read_model(path)
    list_operators(content, str(path))
    return content


app = typer.Typer(add_completion=False)


@app.command()
def check(
    bundle: Annotated[Path | None, typer.Option(help="Bundle; the shipped one when left out.")] = None,
    float_model: Annotated[Path | None, typer.Option("--float", help="The float student, to stand beside.")] = None,
    yamnet: Annotated[Path, typer.Option(help="YAMNet as .tflite; left out where absent.")] = YAMNET_FILE,
    root: Annotated[Path, typer.Option(help="Folder for the ARM64 system; made where absent, about 75 MB.")] = ROOT,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Compare the model on x86 and on an emulated Cortex-A76 and A53, and count instructions.

    Says so and exits with 0 where the emulator or its packages cannot be had; with 2 where the processors disagree.
    Example: python -m benchmarks.arm64.check --float runs/shipped/student_float.tflite --json runs/arm64.json
    """
    with exit_on_error("arm64-check"):
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        opened = load_bundle(bundle)
        peers = _optional(float_model, "the float student", notes), _optional(yamnet, YAMNET_NAME, notes)
        try:
            prepared = prepare(root, PROCESSORS[0], notes.print)
        except EmulationError as reason:
            console.print(f"arm64-check is SKIPPED: {reason}.")
            return
        with tempfile.TemporaryDirectory(dir=root) as folder:
            result = measure(opened, plan(Path(folder), opened.read_model(), *peers), prepared, notes)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, console)
        if failures := [words for its in result["processors"] for words in beyond_limits(its)]:
            raise DataError("; ".join(failures))


if __name__ == "__main__":
    app()
