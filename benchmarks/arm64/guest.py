"""Runs a job's models on its inputs, on both processors alike, and marks each run for the instruction counter."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.interpreter import LiteRtInterpreter

SCREEN = "screen"
PART = "part"
JOB_FILE = "job.json"


@dataclass(frozen=True)
class Task:
    """One model over one array of inputs.

    ``kind`` is `SCREEN` for a model that core's interpreter runs, with named outputs, or `PART` for any other with one
    input: its outputs are named by their number, and each run is marked. ``model`` and ``inputs`` are files in the
    job's folder, the inputs an array (n, ...) of n single inputs.
    """

    name: str
    kind: str
    model: str
    inputs: str


def write_job(folder: Path, tasks: Sequence[Task]) -> None:
    """Write the list of tasks into the job's folder."""
    (folder / JOB_FILE).write_text(json.dumps([asdict(task) for task in tasks]), encoding="utf-8")


def run_job(folder: Path, out: Path) -> None:
    """Run the tasks of a folder in order and write ``out/NAME.npz`` for each, one array (n, ...) an output.

    A mark is a getsid system call, which nothing else here makes: instruction_counter.c counts between them. Two
    marks stand at the beginning with nothing between them, then two around each run of a part.
    """
    _mark()
    _mark()
    for fields in json.loads((folder / JOB_FILE).read_text(encoding="utf-8")):
        task = Task(**fields)
        run = _run_screen if task.kind == SCREEN else run_part
        np.savez(out / f"{task.name}.npz", **run(folder / task.model, np.load(folder / task.inputs)))


def _run_screen(model: Path, clips: np.ndarray) -> dict[str, np.ndarray]:
    interpreter = LiteRtInterpreter(model)
    results = [vars(interpreter.run(clip)) for clip in clips]
    return {name: np.stack([result[name] for result in results]) for name in results[0]}


def run_part(model: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Run a model of one input on each of the inputs (n, ...); its outputs by number, each (n, ...)."""
    from ai_edge_litert.interpreter import Interpreter as Runtime

    runtime = Runtime(model_path=str(model), num_threads=1)
    runtime.allocate_tensors()
    (details,) = runtime.get_input_details()
    positions = [detail["index"] for detail in runtime.get_output_details()]
    results = []
    for one in inputs:
        runtime.set_tensor(details["index"], one.reshape(details["shape"]))
        _mark()
        runtime.invoke()
        _mark()
        results.append([runtime.get_tensor(position) for position in positions])
    return {str(number): np.stack(arrays) for number, arrays in enumerate(zip(*results, strict=True))}


def _mark() -> None:
    os.getsid(0)


if __name__ == "__main__":
    run_job(Path(sys.argv[1]), Path(sys.argv[2]))
