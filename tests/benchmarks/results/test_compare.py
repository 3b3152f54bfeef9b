"""Two results of the same thing cannot be told apart, one a tenth slower is found, machines are not mixed."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.compare import check_same_machine, compare_results
from benchmarks.results.names import OURS, PEER, YARDSTICK
from benchmarks.results.result import Result, describe_run, make_result, make_row, read_result, write_result
from benchmarks.results.verdicts import CANNOT_TELL, FASTER, MARGIN, SLOWER
from benchmarks.timing.interleaved import Contender, time_interleaved, timed_row
from benchmarks.workstation import latency
from benchmarks.workstation.latency import load_yardstick
from core.errors import DataError
from core.stopwatch import timing_metrics
from tests.benchmarks.results.shared_machine import shared_machine

RUN, PEERS_RUN = describe_run(1, "xnnpack", b"ours"), describe_run(1, "xnnpack", b"a peer")


def row(samples_ms: np.ndarray, name: str = "ours", role: str = OURS, **changes: object) -> dict:
    run = (RUN if role == OURS else PEERS_RUN) | changes
    return make_row(
        name, "model", run, timing_metrics(samples_ms, 2.0), 2.0, len(samples_ms), samples_ms, {"role": role}
    )


def result(*rows: dict) -> Result:
    return make_result("latency", "in turns", rows)


def skip_if_busy(comparison: dict) -> None:
    if comparison["margin"] > 1.1 * MARGIN:
        pytest.skip(f"the machine is too busy to tell a tenth: rounds lie {100 * comparison['margin']:.0f} % apart")


def row_of_rounds(round_ms: np.ndarray, name: str = "ours", role: str = OURS) -> dict:
    """A row of a tool that tells no single runs, as `tussis-benchmark phone` merges its rounds."""
    facts = {"role": role, "round_ms": list(round_ms)}
    run = RUN if role == OURS else PEERS_RUN
    return make_row(name, "model", run, {"p50_ms": float(np.median(round_ms))}, 2.0, 50 * len(round_ms), None, facts)


def test_rounds_stand_for_runs_where_a_tool_tells_none_if_there_are_enough():
    (ours, peers), (slower, their_peers) = shared_machine(3, 12), shared_machine(4, 12, ms=3.0)
    first = result(row_of_rounds(ours), row_of_rounds(peers, "YAMNet", PEER))
    second = result(row_of_rounds(slower), row_of_rounds(their_peers, "YAMNet", PEER))
    found, _ = compare_results(first, second)
    assert (found["verdict"], found["reference"]) == (SLOWER, "YAMNet")
    assert found["low"] <= found["value"] <= found["high"] and found["value"] == pytest.approx(1.5, abs=0.1)
    few, _ = compare_results(*(result(*map(cut_to_four_rounds, one["rows"])) for one in (first, second)))
    assert (few["verdict"], few["low"], few["reference"]) == (CANNOT_TELL, None, None)


def cut_to_four_rounds(row: dict) -> dict:
    return {**row, "facts": {**row["facts"], "round_ms": row["facts"]["round_ms"][:4]}}


def test_rows_are_matched_by_name_stage_threads_and_delegate_beside_a_shared_peer():
    ours, peers = shared_machine(0)
    first = result(row(ours), row(peers, "YAMNet", PEER), row(ours, "gone"), row(ours, threads=2))
    second = result(row(peers, "YAMNet", PEER), row(ours), row(ours, threads=4))
    yamnet, matched = compare_results(first, second)
    assert (matched["name"], matched["threads"], matched["reference"]) == ("ours", 1, "YAMNet")
    assert (yamnet["name"], yamnet["reference"]) == ("YAMNet", None)
    other_peer = result(row(ours), row(peers, "YAMNet", PEER, model_sha256="0" * 64))
    assert [entry["reference"] for entry in compare_results(first, other_peer)] == [None, None]
    yardsticks = [row(peers, YARDSTICK, YARDSTICK, stage=YARDSTICK, model_sha256=None) for _ in range(2)]
    beside_it, _ = compare_results(result(row(ours), yardsticks[0]), result(row(ours), yardsticks[1]))
    assert beside_it["reference"] == YARDSTICK
    with pytest.raises(DataError, match="share no row"):
        compare_results(first, result(row(ours, "other")))
    with pytest.raises(DataError, match="more than once"):
        compare_results(first, result(row(ours), row(ours)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cpu": "another"}, "differ in cpu"),
        ({"os": "another"}, "differ in os"),
        ({"runtime": "LiteRT 9"}, "differ in runtime"),
        ({"governor": "powersave"}, "differ in governor"),
        ({"threads": 2}, "differ in threads or delegate (1 thread(s), xnnpack and 2 thread(s), xnnpack)"),
        ({"delegate": "builtin"}, "differ in threads or delegate"),
    ],
)
def test_results_of_different_machines_are_refused_and_compared_only_by_force(tmp_path, change, words):
    ours, _ = shared_machine(0)
    paths = write_both(tmp_path, result(row(ours)), result(row(ours, **change)))
    refused = run_compare(*paths)
    assert refused.exit_code == 2 and words in refused.stderr and refused.stderr.count("\n") == 1
    forced = run_compare(*paths, "--force")
    assert forced.exit_code == 0 and words in forced.stderr and CANNOT_TELL in forced.stdout
    assert check_same_machine(result(row(ours)), result(row(ours))) is None


def write_both(folder: Path, first: Result, second: Result) -> tuple[Path, Path]:
    write_result(folder / "a.json", first)
    write_result(folder / "b.json", second)
    return folder / "a.json", folder / "b.json"


def run_compare(*arguments: object):
    return CliRunner().invoke(command.app, ["compare", *(str(argument) for argument in arguments)])


def test_the_command_says_what_is_slower_and_fails_above_a_limit(tmp_path):
    (first, our_peer), (second, their_peer) = shared_machine(3), shared_machine(4, ms=2.4)
    paths = write_both(
        tmp_path,
        result(row(first), row(our_peer, "YAMNet", PEER)),
        result(row(second), row(their_peer, "YAMNet", PEER)),
    )
    out = tmp_path / "comparison.json"
    said = run_compare(*paths, "--json", out)
    assert said.exit_code == 0 and "slower" in said.stdout and "beside YAMNet, timed in the same rounds" in said.stdout
    ours, yamnet = read_result(out)["comparisons"]
    assert (ours["verdict"], ours["reference"]) == (SLOWER, "YAMNet") and 0.03 <= ours["margin"] < 0.06
    assert (yamnet["margin"], yamnet["reference"]) == (0.1, None)
    failed = run_compare(*paths, "--fail-above", 1.05)
    assert failed.exit_code == 1 and "row(s) are slower by more than 1.05" in failed.stderr
    assert run_compare(*paths, "--fail-above", 3).exit_code == 0
    assert run_compare(paths[0], paths[0], "--fail-above", 1.0).exit_code == 0


def test_a_peer_that_is_slower_fails_nothing(tmp_path):
    idle = np.exp(np.random.default_rng(0).normal(0, 0.01, 200))
    ours, slower_peer = row(idle), row(3 * idle[::-1], "YAMNet", PEER)
    paths = write_both(tmp_path, result(ours, row(2 * idle, "YAMNet", PEER)), result(ours, slower_peer))
    said = run_compare(*paths, "--fail-above", 1.05, "--json", tmp_path / "c.json")
    verdicts = {entry["name"]: entry["verdict"] for entry in read_result(tmp_path / "c.json")["comparisons"]}
    assert verdicts["YAMNet"] == SLOWER and said.exit_code == 0


def test_what_is_no_result_is_refused(tmp_path):
    (tmp_path / "old.json").write_text('{"schema": "tussis.latency/1"}')
    (tmp_path / "broken.json").write_text("{")
    good, _ = write_both(tmp_path, result(row(shared_machine(0)[0])), result())
    for name, words in (
        ("old.json", 'is of the schema "tussis.latency/1"'),
        ("broken.json", "is not JSON"),
        ("gone.json", "cannot be read"),
        ("b.json", "share no row"),
    ):
        refused = run_compare(good, tmp_path / name)
        assert refused.exit_code == 2 and words in refused.stderr and refused.stderr.startswith("tussis-benchmark: ")


@pytest.mark.slow
def test_real_work_that_is_slowed_by_a_tenth_is_found_and_the_same_work_is_not():
    """Real computations, timed twice by the benchmark's own loop: one unit of work more in ten is found."""
    matrix = np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32)

    def work(n_units: int):
        def run() -> None:
            for _ in range(n_units * 10):
                matrix @ matrix

        return run

    def measured(n_units: int) -> Result:
        ours = Contender("ours", work(n_units), 2.0, 0.0, {"role": OURS}, content=b"ours")
        pairs = (ours, load_yardstick())
        timings = time_interleaved(pairs, min_runs=4000)
        return result(*(timed_row(contender, timing, 1) for contender, timing in zip(pairs, timings, strict=True)))

    first, again, slowed = measured(20), measured(20), measured(22)
    assert compare_results(first, again)[0]["verdict"] == CANNOT_TELL
    found, undone = compare_results(first, slowed)[0], compare_results(slowed, again)[0]
    skip_if_busy(found)
    skip_if_busy(undone)
    assert (found["verdict"], undone["verdict"]) == (SLOWER, FASTER)


