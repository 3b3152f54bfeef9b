"""Probes: what they learn, what their file says, what core makes of it, and what is refused before it is fitted."""

import csv
import json
import time

import numpy as np
import pytest

from core.audio import write_wav
from core.bundle import load_bundle
from core.errors import DataError, ProbeError
from core.files import sha256_of_file
from core.probes import DEMONSTRATION_REASON, ClipSelection, parse_probe
from core.screener import Screener
from distill.probes.cohort import Cohort, load_cohort
from distill.probes.embed import embed_all, pool_clips, write_embeddings
from distill.probes.fit_probe import ProbeDescription, fit_probe, main, probe_json
from distill.probes.synthetic_cohorts import write_cohort
from distill.probes.triage import abstention_band

EVERYTHING = ClipSelection(None, 0.0, 1, "mean")


def describe(name="tb", status="research", kind="classification", selection=EVERYTHING):
    return ProbeDescription(name, "A probe for tests", status, kind, "Tests only.", selection, "made-up numbers")


def made_up_cohort(tmp_path, n_subjects=40, effect=2.0, seed=0, prefix="p", is_synthetic=False):
    """Embeddings of 8 hidden values, two recordings a subject; the first hidden value moves with the label."""
    generator, mixing = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(8, 512))
    labels = np.repeat(np.arange(n_subjects) % 2, 2).astype(float)
    hidden = np.repeat(generator.normal(size=(n_subjects, 8)), 2, axis=0)
    hidden += 0.2 * generator.normal(size=hidden.shape)
    hidden[:, 0] += effect * labels
    subjects = tuple(f"{prefix}{i // 2:03d}" for i in range(2 * n_subjects))
    return Cohort(
        table=tmp_path / f"{prefix}.csv",
        table_sha256="0" * 64,
        features=hidden @ mixing,
        labels=labels,
        subjects=subjects,
        covariates=({},) * len(labels),
        sha256s=tuple(f"{prefix}-{i}" for i in range(2 * n_subjects)),
        n_clips=300,
        n_unscored=0,
        is_synthetic=is_synthetic,
    )


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def noises(tmp_path):
    """Rows of 24 recordings of 12 subjects; label 1 is noise of a lower band."""
    rows = []
    for i in range(24):
        generator = np.random.default_rng(i)
        noise = 0.1 * generator.standard_normal(24_000)
        label = i // 2 % 2
        write_wav(tmp_path / f"{i}.wav", (np.convolve(noise, np.ones(1 + 3 * label)) / 2).astype(np.float32))
        rows.append({"path": f"{i}.wav", "subject_id": f"s{i // 2}", "label": label})
    return rows


def test_a_probe_finds_an_effect_and_its_metrics_say_how_sure_it_is(tmp_path):
    content = fit_probe(describe(), made_up_cohort(tmp_path), "0" * 64)
    metrics = content["metrics"]
    assert metrics["n_participants"] == 40 and metrics["n_positive"] == 20
    assert 0.7 < metrics["auroc"]["low"] < metrics["auroc"]["value"] < metrics["auroc"]["high"] <= 1.0
    assert metrics["auroc"]["n_subjects"] == 40
    assert "out of fold" in metrics["how"]
    assert metrics["average_precision"] > 0.7


def test_a_probe_of_noise_is_reported_as_no_better_than_chance(tmp_path):
    content = fit_probe(describe(), made_up_cohort(tmp_path, effect=0.0), "0" * 64)
    assert content["metrics"]["auroc"]["low"] < 0.5


def test_the_operating_point_keeps_ninety_percent_sensitivity_out_of_fold(tmp_path):
    metrics = fit_probe(describe(), made_up_cohort(tmp_path, effect=1.5), "0" * 64)["metrics"]
    assert metrics["at_operating_point"]["sensitivity"]["value"] >= 0.9
    assert metrics["target"] == {"source": "WHO 2014 triage minimum", "sensitivity": 0.9, "specificity": 0.7}


def test_the_abstention_band_holds_a_tenth_of_the_participants_around_the_operating_point():
    probabilities = np.linspace(0.01, 0.99, 99)
    low, high = abstention_band(probabilities, 0.40)
    assert (low, high) == pytest.approx((0.35, 0.44))
    assert abstention_band(probabilities[:5], 0.03) is None
    assert abstention_band(probabilities, 0.01)[0] == 0.01


def test_core_reads_the_probe_and_gives_the_same_score(tmp_path):
    cohort = made_up_cohort(tmp_path)
    content = fit_probe(describe(), cohort, "0" * 64)
    probe = parse_probe(probe_json(content), "tb.json")
    weights, mean, scale = (np.array(content[key]) for key in ("weights", "mean", "scale"))
    logit = content["intercept"] + weights @ ((cohort.features[5] - mean) / scale)
    assert probe.score(cohort.features[5]) == pytest.approx(1 / (1 + np.exp(-logit / content["temperature"])))
    low, high = probe.abstention_band
    assert low <= probe.operating_point <= high


