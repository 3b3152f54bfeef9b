import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.arm64 import check, packages
from benchmarks.arm64.check import PROCESSORS, agreement_lines, beyond_limits, compare_processors
from benchmarks.arm64.comparison import compare_arrays, count_flips, read_counts, where_identical
from benchmarks.arm64.debian import REPOSITORY, Arm64Root, compile_counter
from benchmarks.arm64.guest import run_part
from benchmarks.arm64.jobs import INT8, N_CLIPS, N_RANDOM, plan
from benchmarks.arm64.packages import EmulationError, Preparation, fetched_bytes
from core.errors import DataError, InterpreterError
from quantize.operators import count_partitions, list_operators
from quantize.synthesized_clips import synthesized_clips
from quantize.tflite_parts import BODY, FRONT_END, INTEGER_BODY, TO_CODES, student_parts

PREPARED = Arm64Root(REPOSITORY / check.ROOT)
COUNTS = [{"name": "int8 whole", "spread": 0.0, "dot_products": 3_000_000}]


@pytest.fixture(scope="module")
def job_results(default_bundle, tmp_path_factory):
    return plan(tmp_path_factory.mktemp("job"), default_bundle.read_model(), None, None).run_here()


def run_check(*arguments: object):
    return CliRunner().invoke(check.app, [str(argument) for argument in arguments])


def run_model(folder: Path, model: bytes, inputs: np.ndarray) -> list[np.ndarray]:
    (folder / "model.tflite").write_bytes(model)
    return list(run_part(folder / "model.tflite", inputs).values())


def test_front_end_and_body_one_after_the_other_are_the_shipped_model_bit_for_bit(default_bundle, tmp_path):
    model, clips = default_bundle.read_model(), synthesized_clips(3)
    parts = student_parts(model, "the model")
    assert set(parts) == {FRONT_END, BODY, TO_CODES, INTEGER_BODY}
    (log_mel,) = run_model(tmp_path, parts[FRONT_END], clips)
    for whole, body in zip(
        run_model(tmp_path, model, clips), run_model(tmp_path, parts[BODY], log_mel[:, 0]), strict=True
    ):
        np.testing.assert_array_equal(whole, body)


def test_the_integer_body_is_integers_from_end_to_end_and_each_part_is_one_partition(default_bundle, tmp_path):
    parts = student_parts(default_bundle.read_model(), "the model")
    assert {"QUANTIZE", "DEQUANTIZE", "LOG"}.isdisjoint(list_operators(parts[INTEGER_BODY], INTEGER_BODY))
    (codes,) = run_model(tmp_path, parts[TO_CODES], synthesized_clips(2))
    (last,) = run_model(tmp_path, parts[INTEGER_BODY], codes)
    assert codes.dtype == last.dtype == np.int8
    assert last.std() > 1
    assert all(count_partitions(part).is_whole for part in parts.values())


def test_a_model_without_a_front_end_to_cut_off_is_refused(tiny_model):
    with pytest.raises(InterpreterError, match="operators LOG; expected 1"):
        student_parts(tiny_model, "the tiny model")


def test_a_processor_agrees_with_itself_in_every_bit(default_bundle, job_results):
    comparison = compare_processors(default_bundle, job_results, job_results)
    body, decisions = comparison["integer_body"], comparison["decisions"]
    assert (body["n_identical"], body["n_inputs"]) == (N_CLIPS + N_RANDOM,) * 2
    assert comparison["outputs_of_same_codes"]["embedding"]["n_inputs"] == N_CLIPS
    assert decisions == {"n_event_decisions": 8 * N_CLIPS, "event_flips": 0, "n_frames": 50 * N_CLIPS, "frame_flips": 0}
    assert beyond_limits({"processor": "itself", "counts": COUNTS, **comparison}) == []


