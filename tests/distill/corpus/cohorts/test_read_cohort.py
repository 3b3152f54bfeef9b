"""A cohort by its name, and the command that writes the table for a probe."""

from functools import partial

import pytest

from core.errors import DataError
from distill.corpus.cohorts.read_cohort import READERS, read_cohort, with_label
from distill.corpus.command import main
from distill.probes.cohort import read_cohort_table
from tests.command_lines import exit_code_of

run = partial(exit_code_of, main, "tussis-corpus", "cohort")


def test_the_table_of_a_published_data_set_is_what_a_probe_is_fitted_on(capsys, coda):
    folder = coda()
    assert run("coda", folder, "--label", "tb", "--out", folder / "tb.csv") == 0
    assert "3 recordings of 2 people, 0 left out" in capsys.readouterr().out
    rows = read_cohort_table(folder / "tb.csv", "classification")
    assert [(row.subject_id, row.label) for row in rows] == [
        *[("CODA_TB_0001", 1.0)] * 2,
        ("CODA_TB_0002", 0.0),
    ]
    assert rows[0].covariates["site"] == "UG" and rows[0].covariates["fever"] == "Yes"


def test_what_is_wrong_is_told_and_refused_or_left_out(capsys, coda):
    folder = coda(files={"raw_data/solicited_data/1600000000003-recording-1.wav": 1})
    (folder / "raw_data/solicited_data/1600000000002-recording-1.wav").unlink()
    assert run("coda", folder, "--label", "tb", "--out", folder / "tb.csv") == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("missing: ") and said[1].startswith("two ids: one sound stands under the ids")
    assert said[2] == "tussis-corpus: 3 of 3 recordings are wrong; --drop leaves them out"
    assert not (folder / "tb.csv").exists()
    files = {"raw_data/solicited_data/1600000000003-recording-1.wav": 3}
    folder = coda(files=files)
    (folder / "raw_data/solicited_data/1600000000002-recording-1.wav").unlink()
    assert run("coda", folder, "--label", "tb", "--out", folder / "tb.csv", "--drop") == 0
    assert "2 recordings of 2 people, 1 left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("coda", "{folder}", "--label", "hiccup"), "no recording has the label 'hiccup'; the labels are sex_male, tb"),
        (("codo", "{folder}", "--label", "tb"), "a cohort is of kind cidrz, coda"),
        (("coda", "{folder}/absent", "--label", "tb"), "there is no folder"),
        (("icbhi", "{folder}", "--label", "copd"), "is this the data set's folder"),
    ],
)
def test_bad_input_is_one_sentence(capsys, coda, arguments, sentence):
    folder = coda()
    filled = [argument.format(folder=folder) for argument in arguments]
    assert run(*filled, "--out", folder / "t.csv") == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (folder / "t.csv").exists()


def test_a_table_elsewhere_is_refused(capsys, coda, tmp_path_factory):
    out = tmp_path_factory.mktemp("elsewhere") / "t.csv"
    assert run("coda", coda(), "--label", "tb", "--out", out) == 2
    assert "write the table to the data set's folder" in capsys.readouterr().err


def test_our_packs_are_a_cohort_too(layout):
    columns = "path,dataset,source_id,subject_id,duration_s,labels,group_fold,licence\n"
    table = columns + "a.wav,mine,1,p1,1,cough,1,CC0\nb.wav,mine,2,p2,1,noise;rain,2,CC0\n"
    rows = read_cohort("pack", layout({"mine/manifest.csv": table, "mine/a.wav": 1, "mine/b.wav": 2}) / "mine")
    assert [(row.subject_id, row.labels["cough"], row.path.is_file()) for row in rows] == [
        ("p1", 1.0, True),
        ("p2", 0.0, True),
    ]


def test_every_reader_refuses_an_empty_folder(tmp_path):
    for kind in READERS:
        (tmp_path / kind).mkdir()
        with pytest.raises(DataError):
            read_cohort(kind, tmp_path / kind)


def test_rows_without_the_label_are_left_out(coda):
    rows = read_cohort("coda", coda())
    assert with_label(rows, "tb") == rows
