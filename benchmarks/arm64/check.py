"""Checks the shipped model on emulated ARM64 processors against x86, and counts the instructions of its parts."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arm64.comparison import beyond_limits, compare_processors
from benchmarks.arm64.debian import WHEELS, Arm64Root, EmulationError, prepare
from benchmarks.arm64.jobs import N_CLIPS, Counts, Job, audio_s, plan
from benchmarks.results.device import describe_device
from benchmarks.results.names import WHOLE, XNNPACK, YAMNET_NAME
from benchmarks.results.result import Kind, Result, Row, litert_runtime, make_row, utc_date
from benchmarks.results.runner import Run
from core.bundle import Bundle, load_bundle
from core.errors import DataError, exit_on_error
from core.files import sha256_of_file
from distill.checkpoints import source_commit
from quantize.tflite_graph import list_operators, read_model

# Each emulated processor, with what it has of benchmarks.results.device.TELLING_FLAGS: only the A76 has 8-bit dot
# products.
PROCESSORS = {"cortex-a76": ["asimddp"], "cortex-a53": []}
ARM64 = Kind(
    "arm64",
    "the same program, inputs and model files on x86 and on QEMU's user mode; parts are cut out of the model files; "
    "instructions between the marks before and after invoke, one thread, median over runs without the first",
    columns=("processor", "instructions_per_audio_s", "of_yamnet", "instructions", "dot_products", "spread"),
)


def check_processors(bundle: Path | None, float_model: Path | None, yamnet: Path, folder: Path, run: Run) -> Result:
    """Run models and their parts here and on each emulated processor, compare the outputs and count instructions.

    Where the emulator or its packages cannot be had, a sentence tells so and the command ends with status 0.
    """
    opened = load_bundle(bundle)
    peers = read_optional(float_model, "the float student", run), read_optional(yamnet, YAMNET_NAME, run)
    try:
        root = prepare(folder, next(iter(PROCESSORS)), run.note)
    except EmulationError as reason:
        print(f"The ARM64 check is SKIPPED: {reason}.")
        raise SystemExit(0) from reason
    with tempfile.TemporaryDirectory(dir=root.folder) as job_folder:
        return run_everywhere(opened, plan(Path(job_folder), opened.read_model(), *peers), root, run)


def read_optional(path: Path | None, name: str, run: Run) -> bytes | None:
    """A model's file; None and a note where there is none."""
    present = None if path is None else run.present(path, name)
    if present is None:
        return None
    content = read_model(present)
    list_operators(content, str(present))
    return content


def run_everywhere(bundle: Bundle, job: Job, root: Arm64Root, run: Run) -> Result:
    """Run a job here and on each emulated processor: a row for each part and processor, and how far they agree."""
    run.note("running on this machine")
    here = job.run_here()
    rows, agreement, beyond = [], [], []
    for cpu in PROCESSORS:
        run.note(f"running on an emulated {cpu}")
        there, counts = job.run_emulated(root, cpu)
        comparison = compare_processors(bundle, here, there)
        rows += processor_rows(job, processor_provenance(cpu, root.emulator_version()), counts)
        agreement += [{"processor": cpu, "compared": what, **far} for what, far in comparison.items()]
        beyond += [f"{cpu}: {words}" for words in beyond_limits(comparison, counts)]
    facts = {
        "clips": f"{N_CLIPS} synthesized",
        "agreement": agreement,
        "beyond_limits": beyond,
        "reference": {**describe_device(), "runtime": litert_runtime()},
        "guest": list(WHEELS),
    }
    return run.result(rows, facts=facts)


def processor_provenance(cpu: str, emulator: str) -> dict[str, Any]:
    """What the rows of a processor depend on; the load and heat of this machine do not matter to a count."""
    return {
        **{"device": f"emulated {cpu}", "machine": "aarch64", "cpu": cpu, "n_cores": None},
        **{"instructions": PROCESSORS[cpu], "governor": None, "cpu_mhz": None, "temperature_c": None},
        **{"os": emulator, "runtime": WHEELS[0].replace("==", " "), "delegate": XNNPACK, "threads": 1},
        **{"commit": source_commit(), "date": utc_date(), "load_average": {"before": None, "after": None}},
    }


def processor_rows(job: Job, provenance: dict[str, Any], counts: Counts) -> list[Row]:
    """A row for each part of a model, with its instructions a run, a second of sound, and as a share of YAMNet's."""
    per_audio_s = {name: count["instructions"] / audio_s(name) for name, count in counts.items()}
    rows = []
    for name, count in counts.items():
        model, _, part = name.partition(" ")
        metrics = {**count, "instructions_per_audio_s": per_audio_s[name]}
        if YAMNET_NAME in counts:
            metrics["of_yamnet"] = per_audio_s[name] / per_audio_s[YAMNET_NAME]
        depends_on = {**provenance, "model_sha256": sha256_of_file(job.folder / f"{model}.tflite")}
        facts = {"processor": provenance["cpu"]}
        rows.append(make_row(model, part or WHOLE, depends_on, metrics, audio_s(name), facts=facts))
    return rows


def refuse_disagreement(result: Result) -> None:
    """Exit with status 2 and a sentence where processors differ by more than they may."""
    with exit_on_error("tussis-benchmark"):
        if beyond := result["facts"]["beyond_limits"]:
            raise DataError("; ".join(beyond))