def test_the_same_cohort_gives_the_same_file(tmp_path):
    files = [probe_json(fit_probe(describe(), made_up_cohort(tmp_path), "0" * 64)) for _ in range(2)]
    assert files[0] == files[1]


def test_synthetic_sound_gives_a_demonstration_and_nothing_more(tmp_path):
    cohort = made_up_cohort(tmp_path, is_synthetic=True)
    for status in ("research", "validated"):
        with pytest.raises(ProbeError, match="can only be demonstration"):
            fit_probe(describe(status=status), cohort, "0" * 64)
    content = fit_probe(describe(status="demonstration"), cohort, "0" * 64)
    assert content["training"]["synthetic"] is True
    assert content["metrics"]["how"].startswith("measured on synthetic sound: these numbers say nothing about people")


def test_validated_needs_a_second_cohort_and_reports_it(tmp_path):
    cohort = made_up_cohort(tmp_path, effect=4.0)
    with pytest.raises(ProbeError, match="give a second cohort with --external-test"):
        fit_probe(describe(status="validated"), cohort, "0" * 64)
    other = made_up_cohort(tmp_path, n_subjects=20, effect=0.0, seed=1, prefix="q")
    content = fit_probe(describe(status="validated"), cohort, "0" * 64, external=other)
    assert content["metrics"]["external_test"]["n_participants"] == 20
    assert content["metrics"]["external_test"]["auroc"]["value"] < content["metrics"]["auroc"]["value"]


def test_a_subject_or_a_recording_in_both_cohorts_is_refused(tmp_path):
    cohort = made_up_cohort(tmp_path)
    with pytest.raises(DataError, match=r"shares 40 subjects with .*p.csv \('p000' is one"):
        fit_probe(describe(), cohort, "0" * 64, external=made_up_cohort(tmp_path, seed=1))
    renamed = Cohort(**{**vars(cohort), "subjects": tuple(f"r{subject}" for subject in cohort.subjects)})
    with pytest.raises(DataError, match="under another subject"):
        fit_probe(describe(), cohort, "0" * 64, external=renamed)


def test_too_few_subjects_and_one_class_are_refused(tmp_path):
    with pytest.raises(DataError, match="has 8 subjects with a usable recording; a probe needs at least 10"):
        fit_probe(describe(), made_up_cohort(tmp_path, n_subjects=8), "0" * 64)
    cohort = made_up_cohort(tmp_path)
    one_class = Cohort(**{**vars(cohort), "labels": np.zeros(len(cohort.labels))})
    with pytest.raises(DataError, match="has 0 subjects of class 1"):
        fit_probe(describe(), one_class, "0" * 64)


def test_a_subject_with_both_classes_is_fine_and_stays_in_one_fold(tmp_path):
    cohort = made_up_cohort(tmp_path, effect=4.0)
    labels = cohort.labels.copy()
    labels[0] = 1 - labels[1]
    content = fit_probe(describe(), Cohort(**{**vars(cohort), "labels": labels}), "0" * 64)
    assert content["metrics"]["n_participants"] == 41 and content["training"]["n_subjects"] == 40


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"label": "nan"}, r"row 4 has the label 'nan'; expected 0 or 1"),
        ({"label": "2"}, r"row 4 has the label '2'; expected 0 or 1"),
        ({"label": ""}, r"row 4 has the label ''; expected 0 or 1"),
        ({"subject_id": " "}, r"row 4 has no subject_id"),
        ({"path": "absent.wav"}, r"row 4: there is no recording .*absent\.wav"),
    ],
)
def test_a_bad_row_is_refused_by_number(tmp_path, noises, stand_in, change, sentence):
    noises[2] |= change
    with pytest.raises(DataError, match=sentence):
        load_cohort(write_table(tmp_path / "t.csv", noises), "classification", EVERYTHING, stand_in)


