"""Sets a model and each of its operators beside the most that this machine could do."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from benchmarks.results.names import FLOAT, INT8, WHOLE, XNNPACK
from benchmarks.results.result import Kind, Result, Row, describe_run, make_row
from benchmarks.results.runner import Run
from benchmarks.timing.interleaved import check_runs, time_interleaved
from benchmarks.timing.models import ChosenModel
from benchmarks.workstation.machine_peaks import Bandwidth, PeakModel, load_peak_models, measure_bandwidth
from benchmarks.workstation.operators import ModelTimes, OperatorTime, time_operators
from core.clips import CLIP_S
from quantize.tflite_parts import BODY

PRODUCTS, BYTES = "macs", "bytes"
SMALLEST_OWN_PEAK_US = 10.0
LAYER = "layer "
ROOFLINE = Kind(
    "roofline",
    "peaks: the fastest of several large convolutions in the same runtime, by medians, in turns, before and after the "
    "operators, or of the model's own where one is faster; bandwidth: the faster of NumPy's sum and copy, in a core's "
    "cache and beyond all; an operator's limit is the longer of its products at the peak of its precision and its "
    "bytes at the bandwidth of where the model lies; the model's limit is their sum; body: all its operators together, "
    "beside the int8 peak",
    columns=(
        *("limit_ms", "share_of_peak", "us", "p50_ms", "limit_us", "share_of_limit", "gmacs_per_s"),
        *("roof_gmacs_per_s", "bound", "intensity_macs_per_byte", "products_ms", "limit_cache_ms", "limit_memory_ms"),
        *("peak_float32_gmacs_per_s", "peak_int8_gmacs_per_s", "cache_gb_per_s", "memory_gb_per_s"),
    ),
)


@dataclass(frozen=True)
class Roofs:
    """What this machine can do at best: ``peaks`` in billions of multiply-adds a second by precision, and bandwidth.

    A product of float32 activations with int8 weights is computed in int8 and stands against that peak.
    """

    peaks: dict[str, float]
    bandwidth: Bandwidth

    def peak(self, precision: str) -> float:
        """The peak that an operator of this precision stands against."""
        return self.peaks[_peak_precision(precision)]


@dataclass(frozen=True)
class Limit:
    """Microseconds that an operator needs at least: for its products and for its bytes, of which the longer counts."""

    products_us: float
    bytes_us: float

    @property
    def us(self) -> float:
        """The longer of the two."""
        return max(self.products_us, self.bytes_us)

    @property
    def bound(self) -> str:
        """What the operator is limited by."""
        return PRODUCTS if self.products_us >= self.bytes_us else BYTES


def limit_of(time: OperatorTime, roofs: Roofs, gb_per_s: float) -> Limit:
    """An operator's limit with a bandwidth; none for one that was folded away, because nobody moves its bytes."""
    if time.note:
        return Limit(0.0, 0.0)
    products_us = time.operator.macs / roofs.peak(time.traffic.precision) / 1000
    return Limit(products_us, time.traffic.n_bytes / gb_per_s / 1000)


def working_set_bytes(operators: Sequence[OperatorTime]) -> int:
    """Bytes that a model moves among, run after run: all weights, and the largest operator's inputs and outputs."""
    weights = sum(time.traffic.weight_bytes for time in operators if not time.note)
    return weights + max(time.traffic.activation_bytes for time in operators)


def measure_peaks(models: Sequence[PeakModel], runs: int) -> list[dict[str, Any]]:
    """Name, precision and speed of each peak model, timed in turns."""
    timings = time_interleaved([model.contender for model in models], runs)
    return [
        _speed(model.contender.name, model.precision, model.macs, float(np.median(timing.runs_s)))
        for model, timing in zip(models, timings, strict=True)
    ]


def own_speeds(operators: Sequence[OperatorTime]) -> list[dict[str, Any]]:
    """The speeds of the model's own convolutions and products that are long enough to be told exactly."""
    exact = [time for time in operators if time.operator.macs and time.us >= SMALLEST_OWN_PEAK_US]
    layers = [(f"{LAYER}{time.operator.layer}", _peak_precision(time.traffic.precision)) for time in exact]
    return [_speed(*layer, time.operator.macs, time.us / 1e6) for layer, time in zip(layers, exact, strict=True)]