def test_one_wrong_integer_and_flipped_decisions_are_named(default_bundle, job_results):
    other = {name: {key: array.copy() for key, array in its.items()} for name, its in job_results.items()}
    other[f"{INT8} {INTEGER_BODY}"]["0"].reshape(-1)[7] ^= 1
    other[INT8]["event_logits"] *= -1
    other[f"{INT8} {FRONT_END}"]["0"].reshape(-1)[0] += 0.01
    counts = [{**COUNTS[0], "spread": 0.001}]
    differing = {"processor": "cortex", "counts": counts, **compare_processors(default_bundle, job_results, other)}
    words = beyond_limits(differing)
    assert [word.split(" is ")[0] for word in words] == [
        "cortex: the integer body's codes that differ",
        "cortex: the largest difference of the front end's log-mel",
        "cortex: the share of flipped event decisions",
        "cortex: the relative spread of an instruction count",
    ]
    assert "integer body on the same codes: 19 of 20 inputs bit-exact" in agreement_lines(differing)
    assert "int8 dot products a run: 3.000 M in int8 whole" in agreement_lines(differing)


def test_arrays_are_compared_by_bits_and_by_size_of_the_difference():
    reference = np.array([[1, -4], [0, 2]], np.float32)
    other = np.array([[1, -4], [0, 2.5]], np.float32)
    found = compare_arrays(reference, other)
    assert found == {
        **{"n_inputs": 2, "n_identical": 1, "n_values": 4, "n_different": 1},
        **{"max_abs": 0.5, "max_relative": 0.125},
    }
    assert where_identical(reference, other).tolist() == [True, False]
    int8 = np.array([[-128, 127]], np.int8)
    assert compare_arrays(int8, int8[:, ::-1])["max_abs"] == 255


def test_arrays_that_cannot_be_compared_are_refused():
    one = np.zeros((2, 3), np.float32)
    for other in (np.zeros((3, 2), np.float32), one.astype(np.float64), np.full((2, 3), np.nan, np.float32)):
        with pytest.raises(DataError, match="cannot be compared"):
            compare_arrays(one, other)


def test_decisions_are_those_of_the_bundles_thresholds(default_bundle):
    threshold = default_bundle.screening.event_thresholds["cough"]
    at = np.log(threshold / (1 - threshold))
    logits = np.full((1, 8), -9.0)
    logits[0, default_bundle.event_labels.index("cough")] = at + 1e-3
    quiet = {"event_logits": np.full((1, 8), -9.0), "activity_logits": np.full((1, 50), -9.0)}
    assert count_flips(default_bundle, {**quiet, "event_logits": logits}, quiet)["event_flips"] == 1
    assert count_flips(default_bundle, {**quiet, "event_logits": logits - 2e-3}, quiet)["event_flips"] == 0


@settings(max_examples=50)
@given(
    n_runs=st.lists(st.integers(2, 6), min_size=1, max_size=5),
    marking=st.integers(0, 2000),
    cost=st.integers(1, 10**9),
    dots=st.integers(0, 10**6),
)
def test_counts_are_medians_without_the_first_run_and_without_what_marking_costs(n_runs, marking, cost, dots):
    at, total_dots, lines = 10**10, 5, []
    for run in [None, *(run for runs in n_runs for run in range(runs))]:
        lines.append(f"{at} {total_dots}")
        at += marking if run is None else marking + (cost if run else 3 * cost)
        total_dots += dots if run is not None else 0
        lines.append(f"{at} {total_dots}")
        at += 12345
    parts = [(f"part {number}", runs) for number, runs in enumerate(n_runs)]
    counts = read_counts("\n".join(lines), parts)
    assert counts == {name: {"instructions": cost, "dot_products": dots, "spread": 0.0} for name, _ in parts}


@pytest.mark.parametrize("marks", ["", "1 2\n3 4\n", "1 2\n3 4\n5 6\n7 8\n9 10\n11", "a b\n" * 6])
def test_marks_of_something_else_are_refused(marks):
    with pytest.raises(DataError, match="expected 6, of two numbers each"):
        read_counts(marks, [("whole", 2)])


def test_fetched_sizes_are_read_from_what_apt_says():
    said = "Get:1 x [151 kB]\nFetched 9,314 kB in 3s (2764 kB/s)\nReading\nFetched 15.6 MB in 0s (99 MB/s)\n"
    assert fetched_bytes(said) == 9_314_000 + 15_600_000
    assert fetched_bytes("Fetched 320 B in 0s (1 B/s)\nAll is up to date.") == 320
    assert fetched_bytes("") == 0


