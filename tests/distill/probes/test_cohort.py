"""Cohorts: which tables are refused, and that they hold what core would score."""

import csv

import numpy as np
import pytest

from core.audio import write_wav
from core.errors import DataError
from core.probes import ClipSelection
from distill.probes.cohort import load_cohort
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
        ({"label": "nan"}, r"row 4 has the label 'nan'; expected 0 or 1"),
        ({"label": "2"}, r"row 4 has the label '2'; expected 0 or 1"),
        ({"label": ""}, r"row 4 has the label ''; expected 0 or 1"),
        ({"subject_id": " "}, r"row 4 has no subject_id"),
        ({"path": "absent.wav"}, r"row 4: there is no recording .*absent\.wav"),
    ],
)
def test_a_bad_row_is_refused_by_number(tmp_path, noises, stand_in, change, sentence):
    noises[2] |= change
    with pytest.raises(DataError, match=sentence):
        load_cohort(write_table(tmp_path / "t.csv", noises), "classification", EVERYTHING, stand_in)


def test_tables_that_are_none_are_refused(tmp_path, stand_in):
    (tmp_path / "columns.csv").write_text("path,label\na.wav,1\n")
    (tmp_path / "empty.csv").write_text("path,subject_id,label\n")
    (tmp_path / "cells.csv").write_text("path,subject_id,label\na.wav\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    sentences = {"columns": "lacks the column subject_id", "empty": "has no rows", "cells": "row 2 does not have"}
    for name, sentence in {**sentences, "binary": "cannot be read", "absent": "cannot be read"}.items():
        with pytest.raises(DataError, match=sentence):
            load_cohort(tmp_path / f"{name}.csv", "classification", EVERYTHING, stand_in)


def test_one_recording_under_two_subjects_is_refused(tmp_path, noises, stand_in):
    (tmp_path / "copy.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    noises[8] |= {"path": "copy.wav"}
    with pytest.raises(DataError, match=r"0\.wav and copy\.wav, to two subjects or labels"):
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
