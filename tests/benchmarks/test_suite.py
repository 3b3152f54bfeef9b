"""All benchmarks in a row: what failed is named and measured by the next call, the others are in the report."""

from pathlib import Path

import pytest
import typer

from benchmarks import command
from benchmarks.results.result import describe_run, make_result, make_row, read_result, write_result
from benchmarks.suite import benchmarks_of, run_suite
from core.errors import TussisError


def test_every_benchmark_of_the_suite_is_a_command_that_takes_these_options():
    group = typer.main.get_command(command.app)
    benchmarks = benchmarks_of([Path("a.tflite")], Path("yamnet.tflite"), Path("store"), Path("data"))
    assert {"latency", "monitoring", "operators", "roofline", "memory", "accuracy", "scale"} <= set(benchmarks)
    for name, (which, *options) in benchmarks.items():
        context = group.commands[which].make_context(which, [*options, "--json", f"{name}.json"])
        assert context.params["json_path"] == Path(f"{name}.json")


def test_what_failed_is_named_and_the_others_are_reported_and_not_measured_again(tmp_path):
    row = make_row("ours", "model", describe_run(1, "xnnpack", b"a model"), {"p50_ms": 1.5}, 2.0)
    write_result(tmp_path / "a.json", make_result("latency", "in turns", [row]))
    (out := tmp_path / "out").mkdir()
    write_result(out / "arm64.json", make_result("arm64", "counted", [row]))
    same, gone = ["compare", str(tmp_path / "a.json")], str(tmp_path / "gone.json")
    with pytest.raises(TussisError, match="broken failed; the report holds the others"):
        run_suite({"whole": [*same, same[1]], "broken": [*same, gone]}, out)
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert "whole.json" in markdown and "arm64.json" in markdown and "broken" not in markdown
    assert read_result(out / "whole.json")["kind"] == "comparison"
    assert run_suite({"whole": [*same, gone]}, out) == 2
