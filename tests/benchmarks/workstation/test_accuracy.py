"""Accuracy beside speed: the same recordings for all, the screener's own pooling, and a front that can lose."""

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import command
from benchmarks.results.names import MIN_RUNS
from benchmarks.results.plots import draw_plot
from benchmarks.results.result import describe_run, make_result, make_row, read_result
from benchmarks.results.runner import Run
from benchmarks.results.tables import result_tables
from benchmarks.timing.interleaved import Contender
from benchmarks.timing.peers import load_yamnet
from benchmarks.workstation import accuracy
from benchmarks.workstation.accuracy import ACCURACY, Judged, front_of, load_judged, measure_accuracy
from core.audio import read_waveform, write_wav
from core.bundle import COUGH, load_bundle
from core.demonstration import synthesize_demonstration, synthesized_clips
from core.errors import DataError
from core.screener import Screener
from distill.distillation.yamnet import YamnetTeacher
from distill.evaluation.evaluate import ScoredRecording, pack_rows

SHARED = Path(__file__).parents[4] / "shared"
YAMNET, PACKS = SHARED / "models" / "yamnet.tflite", SHARED / "data"
RUN = describe_run(1, "xnnpack", b"a model")


def run(*arguments: object):
    return CliRunner().invoke(command.app, ["accuracy", *map(str, arguments)])