def test_tables_that_are_none_are_refused(tmp_path, stand_in):
    (tmp_path / "columns.csv").write_text("path,label\na.wav,1\n")
    (tmp_path / "empty.csv").write_text("path,subject_id,label\n")
    (tmp_path / "cells.csv").write_text("path,subject_id,label\na.wav\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    sentences = {"columns": "lacks the column subject_id", "empty": "has no rows", "cells": "row 2 does not have"}
    for name, sentence in {**sentences, "binary": "cannot be read", "absent": "cannot be read"}.items():
        with pytest.raises(DataError, match=sentence):
            load_cohort(tmp_path / f"{name}.csv", "classification", EVERYTHING, stand_in)


def test_one_recording_under_two_subjects_is_refused(tmp_path, noises, stand_in):
    (tmp_path / "copy.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    noises[8] |= {"path": "copy.wav"}
    with pytest.raises(DataError, match=r"0\.wav and copy\.wav, to two subjects or labels"):
        load_cohort(write_table(tmp_path / "t.csv", noises), "classification", EVERYTHING, stand_in)


def test_a_cohort_holds_what_core_would_score_and_counts_the_rest(tmp_path, noises, stand_in):
    write_wav(tmp_path / "3.wav", np.zeros(24_000, dtype=np.float32))
    cohort = load_cohort(write_table(tmp_path / "t.csv", noises), "classification", EVERYTHING, stand_in)
    assert (len(cohort.labels), cohort.n_unscored, cohort.n_subjects) == (23, 1, 12)
    first = embed_all([tmp_path / "0.wav"], stand_in)[0]
    np.testing.assert_array_equal(cohort.features[0], pool_clips(first, EVERYTHING, stand_in.event_labels))


def test_embeddings_from_a_file_are_the_same_and_a_missing_one_is_named(tmp_path, noises, stand_in):
    table = write_table(tmp_path / "t.csv", noises)
    recordings = embed_all([tmp_path / row["path"] for row in noises], stand_in)
    write_embeddings(tmp_path / "all.npz", recordings, stand_in.sha256, stand_in.event_labels)
    write_embeddings(tmp_path / "some.npz", recordings[:5], stand_in.sha256, stand_in.event_labels)
    computed = load_cohort(table, "classification", EVERYTHING, stand_in)
    read = load_cohort(table, "classification", EVERYTHING, stand_in, tmp_path / "all.npz")
    np.testing.assert_array_equal(computed.features, read.features)
    with pytest.raises(DataError, match=r"has no embedding of .*5\.wav"):
        load_cohort(table, "classification", EVERYTHING, stand_in, tmp_path / "some.npz")


def run_command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["tussis-probe", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    return done.value.code


def test_demonstration_probes_cost_less_than_a_minute_and_core_never_scores_them(
    tmp_path, tiny_bundle, write_bundle, stand_in, coughs_in_noise, monkeypatch
):
    begin_s, out, model = time.process_time(), tmp_path / "probes", tiny_bundle / "model.tflite"
    assert run_command(monkeypatch, "demonstration", "--model", model, "--out", out) == 0
    assert time.process_time() - begin_s < 60
    contents = [json.loads((out / name).read_text()) for name in ("tb.json", "spirometry.json")]
    for content in contents:
        assert content["status"] == "demonstration" and content["training"]["synthetic"] is True
        assert content["training"]["n_subjects"] == 40 and content["training"]["n_recordings"] == 120
        assert content["training"]["model_sha256"] == sha256_of_file(model)
    write_wav(tmp_path / "coughs.wav", coughs_in_noise)
    screener = Screener(load_bundle(write_bundle(probes=tuple(contents))), interpreter=stand_in.interpreter)
    for result in screener.screen(tmp_path / "coughs.wav").probes:
        assert (result.decision, result.score, result.reason) == ("unscored", None, DEMONSTRATION_REASON)


def test_the_command_fits_a_probe_that_core_reads(tmp_path, tiny_bundle, monkeypatch):
    table = write_cohort("tb", tmp_path / "cohort", n_subjects=12)
    words = ["--intended-use", "Tests only.", "--data", "synthetic", "--status", "demonstration", "--event", "none"]
    where = ["--recordings", table, "--out", tmp_path / "probes", "--bundle", tiny_bundle]
    assert run_command(monkeypatch, "fit", "--name", "tb", *where, *words) == 0
    content = (tmp_path / "probes" / "tb.json").read_bytes()
    assert parse_probe(content, "tb.json").training["model_sha256"] == load_bundle(tiny_bundle).model_sha256


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--status": "certain"}, "status"),
        ({"--kind": "guess"}, "kind classification or regression, not 'guess'"),
        ({"--name": "T B"}, "name"),
        ({"--event": "hiccup"}, "the model knows cough"),
        ({"--min-probability": "3"}, "min_probability"),
        ({"--recordings": "absent.csv"}, "absent.csv cannot be read"),
        ({"--status": "research"}, "can only be demonstration"),
    ],
)
def test_the_command_refuses_with_one_sentence_and_writes_nothing(
    tmp_path, tiny_bundle, monkeypatch, capsys, changes, sentence
):
    table = write_cohort("tb", tmp_path / "cohort", n_subjects=1)
    options = {"--recordings": table, "--name": "tb", "--out": tmp_path / "probes", "--bundle": tiny_bundle}
    options |= {"--intended-use": "Tests only.", "--data": "synthetic", "--status": "demonstration", "--event": "none"}
    code = run_command(monkeypatch, "fit", *(part for pair in (options | changes).items() for part in pair))
    error = capsys.readouterr().err
    assert code == 2 and sentence in error and error.count("\n") == 1
    assert not list(tmp_path.glob("probes/*"))
