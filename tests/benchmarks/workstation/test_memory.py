"""Memory: processes as on a phone, what each stage of a start adds, and values planned by their lives."""

import mmap

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.result import check_result
from benchmarks.results.runner import Run
from benchmarks.timing.models import ChosenModel
from benchmarks.workstation import fresh_process
from benchmarks.workstation.fresh_process import ImportedModule, Start, measure_imports, parse_imports, start_process
from benchmarks.workstation.memory import MEMORY, Footprint, memory_result, planned_bytes
from benchmarks.workstation.started_process import process_memory
from core.audio import write_wav
from core.bundle import load_bundle
from core.demonstration import synthesize_demonstration
from core.errors import DataError

MODEL = load_bundle(None).model_path
STAGES = ["python", "numpy", "core", "runtime", "bundle", "model", "first result", "again"]


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["memory", *map(str, arguments)])


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "recording.wav"
    write_wav(path, synthesize_demonstration())
    return path


@pytest.fixture(scope="module")
def start(recording, tmp_path_factory):
    return start_process("screen", str(recording), "", "", bytecode=tmp_path_factory.mktemp("bytecode"))


def test_a_process_as_on_a_phone_has_only_numpy_and_the_runtime(start):
    of_the_machine = {"sitecustomize", "usercustomize"}
    assert set(start.packages) - of_the_machine == {"ai_edge_litert", "numpy"}


def test_time_and_memory_go_up_from_stage_to_stage_to_the_first_result(start):
    assert [entry["stage"] for entry in start.stages] == STAGES
    times = [entry["at_ms"] for entry in start.stages]
    assert times == sorted(times) and 20 < start.stage("first result")["at_ms"] < 60_000
    peaks = [entry["peak_bytes"] for entry in start.stages]
    assert peaks == sorted(peaks)
    assert 5e6 < peaks[0] < peaks[-1] < 2e8
    assert start.added_bytes("numpy") > 1e6 and start.added_bytes("model") > MODEL.stat().st_size


def test_twenty_recordings_more_take_no_more_memory(start):
    assert start.added_bytes("again") < 4e6


def test_allocating_tensors_is_measured_apart_and_a_file_that_is_no_model_is_an_error(tmp_path):
    start = start_process("allocate", str(MODEL), bytecode=tmp_path)
    assert [entry["stage"] for entry in start.stages] == ["read", "create", "allocate", "invoke"]
    assert start.added_bytes("allocate") > planned_bytes(MODEL.read_bytes())[0] / 2
    text = tmp_path / "text.tflite"
    text.write_text("not a model")
    with pytest.raises(DataError, match="ended with status 1"):
        start_process("allocate", str(text), bytecode=tmp_path)


def test_memory_that_is_really_taken_is_seen():
    fresh = mmap.mmap(
        -1, 32_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )  # no page that this process had before
    before = process_memory()
    taken = np.frombuffer(fresh, dtype=np.float64)
    taken[:] = 1
    now = process_memory()
    for key in ("resident_bytes", "own_bytes"):
        assert 25e6 < now[key] - before[key] < 60e6
    assert now["peak_bytes"] >= now["resident_bytes"] >= now["own_bytes"]
    assert taken.sum() == 4_000_000


def test_values_are_planned_from_their_first_to_their_last_use(tiny_chain):
    content, at_once, together = tiny_chain
    assert planned_bytes(content) == (at_once, together)


@pytest.fixture
def tiny_chain():
    """Three layers of 100, 400, 40 and 8 floats: the middle two live at once at most."""
    import torch

    from benchmarks.timing.pcen_detector import to_float

    layers = [torch.nn.Linear(100, 400), torch.nn.Linear(400, 40), torch.nn.Linear(40, 8)]
    content = to_float(torch.nn.Sequential(*layers), (1, 100))
    return content, 4 * (100 + 400), 4 * (100 + 400 + 40 + 8)


