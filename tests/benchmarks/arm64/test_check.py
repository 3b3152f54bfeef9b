import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.arm64 import check
from benchmarks.arm64.check import PROCESSORS, processor_provenance, processor_rows
from benchmarks.arm64.debian import REPOSITORY, Arm64Root
from benchmarks.arm64.guest import run_job
from benchmarks.arm64.jobs import INT8, Job
from benchmarks.command import ARM64_ROOT, app
from benchmarks.results.result import read_result
from quantize.tflite_parts import FRONT_END, INTEGER_BODY

PREPARED = Arm64Root(REPOSITORY / ARM64_ROOT)
COUNTS = {
    "int8 whole": {"instructions": 8_000_000, "dot_products": 1000, "spread": 0.0},
    "int8 front end": {"instructions": 3_000_000, "dot_products": 0, "spread": 0.0},
    "YAMNet": {"instructions": 15_600_000, "dot_products": 1000, "spread": 0.0},
}


class HereRoot(Arm64Root):
    """A prepared folder whose emulated processor is this machine's, with an error in one code where it has one."""

    has_error = False

    def run(self, arguments, cpu, folder):
        """Run the job here; each run of a part takes 1000 instructions."""
        _, _, job_folder, out = arguments
        run_job(Path(job_folder), Path(out))
        if self.has_error:
            path = Path(out) / f"{INT8} {INTEGER_BODY}.npz"
            outputs = dict(np.load(path))
            outputs["0"].reshape(-1)[7] ^= 1
            np.savez(path, **outputs)
        n_runs = sum(len(np.load(path)) for path in Path(job_folder).glob(f"{INT8} *.npy"))
        return "0 0\n0 0\n" + n_runs * "5000 0\n6000 0\n"

    def emulator_version(self):
        return "this machine"


@pytest.fixture
def here_root(monkeypatch, tmp_path):
    root = HereRoot(tmp_path)
    monkeypatch.setattr(check, "prepare", lambda folder, cpu, say: root)
    return root


def run_check(*arguments: object):
    return CliRunner().invoke(app, ["arm64", *map(str, arguments)])


def make_rows(folder, counts):
    for model in ("int8", "YAMNet"):
        (folder / f"{model}.tflite").write_bytes(model.encode())
    return processor_rows(Job(folder), processor_provenance("cortex-a76", "qemu-aarch64 7.2"), counts)


def test_each_part_is_a_row_with_its_instructions_and_its_share_of_yamnets(tmp_path):
    rows = make_rows(tmp_path, COUNTS)
    assert [(row["name"], row["stage"]) for row in rows] == [
        *(("int8", "whole"), ("int8", "front end"), ("YAMNet", "whole"))
    ]
    whole, front_end, yamnet = rows
    assert whole["metrics"]["instructions_per_audio_s"] == 4e6 and whole["metrics"]["of_yamnet"] == 0.25
    assert whole["audio_s"] == 2.0 and yamnet["audio_s"] == 0.975
    assert (whole["cpu"], whole["instructions"], whole["os"]) == ("cortex-a76", ["asimddp"], "qemu-aarch64 7.2")
    assert whole["runtime"] == "ai-edge-litert 2.1.6"
    assert whole["model_sha256"] == front_end["model_sha256"] != yamnet["model_sha256"]


def test_without_yamnet_there_is_no_share(tmp_path):
    counts = {name: count for name, count in COUNTS.items() if name != "YAMNet"}
    rows = make_rows(tmp_path, counts)
    assert len(rows) == 2 and all("of_yamnet" not in row["metrics"] for row in rows)


def test_one_command_writes_the_rows_of_each_processor_and_shows_them(here_root, tmp_path):
    out = tmp_path / "arm64.json"
    done = run_check("--yamnet", tmp_path / "gone", "--json", out)
    assert done.exit_code == 0, done.stderr
    result = read_result(out)
    assert [row["cpu"] for row in result["rows"]] == [*["cortex-a76"] * 5, *["cortex-a53"] * 5]
    assert {row["metrics"]["instructions"] for row in result["rows"]} == {1000}
    assert [row["instructions"] for row in result["rows"][::5]] == [["asimddp"], []]
    assert {entry["processor"] for entry in result["facts"]["agreement"]} == set(PROCESSORS)
    assert "cortex-a76" in done.stdout and "front end and stem" in done.stdout and "activity frames" in done.stdout


