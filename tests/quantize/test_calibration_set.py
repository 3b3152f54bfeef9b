import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav
from core.errors import DataError
from distill.corpus.manifests import build_manifest, write_manifest
from quantize import calibration_set
from quantize.calibration_set import (
    CALIBRATION_IDS,
    CalibrationId,
    choose_calibration_ids,
    cut_clip,
    read_calibration_set,
    read_ids,
    write_ids,
)

DATA = Path(__file__).parents[3] / "shared" / "data"


def write_list(path: Path, *ids: CalibrationId) -> Path:
    write_ids(list(ids), path)
    return path


def test_only_training_recordings_are_chosen_evenly_over_the_labels_and_the_unlabelled(rows, world):
    chosen = choose_calibration_ids(rows, world.data, n_clips=12)
    roles = {row.path: row.role for row in rows}
    assert {roles[clip_id.path] for clip_id in chosen} == {"train"}
    assert Counter(clip_id.label for clip_id in chosen) == {"cough": 4, "noise": 4, "unlabelled": 4}
    assert len({clip_id.path for clip_id in chosen}) == 12
    assert chosen == choose_calibration_ids(rows, world.data, n_clips=12)
    assert chosen != choose_calibration_ids(rows, world.data, n_clips=12, seed=1)


def test_a_subject_with_many_recordings_comes_once_before_any_comes_twice(row_of, tmp_path):
    rows = [row_of(n, "noise", "train") for n in range(8)]
    rows = [*rows[:4], *(type(row)(**{**vars(row), "subject_id": "one"}) for row in rows[4:])]
    sound = np.random.default_rng(0).normal(size=40000).astype(np.float32) * 0.1
    for row in rows:
        (tmp_path / row.path).parent.mkdir(exist_ok=True)
        write_wav(tmp_path / row.path, sound)
    subjects = {row.path: row.subject_id for row in rows}
    chosen = choose_calibration_ids(rows, tmp_path, n_clips=5)
    assert Counter(subjects[clip_id.path] for clip_id in chosen).most_common(1)[0][1] == 1


def test_more_clips_than_there_are_is_refused(rows, world):
    with pytest.raises(DataError, match="give 24 calibration clips; 25 were asked for"):
        choose_calibration_ids(rows, world.data, n_clips=25)


def test_silent_recordings_are_not_chosen(row_of, tmp_path):
    row = row_of(0, "noise", "train")
    (tmp_path / row.path).parent.mkdir()
    write_wav(tmp_path / row.path, np.full(40000, 0.25, dtype=np.float32))
    with pytest.raises(DataError, match="give 0 calibration clips"):
        choose_calibration_ids([row], tmp_path, n_clips=1)


def test_the_command_writes_a_list_that_reads_back_as_clips(rows, world, run, tmp_path):
    write_manifest(rows, tmp_path / "manifest.csv")
    arguments = ("--manifest", tmp_path / "manifest.csv", "--data", world.data, "--clips", 6)
    result = run(calibration_set.app, "choose", *arguments, "--out", tmp_path / "ids.csv")
    assert result.exit_code == 0, result.stderr
    read = read_calibration_set(tmp_path / "ids.csv", world.data)
    assert read.clips.shape == (6, 32000) and read.clips.dtype == np.float32
    assert read.clips.std(axis=1).min() > 0


def test_a_clip_is_cut_at_its_offset_and_a_short_rest_is_tiled():
    waveform = np.arange(40000, dtype=np.float32)
    np.testing.assert_array_equal(cut_clip(waveform, 5000), waveform[5000:37000])
    tiled = cut_clip(waveform, 30000)
    np.testing.assert_array_equal(tiled[:10000], waveform[30000:])
    np.testing.assert_array_equal(tiled[10000:20000], waveform[30000:])


def test_an_empty_list_is_refused(tmp_path):
    with pytest.raises(DataError, match="lists no clip"):
        read_calibration_set(write_list(tmp_path / "ids.csv"), tmp_path)


def test_a_list_of_another_shape_is_refused(tmp_path):
    (tmp_path / "ids.csv").write_text("path,start\na.wav,3\n")
    with pytest.raises(DataError, match="lacks the column offset_samples, label"):
        read_ids(tmp_path / "ids.csv")
    for row in (
        "a.wav,soon,cough",
        "a.wav,-1,cough",
        "a.wav,1.5,cough",
        "a.wav",
        "../a.wav,1,cough",
        "a\0.wav,1,cough",
    ):
        (tmp_path / "ids.csv").write_text(f"path,offset_samples,label\n{row}\n")
        with pytest.raises(DataError, match=r"ids\.csv.* line 2"):
            read_ids(tmp_path / "ids.csv")


def test_an_absent_recording_is_refused_by_name(tmp_path):
    ids = write_list(tmp_path / "ids.csv", CalibrationId("pack/gone.wav", 0, "cough"))
    with pytest.raises(DataError, match=r"pack/gone\.wav cannot be read"):
        read_calibration_set(ids, tmp_path)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_a_silent_clip_is_refused_also_with_an_offset(tmp_path, level):
    write_wav(tmp_path / "silent.wav", np.full(40000, level, dtype=np.float32))
    ids = write_list(tmp_path / "ids.csv", CalibrationId("silent.wav", 0, "noise"))
    with pytest.raises(DataError, match=r"silent\.wav at sample 0 is silent"):
        read_calibration_set(ids, tmp_path)


def test_a_clip_beyond_the_end_of_its_recording_is_refused(tmp_path):
    write_wav(tmp_path / "short.wav", np.full(1000, 0.1, dtype=np.float32))
    ids = write_list(tmp_path / "ids.csv", CalibrationId("short.wav", 1000, "noise"))
    with pytest.raises(DataError, match=r"short\.wav has 1000 samples; its calibration clip starts at 1000"):
        read_calibration_set(ids, tmp_path)


def test_the_committed_list_names_256_clips_and_none_of_the_test_pack():
    ids = read_ids(CALIBRATION_IDS)
    assert len(ids) == 256 == len(set(ids))
    assert not any(clip_id.path.startswith("esc50_part/") for clip_id in ids)
    with CALIBRATION_IDS.open(newline="", encoding="utf-8") as file:
        assert {"cough", "speech", "noise", "unlabelled"} <= {row["label"] for row in csv.DictReader(file)}


def test_the_committed_list_holds_training_recordings_only():
    if not DATA.is_dir():
        pytest.skip("the packs in ../shared/data are not here")
    roles = {row.path: row.role for row in build_manifest(DATA)}
    assert {roles[clip_id.path] for clip_id in read_ids(CALIBRATION_IDS)} == {"train"}
