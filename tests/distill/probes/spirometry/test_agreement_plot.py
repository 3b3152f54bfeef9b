"""The Bland-Altman plot: one panel an estimate, with the bias that was planted."""

import numpy as np

from distill.probes.spirometry.agreement import MEASURES, LungTable
from distill.probes.spirometry.agreement_plot import draw_bland_altman


def test_each_estimate_has_a_panel_with_its_bias_and_limits(tmp_path):
    targets = np.linspace(2, 4, 11)
    table = LungTable(np.zeros((11, 1)), np.zeros((11, 3)), targets, [f"p{i}" for i in range(11)])
    estimates = {"mean": np.full(11, 3.0), "audio": targets + 0.25}
    draw_bland_altman(estimates, table, MEASURES["fev1_l"], tmp_path / "plot.svg")
    drawing = (tmp_path / "plot.svg").read_text()
    for words in ("<!-- audio -->", "<!-- mean -->", "<!-- 0.25 -->", "estimated less measured FEV1 (L)"):
        assert words in drawing
    draw_bland_altman(estimates, table, MEASURES["fev1_l"], tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text().count("<use") == drawing.count("<use") >= 22
