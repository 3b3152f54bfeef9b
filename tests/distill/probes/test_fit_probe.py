"""Probes: what they learn, what their file says, what core makes of it, and what is refused before it is fitted."""

import json
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from core.audio import write_wav
from core.bundle import load_bundle
from core.errors import DataError, ProbeError
from core.files import sha256_of_file
from core.probes import DEMONSTRATION_REASON, ClipSelection, parse_probe
from core.screener import Screener
from distill.probes.cohort import Cohort
from distill.probes.fit_probe import KINDS, ProbeDescription, fit_probe, main, probe_json
from distill.probes.kinds import Kind
from distill.probes.linear_fit import FittedProbe, fit_with_best_regularizer, mean_absolute_error, ridge_path
from distill.probes.synthetic_cohorts import write_cohort
from tests.command_lines import exit_code_of

EVERYTHING = ClipSelection(None, 0.0, 1, "mean")


def describe(name="tb", status="research", kind="classification", selection=EVERYTHING):
    return ProbeDescription(name, "A probe for tests", status, kind, "Tests only.", selection, "made-up numbers")


def at_site(cohort, site):
    return replace(cohort, covariates=tuple({"site": site} for _ in cohort.covariates))


@pytest.mark.long
def test_a_probe_finds_an_effect_and_its_metrics_say_how_sure_it_is(made_up_cohort):
    content = fit_probe(describe(), made_up_cohort(), "0" * 64)
    metrics = content["heads"][0]["metrics"]
    assert metrics["n_participants"] == 40 and metrics["n_positive"] == 20
    assert 0.7 < metrics["auroc"]["low"] < metrics["auroc"]["value"] < metrics["auroc"]["high"] <= 1.0
    assert metrics["auroc"]["n_subjects"] == 40
    assert "out of fold" in metrics["how"]
    assert metrics["average_precision"] > 0.7


@pytest.mark.long
def test_core_reads_the_probe_and_gives_the_same_score(made_up_cohort):
    cohort = made_up_cohort()
    content = fit_probe(describe(), cohort, "0" * 64)
    probe = parse_probe(probe_json(content), "tb.json")
    head, mean, scale = content["heads"][0], np.array(content["mean"]), np.array(content["scale"])
    logit = head["intercept"] + np.array(head["weights"]) @ ((cohort.features[5] - mean) / scale)
    assert probe.score(cohort.features[5]) == pytest.approx(1 / (1 + np.exp(-logit / head["temperature"])))
    low, high = probe.abstention_band
    assert low <= probe.operating_point <= high


@pytest.mark.long
def test_another_kind_of_probe_is_one_entry_of_the_table(made_up_cohort, monkeypatch):
    def fit_rate(cohort, seed):
        model = fit_with_best_regularizer(
            cohort.features, cohort.labels, cohort.subjects, ridge_path, mean_absolute_error, seed
        )
        return FittedProbe(model, 1.0, None, None, {"how": "made up"})

    monkeypatch.setitem(KINDS, "breath_rate", Kind("regression", "1/min", fit_rate, lambda *_: {}))
    content = fit_probe(describe(name="breath_rate", kind="breath_rate"), made_up_cohort(), "0" * 64)
    probe = parse_probe(probe_json(content), "breath_rate.json")
    assert (probe.kind, probe.unit, probe.operating_point) == ("regression", "1/min", None)


@pytest.mark.long
def test_the_same_cohort_gives_the_same_file(made_up_cohort):
    files = [probe_json(fit_probe(describe(), made_up_cohort(), "0" * 64)) for _ in range(2)]
    assert files[0] == files[1]


@pytest.mark.long
def test_synthetic_sound_gives_a_demonstration_and_nothing_more(made_up_cohort):
    cohort = made_up_cohort(is_synthetic=True)
    for status in ("research", "validated"):
        with pytest.raises(ProbeError, match="can only be demonstration"):
            fit_probe(describe(status=status), cohort, "0" * 64)
    content = fit_probe(describe(status="demonstration"), cohort, "0" * 64)
    assert content["training"]["synthetic"] is True
    assert content["heads"][0]["metrics"]["how"].startswith(
        "measured on synthetic sound: these numbers say nothing about people"
    )


