"""Cohorts: which tables are refused, and that they hold what core would score."""

import csv

import numpy as np
import pytest
import soundfile

from core.audio import write_wav
from core.errors import DataError
from core.probes import ClipSelection
from distill.probes.cohort import check_disjoint, load_cohort, read_cohort_table
from distill.probes.embed import embed_all, pool_clips, write_embeddings

EVERYTHING = ClipSelection(None, 0.0, 1, "mean")


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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"label": "nan"}, r"line 4, column label holds 'nan'; expected 0 or 1"),
        ({"label": "2"}, r"line 4, column label holds '2'; expected 0 or 1"),
        ({"label": ""}, r"line 4, column label holds ''; expected 0 or 1"),
        ({"label": "1_0"}, r"line 4, column label holds '1_0'"),
        ({"subject_id": " "}, r"line 4 has no subject_id"),
        ({"subject_id": "NaN"}, r"line 4 has no subject_id \('NaN' names nobody\)"),
        ({"subject_id": "s1\ns2"}, r"line 4, column subject_id holds 's1\\ns2'"),
        ({"path": "absent.wav"}, r"line 4, column path: there is no recording .*absent\.wav"),
        ({"path": "../a.wav"}, r"line 4, column path holds '\.\./a\.wav'"),
        ({"path": "/etc/a.wav"}, r"line 4, column path holds '/etc/a\.wav'"),
        ({"path": "C:\\a.wav"}, r"line 4, column path holds"),
        ({"synthetic": "perhaps"}, r"line 4, column synthetic holds 'perhaps'; expected true or false"),
    ],
)
def test_a_bad_row_is_refused_by_number(tmp_path, noises, stand_in, change, sentence):
    noises = [row | {"synthetic": 0} for row in noises]
    noises[2] |= change
    with pytest.raises(DataError, match=sentence):
        load_cohort(write_table(tmp_path / "t.csv", noises), "classification", EVERYTHING, stand_in)


def test_tables_that_are_none_are_refused(tmp_path, stand_in):
    (tmp_path / "columns.csv").write_text("path,label\na.wav,1\n")
    (tmp_path / "empty.csv").write_text("path,subject_id,label\n")
    (tmp_path / "cells.csv").write_text("path,subject_id,label\na.wav\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    sentences = {"columns": "lacks the column subject_id", "empty": "has no rows", "cells": "line 2 does not have"}
    for name, sentence in {**sentences, "binary": "cannot be read", "absent": "cannot be read"}.items():
        with pytest.raises(DataError, match=sentence):
            load_cohort(tmp_path / f"{name}.csv", "classification", EVERYTHING, stand_in)


def test_a_label_of_a_regression_is_a_finite_number_with_a_decimal_point(tmp_path, noises, stand_in):
    for text in ("2,5", "inf", "nan", "1_000", "", "2.5 L"):
        noises[0]["label"] = text
        with pytest.raises(DataError, match=r"line 2, column label holds .* expected a number with a decimal point"):
            load_cohort(write_table(tmp_path / "t.csv", noises), "regression", EVERYTHING, stand_in)


@pytest.mark.parametrize(("word", "is_synthetic"), [("False", False), ("no", False), ("falsch", False), ("1.0", True)])
def test_a_recording_is_synthetic_where_a_word_says_so(tmp_path, noises, word, is_synthetic):
    table = write_table(tmp_path / "t.csv", [row | {"synthetic": word} for row in noises])
    assert {row.is_synthetic for row in read_cohort_table(table, "classification")} == {is_synthetic}


def test_spellings_of_one_subject_are_one_person_and_that_is_said(tmp_path, noises, capsys):
    spellings = ["S05", " s05", "s5", "S-05.0"]
    rows = [noises[n] | {"subject_id": spelling} for n, spelling in zip((0, 1, 4, 5), spellings, strict=True)]
    read = read_cohort_table(write_table(tmp_path / "t.csv", rows), "classification")
    assert {row.subject_id for row in read} == {"S05"}
    assert "'S-05.0', 'S05', 's05' and 1 more are taken as one person, 'S05'" in capsys.readouterr().err
    rows = [noises[0] | {"subject_id": "S05"}, noises[2] | {"subject_id": "s05"}]
    with pytest.raises(DataError, match="'S05', 's05', spelled alike but of both classes"):
        read_cohort_table(write_table(tmp_path / "t.csv", rows), "classification")


def test_a_table_of_a_spreadsheet_is_read_as_its_csv(tmp_path, noises):
    expected = read_cohort_table(write_table(tmp_path / "t.csv", noises), "classification")
    text = (tmp_path / "t.csv").read_text().replace(",", ";").replace("subject_id", "Subject ID")
    (tmp_path / "t.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_cohort_table(tmp_path / "t.csv", "classification") == expected


def change_subjects(rows, change):
    return [row | {"subject_id": change(row["subject_id"])} for row in rows]


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        (lambda subject: subject.upper(), r"shares 12 subjects with .*\('S0' is one, there as 's0'\)"),
        (lambda subject: subject + ".0", r"shares 12 subjects with .*\('s0\.0' is one, there as 's0'\)"),
        (lambda subject: f"other {subject[1:]}", "holds a recording that is also in .* one of 'other 0'"),
    ],
)
def test_an_external_test_shares_no_person_and_no_sound(tmp_path, noises, stand_in, change, shared):
    (tmp_path / "site").mkdir()
    for row in noises:
        sound, rate_hz = soundfile.read(tmp_path / row["path"], dtype="int16")
        soundfile.write(tmp_path / "site" / row["path"].replace("wav", "flac"), sound, rate_hz)  # other bytes
    there = [row | {"path": row["path"].replace("wav", "flac")} for row in change_subjects(noises, change)]
    cohorts = [
        load_cohort(write_table(folder / "t.csv", rows), "classification", EVERYTHING, stand_in)
        for folder, rows in ((tmp_path, noises), (tmp_path / "site", there))
    ]
    with pytest.raises(DataError, match=shared):
        check_disjoint(*cohorts)


