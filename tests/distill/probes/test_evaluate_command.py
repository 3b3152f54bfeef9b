"""tussis-evaluate: the pack as before, and tasks."""

import json
from functools import partial

import numpy as np
import pytest

from core.audio import write_wav
from distill.probes.evaluate_command import main
from tests.command_lines import exit_code_of

run = partial(exit_code_of, main, "tussis-evaluate")


@pytest.fixture
def coswara(tmp_path):
    """24 people with a heavy cough each; the smokers' are hisses."""
    folder, lines = tmp_path / "coswara", ["id,covid_status,g,smoker"]
    for i in range(24):
        noise = np.random.default_rng(i).standard_normal(16_000)
        sound = noise if i % 2 else np.convolve(noise, np.ones(8), "same")
        path = folder / "20200413" / f"p{i}" / "cough-heavy.wav"
        path.parent.mkdir(parents=True)
        write_wav(path, (0.1 * sound / np.abs(sound).max()).astype(np.float32))
        lines.append(f"p{i},healthy,{'male' if i < 12 else 'female'},{'y' if i % 2 else 'n'}")
    (folder / "combined_data.csv").write_text("\n".join(lines))
    return folder


def test_the_tasks_of_a_data_set_are_run_and_shown(capsys, tmp_path, tiny_bundle, coswara):
    out = tmp_path / "tasks.json"
    assert run("tasks", "--cohort", f"coswara={coswara}", "--bundle", tiny_bundle, "--json", out) == 0
    result = json.loads(out.read_text())
    assert result["schema"] == "tussis.tasks/1" and len(result["tasks"]) == 27
    smoker = next(task for task in result["tasks"] if task["label"] == "smoker")
    assert 0 <= smoker["result"]["auroc"]["value"] <= 1 and smoker["result"]["n_training"] > 15
    assert "smoker" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tasks", "--cohort", "coswara"), "--cohort is 'coswara'; expected KIND=FOLDER"),
        (("tasks", "--cohort", "coswara=absent"), "there is no folder absent"),
        (("tasks", "--cohort", "coda=."), "no task is about 'coda'"),
        (("--data", "gone"), "no pack (a folder with a manifest.csv) was found in gone"),
        ((), "a folder of packs is needed"),
        (("--pack", "esc50_part"), "a folder of packs is needed"),
    ],
)
def test_bad_input_is_refused(monkeypatch, capsys, tmp_path, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert sentence in capsys.readouterr().err