@pytest.mark.long
def test_validated_needs_a_second_cohort_and_reports_it(made_up_cohort):
    cohort = made_up_cohort(effect=4.0)
    with pytest.raises(ProbeError, match="give a second cohort with --external-test"):
        fit_probe(describe(status="validated"), cohort, "0" * 64)
    other = made_up_cohort(n_subjects=20, effect=0.0, seed=1, prefix="q")
    with pytest.raises(DataError, match=r"p\.csv names no site of 80 recordings: a probe is validated only where"):
        fit_probe(describe(status="validated"), cohort, "0" * 64, external=other)
    here, there = at_site(cohort, "Lima"), at_site(other, "Kampala")
    with pytest.raises(DataError, match="is of the site 'lima', and so is"):
        fit_probe(describe(status="validated"), here, "0" * 64, external=at_site(other, "Lima"))
    metrics = fit_probe(describe(status="validated"), here, "0" * 64, external=there)["heads"][0]["metrics"]
    assert metrics["external_test"]["n_participants"] == 20
    assert metrics["external_test"]["auroc"]["value"] < metrics["auroc"]["value"]


def test_a_subject_or_a_recording_in_both_cohorts_is_refused(made_up_cohort):
    cohort = made_up_cohort()
    with pytest.raises(DataError, match=r"shares 40 subjects with .*p.csv \('p000' is one"):
        fit_probe(describe(), cohort, "0" * 64, external=made_up_cohort(seed=1))
    renamed = Cohort(**{**vars(cohort), "subjects": tuple(f"r{subject}" for subject in cohort.subjects)})
    with pytest.raises(DataError, match="under another subject"):
        fit_probe(describe(), cohort, "0" * 64, external=renamed)


run_command = partial(exit_code_of, main, "tussis-probe")


@pytest.mark.long
def test_demonstration_probes_cost_less_than_a_minute_and_core_never_scores_them(
    tmp_path, tiny_bundle, write_bundle, stand_in, coughs_in_noise
):
    begin_s, out, model = time.process_time(), tmp_path / "probes", tiny_bundle / "model.tflite"
    assert run_command("demonstration", "--model", model, "--out", out) == 0
    assert time.process_time() - begin_s < 60
    contents = [json.loads((out / name).read_text()) for name in ("tb.json", "spirometry.json")]
    for content in contents:
        assert content["status"] == "demonstration" and content["training"]["synthetic"] is True
        assert content["training"]["n_subjects"] == 40 and content["training"]["n_recordings"] == 120
        assert content["training"]["model_sha256"] == sha256_of_file(model)
    write_wav(tmp_path / "coughs.wav", coughs_in_noise)
    screener = Screener(
        load_bundle(write_bundle(model=model.read_bytes(), probes=tuple(contents))), interpreter=stand_in.interpreter
    )
    for result in screener.screen(tmp_path / "coughs.wav").probes:
        assert (result.decision, result.score, result.reason) == ("unscored", None, DEMONSTRATION_REASON)


