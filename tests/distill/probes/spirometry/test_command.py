"""tussis-probe spirometry, as people type it."""

import json
from functools import partial

import numpy as np
import pytest

from core.audio import write_wav
from distill.probes.fit_probe import main
from distill.probes.spirometry.blow_sound import Place, blow_sound
from distill.probes.spirometry.forced_expiration import Lung, expiratory_flow
from tests.command_lines import exit_code_of

run = partial(exit_code_of, main, "tussis-probe", "spirometry")


@pytest.fixture(scope="module")
def blow_files(tmp_path_factory):
    folder, flow = tmp_path_factory.mktemp("blows"), expiratory_flow(Lung(3.6, 4.4, 8.5))
    for seed in range(3):
        write_wav(folder / f"{seed}.wav", blow_sound(flow, Place(), np.random.default_rng(seed)))
    write_wav(folder / "stopped.wav", blow_sound(flow[:500], Place(), np.random.default_rng(9)))
    return folder


def test_three_good_blows_are_repeatable_and_the_json_has_what_is_shown(capsys, tmp_path, blow_files):
    paths = [blow_files / f"{seed}.wav" for seed in range(3)]
    assert run("blows", *paths, "--json", tmp_path / "blows.json") == 0
    shown = capsys.readouterr().out
    assert shown.count(": acceptable") == 3 and "repeatable (at most 150 mL)" in shown
    result = json.loads((tmp_path / "blows.json").read_text())
    assert result["schema"] == "tussis.blows/1" and result["session"]["grade"] == "A"
    assert result["session"]["fev1_l"] == pytest.approx(3.6, rel=0.1)
    assert [blow["reasons"] for blow in result["blows"]] == [[], [], []]


def test_a_stopped_blow_is_told_with_its_reasons(capsys, blow_files):
    assert run("blows", blow_files / "stopped.wav") == 0
    shown = capsys.readouterr().out
    assert "The blow ends abruptly" in shown and "0 of 1 blows are acceptable; 3 are needed." in shown


def test_a_lung_is_compared_with_its_reference(capsys):
    arguments = ("--sex", "F", "--age-years", "40", "--height-cm", "165", "--fev1-l", "2.1", "--fvc-l", "3.2")
    assert run("reference", *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["FEV1 (L)", "FVC (L)", "FEV1/FVC (ratio)"]
    assert "z-score -1.96" in lines[0] and "measured 0.656" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("reference", "--sex", "F", "--age-years", "2", "--height-cm", "90"), "from 3 to 95 years of age"),
        (("reference", "--sex", "x", "--age-years", "20", "--height-cm", "160"), "for F and M, not"),
        (
            ("reference", "--sex", "F", "--age-years", "20", "--height-cm", "160", "--fev1-l", "0"),
            "measured value above 0",
        ),
        (("blows", "absent.wav"), "absent.wav"),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, sentence):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.strip().splitlines()) == 1


def test_a_long_recording_is_no_blow(capsys, tmp_path):
    write_wav(tmp_path / "long.wav", np.zeros(61 * 16_000, np.float32))
    assert run("blows", tmp_path / "long.wav") == 2
    assert "lasts 61 s; a recording of one blow has 60 s at most" in capsys.readouterr().err


@pytest.fixture(scope="module")
def lungs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lungs")
    assert run("simulate", "--out", folder, "--n-subjects", "16") == 0
    return folder / "recordings.csv"


@pytest.mark.long
def test_the_whole_path_finds_what_was_simulated(capsys, tmp_path, lungs):
    assert run("agreement", "--recordings", lungs, "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    assert "synthetic sound: these numbers say nothing about people" in shown
    result = json.loads((tmp_path / "agreement.json").read_text())
    assert list(result["measures"]) == ["fev1_l", "fvc_l", "fev1_fvc", "pef_l_per_s"]
    assert result["how"].startswith("leave one subject out") and result["n_subjects"] == 16
    for name, measured in result["measures"].items():
        errors = {key: measured[key]["mean_percentage_error"]["value"] for key in ("mean", "demographics", "audio")}
        assert errors["audio"] < 0.75 * errors["mean"], (name, errors)
        assert "Sound alone is closer" in measured["verdict"]
        assert (tmp_path / f"bland_altman_{name}.svg").stat().st_size > 1000


@pytest.mark.long
def test_labels_dealt_out_at_random_are_found_by_nobody(capsys, tmp_path, lungs):
    lines = lungs.read_text().splitlines()
    header, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    label, order = header.index("label"), np.random.default_rng(0).permutation(16)
    for i, row in enumerate(rows):
        row[label] = lines[1 + 3 * order[i // 3]].split(",")[label]
    shuffled = lungs.with_name("shuffled.csv")
    kept = [column for column, name in enumerate(header) if name not in ("fvc_l", "pef_l_per_s")]
    shuffled.write_text("\n".join(",".join(row[i] for i in kept) for row in (header, *rows)))
    assert run("agreement", "--recordings", shuffled, "--out", tmp_path) == 0
    measures = json.loads((tmp_path / "agreement.json").read_text())["measures"]
    assert list(measures) == ["fev1_l"]
    assert measures["fev1_l"]["verdict"] == (
        "Sound alone tells nothing of the FEV1 that these 16 participants show. "
        "Beside age, sex and height it adds nothing that these 16 participants show."
    )


@pytest.mark.long
def test_a_column_with_a_word_in_it_is_refused_with_the_subject(capsys, tmp_path, lungs):
    table = lungs.with_name("word.csv")
    lines = lungs.read_text().splitlines()
    column = lines[0].split(",").index("fvc_l")
    cells = lines[1].split(",")
    cells[column] = "high"
    table.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    assert run("agreement", "--recordings", table, "--out", tmp_path) == 2
    assert "subject 'simulated-lung-000' has the fvc_l 'high'; expected a number" in capsys.readouterr().err
