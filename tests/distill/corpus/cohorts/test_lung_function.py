"""Folders of blows with a spirometer's values: columns as people call them, and units."""

import pytest

from core.errors import DataError
from distill.corpus.cohorts.lung_function import read_spirometry


def test_columns_are_known_in_other_words(layout):
    table = "Participant;File;FEV1 (L);FVC;PEF;Age;Gender;Height;Visit\n7;blows/a.wav;2.5;3.5;6.1;44;M;176;first\n"
    (row,) = read_spirometry(layout({"values.csv": table, "blows/a.wav": 1, "other.csv": "a,b\n1,2\n"}))
    assert row.labels == {
        **{"fev1_l": 2.5, "fvc_l": 3.5, "fev1_fvc": pytest.approx(2.5 / 3.5), "pef_l_per_s": 6.1, "sex_male": 1},
    }
    facts = {"fvc_l": "3.5", "pef_l_per_s": "6.1", "age_years": "44", "sex": "M", "height_cm": "176", "Visit": "first"}
    assert dict(row.covariates) == facts
    assert row.subject_id == "7" and row.path.is_file()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("2500,3500,6", "column fev1 holds '2500'; expected a number with a decimal point, at least 0.1, at most 12"),
        ("2.5,3.5,366", "column pef holds '366'; expected a number"),
        ("3.6,3.5,6", "column fev1 holds '3.6'; expected at most the FVC of 3.5 L"),
        ("2,5,3.5,6", "does not have as many cells"),
        ("high,3.5,6", "column fev1 holds 'high'"),
    ],
)
def test_a_value_in_another_unit_is_refused_with_its_line(layout, values, sentence):
    folder = layout({"values.csv": f"subject_id,path,fev1,fvc,pef\n7,a.wav,{values}\n"})
    with pytest.raises(DataError, match=sentence):
        list(read_spirometry(folder))


def test_another_folder_is_refused(layout):
    with pytest.raises(DataError, match="no table with the columns path, subject_id, fev1_l"):
        list(read_spirometry(layout({"values.csv": "path,subject_id\na.wav,1\n"})))


def test_a_path_out_of_the_folder_is_refused(layout):
    with pytest.raises(DataError, match=r"without '\.\.'"):
        list(read_spirometry(layout({"values.csv": "path,subject_id,fev1\n../a.wav,1,2\n"})))