@pytest.mark.long
def test_the_command_fits_a_probe_that_core_reads(tmp_path, tiny_bundle):
    table = write_cohort("tb", tmp_path / "cohort", n_subjects=12)
    words = ["--intended-use", "Tests only.", "--data", "synthetic", "--status", "demonstration", "--event", "none"]
    where = [
        "--recordings",
        table,
        "--out",
        tmp_path / "probes",
        "--bundle",
        tiny_bundle,
        "--cache",
        tmp_path / "cache",
    ]
    assert run_command("fit", "--name", "tb", *where, *words) == 0
    content = (tmp_path / "probes" / "tb.json").read_bytes()
    assert parse_probe(content, "tb.json").training["model_sha256"] == load_bundle(tiny_bundle).model_sha256


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--status": "certain"}, "status"),
        ({"--kind": "guess"}, "kind classification or regression or fvc or fev1_fvc or pef, not 'guess'"),
        ({"--name": "T B"}, "name"),
        ({"--event": "hiccup"}, "the model knows cough"),
        ({"--min-probability": "3"}, "min_probability"),
        ({"--recordings": "absent.csv"}, "absent.csv cannot be read"),
        ({"--status": "research"}, "can only be demonstration"),
    ],
)
def test_the_command_refuses_with_one_sentence_and_writes_nothing(tmp_path, tiny_bundle, capsys, changes, sentence):
    table = write_cohort("tb", tmp_path / "cohort", n_subjects=1)
    options = {"--recordings": table, "--name": "tb", "--out": tmp_path / "probes", "--bundle": tiny_bundle}
    options |= {"--cache": tmp_path / "cache"}
    options |= {"--intended-use": "Tests only.", "--data": "synthetic", "--status": "demonstration", "--event": "none"}
    code = run_command("fit", *(part for pair in (options | changes).items() for part in pair))
    error = capsys.readouterr().err
    assert code == 2 and sentence in error and error.count("\n") == 1
    assert not list(tmp_path.glob("probes/*"))


@pytest.fixture(scope="module")
def cohort_rows(tmp_path_factory):
    """The folder, the header and the rows of a synthetic cohort of twelve people, and a cache of their embeddings."""
    folder = tmp_path_factory.mktemp("cohort")
    header, *rows = write_cohort("tb", folder, n_subjects=12).read_text().splitlines()
    return folder, header, rows, tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("edit", "options", "sentence"),
    [
        (lambda header, rows: (header, rows[:3]), (), "1 subjects with a usable recording; a probe needs at least 10"),
        (lambda header, rows: (header, []), (), "bad.csv has no rows"),
        (
            lambda header, rows: (header, [row.replace(",0,1", ",1,1") for row in rows]),
            (),
            "0 subjects of class 0 with a usable recording; a probe needs at least 5 of each class",
        ),
        (
            lambda header, rows: (header, [f"{row.split(',')[0]},one,{row.split(',', 2)[2]}" for row in rows]),
            (),
            "1 subjects with a usable recording; a probe needs at least 10",
        ),
        (lambda header, rows: (header.replace("subject_id", "who"), rows), (), "lacks the column subject_id"),
        (
            lambda header, rows: (f"{header},age", [f"{row},NaN" for row in rows]),
            ("--column", "age"),
            "bad.csv, column age is empty; expected values that differ",
        ),
        (lambda header, rows: (header, rows), ("--column", "age"), "bad.csv lacks the column age; its others are"),
        (
            lambda header, rows: (header, rows),
            ("--head", "tb"),
            "bad.csv lacks the column tb, which a head is fitted on",
        ),
        (lambda header, rows: (header, rows), ("--head", "tb:guess"), "a probe is of kind classification or"),
        (lambda header, rows: (header, rows), ("--unlike", "music"), "--unlike is 'music'; expected NAME=FOLDER"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(cohort_rows, tiny_bundle, tmp_path, capsys, edit, options, sentence):
    folder, header, rows, cache = cohort_rows
    header, rows = edit(header, rows)
    (folder / "bad.csv").write_text("\n".join([header, *rows]) + "\n")
    words = ["--intended-use", "Tests only.", "--data", "synthetic", "--status", "demonstration", "--event", "none"]
    where = [
        "--recordings",
        folder / "bad.csv",
        "--out",
        tmp_path / "probes",
        "--bundle",
        tiny_bundle,
        "--cache",
        cache,
    ]
    assert run_command("fit", "--name", "tb", *where, *words, *options) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not list(tmp_path.glob("probes/*"))
