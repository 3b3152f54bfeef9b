"""COUGHVID and Coswara from their published layouts."""

import pytest

from core.errors import DataError
from distill.corpus.cohorts.crowd_sourced import read_coswara, read_coughvid

COUGHVID = {
    "metadata_compiled.csv": (
        "uuid,datetime,cough_detected,age,gender,respiratory_condition,status,quality_1,diagnosis_1,diagnosis_2\n"
        "aa-1,2020-04-01,0.97,28,male,False,COVID-19,good,COVID-19,upper_infection\n"
        "bb-2,2020-04-02,0.12,,female,True,healthy,,,\n"
        "cc-3,2020-04-03,0.88,61,other,False,symptomatic,,,\n"
        "dd-4,2020-04-03,0.88,,,,,,,\n"
    ),
    "aa-1.wav": 1,
    "public_dataset/bb-2.wav": 2,
    "cc-3.wav": 3,
}


def test_coughvid_has_a_row_for_each_uuid_and_no_label_where_nothing_is_said(layout):
    rows = list(read_coughvid(layout(COUGHVID)))
    assert [row.labels for row in rows] == [{"covid": 1, "sex_male": 1}, {"covid": 0, "sex_male": 0}, {"covid": 0}, {}]
    assert [row.path.is_file() for row in rows] == [True, True, True, False]
    assert rows[0].covariates["age_years"] == "28" and rows[0].covariates["cough_detected"] == "0.97"
    assert rows[0].covariates["diagnosis_2"] == "upper_infection" and "gender" not in rows[0].covariates


COSWARA = {
    "combined_data.csv": (
        "id,a,covid_status,g,l_c,smoker\n"
        "p1,37,healthy,male,India,n\np2,25,positive_mild,female,India,y\np3,50,no_resp_illness_exposed,male,India,\n"
        "p4,44,healthy,male,India,n\n"
    ),
    "Extracted_data/20200413/p1/cough-heavy.wav": 1,
    "Extracted_data/20200413/p1/breathing-deep.wav": 2,
    "Extracted_data/20200415/p2/cough-heavy.wav": 3,
    "Extracted_data/20200415/p3/cough-heavy.wav": 4,
    "Extracted_data/20200415/p3/metadata.json": "{}",
}


def test_coswara_has_a_row_for_each_sound_and_one_for_who_has_none(layout):
    rows = list(read_coswara(layout(COSWARA)))
    found = [(row.subject_id, row.covariates.get("sound"), row.covariates.get("day"), row.labels) for row in rows]
    assert found == [
        ("p1", "breathing-deep", "20200413", {"covid": 0, "smoker": 0, "sex_male": 1}),
        ("p1", "cough-heavy", "20200413", {"covid": 0, "smoker": 0, "sex_male": 1}),
        ("p2", "cough-heavy", "20200415", {"covid": 1, "smoker": 1, "sex_male": 0}),
        ("p3", "cough-heavy", "20200415", {"sex_male": 1}),
        ("p4", None, None, {"covid": 0, "smoker": 0, "sex_male": 1}),
    ]
    assert not rows[-1].path.exists()  # find_problems says so


def test_a_smoker_in_other_words_is_refused_with_the_line(layout):
    table = "id,covid_status,smoker\np1,healthy,sometimes\n"
    with pytest.raises(DataError, match="line 2, column smoker holds 'sometimes'; expected yes or no"):
        list(read_coswara(layout({**COSWARA, "combined_data.csv": table})))


@pytest.mark.parametrize("reader", [read_coughvid, read_coswara])
def test_another_folder_is_refused(tmp_path, reader):
    with pytest.raises(DataError, match="is this the data set's folder"):
        list(reader(tmp_path))
