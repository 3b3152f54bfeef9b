"""What is wrong with a cohort is found, told, and left out."""

import shutil

import numpy as np
import pytest
import soundfile

from core.audio import write_wav
from core.errors import DataError
from distill.corpus.cohorts.problems import drop, find_problems
from distill.corpus.cohorts.read_cohort import read_cohort
from distill.corpus.cohorts.rows import CohortRow
from distill.corpus.sound_hash import sha256_of_sound


@pytest.fixture
def recording(tmp_path):
    """Writes a second of noise of a seed, once."""

    def write(seed):
        path = tmp_path / f"{seed}.wav"
        write_wav(path, 0.1 * np.random.default_rng(seed).standard_normal(16_000).astype(np.float32))
        return path

    return write


def kinds(problems):
    return sorted(problem.kind for problem in problems)


def test_a_good_cohort_has_no_problems(recording):
    rows = [CohortRow(recording(i), f"p{i // 2}", {"tb": float(i // 2 % 2)}) for i in range(6)]
    assert find_problems(rows) == [] and drop(rows, []) == rows


def test_a_missing_file_a_broken_one_and_nobody_are_left_out(recording, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF\0\0")
    rows = [
        CohortRow(recording(0), "p0", {}),
        CohortRow(tmp_path / "absent.wav", "p1", {}, place="t.csv, line 3"),
        CohortRow(tmp_path / "broken.wav", "p2", {}),
        CohortRow(recording(3), "unknown", {}, place="t.csv, line 5"),
    ]
    problems = find_problems(rows)
    assert kinds(problems) == ["missing", "nobody", "unreadable"]
    assert problems[0].sentence == "t.csv, line 3: there is no recording absent.wav"
    assert drop(rows, problems) == rows[:1]


def test_one_sound_under_two_ids_is_left_out_whatever_its_format(recording, tmp_path):
    samples, rate_hz = soundfile.read(recording(1), dtype="int16")
    soundfile.write(tmp_path / "copy.flac", samples, rate_hz)
    rows = [CohortRow(recording(1), "p1", {"tb": 1.0}), CohortRow(tmp_path / "copy.flac", "p2", {"tb": 1.0})]
    rows.append(CohortRow(recording(2), "p3", {"tb": 0.0}))
    (problem,) = find_problems(rows)
    assert (problem.kind, problem.dropped) == ("two ids", (0, 1)) and "'p1', 'p2'" in problem.sentence
    assert sha256_of_sound(rows[0].path) == sha256_of_sound(rows[1].path) != sha256_of_sound(rows[2].path)
    assert drop(rows, [problem]) == rows[2:]


def test_of_one_sound_of_one_person_the_first_stays(recording, tmp_path):
    shutil.copy(recording(1), tmp_path / "copy.wav")
    rows = [CohortRow(recording(1), "S05", {"cough": 1.0}), CohortRow(tmp_path / "copy.wav", "s-5", {"cough": 1.0})]
    problems = find_problems(rows)
    assert kinds(problems) == ["repeated", "spelling"] and drop(rows, problems) == rows[:1]


def test_a_sound_or_a_person_of_both_classes_is_left_out(recording, tmp_path):
    shutil.copy(recording(1), tmp_path / "copy.wav")
    sounds = [CohortRow(recording(1), "p1", {"cough": 1.0}), CohortRow(tmp_path / "copy.wav", "p1", {"cough": 0.0})]
    (problem,) = find_problems(sounds)
    assert (problem.kind, problem.dropped) == ("contradiction", (0, 1)) and "two values of cough" in problem.sentence
    people = [CohortRow(recording(i), name, {"tb": tb}) for i, (name, tb) in enumerate([("a", 1.0), ("A", 0.0)], 5)]
    problems = find_problems(people)
    assert kinds(problems) == ["contradiction", "spelling"] and drop(people, problems) == []


def test_a_person_may_cough_in_one_recording_and_not_in_another(recording):
    assert find_problems([CohortRow(recording(i), "p", {"cough": float(i), "fev1_l": 2.0 + i}) for i in range(2)]) == []


def test_spellings_of_one_person_become_the_first(recording):
    rows = [CohortRow(recording(i), name, {"tb": 1.0}) for i, name in enumerate(["P01", "p1", "P 01"])]
    problems = find_problems(rows)
    assert kinds(problems) == ["spelling"]
    assert [row.subject_id for row in drop(rows, problems)] == ["P01"] * 3


def coda_of(people):
    clinical = ["participant,sex,tb_status", *(f"{name},Male,{label}" for name, label, _ in people)]
    coughs = ["participant,filename", *(f"{name},{i}.wav" for i, (name, *_) in enumerate(people))]
    tables = {"CODA_TB_Clinical_Meta_Info.csv": clinical, "CODA_TB_Solicited_Meta_Info.csv": coughs}
    return tables, {f"{i}.wav": seed for i, (*_, seed) in enumerate(people)}


def cidrz_of(people):
    table = ["barcode;ground_truth_tb", *(f"{name};{'pos' if label else 'neg'}" for name, label, _ in people)]
    return {"GHAI.csv": table}, {f"Kanyama Phone A/{name}.wav": seed for name, _, seed in people}


def coughvid_of(people):
    words = {1: "COVID-19", 0: "healthy"}
    rows = [f"{name},0.9,{words[label]}" for name, label, _ in people]
    table = ["uuid,cough_detected,status", *rows]
    return {"metadata_compiled.csv": table}, {f"{name}.wav": seed for name, _, seed in people}


def coswara_of(people):
    words = {1: "positive_mild", 0: "healthy"}
    table = ["id,covid_status", *(f"{name},{words[label]}" for name, label, _ in people)]
    return {"combined_data.csv": table}, {f"20200413/{name}/cough-heavy.wav": seed for name, _, seed in people}


def icbhi_of(people):
    diagnoses = [f"{name},{'COPD' if label else 'Asthma'}" for name, label, _ in people]
    names = {f"{name}_1b1_Al_sc_Meditron": seed for name, _, seed in people}
    texts = {f"{name}.txt": ["0.1\t0.9\t0\t0"] for name in names}
    return {"diagnosis.csv": diagnoses, **texts}, {f"{name}.wav": seed for name, seed in names.items()}


def spirometry_of(people):
    rows = [f"{i}.wav,{name},2.5,{'m' if label else 'f'}" for i, (name, label, _) in enumerate(people)]
    table = ["\ufeffpath,subject,FEV1,sex", *rows]
    return {"blows.csv": table}, {f"{i}.wav": seed for i, (*_, seed) in enumerate(people)}


def flusense_of(people):
    grid = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\n'
    grid += 'intervals [1]:\n xmin = 0.1\n xmax = 0.4\n text = "{}"\n'
    words = {1: "cough", 0: "speech"}
    grids = {f"{name}.TextGrid": [grid.format(words[label])] for name, label, _ in people}
    return grids, {f"{name}.wav": seed for name, _, seed in people}


LAYOUTS = {
    "coda": coda_of,
    "cidrz": cidrz_of,
    "coughvid": coughvid_of,
    "coswara": coswara_of,
    "icbhi": icbhi_of,
    "spirometry": spirometry_of,
    "flusense": flusense_of,
}


@pytest.fixture(params=LAYOUTS)
def problems_of(request, layout):
    """Writes people (id, label, seed of the sound or None) as a data set is published, and finds what is wrong."""

    def problems(people):
        tables, sounds = LAYOUTS[request.param](people)
        written = {name: "\n".join(lines) for name, lines in tables.items()}
        rows = read_cohort(request.param, layout({**written, **{n: s for n, s in sounds.items() if s is not None}}))
        return request.param, [(problem.kind, len(problem.dropped)) for problem in find_problems(rows)]

    return problems


def test_one_sound_under_two_ids_is_found_in_every_layout(problems_of):
    assert problems_of([("101", 1, 1), ("202", 1, 1), ("303", 0, 2)])[1] == [("two ids", 2)]


def test_a_sound_that_is_not_there_is_found_in_every_layout_that_names_it(problems_of):
    kind, problems = problems_of([("101", 1, 1), ("202", 0, None)])
    assert problems == ([] if kind == "cidrz" else [("missing", 1)])  # CIDRZ's table names people, most without a sound


def test_one_person_under_two_ids_of_both_classes_is_found_in_every_layout(problems_of):
    kind, problems = problems_of([("101", 1, 1), ("0101", 0, 2), ("303", 0, 3)])
    # FluSense does not say who is heard, so its classes are of sounds.
    assert problems == ([("spelling", 0)] if kind == "flusense" else [("spelling", 0), ("contradiction", 2)])


@pytest.mark.parametrize("kind", ["coda", "cidrz", "coughvid", "coswara", "icbhi", "spirometry"])
def test_a_spreadsheet_is_to_be_saved_as_csv(kind, layout):
    folder = layout({"Clinical.XLSX": b"PK\x03\x04"})
    with pytest.raises(DataError, match=r"but the spreadsheet Clinical\.XLSX: save it as CSV"):
        read_cohort(kind, folder)