def slowed_by_a_tenth(contender: Contender) -> Contender:
    """The same model, whose every run goes on for a tenth of the time that it took."""

    def run() -> None:
        start_s = time.perf_counter()
        contender.run()
        end_s = start_s + 1.1 * (time.perf_counter() - start_s)
        while time.perf_counter() < end_s:
            pass

    return replace(contender, run=run)


@pytest.mark.slow
def test_two_latency_results_of_the_shipped_bundle_cannot_be_told_apart_and_a_model_slowed_by_a_tenth_is(
    tmp_path, monkeypatch
):
    """The real command, twice; then with a model that really takes a tenth longer."""

    def measured(name: str) -> Result:
        options = ["--yamnet", str(tmp_path / "gone"), "--runs", "400", "--json", str(tmp_path / name)]
        said = CliRunner().invoke(command.app, ["latency", *options])
        assert said.exit_code == 0, said.stderr
        return read_result(tmp_path / name)

    first, second = measured("a.json"), measured("b.json")
    load = latency.load_student_model
    monkeypatch.setattr(latency, "load_student_model", lambda *arguments: slowed_by_a_tenth(load(*arguments)))
    slow = measured("slow.json")
    same, slowed = ({entry["stage"]: entry for entry in compare_results(first, one)} for one in (second, slow))
    skip_if_busy(same["model"])
    skip_if_busy(slowed["model"])
    assert {entry["verdict"] for entry in same.values()} == {CANNOT_TELL}
    assert same["model"]["reference"] == YARDSTICK
    assert slowed["model"]["verdict"] == SLOWER
    assert {entry["verdict"] for stage, entry in slowed.items() if stage != "model"} == {CANNOT_TELL}
