"""The only place that says which models and parts run on which inputs, here and on an emulated processor alike."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.arm64.debian import Arm64Root
from benchmarks.arm64.guest import PART, SCREEN, Task, run_job, run_part, write_job
from benchmarks.results.names import YAMNET_NAME
from benchmarks.timing.contenders import YAMNET_SAMPLES
from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_S
from quantize.synthesized_clips import synthesized_clips
from quantize.tflite_parts import BODY_AND_HEADS, FRONT_END, INTEGER_BODY, TO_CODES, student_parts

N_CLIPS = 16
N_COUNTED = 4
N_RANDOM = 4
INT8, FLOAT = "int8", "float"
GUEST_MODULE = "benchmarks.arm64.guest"

Results = dict[str, dict[str, np.ndarray]]
"""Outputs by task; of a model with the signature by their names, of a part by "0", "1", ...; each (n_inputs, ...)."""


class Job:
    """A folder of models and inputs, and the tasks over them in their order; the same for all processors."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tasks: list[Task] = []
        self.n_runs: dict[str, int] = {}

    def add(self, name: str, kind: str, model: bytes, inputs: np.ndarray) -> None:
        """Add a model over inputs (n, ...)."""
        task = Task(name, kind, f"{name}.tflite", f"{name}.npy")
        (self.folder / task.model).write_bytes(model)
        np.save(self.folder / task.inputs, inputs)
        self.tasks.append(task)
        self.n_runs[name] = len(inputs)
        write_job(self.folder, self.tasks)

    def counted(self) -> list[tuple[str, int]]:
        """Name and number of runs of each task that is marked."""
        return [(task.name, self.n_runs[task.name]) for task in self.tasks if task.kind == PART]

    def run_here(self) -> Results:
        """Run all tasks on this machine's processor."""
        return self._results(lambda out: run_job(self.folder, out))

    def run_emulated(self, root: Arm64Root, cpu: str) -> tuple[Results, str]:
        """Run all tasks on an emulated processor; also the marks of the instruction counter."""
        marks: list[str] = []

        def run(out: Path) -> None:
            marks.append(root.run(["-m", GUEST_MODULE, str(self.folder), str(out)], cpu, out))

        return self._results(run), marks[0]

    def _results(self, run: Callable[[Path], None]) -> Results:
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            run(Path(out))
            return {task.name: dict(np.load(Path(out) / f"{task.name}.npz")) for task in self.tasks}


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
    parts = {part: (f"{name} {part}", content) for part, content in student_parts(model, name).items()}
    job.add(name, SCREEN, model, clips)
    job.add(f"{name} whole", PART, model, clips[1 : 1 + N_COUNTED])
    job.add(parts[FRONT_END][0], PART, parts[FRONT_END][1], clips)
    job.add(
        parts[BODY_AND_HEADS][0],
        PART,
        parts[BODY_AND_HEADS][1],
        _run_here(job, parts[FRONT_END][0], clips[1 : 1 + N_COUNTED]),
    )
    if INTEGER_BODY in parts:
        job.add(parts[TO_CODES][0], PART, parts[TO_CODES][1], clips)
        codes = _run_here(job, parts[TO_CODES][0], clips)
        random = np.random.default_rng(0).integers(-128, 128, (N_RANDOM, *codes.shape[1:]), dtype=np.int8)
        job.add(parts[INTEGER_BODY][0], PART, parts[INTEGER_BODY][1], np.concatenate([codes, random]))


def _run_here(job: Job, name: str, inputs: np.ndarray) -> np.ndarray:
    return run_part(job.folder / f"{name}.tflite", inputs)["0"]


def audio_s(name: str) -> float:
    """Seconds of sound that one run of a counted task stands for."""
    return YAMNET_SAMPLES / SAMPLE_RATE_HZ if name == YAMNET_NAME else CLIP_S
