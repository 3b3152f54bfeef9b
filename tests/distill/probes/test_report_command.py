"""tussis-evaluate report: from a table or packs to a JSON file and a page, and every bad input in one sentence."""

import json
from functools import partial

import numpy as np
import pytest

from core.audio import write_wav
from distill.probes.evaluate_command import main
from tests.command_lines import exit_code_of

run = partial(exit_code_of, main, "tussis-evaluate", "report")


@pytest.fixture
def table(tmp_path):
    """24 people with two recordings each: those of class 1 hiss, the others are dull; sites, ages, and a quiet one."""
    lines = ["path,subject_id,label,site,age_years,sex"]
    for i in range(48):
        person, generator = i // 2, np.random.default_rng(i)
        sound = generator.standard_normal(8000)
        if person % 2 == 0:
            sound = np.convolve(sound, np.ones(6), "same")
        write_wav(tmp_path / f"{i}.wav", (0.2 * sound / np.abs(sound).max()).astype(np.float32))
        lines.append(
            f"{i}.wav,p{person},{person % 2},{'north' if person < 12 else 'south'},{20 + person},{'mf'[person % 3 > 0]}"
        )
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.long
def test_a_new_probe_is_fitted_and_judged_with_its_controls(capsys, tmp_path, table):
    out = tmp_path / "out"
    options = ("--event", "none", "--draws", 100, "--prevalence", 0.02)
    assert run("--recordings", table, "--out", out, *options) == 0
    result = json.loads((out / "report.json").read_text())
    measured = result["questions"][0]
    assert (measured["n"], measured["n_positive"], measured["unit"]) == (24, 12, "person")
    assert measured["auroc"]["value"] > 0.9 and set(measured["subgroups"]) == {"site", "age", "sex"}
    control = result["probe"]["refitted_on_shuffled_labels"]
    assert len(control["aurocs"]) == 5 and 0.2 < control["mean"] < 0.8
    assert result["prevalence"] == 0.02 and "rests on 12 positives" in result["warnings"][0]
    assert {path.name for path in out.iterdir()} == {
        "report.json",
        "report.html",
        "discrimination.svg",
        "reliability.svg",
    }
    assert "AUROC" in capsys.readouterr().out


@pytest.mark.long
def test_a_shipped_probe_is_asked_as_a_phone_would(tmp_path, tiny_bundle, table):
    (tmp_path / "48.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    write_wav(tmp_path / "49.wav", np.zeros(8000, np.float32))
    table.write_text(table.read_text() + "\n49.wav,quiet,1,north,30,m")
    training = tmp_path / "training.csv"
    training.write_text("path,subject_id,label,site\n48.wav,other,0,north")
    out = tmp_path / "out"
    options = ("--probe", "lungs", "--training", training, "--draws", 100, "--bundle", tiny_bundle)
    assert run("--recordings", table, "--out", out, *options) == 0
    result = json.loads((out / "report.json").read_text())
    measured = result["questions"][0]
    reason = "the recording's quality is not acceptable: silent"
    assert (measured["n"], measured["n_with_score"], measured["unscored"][reason]) == (25, 24, 1)
    assert result["probe"] == {"name": "lungs", "status": "research", "fitted": "in the bundle"} | result["probe"]
    assert result["shared_with_training"]["sound"]["n_shared"] == 1
    assert any(warning.startswith("Training and test share a sound") for warning in result["warnings"])
    assert any(warning.startswith("Training and test share a site: 'north'") for warning in result["warnings"])


def without(column):
    def edit(text):
        rows = [line.split(",") for line in text.splitlines()]
        place = rows[0].index(column)
        return "\n".join(",".join(cells[:place] + cells[place + 1 :]) for cells in rows)

    return edit


def with_labels(value):
    return lambda text: text.replace(",0,", f",{value},").replace(",1,", f",{value},")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (without("subject_id"), "lacks the column subject_id"),
        (without("label"), "lacks the column label"),
        (lambda text: "\n".join(text.splitlines()[:4]), "has 2 subjects with a "),
        (lambda text: "\n".join(text.splitlines()[:1]), "has no rows"),
        (with_labels(1), "has 0 "),
        (with_labels("nan"), "column label holds 'nan'; expected 0 or 1"),
        (lambda text: text.replace(",20,", ",nan,"), "column age_years holds 'nan'"),
        (lambda text: text.replace("0.wav", "gone.wav", 1), "there is no recording"),
    ],
)
def test_a_bad_table_is_one_sentence(capsys, tmp_path, tiny_bundle, table, edit, sentence):
    table.write_text(edit(table.read_text()))
    options = ("--draws", 100, "--bundle", tiny_bundle, "--probe", "lungs")
    assert run("--recordings", table, "--out", tmp_path / "out", *options) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said and said.count("tussis-evaluate:") == 1
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("n_rows", [3, 18])
def test_a_new_probe_needs_enough_people(capsys, tmp_path, tiny_bundle, table, n_rows):
    table.write_text("\n".join(table.read_text().splitlines()[: n_rows + 1]))
    options = ("--event", "none", "--bundle", tiny_bundle)
    assert run("--recordings", table, "--out", tmp_path / "out", *options) == 2
    assert "subjects with a usable recording; a probe needs at least 10" in capsys.readouterr().err


def test_one_person_is_refused(capsys, tmp_path, tiny_bundle, table):
    lines = table.read_text().splitlines()
    table.write_text(
        "\n".join([lines[0], *(line.replace(f",p{i // 2},", ",one,") for i, line in enumerate(lines[1:]))])
    )
    options = ("--probe", "lungs", "--bundle", tiny_bundle)
    assert run("--recordings", table, "--out", tmp_path / "out", *options) == 2
    assert "has 1 subjects with a score; a report needs at least 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "give --data for a report on events, or --recordings for one on a probe"),
        (("--data", "gone"), "no pack (a folder with a manifest.csv) was found in gone"),
        (("--recordings", "gone.csv", "--probe", "none"), "has no probe 'none'; it has lungs, tb"),
        (("--recordings", "gone.csv", "--prevalence", 1.0), "--prevalence is 1"),
        (("--recordings", "gone.csv"), "gone.csv cannot be read"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(monkeypatch, capsys, tmp_path, tiny_bundle, options, sentence):
    monkeypatch.chdir(tmp_path)
    assert run("--out", "out", "--bundle", tiny_bundle, *options) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_that_is_no_report_is_left_as_it_is(capsys, tmp_path, tiny_bundle, table):
    (tmp_path / "report.html").write_text("my own page")
    assert run("--recordings", table, "--out", tmp_path, "--bundle", tiny_bundle) == 2
    assert "is not a result of this command" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "my own page"
