"""Lists which models and parts run on which inputs, and runs them here and on an emulated processor alike."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arm64.debian import Arm64Root
from benchmarks.arm64.guest import JOB_FILE, PART, SCREEN, run_job, run_part
from benchmarks.results.names import WHOLE, YAMNET_NAME
from benchmarks.timing.peers import YAMNET_SAMPLES
from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_S
from core.demonstration import synthesized_clips
from core.errors import DataError
from quantize.tflite_parts import BODY_AND_HEADS, FRONT_END, INTEGER_BODY, TO_CODES, student_parts

N_CLIPS = 16
N_COUNTED = 4
N_RANDOM = 4
INT8, FLOAT = "int8", "float"
GUEST_MODULE = "benchmarks.arm64.guest"

Results = dict[str, dict[str, np.ndarray]]
"""Outputs by task; of a model with the signature by their names, of a part by "0", "1", ...; each (n_inputs, ...)."""

Counts = dict[str, dict[str, Any]]
"""Of one run, by task: ``instructions``, ``dot_products`` among them, ``spread``."""


class Job:
    """A folder of models and inputs, and the tasks over them in their order; the same for all processors."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._kinds: dict[str, str] = {}
        self._n_runs: dict[str, int] = {}

    def add(self, name: str, kind: str, model: bytes, inputs: np.ndarray) -> None:
        """Write NAME.tflite, NAME.npy with inputs (n, ...), and the kinds of all tasks by their names, in order."""
        (self.folder / f"{name}.tflite").write_bytes(model)
        np.save(self.folder / f"{name}.npy", inputs)
        self._kinds[name] = kind
        self._n_runs[name] = len(inputs)
        (self.folder / JOB_FILE).write_text(json.dumps(self._kinds), encoding="utf-8")

    def first_output(self, name: str, inputs: np.ndarray) -> np.ndarray:
        """The first output (n, ...) of a part that was added, over inputs (n, ...), on this machine's processor."""
        return run_part(self.folder / f"{name}.tflite", inputs)["0"]

    def run_here(self) -> Results:
        """Run all tasks on this machine's processor."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            run_job(self.folder, Path(out))
            return self._read_results(Path(out))

    def run_emulated(self, root: Arm64Root, cpu: str) -> tuple[Results, Counts]:
        """Run all tasks on an emulated processor; also the instructions of one run of each part, by its name."""
        counted = {name: n_runs for name, n_runs in self._n_runs.items() if self._kinds[name] == PART}
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            marks = root.run(["-m", GUEST_MODULE, str(self.folder), out], cpu, Path(out))
            return self._read_results(Path(out)), read_counts(marks, counted)

    def _read_results(self, out: Path) -> Results:
        return {name: dict(np.load(out / f"{name}.npz")) for name in self._kinds}


def plan(folder: Path, int8: bytes, float_model: bytes | None, yamnet: bytes | None) -> Job:
    """Students, their parts and YAMNet over synthesized clips.

    The integer body also runs on random codes, because those of the clips may leave parts of the range out.
    """
    job, clips = Job(folder.resolve()), synthesized_clips(N_CLIPS)
    _add_student(job, INT8, int8, clips)
    if float_model is not None:
        _add_student(job, FLOAT, float_model, clips)
    if yamnet is not None:
        job.add(YAMNET_NAME, PART, yamnet, clips[1 : 1 + N_COUNTED, :YAMNET_SAMPLES])
    return job


def _add_student(job: Job, name: str, model: bytes, clips: np.ndarray) -> None:
    counted, parts = clips[1 : 1 + N_COUNTED], student_parts(model, name)
    job.add(name, SCREEN, model, clips)
    job.add(f"{name} {WHOLE}", PART, model, counted)
    job.add(f"{name} {FRONT_END}", PART, parts[FRONT_END], clips)
    job.add(f"{name} {BODY_AND_HEADS}", PART, parts[BODY_AND_HEADS], job.first_output(f"{name} {FRONT_END}", counted))
    if INTEGER_BODY in parts:
        job.add(f"{name} {TO_CODES}", PART, parts[TO_CODES], clips)
        codes = job.first_output(f"{name} {TO_CODES}", clips)
        random = np.random.default_rng(0).integers(-128, 128, (N_RANDOM, *codes.shape[1:]), dtype=np.int8)
        job.add(f"{name} {INTEGER_BODY}", PART, parts[INTEGER_BODY], np.concatenate([codes, random]))


def audio_s(name: str) -> float:
    """Seconds of sound that one run of a counted task stands for."""
    return YAMNET_SAMPLES / SAMPLE_RATE_HZ if name == YAMNET_NAME else CLIP_S


def read_counts(marks: str, n_runs: Mapping[str, int]) -> Counts:
    """Instructions of one run of each part: medians over its `n_runs`, at least two, of which the first warms up.

    `marks` are lines of two numbers since the program's start: instructions, and dot products among them. What two
    marks with nothing between them cost is taken off. ``spread`` is the distance of the quartiles over the median.
    """
    rows = [line.split() for line in marks.splitlines()]
    expected = 2 + 2 * sum(n_runs.values())
    if len(rows) != expected or not all(len(row) == 2 and all(part.isdecimal() for part in row) for row in rows):
        raise DataError(f"the instruction counter wrote {len(rows)} marks; expected {expected}, of two numbers each")
    numbers = np.array(rows, dtype=np.int64)
    spent = numbers[1::2] - numbers[::2]
    runs_of, at = spent[1:] - spent[0] * np.array([1, 0]), 0
    counts = {}
    for name, runs in n_runs.items():
        counted = runs_of[at + 1 : at + runs]
        at += runs
        instructions, dot_products = (round(float(value)) for value in np.median(counted, axis=0))
        low, high = np.percentile(counted[:, 0], (25, 75))
        spread = float((high - low) / max(instructions, 1))
        counts[name] = {"instructions": instructions, "dot_products": dot_products, "spread": spread}
    return counts
