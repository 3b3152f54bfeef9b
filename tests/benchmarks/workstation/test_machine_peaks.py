"""Peaks and bandwidth of the machine: products are counted as written, caches are told apart, speeds are possible."""

import numpy as np
import pytest

from benchmarks.workstation import machine_peaks
from benchmarks.workstation.machine_peaks import (
    Bandwidth,
    PeakShape,
    array_bytes_beyond,
    cache_sizes,
    count_macs,
    gb_per_s,
    load_peak_models,
)
from core.bundle import load_bundle
from quantize.tflite_parts import BODY, FRONT_END, HEADS, three_parts

MIB = 1 << 20
SHIPPED = load_bundle(None).model_path
# Steps, bands, and channels in, expanded and out of each block.
BLOCKS = (
    (50, 12, 8, 32, 16),
    (25, 6, 16, 64, 40),
    (25, 6, 40, 64, 40),
    (25, 3, 40, 96, 80),
    (25, 3, 80, 96, 80),
    (25, 3, 80, 96, 80),
)


def test_the_multiply_accumulates_of_the_shipped_parts_are_those_of_its_layers():
    parts = three_parts(SHIPPED.read_bytes(), "the shipped model")
    blocks = 0
    for steps, bands, n_in, n_expanded, n_out in BLOCKS:
        blocks += steps * bands * n_expanded * (9 * n_in + n_out)
    stem, heads = 50 * 24 * 8 * 9, 25 * 3 * 80 * 256 + 25 * 2 * 3 * 256 + 512 * 512 + 512 * 8
    assert count_macs(parts[BODY]) + count_macs(parts[HEADS]) == stem + blocks + heads
    assert count_macs(SHIPPED.read_bytes()) == count_macs(parts[FRONT_END]) + stem + blocks + heads


@pytest.mark.long
def test_a_peak_model_has_the_products_of_its_layers_in_both_precisions(monkeypatch):
    monkeypatch.setattr(machine_peaks, "SHAPES", (PeakShape(1, 32, 8, 8), PeakShape(3, 16, 8, 8)))
    peaks = load_peak_models(1)
    assert [peak.macs for peak in peaks] == [4 * 64 * 32 * 32] * 2 + [4 * 64 * 16 * 16 * 9] * 2
    assert [peak.precision for peak in peaks] == ["float32", "int8"] * 2


def write_cache(folder, number, kind, level, size):
    entry = folder / f"index{number}"
    entry.mkdir()
    for name, value in (("type", kind), ("level", level), ("size", size)):
        (entry / name).write_text(f"{value}\n")


def test_the_cores_own_cache_and_the_last_one_are_told_apart(tmp_path):
    for number, facts in enumerate([("Data", 1, "48K"), ("Instruction", 1, "512K"), ("Unified", 2, "2048K")]):
        write_cache(tmp_path, number, *facts)
    assert cache_sizes(tmp_path) == (48 << 10, 2 * MIB)
    write_cache(tmp_path, 3, "Unified", 3, "32M")
    assert cache_sizes(tmp_path) == (2 * MIB, 32 * MIB)


def test_where_the_system_says_nothing_of_caches_common_sizes_are_taken(tmp_path):
    write_cache(tmp_path, 0, "Unified", "two", "much")
    assert cache_sizes(tmp_path) == cache_sizes(tmp_path / "gone") == (MIB, 32 * MIB)


def test_three_arrays_are_larger_than_the_cache_and_never_most_of_the_free_memory():
    assert array_bytes_beyond(32 * MIB, 1 << 40) == 32 * MIB
    assert 3 * array_bytes_beyond(256 * MIB, 4 << 30) < (4 << 30) / 5
    small = Bandwidth(100.0, 10.0, 2 * MIB, 260 * MIB, 64 * MIB)
    assert not small.is_beyond_caches
    assert Bandwidth(100.0, 10.0, 2 * MIB, 32 * MIB, 128 * MIB).is_beyond_caches


def test_a_model_that_fits_a_cores_cache_counts_by_the_caches_speed():
    measured = Bandwidth(100.0, 10.0, 2 * MIB, 32 * MIB, 128 * MIB)
    assert measured.of_working_set(2 * MIB) == 100.0 and measured.of_working_set(2 * MIB + 1) == 10.0


def test_bytes_a_second_are_those_of_the_arrays_over_the_time(monkeypatch):
    times = iter(np.cumsum([0, 0.001] * 100).tolist())
    monkeypatch.setattr(machine_peaks.time, "perf_counter", lambda: next(times))
    # A call on one number takes as long as one on the whole array here, so a tenth of that is left.
    assert gb_per_s(4_000_000, rounds=1, calls=1) == pytest.approx(3 * 4e6 / 1e-4 / 1e9)


def test_a_cache_is_faster_than_memory_and_both_are_possible_speeds():
    in_cache, beyond = gb_per_s(128 << 10, 50, 20), gb_per_s(48 * MIB, 3, 1)
    assert 0.5 < beyond < in_cache < 2000
