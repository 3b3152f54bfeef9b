"""Other sound: which recordings are taken, and what becomes of a cohort's own through a telephone."""

import numpy as np
import pytest

from core.errors import DataError
from core.probes import ClipSelection
from distill.probes.cohort import load_cohort
from distill.probes.unlike_sound import SIMULATED, embed_unlike, read_unlike, through_telephone


@pytest.fixture
def cohort_of_bursts(tmp_path, write_recording, stand_in):
    rows = [f"{i}.wav,s{i},{i % 2}" for i in range(4) if write_recording(tmp_path / "own" / f"{i}.wav", i)]
    (tmp_path / "own" / "t.csv").write_text("\n".join(["path,subject_id,label", *rows]))
    return load_cohort(tmp_path / "own" / "t.csv", "classification", ClipSelection(None, 0.0, 1, "mean"), stand_in)


def test_a_folder_and_a_table_are_taken_and_at_most_200_of_them(tmp_path):
    for i in range(301):
        (tmp_path / f"{i:03d}.WAV").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "t.csv").write_text("path\n003.WAV\n005.WAV\n")
    taken = read_unlike([f"music={tmp_path}", f"speech={tmp_path / 't.csv'}"])
    assert len(taken["music"]) == len(set(taken["music"])) == 200
    assert [path.name for path in taken["speech"]] == ["003.WAV", "005.WAV"]


@pytest.mark.parametrize("given", ["music", "=x", "music=", "music=absent", "music=EMPTY"])
def test_what_cannot_be_meant_is_refused(tmp_path, given):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        read_unlike([given.replace("EMPTY", str(tmp_path / "empty"))])


def test_the_telephone_keeps_its_band_and_nothing_else():
    time_s = np.arange(16_000) / 16_000
    for tone_hz, is_kept in ((100, False), (1000, True), (6000, False)):
        tone = np.sin(2 * np.pi * tone_hz * time_s).astype(np.float32)
        level = np.std(through_telephone(tone)[4000:]) / np.std(tone)
        assert (level > 0.9) if is_kept else (level < 0.05)


def test_each_kind_of_other_sound_is_embedded_and_what_was_not_given_is_none(
    tmp_path, cohort_of_bursts, write_recording, stand_in
):
    others = [write_recording(tmp_path / "music" / f"{i}.wav", 50 + i) for i in range(6)]
    selection = ClipSelection("sneeze", 0.99, 1, "mean")  # which the stand-in never hears
    unlike = embed_unlike({"music": others}, cohort_of_bursts, selection, stand_in)
    assert unlike["speech"] is None and unlike["another microphone"] is None
    assert unlike["music"].embeddings.shape == (6, 512) and unlike["music"].n_selected == 0
    everything = embed_unlike({}, cohort_of_bursts, ClipSelection(None, 0.0, 1, "mean"), stand_in)[SIMULATED]
    assert everything.subjects == ["s0", "s1", "s2", "s3"] and everything.n_selected == 4
    assert np.abs(everything.embeddings - cohort_of_bursts.features).max() > 0.01
