"""Runs a job's models on its inputs, on both processors alike, and marks each run for the instruction counter."""

import json
import os
import sys
from pathlib import Path

import numpy as np

from core.interpreter import LiteRtInterpreter

JOB_FILE = "job.json"
SCREEN = "screen"
"""A task whose model core's interpreter runs; its outputs have names."""
PART = "part"
"""A task with any other model of one input; its outputs are named by their number, and each run is marked."""


def run_job(folder: Path, out: Path) -> None:
    """Run the tasks of a folder in order and write ``out/NAME.npz`` for each, one array (n, ...) an output.

    A mark is a getsid system call, which nothing else here makes: instruction_counter.c counts between them. Two
    marks stand at the beginning with nothing between them, then two around each run of a part.
    """
    _mark()
    _mark()
    for name, kind in json.loads((folder / JOB_FILE).read_text(encoding="utf-8")).items():
        run = _run_screen if kind == SCREEN else run_part
        np.savez(out / f"{name}.npz", **run(folder / f"{name}.tflite", np.load(folder / f"{name}.npy")))


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
