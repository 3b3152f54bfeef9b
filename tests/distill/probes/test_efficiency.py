"""More people to learn from make a better probe, and nobody who is held out is among them."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import DataError
from distill.probes import efficiency, fit_probe
from distill.probes.efficiency import FRACTIONS, N_DRAWS, data_efficiency
from distill.probes.synthetic_cohorts import write_cohort


def test_the_curve_rises_with_the_people_and_has_five_draws_of_each_fraction(made_up_cohort, monkeypatch):
    monkeypatch.setattr(efficiency, "FRACTIONS", (0.1, 0.4, 1.0))
    rows = data_efficiency(made_up_cohort(n_subjects=80, effect=1.0), "classification")
    assert [row["fraction"] for row in rows] == [0.1] * N_DRAWS + [0.4] * N_DRAWS + [1.0]
    assert {row["value"] for row in rows if row["fraction"] == 0.1} == {None}  # 6 people, three of a class
    values = {each: np.mean([row["value"] for row in rows if row["fraction"] == each]) for each in (0.4, 1.0)}
    assert 0.55 < values[0.4] <= values[1.0] + 0.05 and values[1.0] > 0.65
    assert {row["n_subjects"] for row in rows if row["fraction"] == 1.0} == {64}


def test_people_of_one_class_are_refused(made_up_cohort):
    cohort = made_up_cohort(n_subjects=30)
    with pytest.raises(DataError, match="has 0 subjects of class 0 with a usable recording"):
        data_efficiency(cohort.only(cohort.labels == 1), "classification")


def test_the_command_writes_a_table_a_plot_and_json(tmp_path, tiny_bundle):
    table = write_cohort("spirometry", tmp_path / "cohort", n_subjects=12)
    command = ["curve", "--recordings", table, "--kind", "regression", "--event", "none", "--bundle", tiny_bundle]
    command += ["--out", tmp_path / "curve", "--cache", tmp_path / "cache"]
    done = CliRunner().invoke(fit_probe.app, list(map(str, command)))
    assert done.exit_code == 0, done.output
    assert done.stdout.count("mean absolute error") == len(FRACTIONS)
    content = json.loads((tmp_path / "curve" / "curve.json").read_text())
    with (tmp_path / "curve" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert content["schema"] == "tussis.data_efficiency/1" and content["synthetic"] is True
    assert len(content["draws"]) == len(rows) == N_DRAWS * (len(FRACTIONS) - 1) + 1
    assert (tmp_path / "curve" / "curve.svg").read_text().count("</svg>") == 1
    assert done.stdout.count("-") >= 1  # a tenth of ten people is too few
