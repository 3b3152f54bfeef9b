"""A probe that needs clinical values gets each person's, and leaves those without them unscored."""

from dataclasses import replace

import numpy as np
import pytest

from core.audio import write_wav
from core.bundle import load_bundle
from core.probing.clinical import ClinicalColumn
from distill.evaluation.report.scores import open_journal
from distill.probes.scored_cohort import ask_shipped_probe


def test_clinical_values_of_the_table_reach_the_probe(tmp_path, tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    (probe,) = [probe for probe in bundle.probes if probe.name == "lungs"]
    age = ClinicalColumn("age_years", None, 0.0, 120.0, mean=40.0, scale=10.0)
    by_age = replace(probe, weights=np.zeros_like(probe.weights), columns=(age,), column_weights=np.array([2.0]))
    noise = 0.2 * np.random.default_rng(0).standard_normal(8000)
    write_wav(tmp_path / "one.wav", np.clip(noise, -1, 1).astype(np.float32))
    lines = ["path,subject_id,label,age_years", "one.wav,old,1,60", "two.wav,young,0,20", "three.wav,nobody_knows,0,"]
    for name, loudness in (("two", 0.9), ("three", 0.8)):
        write_wav(tmp_path / f"{name}.wav", (loudness * np.clip(noise, -1, 1)).astype(np.float32))
    table = tmp_path / "people.csv"
    table.write_text("\n".join(lines))
    with open_journal(tmp_path / "report.json") as journal:
        asked = ask_shipped_probe(replace(bundle, probes=(by_age,)), "lungs", table, None, journal)
    scores = {item.subject_id: item for item in asked.asked.questions[0].items}
    odds = {name: np.log(item.score / (1 - item.score)) for name, item in scores.items() if item.score is not None}
    assert odds["old"] - odds["young"] == pytest.approx(8.0 / probe.temperature)  # 4 scales of 10 years, weight 2
    assert scores["nobody_knows"].score is None and "needs age_years" in scores["nobody_knows"].unscored
