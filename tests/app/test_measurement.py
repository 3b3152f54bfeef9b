"""Tests that a measurement on this device is a whole benchmark result, and ends when it is stopped."""

import json
import threading

import pytest

from app.imported_model import IMPORTED_NAME, import_model
from app.latency.page import MIN_RUNS
from app.measurement import Measuring, Setting, StoppedError, app_sha256
from core.bundle import load_bundle
from core.signing import ANYBODY


@pytest.mark.long
@pytest.mark.parametrize("xnnpack", [True, False])
def test_a_measurement_names_the_model_the_threads_and_the_kernels(tmp_path, xnnpack):
    found = Measuring(Setting(threads=2, xnnpack=xnnpack), tmp_path, ANYBODY, MIN_RUNS).measure()
    (row,) = json.loads(found.as_json)["rows"]
    assert (row["threads"], row["delegate"], row["n_runs"]) == (2, "xnnpack" if xnnpack else "builtin", MIN_RUNS)
    assert row["model_sha256"] == load_bundle(None).model_sha256
    assert row["metrics"]["load_ms"] > 0 and row["metrics"]["first_run_ms"] > 0
    assert set(row["facts"]["stages"]["model"]) >= {"p50_ms", "p90_ms", "p99_ms"}
    assert row["facts"]["app_sha256"] == app_sha256() and row["runtime"].startswith("ai-edge-litert ")


def test_the_file_is_a_result_that_the_benchmarks_read(tmp_path):
    results = pytest.importorskip(
        "benchmarks.results.result", reason="only the phone's half is installed", exc_type=ImportError
    )
    found = Measuring(Setting(), tmp_path, ANYBODY, MIN_RUNS).measure()
    path = tmp_path / "latency.json"
    path.write_text(found.as_json)
    assert results.read_result(path) == found.result


def test_the_imported_model_is_measured_where_it_is_asked_for(tmp_path, tiny_bundle):
    import_model(tiny_bundle, tmp_path)
    found = Measuring(Setting(is_imported=True), tmp_path, ANYBODY, MIN_RUNS).measure()
    assert found.model == load_bundle(tmp_path / IMPORTED_NAME).name != load_bundle(None).name


def test_one_that_is_stopped_ends_at_once_and_gives_nothing_from_too_few_runs(tmp_path):
    run, errors = Measuring(Setting(), tmp_path, ANYBODY, 2000), []

    def measure():
        try:
            run.measure()
        except StoppedError as error:
            errors.append(error)

    run.stop()
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join(60)
    assert errors and run.n_done < MIN_RUNS


def test_what_json_cannot_say_is_not_in_it(tmp_path):
    found = Measuring(Setting(), tmp_path, ANYBODY, MIN_RUNS).measure()
    assert json.loads(found.as_json) == found.result
