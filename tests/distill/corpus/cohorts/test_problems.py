"""What is wrong with a cohort is found, told, and left out."""

import shutil

import numpy as np
import pytest
import soundfile

from core.audio import write_wav
from distill.corpus.cohorts.problems import drop, find_problems, sha256_of_sound
from distill.corpus.cohorts.rows import CohortRow


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
