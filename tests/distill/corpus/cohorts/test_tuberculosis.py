"""CODA TB DREAM and CIDRZ from their published layouts."""

import pytest

from core.errors import DataError
from distill.corpus.cohorts.tuberculosis import read_cidrz, read_coda


def test_coda_has_a_row_for_each_solicited_cough_with_the_clinical_columns(coda):
    rows = list(read_coda(coda()))
    assert [row.subject_id for row in rows] == ["CODA_TB_0001", "CODA_TB_0001", "CODA_TB_0002"]
    assert [row.labels for row in rows] == [{"tb": 1, "sex_male": 1}] * 2 + [{"tb": 0, "sex_male": 0}]
    assert all(row.path.is_file() for row in rows)
    facts = dict(rows[2].covariates)
    assert (facts["site"], facts["hiv"], facts["age_years"], facts["height_cm"]) == ("VN", "Positive", "51", "158")
    assert "tb_status" not in facts and "Microbiologicreferencestandard" not in facts  # they are the answer


def test_a_cough_of_somebody_without_a_clinical_row_is_refused_with_its_line(coda):
    name = "meta_data/Cough Metadata/CODA_TB_Solicited_Meta_Info.csv"
    folder = coda(files={name: "participant,filename\nCODA_TB_0009,a.wav\n"})
    with pytest.raises(DataError, match=r"line 2, column participant names 'CODA_TB_0009', who has no row"):
        list(read_coda(folder))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("P1,maybe\n", "column tb_status holds 'maybe'; expected yes or no"),
        ("P1,1\nP1,0\n", "line 3, column participant names 'P1' again, otherwise than .*line 2"),
    ],
)
def test_a_clinical_cell_that_cannot_be_meant_is_refused(coda, rows, sentence):
    files = {
        "meta_data/Clinical/CODA_TB_Clinical_Meta_Info.csv": f"participant,tb_status\n{rows}",
        "meta_data/Cough Metadata/CODA_TB_Solicited_Meta_Info.csv": "participant,filename\nP1,a.wav\n",
    }
    with pytest.raises(DataError, match=sentence):
        list(read_coda(coda(files=files)))


@pytest.mark.parametrize("reader", [read_coda, read_cidrz])
def test_another_folder_is_refused(tmp_path, reader):
    with pytest.raises(DataError, match="is this the data set's folder"):
        list(reader(tmp_path))


CIDRZ = {
    "Metadata and Codebook/metadata.csv": (
        "barcode;tb_decision;sex;age;smoker;hiv_status;cxr_abnormal\n"
        "ZM-001;TB;Male;30;yes;Negative;1\nZM-002;No TB;Female;41;no;Positive;0\nZM-0021;;Female;22;no;Unknown;\n"
    ),
    "Kanyama Phone B/ZM-001_cough_1.wav": 1,
    "Kanyama Phone B/ZM-002_cough_1.wav": 2,
    "Chainda South Phone A/ZM-002_cough_1.wav": 3,
    "Chainda South Phone A/ZM-0021_cough_1.wav": 4,
    "Chainda South Phone A/calibration.wav": 5,
    "elsewhere/ZM-001_cough_9.wav": 6,
}


def test_cidrz_has_site_and_phone_of_the_folder_and_the_person_of_the_name(layout):
    rows = sorted(read_cidrz(layout(CIDRZ)), key=lambda row: (row.subject_id, row.covariates["site"]))
    found = [(row.subject_id, row.covariates["site"], row.covariates["device"], row.labels.get("tb")) for row in rows]
    assert found == [
        ("ZM-001", "Kanyama", "phone B", 1.0),
        ("ZM-002", "Chainda South", "phone A", 0.0),
        ("ZM-002", "Kanyama", "phone B", 0.0),
        ("ZM-0021", "Chainda South", "phone A", None),
    ]
    assert rows[0].labels == {"tb": 1, "smoker": 1, "hiv_status": 0, "cxr_abnormal": 1, "sex_male": 1}
    assert rows[3].labels == {"smoker": 0, "sex_male": 0}


def test_cidrz_without_a_column_of_people_is_refused(layout):
    table = {"Metadata and Codebook/metadata.csv": "number,tb_decision\n1,TB\n"}
    with pytest.raises(DataError, match="no column that names a person; expected one of barcode, participant_id"):
        list(read_cidrz(layout({**CIDRZ, **table})))


PUBLISHED = {
    "Metadata and Codebook/GHAI_Final_Data_2023.csv": (
        "anon_id,barcode,sex,age,body_wt,hiv_status,prev_tb,tobacco_use,abn_decision,tb_decision,tb_predictions,"
        "ground_truth_tb\n"
        "7001,01001,m,30,61,neg,no,current,yes,yes,0.81,neg\n7002,01002,f,41,55,pos,yes,never,no,no,0.10,pos\n"
        "7003,01003,f,22,50,neg,no,never,no,no,0.02,\n"
    ),
    "Metadata and Codebook/Google_Health_AI_Final_Codebook.csv": "variable,meaning\ntb_decision,of a program\n",
    "Audio-Recorder-Chainda-South/01001.wav": 1,
    "Chainda South Phone B/01001.wav": 2,
    "Audio-Recorder-Kanyama/01002.wav": 3,
    "Kanyama Phone A/01003.wav": 4,
}


def test_cidrz_as_published_takes_the_reference_standard_and_hides_what_a_program_said(layout):
    rows = sorted(read_cidrz(layout(PUBLISHED)), key=lambda row: (row.subject_id, row.covariates["device"]))
    found = [(row.subject_id, row.covariates["site"], row.covariates["device"], row.labels.get("tb")) for row in rows]
    assert found == [
        ("01001", "Chainda South", "phone B", 0.0),
        ("01001", "Chainda South", "recorder", 0.0),
        ("01002", "Kanyama", "recorder", 1.0),
        ("01003", "Kanyama", "phone A", None),
    ]
    expected = {"sex", "age_years", "body_wt", "hiv", "prev_tb", "tobacco_use", "site", "device"}
    assert all(row.covariates.keys() == expected for row in rows)
    assert rows[2].labels == {"tb": 1, "hiv_status": 1, "prev_tb": 1, "abn_decision": 0, "sex_male": 0}


def test_cidrz_with_a_word_that_is_no_answer_is_refused_with_its_line(layout):
    table = "barcode,ground_truth_tb\n01001,neg\n01002,perhaps\n"
    with pytest.raises(DataError, match="line 3, column ground_truth_tb holds 'perhaps'; expected yes or no"):
        list(read_cidrz(layout({**PUBLISHED, "Metadata and Codebook/GHAI_Final_Data_2023.csv": table})))