def test_processors_that_differ_end_with_status_2_after_the_result_is_written(here_root, monkeypatch, tmp_path):
    monkeypatch.setattr(HereRoot, "has_error", True)
    out = tmp_path / "arm64.json"
    done = run_check("--yamnet", tmp_path / "gone", "--json", out)
    assert done.exit_code == 2
    assert "cortex-a53: the integer body's codes that differ is 1 (at most 0)" in done.stderr
    assert len(read_result(out)["facts"]["beyond_limits"]) == 2


def test_without_its_tools_the_check_is_skipped_with_a_sentence_and_no_failure(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run_check("--root", tmp_path / "arm64", "--json", tmp_path / "arm64.json")
    assert done.exit_code == 0, done.stderr
    assert "check is SKIPPED: a Debian with a C compiler is needed; there is no apt-get, dpkg" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_yamnet_is_looked_for_beside_the_project_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = run_check("--root", tmp_path / "arm64")
    assert "YAMNet is left out: there is no file ../shared/models/yamnet.tflite" in done.stderr


def test_without_packages_the_check_is_skipped_and_leaves_nothing_behind(fake_tools, tmp_path):
    fake_tools("echo 'E: no such mirror' >&2; exit 100")
    done = run_check("--root", tmp_path / "made" / "arm64")
    assert done.exit_code == 0, done.stderr
    assert "check is SKIPPED: apt-get failed (E: no such mirror)." in done.stdout
    assert list((tmp_path / "made").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error_and_no_skip(fake_tools, tmp_path):
    fake_tools("exit 100")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = run_check("--root", tmp_path / "file" / "arm64")
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("tussis-benchmark: ") and "cannot be written: File exists" in last


def test_unusable_arguments_are_refused(tmp_path):
    refusals = {
        "there is no such bundle folder": ("--bundle", tmp_path / "gone"),
        "cannot be written: there is no folder": ("--json", tmp_path / "gone" / "x.json"),
        "is not a TFLite model": ("--float", Path(__file__)),
    }
    for words, arguments in refusals.items():
        done = run_check("--root", tmp_path / "arm64", *arguments)
        assert done.exit_code == 2
        assert words in done.stderr and done.stderr.count("tussis-benchmark: ") == 1


@pytest.mark.slow
@pytest.mark.skipif(not PREPARED.is_ready, reason="cache/arm64 is not prepared; make arm64-check does it")
def test_the_emulated_processors_agree_with_this_one_and_are_counted_the_same_twice(tmp_path):
    results = []
    for number in range(2):
        done = run_check("--root", PREPARED.folder, "--yamnet", "absent", "--json", tmp_path / f"{number}.json")
        assert done.exit_code == 0, done.stderr
        rows = read_result(tmp_path / f"{number}.json")["rows"]
        results.append({(row["cpu"], row["stage"]): row["metrics"] for row in rows})
    first, second = results
    for key, metrics in first.items():
        assert metrics["instructions"] == pytest.approx(second[key]["instructions"], rel=1e-4)
    newer, older = ({stage: first[cpu, stage] for stage in (FRONT_END, INTEGER_BODY)} for cpu in PROCESSORS)
    assert newer[INTEGER_BODY]["dot_products"] > 1_000_000 and older[INTEGER_BODY]["dot_products"] == 0
    assert newer[INTEGER_BODY]["instructions"] < 0.5 * older[INTEGER_BODY]["instructions"]
    assert newer[FRONT_END]["instructions"] == pytest.approx(older[FRONT_END]["instructions"], rel=1e-3)
    assert subprocess.run(["git", "-C", str(REPOSITORY), "check-ignore", "-q", str(PREPARED.folder)]).returncode == 0
