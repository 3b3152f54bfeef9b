"""Small results of a few kinds, for the tests of plots and reports."""

from benchmarks.results.result import Result, describe_run, make_result, make_row
from core.stopwatch import timing_metrics

RUN = describe_run(1, "xnnpack", b"a model")
TIMES = [1.0, 1.5, 2.0, 40.0]


def latency_result(name: str = "ours") -> Result:
    rows = [
        make_row(name, "model", RUN, timing_metrics(TIMES, 2.0), 2.0, 4, TIMES, {"role": "ours"}),
        make_row("YAMNet", "model", RUN, timing_metrics(TIMES, 1.0), 0.975, 4, TIMES, {"role": "peer"}),
        make_row("yardstick", "yardstick", RUN, timing_metrics(TIMES), None, 4, TIMES),
    ]
    ratio = {"name": name, "to": "YAMNet", "stage": "model", "threads": 1, "delegate": "xnnpack"}
    ratio |= {"value": 0.5, "low": 0.45, "high": 0.55}
    return make_result(
        "latency", "in turns", rows, [ratio], facts={"headline": "p50_ms", "instrument": [{"share": 0.01}]}
    )


def comparison_result() -> Result:
    key = {"name": "ours", "stage": "model", "threads": 1, "delegate": "xnnpack"}
    told = key | {"value": 1.1, "low": 1.08, "high": 1.12, "margin": 0.03, "verdict": "slower"}
    untold = key | {"value": 1.1, "low": None, "high": None, "margin": 0.1, "verdict": "cannot tell", "stage": "phone"}
    return make_result("comparison", "ratios", [], comparisons=[told, untold])


def new_kind() -> Result:
    rows = [make_row("ours", "file", RUN, {"model_bytes": 750_000}, facts={"layer": "body.blocks.0", "list": [1]})]
    rows.append(make_row("ours", "process", RUN, {"peak_bytes": 40_000_000, "auroc": 0.987654}))
    return make_result("something_new", "weighed", rows)
