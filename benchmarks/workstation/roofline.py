"""The only place that says how far a model is from what this machine can do: peaks, bandwidth, limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.results.names import MIN_RUNS
from benchmarks.results.result import Result, Row, describe_run, make_result, make_row, write_result
from benchmarks.timing.chosen_model import ChosenModel, choose_model
from benchmarks.timing.interleaved import check_runs, time_interleaved
from benchmarks.workstation.bandwidth import Bandwidth, measure_bandwidth
from benchmarks.workstation.machine_peaks import PeakModel, load_peak_models
from benchmarks.workstation.operator_facts import FLOAT, INT8
from benchmarks.workstation.operators import (
    DELEGATE,
    SMALLEST_SHARE,
    WHOLE,
    ModelTimes,
    OperatorTime,
    operator_table,
    short_name,
    time_operators,
)
from core.clips import CLIP_S
from core.errors import exit_on_error
from core.files import check_writable
from core.interpreter import MAX_THREADS

KIND = "roofline"
PRODUCTS, BYTES = "macs", "bytes"
SMALLEST_OWN_PEAK_US = 10.0
LAYER = "layer "
PROTOCOL = (
    "peaks: the fastest of several large convolutions in the same runtime, by medians, in turns, before and after the "
    "operators, or of the model's own where one is faster; bandwidth: the faster of NumPy's sum and copy, in a core's "
    "cache and beyond all; an operator's limit is the longer of its products at the peak of its precision and its "
    "bytes at the bandwidth of where the model lies; the model's limit is their sum"
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


def limit_of(its: OperatorTime, roofs: Roofs, gb_per_s: float) -> Limit:
    """An operator's limit with a bandwidth; none for one that was folded away, because nobody moves its bytes."""
    if its.note:
        return Limit(0.0, 0.0)
    n_bytes = its.traffic.weight_bytes + its.traffic.activation_bytes
    return Limit(its.operator.macs / roofs.peak(its.traffic.precision) / 1000, n_bytes / gb_per_s / 1000)


def working_set_bytes(operators: Sequence[OperatorTime]) -> int:
    """Bytes that a model moves among, run after run: all weights, and the largest operator's inputs and outputs."""
    weights = sum(its.traffic.weight_bytes for its in operators if not its.note)
    return weights + max(its.traffic.activation_bytes for its in operators)


def measure_peaks(models: Sequence[PeakModel], runs: int) -> list[dict[str, Any]]:
    """Name, precision and speed of each peak model, timed in turns."""
    timings = time_interleaved([its.contender for its in models], runs)
    return [
        _speed(its.contender.name, its.precision, its.macs, float(np.median(timing.runs_s)))
        for its, timing in zip(models, timings, strict=True)
    ]


def own_speeds(operators: Sequence[OperatorTime]) -> list[dict[str, Any]]:
    """The speeds of the model's own convolutions and products that are long enough to be told exactly."""
    return [
        _speed(f"{LAYER}{its.operator.layer}", _peak_precision(its.traffic.precision), its.operator.macs, its.us / 1e6)
        for its in operators
        if its.operator.macs and its.us >= SMALLEST_OWN_PEAK_US
    ]


