"""Finished rows outlive what goes wrong: an error, a full disk, a kill."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results.result import Kind, describe_run, make_row, read_result
from benchmarks.results.runner import Run
from core.errors import DataError, InterpreterError, OutputError, TussisError

ROOT = Path(__file__).parents[3]
PHONE = Kind("phone", "one by one", columns=("p50_ms",))
PROVENANCE = describe_run(2, "xnnpack", b"a model")


def a_row(name: str = "ours") -> dict:
    return make_row(name, "model", PROVENANCE, {"p50_ms": 1.5}, 2.0, 3, [1.0, 1.5, 2.0])


def test_a_run_that_ends_well_leaves_the_result_only(tmp_path):
    with Run(PHONE, tmp_path / "a.json") as run:
        run.append(a_row())
        assert (tmp_path / "a.json.partial").exists()
        run.finish(run.result())
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_result(tmp_path / "a.json")["rows"] == run.rows


def test_finished_rows_outlive_an_error_and_the_sentence_says_where(tmp_path):
    with pytest.raises(InterpreterError) as refusal, Run(PHONE, tmp_path / "a.json") as run:
        run.append(a_row("first"))
        run.append(a_row("second"))
        raise InterpreterError("the phone is gone.")
    partial = tmp_path / "a.json.partial"
    assert str(refusal.value) == f"the phone is gone; the finished 2 rows are kept in {partial}."
    partial.write_bytes(partial.read_bytes() + b'{"name": "torn')
    kept = read_result(partial)
    assert [row["name"] for row in kept["rows"]] == ["first", "second"]
    assert kept["facts"] == {"ended_early": True, "columns": ["p50_ms"]} and kept["kind"] == "phone"
    partial.write_text('{"schema": "tussis.benchmark/1", "kind": "phone", "protocol": "once", "facts": 3}\n')
    assert read_result(partial)["facts"] == {"ended_early": True}
    with pytest.raises(DataError, match="holds rows of a run that ended early"):
        Run(PHONE, tmp_path / "a.json")


def test_a_disk_that_is_full_keeps_the_rows_that_fitted(tmp_path):
    size_bytes = len(json.dumps(a_row())) * 5 // 2
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        with pytest.raises(OutputError) as refusal, Run(PHONE, tmp_path / "a.json") as run:
            for _ in range(5):
                run.append(a_row())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    partial = tmp_path / "a.json.partial"
    assert f"cannot be written: File too large; the finished 2 rows are kept in {partial}." in str(refusal.value)
    assert read_result(partial)["rows"] == [a_row(), a_row()]


def test_a_first_row_that_does_not_fit_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with (
            pytest.raises(OutputError, match=r"File too large\.$"),
            Run(PHONE, tmp_path / "a.json") as run,
        ):
            run.append(a_row())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_measurement_leaves_its_finished_rows(tmp_path):
    (tmp_path / "row.json").write_text(json.dumps(a_row()))
    code = (
        "import json, os, signal, sys; from pathlib import Path; from benchmarks.results.result import Kind\n"
        "from benchmarks.results.runner import Run\n"
        "folder = Path(sys.argv[1])\n"
        "with Run(Kind('phone', 'once'), folder / 'a.json') as run:\n"
        "    run.append(json.loads((folder / 'row.json').read_text())); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=False)
    assert ended.returncode == -9
    assert read_result(tmp_path / "a.json.partial")["rows"] == [a_row()]


def test_a_run_without_a_file_keeps_rows_in_memory_and_still_checks_them():
    with Run(PHONE) as run:
        run.append(a_row())
        run.finish(run.result())
        assert len(run.rows) == 1
        with pytest.raises(TussisError, match="the row 'ours'"):
            run.append(a_row() | {"threads": 0})