def test_an_external_test_is_of_another_site(tmp_path, noises, stand_in):
    cohorts = []
    for site, rows in (("Mainz", noises[:12]), ("mainz ", noises[12:])):
        table = write_table(tmp_path / f"{site}.csv", [row | {"site": site} for row in rows])
        cohorts.append(load_cohort(table, "classification", EVERYTHING, stand_in))
    with pytest.raises(DataError, match="is of the site 'mainz', and so is"):
        check_disjoint(*cohorts)


def test_one_recording_under_two_subjects_is_refused(tmp_path, noises, stand_in):
    (tmp_path / "copy.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    noises[8] |= {"path": "copy.wav"}
    with pytest.raises(DataError, match=r"0\.wav and copy\.wav, to two subjects or labels"):
        load_cohort(write_table(tmp_path / "t.csv", noises), "classification", EVERYTHING, stand_in)


def test_one_sound_in_two_files_under_two_subjects_is_refused_but_silence_is_not(tmp_path, noises, stand_in):
    for n in (4, 5, 8, 9):  # of s2 and s4
        write_wav(tmp_path / f"{n}.wav", np.zeros(24_000, dtype=np.float32))
    cohort = load_cohort(write_table(tmp_path / "t.csv", noises), "classification", EVERYTHING, stand_in)
    assert (cohort.n_unscored, cohort.n_subjects) == (4, 10)
    sound, rate_hz = soundfile.read(tmp_path / "0.wav", dtype="int16")
    soundfile.write(tmp_path / "copy.flac", sound, rate_hz)
    noises[8] |= {"path": "copy.flac"}
    with pytest.raises(DataError, match=r"0\.wav and copy\.flac, to two subjects or labels"):
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


def test_a_table_of_more_rows_than_a_probe_is_fitted_on_is_refused_before_all_are_held(tmp_path, monkeypatch, stand_in):
    monkeypatch.setattr("distill.probes.cohort.MAX_ROWS", 3)
    write_wav(tmp_path / "a.wav", np.zeros(16_000, np.float32))
    (tmp_path / "t.csv").write_text("path,subject_id,label\n" + "a.wav,s,1\n" * 5)
    with pytest.raises(DataError, match=r"t\.csv has more than 3 rows; a probe is fitted on 3 recordings at most"):
        load_cohort(tmp_path / "t.csv", "classification", EVERYTHING, stand_in)