def fastest(speeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several speeds of a name the fastest."""
    by_name: dict[str, dict[str, Any]] = {}
    for its in speeds:
        if its["gmacs_per_s"] > by_name.get(its["name"], {"gmacs_per_s": 0.0})["gmacs_per_s"]:
            by_name[its["name"]] = its
    return list(by_name.values())


def _speed(name: str, precision: str, macs: int, seconds: float) -> dict[str, Any]:
    return {"name": name, "precision": precision, "gmacs_per_s": macs / seconds / 1e9}


def _peak_precision(precision: str) -> str:
    return FLOAT if precision == FLOAT else INT8


def best_peaks(speeds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The fastest of each precision, in billions of multiply-adds a second."""
    return {
        precision: max(its["gmacs_per_s"] for its in speeds if its["precision"] == precision)
        for precision in (FLOAT, INT8)
    }


def roofline_result(
    chosen: ChosenModel, times: ModelTimes, roofs: Roofs, speeds: Sequence[dict[str, Any]], threads: int
) -> Result:
    """The result of kind ``roofline``: the whole model's row, then one an operator that the model runs."""
    provenance = describe_run(threads, DELEGATE, chosen.content, load_before=times.load_before)
    gb_per_s = roofs.bandwidth.of_working_set(working_set_bytes(times.operators))
    running = [its for its in times.operators if not its.note]
    n_runs = len(times.whole_ms)
    rows = [_operator_row(chosen.name, its, roofs, gb_per_s, provenance, n_runs) for its in running]
    whole = make_row(
        *(chosen.name, WHOLE, provenance, _whole_metrics(times, roofs, gb_per_s), CLIP_S, n_runs, times.whole_ms)
    )
    found = [its for its in speeds if its["gmacs_per_s"] in roofs.peaks.values() or not its["name"].startswith(LAYER)]
    facts = {"peaks": found, "is_beyond_caches": roofs.bandwidth.is_beyond_caches}
    return make_result(KIND, PROTOCOL, [whole, *rows], facts=facts)


def _whole_metrics(times: ModelTimes, roofs: Roofs, gb_per_s: float) -> dict[str, float]:
    limits = [limit_of(its, roofs, gb_per_s) for its in times.operators]
    p50_ms, limit_ms = float(np.median(times.whole_ms)), sum(its.us for its in limits) / 1000
    others = {
        f"limit_{where}_ms": sum(limit_of(its, roofs, speed).us for its in times.operators) / 1000
        for where, speed in (("cache", roofs.bandwidth.cache_gb_per_s), ("memory", roofs.bandwidth.memory_gb_per_s))
    }
    return {
        **{"p50_ms": p50_ms, "limit_ms": limit_ms, "share_of_limit": limit_ms / p50_ms, **others},
        "products_ms": sum(its.products_us for its in limits) / 1000,
        **{f"peak_{precision}_gmacs_per_s": value for precision, value in roofs.peaks.items()},
        **{"cache_gb_per_s": roofs.bandwidth.cache_gb_per_s, "memory_gb_per_s": roofs.bandwidth.memory_gb_per_s},
        **{"bandwidth_gb_per_s": gb_per_s, "working_set_bytes": working_set_bytes(times.operators)},
        **{"core_cache_bytes": roofs.bandwidth.core_cache_bytes, "macs": sum(i.operator.macs for i in times.operators)},
    }


def _operator_row(
    name: str, its: OperatorTime, roofs: Roofs, gb_per_s: float, provenance: dict[str, Any], n_runs: int
) -> Row:
    limit = limit_of(its, roofs, gb_per_s)
    macs, n_bytes = its.operator.macs, its.traffic.weight_bytes + its.traffic.activation_bytes
    intensity = macs / max(n_bytes, 1)
    metrics = {
        **{"us": its.us, "limit_us": limit.us, "macs": macs, "bytes": n_bytes, "intensity_macs_per_byte": intensity},
        "roof_gmacs_per_s": min(roofs.peak(its.traffic.precision), intensity * gb_per_s),
    }
    if its.us > 0:
        metrics |= {"share_of_limit": limit.us / its.us, "gmacs_per_s": macs / its.us / 1000}
    layer = its.operator.layer
    facts = {"number": its.number, "layer": layer, "operator": its.operator.kind, "part": its.part}
    facts |= {"precision": its.traffic.precision, "bound": limit.bound}
    stage = " ".join(word for word in (f"{its.number:03d}", layer, its.operator.kind) if word)
    return make_row(name, stage, provenance, metrics, n_runs=n_runs, facts=facts)


def show(result: Result, console: Console) -> None:
    """Print a result for a person: the model's distance to its limit, and that of the operators that take time."""
    whole, *rows = result["rows"]
    its = whole["metrics"]
    title = f"{whole['name']}, {whole['threads']} thread(s), {whole['n_runs']} runs"
    numbers = ("us", "limit", "%", "GMAC/s", "roof")
    table = operator_table("bound", numbers, title)
    for row in rows:
        row_its = row["metrics"]
        if row_its["us"] >= SMALLEST_SHARE * 1000 * its["p50_ms"]:
            times = f"{row_its['us']:.1f}", f"{row_its['limit_us']:.1f}", f"{100 * row_its['share_of_limit']:.0f}"
            speeds = f"{row_its['gmacs_per_s']:.0f}", f"{row_its['roof_gmacs_per_s']:.0f}"
            table.add_row(short_name(row), row["facts"]["bound"], *times, *speeds)
    console.print(table)
    speeds = f"float32 {its['peak_float32_gmacs_per_s']:.1f}, int8 {its['peak_int8_gmacs_per_s']:.1f} GMAC/s"
    console.print(f"peaks: {speeds}; {its['cache_gb_per_s']:.0f} GB/s in cache, {its['memory_gb_per_s']:.0f} beyond")
    if not result["facts"]["is_beyond_caches"]:
        console.print("the last cache is too large to measure beyond it here: memory is slower than that")
    console.print(
        f"{its['p50_ms']:.3f} ms, the limit is {its['limit_ms']:.3f} ms ({100 * its['share_of_limit']:.0f} %), "
        f"{its['products_ms']:.3f} ms of it for products alone"
    )


def roofline(
    bundle: Annotated[Path | None, typer.Option(help="Bundle; the shipped one when left out.")] = None,
    model: Annotated[Path | None, typer.Option(help="A .tflite of the same signature in place of a bundle.")] = None,
    runs: Annotated[int, typer.Option(help=f"Runs of each, at least {MIN_RUNS}.")] = MIN_RUNS,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of the model.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="SVG file to write, whole or not at all.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Set each operator beside the most that this machine could do; takes about a minute.

    Example: tussis-benchmark roofline --json roofline.json --plot roofline.svg
    """
    with exit_on_error("tussis-benchmark"):
        check_runs(runs)
        for path in filter(None, (plot, json_path)):
            check_writable(path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        result = measure(choose_model(bundle, model), threads, runs, notes)
        if json_path is not None:
            write_result(json_path, result)
        if plot is not None:
            write_plot(plot, result)
        show(result, console)


def measure(chosen: ChosenModel, threads: int, runs: int, console: Console) -> Result:
    """Measure peaks, bandwidth and the model's operators, with a progress bar."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("peaks", total=runs)
        peaks = load_peak_models(threads)
        speeds = measure_peaks(peaks, runs)
        progress.update(task, description="bandwidth")
        bandwidth = measure_bandwidth()
        progress.update(task, description="operators")
        times = time_operators(chosen.content, threads, runs, lambda n: progress.update(task, completed=n))
        speeds += measure_peaks(peaks, runs)
    speeds = fastest([*speeds, *own_speeds(times.operators)])
    roofs = Roofs(best_peaks(speeds), bandwidth)
    return roofline_result(chosen, times, roofs, speeds, threads)


def write_plot(path: Path, result: Result) -> None:
    """Draw a result of this kind into an SVG file."""
    from benchmarks.results.roofline_plot import roofline_svg
    from core.files import write_atomically

    write_atomically(path, roofline_svg(result))