def test_the_shipped_models_values_at_once_are_those_of_its_first_operators():
    at_once, together = planned_bytes(MODEL.read_bytes())
    assert 4 * 2 * 32_000 <= at_once < together < 10e6


def test_import_times_are_read_by_module_and_counted_for_its_package():
    text = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       211 |        211 |       _json\n"
        "import time:      1500 |       2500 |     numpy._core.multiarray\n"
        "import time:      3037 |     203298 | core.screener\n"
    )
    times = parse_imports(text)
    assert times == {"_json": (0.211, 0.211), "numpy._core.multiarray": (1.5, 2.5), "core.screener": (3.037, 203.298)}
    packages = [ImportedModule(name, *pair).package for name, pair in times.items()]
    assert packages == ["python", "numpy", "core"]
    with pytest.raises(DataError, match="wrote no import times"):
        parse_imports("nothing")


@pytest.mark.long
def test_imports_of_a_screening_are_measured(tmp_path):
    counted = []
    modules = measure_imports(2, tmp_path, lambda: counted.append(1))
    names = {module.name for module in modules}
    assert {"core.screener", "numpy", "ai_edge_litert.interpreter"} <= names and "torch" not in names
    own_ms = [module.self_ms for module in modules]
    assert own_ms == sorted(own_ms, reverse=True) and len(counted) == 2
    assert all(module.self_ms <= module.cumulative_ms + 0.01 for module in modules)


def test_the_result_keeps_to_the_schema_and_says_bytes_stages_and_imports(start):
    names = ("read", "create", "allocate", "invoke")
    allocation = Start([{**entry, "stage": name} for entry, name in zip(start.stages, names, strict=False)], [])
    times = {"numpy": (5.0, 9.0), "core.screener": (2.0, 20.0), "org": (0.1, 0.1)}
    modules = [ImportedModule(name, *pair) for name, pair in times.items()]
    footprint = Footprint([start, start, start], allocation, modules, 0.5)
    result = memory_result(ChosenModel("shipped", MODEL.read_bytes()), footprint, Run(MEMORY))
    check_result(result, "the result")
    rows = {row["stage"]: row for row in result["rows"]}
    metrics = rows["footprint"]["metrics"]
    assert metrics["model_bytes"] == MODEL.stat().st_size
    assert metrics["above_python_bytes"] == metrics["peak_bytes"] - metrics["python_bytes"] > 0
    assert rows["first result"]["metrics"]["p50_ms"] == pytest.approx(start.stage("first result")["at_ms"])
    assert sum(rows[f"start: {stage}"]["metrics"]["p50_ms"] for stage in STAGES[:-1]) == pytest.approx(
        rows["first result"]["metrics"]["p50_ms"]
    )
    assert rows["package: numpy"]["metrics"] == {"self_ms": 5.0} and "package: org" not in rows
    assert rows["import: core.screener"]["metrics"] == {"self_ms": 2.0, "cumulative_ms": 20.0}


@pytest.mark.slow
def test_the_command_measures_a_models_file_too(tmp_path):
    out = tmp_path / "memory.json"
    result = run("--starts", 3, "--model", MODEL, "--json", out)
    assert result.exit_code == 0, result.stderr
    assert "first result" in result.stdout and out.exists()


def test_what_cannot_be_measured_or_written_is_refused_in_one_sentence(tmp_path):
    text = tmp_path / "text.tflite"
    text.write_text("not a model")
    refusals = {
        "is not a TFLite model": ("--model", text),
        "--starts is 1; medians need at least 3": ("--starts", 1),
        "there is no folder": ("--json", tmp_path / "gone" / "x.json"),
    }
    for words, arguments in refusals.items():
        result = run(*arguments)
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1


def test_a_process_that_hangs_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(fresh_process, "TIMEOUT_S", 0.01)
    with pytest.raises(DataError, match=r"did not end within 0\.01 s"):
        start_process("allocate", str(MODEL), bytecode=tmp_path)
