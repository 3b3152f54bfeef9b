"""Measures the most that this machine can do: products a second through the same runtime, and bytes a second."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results.names import FLOAT, INT8
from benchmarks.timing.interleaved import Contender
from benchmarks.timing.models import load_plain
from benchmarks.timing.pcen_detector import to_float, to_int8
from quantize.tflite_graph import read_operators

N_LAYERS = 4
CACHE_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
MEMORY_FILE = Path("/proc/meminfo")
DEFAULT_CORE_CACHE_BYTES, DEFAULT_LAST_CACHE_BYTES = 1 << 20, 32 << 20
# Three arrays of a quarter of a core's own cache leave room for what else lies there; smaller ones may be faster.
SHARES_OF_CORE_CACHE = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
# A machine that others use is left most of its memory.
MAX_SHARE_OF_FREE_MEMORY = 0.06
ROUNDS_IN_CACHE, ROUNDS_BEYOND = 200, 4
CALLS_IN_CACHE = 20
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class PeakShape:
    """A stack of equal convolutions, so large that all else is lost beside them and small enough for the cache."""

    kernel: int
    channels: int
    height: int
    width: int


SHAPES = (PeakShape(1, 256, 16, 16), PeakShape(1, 512, 8, 12), PeakShape(3, 96, 12, 12), PeakShape(3, 128, 12, 12))


@dataclass(frozen=True)
class PeakModel:
    """A model whose speed may be the machine's best, in ``precision`` "float32" or "int8", of ``macs`` a run."""

    precision: str
    macs: int
    contender: Contender


def load_peak_models(threads: int) -> list[PeakModel]:
    """Build, convert and quantize every shape, with random weights, in both precisions."""
    return [model for shape in SHAPES for model in _load_shape(shape, threads)]


def _load_shape(shape: PeakShape, threads: int) -> list[PeakModel]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(N_LAYERS):
        layers += [nn.Conv2d(shape.channels, shape.channels, shape.kernel, padding=shape.kernel // 2), nn.ReLU6()]
    size = shape.channels, shape.height, shape.width
    name = f"{shape.kernel}x{shape.kernel} convolution, {shape.channels} channels, {shape.height} x {shape.width}"
    float_model = to_float(nn.Sequential(*layers), (1, *size))
    noise = np.random.default_rng(0).standard_normal((2, *size)).astype(np.float32)
    return [
        PeakModel(precision, count_macs(content), load_plain(content, f"{name}, {precision}", threads))
        for precision, content in ((FLOAT, float_model), (INT8, to_int8(float_model, noise)))
    ]


def count_macs(model: bytes) -> int:
    """Multiply-accumulates of one run of a .tflite model, counted from its graph."""
    return sum(operator.macs for operator in read_operators(model))


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second that one thread reads and writes together: in a core's own cache, and with arrays beyond it."""

    cache_gb_per_s: float
    memory_gb_per_s: float
    core_cache_bytes: int
    last_cache_bytes: int
    array_bytes: int

    @property
    def is_beyond_caches(self) -> bool:
        """Whether the large arrays do not fit the last cache: where it outgrows the memory to spare, they do."""
        return 3 * self.array_bytes > self.last_cache_bytes

    def of_working_set(self, n_bytes: int) -> float:
        """The bandwidth that counts where a model moves among `n_bytes`, in gigabytes a second."""
        return self.cache_gb_per_s if n_bytes <= self.core_cache_bytes else self.memory_gb_per_s


def measure_bandwidth() -> Bandwidth:
    """Measure both; a few seconds."""
    core_cache, last_cache = cache_sizes()
    in_cache = max(gb_per_s(int(core_cache * share), ROUNDS_IN_CACHE, CALLS_IN_CACHE) for share in SHARES_OF_CORE_CACHE)
    large = array_bytes_beyond(last_cache, free_memory_bytes())
    return Bandwidth(in_cache, gb_per_s(large, ROUNDS_BEYOND, 1), core_cache, last_cache, large)


def array_bytes_beyond(last_cache_bytes: int, free_bytes: int) -> int:
    """Bytes of each of three arrays: as large as the last cache, so that they pass through it, if memory allows."""
    return max(DEFAULT_CORE_CACHE_BYTES, min(last_cache_bytes, int(MAX_SHARE_OF_FREE_MEMORY * free_bytes)))


def gb_per_s(array_bytes: int, rounds: int, calls: int) -> float:
    """The faster of a sum (two arrays read, one written) and a copy (one read, one written), the best of the rounds.

    Bytes that a processor reads only because it is about to overwrite them are not counted. What calling NumPy costs
    is measured on arrays of one number and left out.
    """
    n_values = max(1, array_bytes // 4)
    first, second, result = (np.full(n_values, value, np.float32) for value in (1.0, 2.0, 0.0))
    moves: list[tuple[int, Callable[[slice], object]]] = [
        (3, lambda part: np.add(first[part], second[part], out=result[part])),
        (2, lambda part: np.copyto(result[part], first[part])),
    ]
    best = 0.0
    for arrays, move in moves:
        call_s = _best_s(lambda move=move: move(slice(0, 1)), rounds, calls)
        whole_s = _best_s(lambda move=move: move(slice(None)), rounds, calls)
        best = max(best, arrays * first.nbytes / max(whole_s - call_s, whole_s / 10))
    return best / 1e9


def _best_s(run: Callable[[], object], rounds: int, calls: int) -> float:
    """Seconds of one call, in the fastest round of several calls each."""
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        seconds.append((time.perf_counter() - start) / calls)
    return min(seconds)


def cache_sizes(folder: Path = CACHE_FOLDER) -> tuple[int, int]:
    """Bytes of the largest cache below the last level, and of the last level's; common ones where unknown."""
    by_level: dict[int, int] = {}
    for entry in sorted(folder.glob("index*")):
        try:
            kind, level, size = ((entry / name).read_text().strip() for name in ("type", "level", "size"))
            n_bytes = int(size.rstrip("KMG")) * _UNITS.get(size[-1], 1)
        except (OSError, ValueError):
            continue
        if kind != "Instruction":
            by_level[int(level)] = max(n_bytes, by_level.get(int(level), 0))
    if not by_level:
        return DEFAULT_CORE_CACHE_BYTES, DEFAULT_LAST_CACHE_BYTES
    levels = sorted(by_level)
    return by_level[levels[-2] if len(levels) > 1 else levels[-1]], by_level[levels[-1]]


def free_memory_bytes() -> int:
    """Bytes of memory that could be had now; a quarter of all where the system does not say."""
    try:
        for line in MEMORY_FILE.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