def write_pack(folder: Path, labels: list[str]) -> Path:
    """A pack of synthetic coughs and other sounds, the last one silent; the folder of packs."""
    (folder / "esc50_part" / "audio").mkdir(parents=True)
    coughs, others, rows = synthesize_demonstration(), synthesized_clips(len(labels) + 1)[1:], []
    for number, label in enumerate(labels):
        sound = np.roll(coughs, 1000 * number) if label == "cough" else others[number]
        sound = np.zeros(32_000, np.float32) if label == "noise;silence" else sound
        write_wav(folder / "esc50_part" / "audio" / f"{number}.wav", sound)
        facts = {"path": f"audio/{number}.wav", "dataset": "esc50_part", "source_id": f"s{number}"}
        facts |= {"subject_id": f"p{number}", "duration_s": 2.0, "labels": label, "group_fold": 1}
        rows.append({**facts, "licence": "CC0", "flags": ""})
    with (folder / "esc50_part" / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def packs(tmp_path):
    return write_pack(tmp_path / "data", ["cough"] * 3 + ["noise"] * 4 + ["noise;silence"])


def row(name: str, ms: float, auroc: float, role: str = "ours") -> dict:
    metrics = {"p50_ms": ms, "cough_auroc": auroc, "model_bytes": 1_000_000}
    metrics |= {"cough_auroc_low": auroc - 0.01, "cough_auroc_high": auroc + 0.01}
    return make_row(name, "model", RUN, metrics, 2.0, facts={"role": role})


def test_the_front_holds_whoever_nobody_beats_in_both():
    rows = [row("slow and best", 5, 0.99), row("fast", 1, 0.95), row("beaten", 2, 0.94), row("between", 3, 0.97)]
    assert front_of(rows) == ["fast", "between", "slow and best"]
    assert front_of([row("worse", 1, 0.9), row("better", 1, 0.95), row("equal but slower", 2, 0.95)]) == ["better"]


def test_the_plot_shows_every_model_and_nothing_where_there_is_none():
    svg = draw_plot(make_result(ACCURACY.name, "judged", [row("ours", 1, 0.99), row("a peer", 4, 0.98, "peer")]))
    assert "<svg" in svg and svg == draw_plot(
        make_result(ACCURACY.name, "judged", [row("ours", 1, 0.99), row("a peer", 4, 0.98, "peer")])
    )
    assert draw_plot(make_result(ACCURACY.name, "nothing", [])) is None


def test_a_file_is_judged_as_the_bundle_that_holds_it(default_bundle, packs, tmp_path):
    copy, out = tmp_path / "copy.tflite", tmp_path / "accuracy.json"
    copy.write_bytes(default_bundle.read_model())
    said = run("--model", copy, "--yamnet", tmp_path / "gone", "--data", packs, "--json", out)
    assert said.exit_code == 0, said.stderr
    assert f"YAMNet is left out: there is no file {tmp_path / 'gone'}" in said.stderr
    result = read_result(out)
    bundles, files = (row["metrics"] for row in result["rows"])
    assert [row["name"] for row in result["rows"]] == [default_bundle.name, "copy.tflite"]
    same = ("cough_auroc", "cough_auroc_low", "cough_auroc_high", "n_unscored", "model_bytes")
    assert [bundles[key] for key in same] == [files[key] for key in same]
    assert files["beyond_bundle"] == files["beyond_bundle_low"] == files["beyond_bundle_high"] == 0
    assert (bundles["n_recordings"], bundles["n_coughs"], bundles["n_unscored"]) == (8, 3, 1)
    assert result["rows"][0]["n_runs"] == len(result["rows"][0]["samples_ms"]) == MIN_RUNS
    assert result["facts"]["roles"] == ["test"] and len(result["facts"]["front"]) == 1
    assert len(result_tables(result)) == 1 and "front: " in said.stdout


def test_scores_are_those_of_the_screener_pooled_over_its_clips(default_bundle, packs):
    rows = pack_rows(packs, "esc50_part")
    (judged,) = load_judged(default_bundle, (), None)
    screener = Screener(default_bundle)
    for scored in judged.score(packs, rows, None):
        screening = screener.screen(packs / scored.row.path)
        assert scored.scores == (None if screening.event_scores is None else dict(screening.event_scores))


def test_yamnet_is_judged_by_its_largest_cough_score_on_the_same_recordings(default_bundle, packs):
    if not YAMNET.exists():
        pytest.skip("shared/models/yamnet.tflite is not there")
    rows = pack_rows(packs, "esc50_part")
    bundles, yamnet = load_judged(default_bundle, (), YAMNET)
    first = bundles.score(packs, rows, None)
    scored = yamnet.score(packs, rows, first)
    assert [one.scores is None for one in scored] == [one.scores is None for one in first] == [False] * 7 + [True]
    for one in scored[:7]:
        frames = YamnetTeacher(YAMNET).scores(read_waveform(packs / one.row.path))
        assert one.scores == {COUGH: pytest.approx(float(frames[:, 0].max()))}
    assert yamnet.contender.audio_s == 2.0 and yamnet.contender.facts["role"] == "peer"
    assert yamnet.contender.facts["macs"] == 4 * load_yamnet(YAMNET, 1).facts["macs"]


def test_the_difference_to_the_bundle_is_told_with_its_interval(default_bundle, packs, tiny_model, tmp_path):
    (tmp_path / "tiny.tflite").write_bytes(tiny_model)
    models = [tmp_path / "tiny.tflite"]
    result = measure_accuracy(None, models, tmp_path / "gone", packs, "esc50_part", MIN_RUNS, Run(ACCURACY))
    ours, tiny = result["rows"]
    difference = tiny["metrics"]["cough_auroc"] - ours["metrics"]["cough_auroc"]
    assert tiny["metrics"]["beyond_bundle"] == pytest.approx(difference)
    assert tiny["metrics"]["beyond_bundle_low"] <= difference <= tiny["metrics"]["beyond_bundle_high"]


def test_two_files_of_one_name_keep_their_folders(default_bundle, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "int8.tflite").write_bytes(default_bundle.read_model())
    paths = [tmp_path / folder / "int8.tflite" for folder in ("a", "b")]
    names = [judged.contender.name for judged in load_judged(default_bundle, paths, None)]
    assert names == [default_bundle.name, *map(str, paths)]


def test_finished_rows_are_kept_when_a_later_model_fails(default_bundle, packs, tmp_path, monkeypatch):
    def fail(data: Path, rows: list, first: list[ScoredRecording] | None) -> list[ScoredRecording]:
        raise DataError("a recording cannot be scored.")

    failing = Judged(Contender("failing", lambda: None, 2.0, None, {}), fail)
    load = lambda *arguments: [*load_judged(*arguments), failing]  # noqa: E731
    monkeypatch.setattr(accuracy, "load_judged", load)
    out = tmp_path / "accuracy.json"
    said = run("--yamnet", tmp_path / "gone", "--data", packs, "--json", out)
    assert said.exit_code == 2 and "cannot be scored; the finished row is kept" in said.stderr
    assert [row["name"] for row in read_result(tmp_path / "accuracy.json.partial")["rows"]] == [default_bundle.name]


def test_what_cannot_be_measured_is_refused_in_one_sentence(tiny_bundle, packs, tmp_path):
    (tmp_path / "text.tflite").write_text("not a model")
    only = write_pack(tmp_path / "only", ["noise", "noise"])
    refusals = {
        "accuracy cannot be measured: there is no folder of packs": ("--data", tmp_path / "gone"),
        "has no labelled pack 'other'": ("--data", packs, "--pack", "other"),
        "esc50_part holds 0 coughs in 2 recordings; expected both kinds": ("--data", only),
        "is not a TFLite model": ("--data", packs, "--model", tmp_path / "text.tflite"),
        "--runs is 10; percentiles need at least 200 runs": ("--runs", 10),
        "there is no folder": ("--json", tmp_path / "gone" / "x.json"),
    }
    for words, arguments in refusals.items():
        said = run("--bundle", tiny_bundle, "--yamnet", tiny_bundle / "model.tflite", *arguments)
        assert said.exit_code == 2 and words in said.stderr and said.stderr.count("\n") == 1, said.stderr
    said = run("--data", packs, "--yamnet", tiny_bundle / "model.tflite")
    assert said.exit_code == 2 and "yamnet_class_map.csv" in said.stderr and said.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_shipped_model_hears_coughs_on_esc50_beside_yamnet(default_bundle, tmp_path):
    if not YAMNET.exists() or not (PACKS / "esc50_part").is_dir():
        pytest.skip("shared/models/yamnet.tflite or shared/data/esc50_part is not there")
    out = tmp_path / "accuracy.json"
    said = run("--yamnet", YAMNET, "--data", PACKS, "--json", out)
    assert said.exit_code == 0, said.stderr
    ours, yamnet = (row["metrics"] for row in read_result(out)["rows"])
    assert ours["cough_auroc"] > 0.97 and yamnet["cough_auroc"] > 0.97
    assert ours["cough_auroc_low"] < ours["cough_auroc"] < ours["cough_auroc_high"]
    assert ours["p50_ms"] < yamnet["p50_ms"] and ours["model_bytes"] < yamnet["model_bytes"]
    assert load_bundle(None).name in read_result(out)["facts"]["front"]
