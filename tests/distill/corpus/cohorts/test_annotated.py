"""FluSense, FSD50K and ICBHI 2017 from their published layouts."""

import pytest

from core.errors import DataError
from distill.corpus.cohorts.annotated import read_flusense, read_fsd50k, read_icbhi

GRID = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\n'
COUGH = 'intervals [1]:\n xmin = 0.1\n xmax = 0.4\n text = "cough"\n'
CLEARING = 'intervals [2]:\n xmin = 0.5\n xmax = 0.9\n text = "throat-clearing"\n'


def test_flusense_has_a_label_for_each_event(layout):
    files = {"flusense_data/a.TextGrid": GRID + COUGH + CLEARING, "flusense_data/b.TextGrid": GRID, "audio/a.wav": 1}
    rows = list(read_flusense(layout(files)))
    assert {name for name, value in rows[0].labels.items() if value} == {"cough", "throat_clearing"}
    assert len(rows[0].labels) == 7 and not any(rows[1].labels.values())
    assert rows[0].path.is_file() and not rows[1].path.exists()


def test_fsd50k_has_its_own_splits(layout):
    files = {
        "FSD50K.ground_truth/dev.csv": 'fname,labels,mids,split\n12,"Cough,Human_voice",/m/1,train\n13,Rain,/m/2,val\n',
        "FSD50K.ground_truth/eval.csv": 'fname,labels,mids\n14,"Laughter,Speech",/m/3\n',
        "FSD50K.dev_audio/12.wav": 1,
        "FSD50K.dev_audio/13.wav": 2,
        "FSD50K.eval_audio/14.wav": 3,
    }
    rows = list(read_fsd50k(layout(files)))
    assert [row.covariates["split"] for row in rows] == ["train", "val", "test"]
    assert [sorted(name for name, value in row.labels.items() if value) for row in rows] == [
        ["cough"],
        [],
        ["laughter", "speech"],
    ]
    assert all(row.path.is_file() for row in rows)


ICBHI = {
    "ICBHI_final_database/101_1b1_Al_sc_Meditron.wav": 1,
    "ICBHI_final_database/101_1b1_Al_sc_Meditron.txt": "0.036\t0.579\t0\t0\n0.579\t2.45\t1\t0\n",
    "ICBHI_final_database/226_1b1_Pl_sc_LittC2SE.wav": 2,
    "ICBHI_final_database/226_1b1_Pl_sc_LittC2SE.txt": "0.1\t0.9\t0\t0\n",
    "ICBHI_Challenge_diagnosis.csv": "101,COPD\n226,Healthy\n",
    "demographic_info.txt": "101 71 F 22.1 NA NA\n226 4 M NA 16.7 103\n",
    "ICBHI_challenge_train_test.txt": "101_1b1_Al_sc_Meditron\ttrain\n226_1b1_Pl_sc_LittC2SE\ttest\n",
}


def test_icbhi_has_cycles_diagnosis_device_and_the_official_split(layout):
    first, second = read_icbhi(layout(ICBHI))
    assert first.labels == {"crackles": 1, "wheezes": 0, "healthy": 0, "copd": 1, "sex_male": 0}
    assert second.labels == {"crackles": 0, "wheezes": 0, "healthy": 1, "copd": 0, "sex_male": 1}
    assert dict(first.covariates) == {
        **{"chest": "Al", "device": "Meditron", "age_years": "71", "sex": "F", "split": "train"},
    }
    assert (first.subject_id, second.covariates["split"]) == ("101", "test")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0.1\t0.9\t0\n", "line 1 has 3 cells; expected at least 4"),
        ("0.1\t0.9\t2\t0\n", "without 0 or 1 for crackles"),
        ("0.9\t0.1\t0\t0\n", "ends before it begins"),
    ],
)
def test_a_breath_cycle_that_cannot_be_meant_is_refused(layout, text, sentence):
    folder = layout({**ICBHI, "ICBHI_final_database/226_1b1_Pl_sc_LittC2SE.txt": text})
    with pytest.raises(DataError, match=sentence):
        list(read_icbhi(folder))


@pytest.mark.parametrize("reader", [read_flusense, read_fsd50k, read_icbhi])
def test_another_folder_is_refused(tmp_path, reader):
    with pytest.raises(DataError, match="is this the data set's folder"):
        list(reader(tmp_path))
