"""tussis-evaluate tuberculosis: what it writes and says, and what it refuses."""

import json
from functools import partial

import pytest

from distill.probes.evaluate_command import main
from tests.command_lines import exit_code_of

run = partial(exit_code_of, main, "tussis-evaluate", "tuberculosis")


@pytest.mark.long
def test_figures_and_what_was_left_out_are_written_and_said(capsys, tmp_path, write_coda, tiny_bundle):
    folder, out = write_coda(37, 1, ("UG",)), tmp_path / "coda.json"
    (folder / "solicited_data" / "36.wav").unlink()
    options = ("--bundle", tiny_bundle, "--json", out, "--target", "coda_2022")
    assert run("coda", folder, *options) == 0
    result, said = json.loads(out.read_text()), capsys.readouterr().out
    assert result["by_subject"]["n_positive"] == 18 and result["target"]["sensitivity"] == 0.8
    assert "coda: demonstration; target: CODA TB DREAM Challenge 2022" in said
    assert "by subject: 36 people, 18 positive, AUROC 0." in said and "left out: 1 missing" in said
    assert "site UG: not run: the training part has 0 people with tb 0; 5 are needed" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("codo", "."), "a protocol is coda or cidrz, not 'codo'"),
        (("coda", "absent"), "there is no folder absent"),
        (("cidrz", "."), "has no table with the column ground_truth_tb or tb_decision"),
        (("coda", ".", "--target", "who"), "--target is 'who'; expected one of who_2014_triage_minimum"),
    ],
)
def test_bad_input_is_one_sentence(monkeypatch, capsys, tmp_path, tiny_bundle, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--bundle", tiny_bundle, "--json", "out.json") == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (tmp_path / "out.json").exists()
