"""A stand-in for a GPU machine: synthetic packs, wheels of what is installed here, and a Python that lacks them."""

import csv
import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import soundfile

from distill.offline_gpu.pack import needed_libraries

ROOT = Path(__file__).parents[3]
COLUMNS = (
    "path",
    "dataset",
    "source_id",
    "subject_id",
    "duration_s",
    "labels",
    "group_fold",
    "licence",
    "flags",
)
# What a machine with torch and numpy has beside them; everything else has to come from the pack.
THERE = (
    *("torch", "torchgen", "functorch", "numpy", "numpy.libs", "typing_extensions.py", "sympy", "mpmath", "networkx"),
    *("jinja2", "markupsafe", "filelock", "fsspec"),
)


def write_packs(data: Path, n_recordings: int = 20) -> None:
    """Write three packs: coughs (bursts) and speech (tones) of ten people, two rooms, and a test recording."""
    generator = np.random.default_rng(0)
    write_pack(
        data,
        "people",
        [
            (sound(generator, number), f"p{number // 2}", ("cough", "speech")[number % 2], 1 + number // 2 % 5)
            for number in range(n_recordings)
        ],
    )
    rooms = [np.r_[0.9, 0.2 * generator.standard_normal(1500) * np.exp(-np.arange(1500) / 300)] for _ in range(2)]
    write_pack(data, "rir_webaudio", [(room, "", "", "") for room in rooms])
    write_pack(data, "esc50_part", [(sound(generator, 0), "t0", "cough", 1)])


def sound(generator: np.random.Generator, number: int) -> np.ndarray:
    n_samples = int(generator.integers(8_000, 50_000))
    noise = generator.standard_normal(n_samples) * np.exp(-np.arange(n_samples) / 4_000)
    tone = np.sin(2 * np.pi * 200 * np.arange(n_samples) / 16_000)
    return 0.2 * (tone if number % 2 else noise) + 0.01 * generator.standard_normal(n_samples)


def write_pack(data: Path, name: str, recordings: list[tuple[np.ndarray, str, str, object]]) -> None:
    (data / name / "audio").mkdir(parents=True)
    with (data / name / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, (samples, subject, labels, fold) in enumerate(recordings):
            path = f"audio/{number}.wav"
            soundfile.write(data / name / path, np.clip(samples, -1, 1), 16_000)
            row = (path, name, number, subject, len(samples) / 16_000, labels, fold, "CC0", "")
            writer.writerow(row)


def write_wheels(folder: Path) -> None:
    """Make a wheel of each library that `distill.offline_gpu.pack` packs, of this Python's own installation."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, _, number in (text.partition("==") for text in needed_libraries()):
        distribution = importlib.metadata.distribution(name)
        tags = next(line for line in distribution.read_text("WHEEL").splitlines() if line.startswith("Tag: "))
        with zipfile.ZipFile(
            folder / f"{name.replace('-', '_')}-{number}-{tags.removeprefix('Tag: ')}.whl", "w"
        ) as wheel:
            for file in distribution.files or ():
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    wheel.write(file.locate(), str(file))


def bare_site(folder: Path) -> Path:
    """A folder of links to torch, numpy and what they need; a Python that starts with it has nothing else."""
    folder.mkdir()
    hidden = "import sys; sys.path[:] = [path for path in sys.path if not path.endswith('-packages')]"
    (folder / "sitecustomize.py").write_text(hidden, encoding="utf-8")
    installed = Path(np.__file__).parents[1]
    for name in THERE:
        if (installed / name).exists():
            (folder / name).symlink_to(installed / name)
    return folder


def run_bare(site: Path, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a module of this checkout in a Python that has only what `site` holds."""
    environment = {**os.environ, "PYTHONPATH": f"{cwd}{os.pathsep}{site}", "PYTHONNOUSERSITE": "1"}
    command = [sys._base_executable, "-m", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=600)