def test_without_its_tools_the_check_is_skipped_with_a_sentence_and_no_failure(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run_check("--root", tmp_path / "arm64", "--json", tmp_path / "arm64.json")
    assert done.exit_code == 0, done.stderr
    assert "arm64-check is SKIPPED: a Debian with a C compiler is needed; there is no apt-get, dpkg" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_yamnet_is_looked_for_beside_the_project_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = run_check("--root", tmp_path / "arm64")
    assert "YAMNet is left out: there is no file ../shared/models/yamnet.tflite" in done.stderr


def fake_tools(folder: Path, apt_get: str) -> Path:
    """A folder for PATH with the tools' names, in which apt-get does what is given: no network is asked."""
    folder.mkdir()
    for tool, does in {"apt-get": apt_get, "dpkg": "echo amd64", "dpkg-deb": "exit 0", "cc": "exit 0"}.items():
        (folder / tool).write_text(f"#!/bin/bash\n{does}\n", encoding="utf-8")
        (folder / tool).chmod(0o755)
    return folder


def test_without_packages_the_check_is_skipped_and_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", "echo 'E: no such mirror' >&2; exit 100")))
    done = run_check("--root", tmp_path / "made" / "arm64")
    assert done.exit_code == 0, done.stderr
    assert "arm64-check is SKIPPED: apt-get failed (E: no such mirror)." in done.stdout
    assert list((tmp_path / "made").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error_and_no_skip(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", "exit 100")))
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = run_check("--root", tmp_path / "file" / "arm64")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("arm64-check: ") and "cannot be written: File exists" in done.stderr


def test_packages_that_take_too_long_are_given_up(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", "exec /bin/sleep 30")))
    with pytest.raises(EmulationError, match=r"takes longer than 0\.5 s"):
        Preparation(tmp_path, say=print, limit_s=0.5).run("key")


def test_another_machine_than_x86_is_told_so(monkeypatch):
    monkeypatch.setattr(packages.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(packages.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    with pytest.raises(EmulationError, match="an x86-64 machine to compare with is needed; this one is aarch64"):
        packages.check_this_machine()


def test_a_folder_of_other_packages_or_half_made_is_not_ready(tmp_path):
    root = Arm64Root(tmp_path)
    for content in (None, "{", "[]", '{"key": "of other packages"}'):
        if content is not None:
            (tmp_path / "prepared.json").write_text(content, encoding="utf-8")
        assert root.report() is None


def test_unusable_arguments_are_refused(tmp_path):
    refusals = {
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "cannot be written: there is no folder": ("--json", tmp_path / "gone" / "x.json"),
        "is not a TFLite model": ("--float", Path(__file__)),
    }
    for words, arguments in refusals.items():
        done = run_check("--root", tmp_path / "arm64", *arguments)
        assert done.exit_code == 2
        assert words in done.stderr and done.stderr.count("arm64-check: ") == 1


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_instruction_counter_compiles_without_a_warning(tmp_path):
    compile_counter(tmp_path / "counter.so")
    assert (tmp_path / "counter.so").read_bytes()[:4] == b"\x7fELF"


@pytest.mark.slow
@pytest.mark.skipif(PREPARED.report() is None, reason="cache/arm64 is not prepared; make arm64-check does it")
def test_the_emulated_processors_agree_with_this_one_and_are_counted_the_same_twice(default_bundle, tmp_path):
    results = []
    for number in range(2):
        done = run_check("--root", PREPARED.folder, "--yamnet", "absent", "--json", tmp_path / f"{number}.json")
        assert done.exit_code == 0, done.stderr
        results.append(json.loads((tmp_path / f"{number}.json").read_text(encoding="utf-8"))["processors"])
    assert [its["processor"] for its in results[0]] == list(PROCESSORS)
    for first, second in zip(*results, strict=True):
        for one, other in zip(first["counts"], second["counts"], strict=True):
            assert one["instructions"] == pytest.approx(other["instructions"], rel=1e-4)
    newer, older = ({row["name"]: row for row in its["counts"]} for its in results[0])
    body = f"{INT8} {INTEGER_BODY}"
    assert newer[body]["dot_products"] > 1_000_000 and older[body]["dot_products"] == 0
    assert newer[body]["instructions"] < 0.5 * older[body]["instructions"]
    assert newer[f"{INT8} {FRONT_END}"]["instructions"] == pytest.approx(
        older[f"{INT8} {FRONT_END}"]["instructions"], rel=1e-3
    )
    assert subprocess.run(["git", "-C", str(REPOSITORY), "check-ignore", "-q", str(PREPARED.folder)]).returncode == 0