def fastest(speeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several speeds of a name the fastest."""
    by_name: dict[str, dict[str, Any]] = {}
    for speed in speeds:
        by_name[speed["name"]] = max(by_name.get(speed["name"], speed), speed, key=itemgetter("gmacs_per_s"))
    return list(by_name.values())


def _speed(name: str, precision: str, macs: int, seconds: float) -> dict[str, Any]:
    return {"name": name, "precision": precision, "gmacs_per_s": macs / seconds / 1e9}


def _peak_precision(precision: str) -> str:
    return FLOAT if precision == FLOAT else INT8


def best_peaks(speeds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The fastest of each precision, in billions of multiply-adds a second."""
    return {
        precision: max(speed["gmacs_per_s"] for speed in speeds if speed["precision"] == precision)
        for precision in (FLOAT, INT8)
    }


def measure_roofline(chosen: ChosenModel, threads: int, runs: int, run: Run) -> Result:
    """Measure peaks, bandwidth and the model's operators."""
    check_runs(runs)
    with run.progress("peaks and operators", runs) as step:
        peaks = load_peak_models(threads)
        speeds = measure_peaks(peaks, runs)
        bandwidth = measure_bandwidth()
        times = time_operators(chosen.content, threads, runs, step)
        speeds += measure_peaks(peaks, runs)
    speeds = fastest([*speeds, *own_speeds(times.operators)])
    roofs = Roofs(best_peaks(speeds), bandwidth)
    return roofline_result(chosen, times, roofs, speeds, threads, run)


def roofline_result(
    chosen: ChosenModel, times: ModelTimes, roofs: Roofs, speeds: Sequence[dict[str, Any]], threads: int, run: Run
) -> Result:
    """The result of kind ``roofline``: the model's row, one an operator that the model runs, and the body's."""
    provenance = describe_run(threads, XNNPACK, chosen.content, load_before=times.load_before)
    gb_per_s, n_runs = roofs.bandwidth.of_working_set(working_set_bytes(times.operators)), len(times.whole_ms)
    metrics = _whole_metrics(times, roofs, gb_per_s)
    run.append(make_row(chosen.name, WHOLE, provenance, metrics, CLIP_S, n_runs, times.whole_ms))
    running = [time for time in times.operators if not time.note]
    run.append(*(_operator_row(chosen.name, time, roofs, gb_per_s, provenance, n_runs) for time in running))
    if body := [time for time in running if time.part == BODY and time.us > 0]:
        run.append(make_row(chosen.name, BODY, provenance, body_metrics(body, roofs, gb_per_s), n_runs=n_runs))
    shown = [
        speed for speed in speeds if speed["gmacs_per_s"] in roofs.peaks.values() or not speed["name"].startswith(LAYER)
    ]
    return run.result(facts={"peaks": shown, "is_beyond_caches": roofs.bandwidth.is_beyond_caches})


def _whole_metrics(times: ModelTimes, roofs: Roofs, gb_per_s: float) -> dict[str, float]:
    bandwidth, limits = roofs.bandwidth, [limit_of(time, roofs, gb_per_s) for time in times.operators]
    p50_ms, limit_ms = float(np.median(times.whole_ms)), sum(limit.us for limit in limits) / 1000
    others = {
        f"limit_{where}_ms": sum(limit_of(time, roofs, speed).us for time in times.operators) / 1000
        for where, speed in (("cache", bandwidth.cache_gb_per_s), ("memory", bandwidth.memory_gb_per_s))
    }
    return {
        **{"p50_ms": p50_ms, "limit_ms": limit_ms, "share_of_limit": limit_ms / p50_ms, **others},
        "products_ms": sum(limit.products_us for limit in limits) / 1000,
        **{f"peak_{precision}_gmacs_per_s": value for precision, value in roofs.peaks.items()},
        **{"cache_gb_per_s": bandwidth.cache_gb_per_s, "memory_gb_per_s": bandwidth.memory_gb_per_s},
        **{"bandwidth_gb_per_s": gb_per_s, "working_set_bytes": working_set_bytes(times.operators)},
        "core_cache_bytes": bandwidth.core_cache_bytes,
        "macs": sum(time.operator.macs for time in times.operators),
    }


def body_metrics(operators: Sequence[OperatorTime], roofs: Roofs, gb_per_s: float) -> dict[str, float]:
    """Speed of the body's operators together; its float32 stem counts against the int8 peak too."""
    us, macs = sum(time.us for time in operators), sum(time.operator.macs for time in operators)
    limit_us = sum(limit_of(time, roofs, gb_per_s).us for time in operators)
    speed = macs / us / 1000
    return {
        **{"us": us, "macs": macs, "gmacs_per_s": speed, "share_of_peak": speed / roofs.peaks[INT8]},
        **{"limit_us": limit_us, "share_of_limit": limit_us / us},
    }


def _operator_row(
    name: str, time: OperatorTime, roofs: Roofs, gb_per_s: float, provenance: dict[str, Any], n_runs: int
) -> Row:
    limit, macs, n_bytes = limit_of(time, roofs, gb_per_s), time.operator.macs, time.traffic.n_bytes
    intensity = macs / max(n_bytes, 1)
    metrics = {
        **{"us": time.us, "limit_us": limit.us, "macs": macs, "bytes": n_bytes, "intensity_macs_per_byte": intensity},
        "roof_gmacs_per_s": min(roofs.peak(time.traffic.precision), intensity * gb_per_s),
    }
    if time.us > 0:
        metrics |= {"share_of_limit": limit.us / time.us, "gmacs_per_s": macs / time.us / 1000}
    return time.row(name, provenance, metrics, n_runs, bound=limit.bound)
