"""Mixtures: kept with what the real teachers hear, made further after a stop, and drawn from."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.clips import CLIP_SAMPLES
from core.errors import DataError, OutputError
from distill.corpus.labels import EVENT_LABELS
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.event_teachers import EventTeacherSettings
from distill.distillation.mixtures import Mixtures, MixtureTeachers, is_mixtures, save_mixtures
from distill.distillation.soundscapes import Soundscapes, SoundscapeSettings
from distill.distillation.targets import Targets, all_crops
from distill.folders import locked

MODELS = Path(__file__).parents[4] / "shared" / "models"
pytestmark = pytest.mark.skipif(not (MODELS / "mn04_as.onnx").exists(), reason="../shared/models is absent")
COUGH = EVENT_LABELS.index("cough")


def row(number: int, label: str) -> ManifestRow:
    return ManifestRow(f"p/{number}.wav", "p", f"s{number}", f"s{number}", 3.0, (label,), 1, "CC0", "train", True)


@pytest.fixture(scope="module")
def store() -> WaveformStore:
    """Bursts called cough and steady noise called noise, 3 s each."""
    rng = np.random.default_rng(0)
    sounds = [3_000 * rng.standard_normal(48_000) for _ in range(8)]
    for sound in sounds[::2]:
        sound[:20_000] *= 0.001
        sound[25_000:] *= 0.001
    rows = [row(number, ("cough", "noise")[number % 2]) for number in range(8)]
    samples = [sound.clip(-32_768, 32_767).astype(np.int16) for sound in sounds]
    return WaveformStore(rows, np.concatenate(samples), np.arange(9) * 48_000)


@pytest.fixture(scope="module")
def teachers() -> MixtureTeachers:
    return MixtureTeachers(MODELS / "mn04_as.onnx", MODELS / "yamnet.tflite")


def soundscapes_of(store: WaveformStore, seed: int = 3) -> Soundscapes:
    crops = np.array(all_crops(store))
    scores = np.zeros((len(crops), len(EVENT_LABELS)), np.float32)
    targets = Targets(crops[:, 0], crops[:, 1], scores, np.zeros((len(crops), 0), np.float32))
    return Soundscapes(store, targets, role="train", batch_size=4, seed=seed, settings=SoundscapeSettings())


@pytest.fixture(scope="module")
def folder(store, teachers, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mixtures")
    save_mixtures(soundscapes_of(store), teachers, 3, path)
    return path


def test_what_is_kept_is_what_was_composed_and_what_the_teachers_hear_in_it(store, teachers, folder):
    assert is_mixtures(folder)
    waveforms, clips = soundscapes_of(store).clips_at(1)
    kept = np.load(folder / "waveform.npy")[4:8]
    assert kept.shape == (4, CLIP_SAMPLES)
    assert np.abs(kept / 32_768 - waveforms).max() <= 1 / 32_768
    logits, scores, heard = teachers.hear(waveforms)
    assert np.abs(np.load(folder / "mn04_logits.npy")[4:8] - logits).max() < 0.02
    assert np.abs(np.load(folder / "yamnet_scores.npy")[4:8] - scores).max() < 1e-6
    assert heard.shape == (4, 512 + 521)
    assert np.load(folder / "row.npy")[4:8].tolist() == [store_row(store, clip.crop) for clip in clips]
    backgrounds = [-1 if clip.background is None else store_row(store, clip.background) for clip in clips]
    assert np.load(folder / "background_row.npy")[4:8].tolist() == backgrounds
    assert set(np.load(folder / "background_row.npy") % 2) == {1}  # noise; -1 stays 1


def test_a_pack_that_is_left_out_is_neither_sound_nor_background(store, folder):
    """Its other recordings' subjects are left out as well."""
    rows = [replace(of, pack="q") if number in (1, 2) else of for number, of in enumerate(store.rows)]
    rows[4] = replace(rows[4], subject_id="s2")
    named = WaveformStore(rows, store._samples, store._offsets)
    index = json.loads((folder / "mixtures.json").read_text())
    copied = shutil.copytree(folder, folder.parent / "named")
    (copied / "mixtures.json").write_text(json.dumps({**index, "store_sha256": named.fingerprint()}))
    left_out = named.without_packs(["q"])
    assert left_out.indices("test") == [1, 2, 4]
    heard = np.load(folder / "row.npy"), np.load(folder / "background_row.npy")
    is_kept = ~np.isin(heard, [1, 2, 4]).any(axis=0)
    assert 0 < is_kept.sum() < len(is_kept)
    mixtures = Mixtures(left_out, copied, EventTeacherSettings(), batch_size=64, seed=1)
    assert mixtures.n_clips == is_kept.sum()
    drawn = np.sort(np.abs(mixtures.batch_at(0).waveform.numpy()), axis=1)
    kept = np.sort(np.abs(np.load(folder / "waveform.npy")[is_kept] / np.float32(32_768)), axis=1)
    assert {clip.tobytes() for clip in drawn} <= {clip.tobytes() for clip in kept}
    with pytest.raises(DataError, match="no recording is of the pack 'r'"):
        named.without_packs(["r"])


def store_row(store: WaveformStore, crop: int) -> int:
    return all_crops(store)[crop][0]


def test_making_that_was_stopped_goes_on_to_the_same_end(store, teachers, folder, tmp_path):
    save_mixtures(soundscapes_of(store), teachers, 3, tmp_path)
    index = json.loads((tmp_path / "mixtures.json").read_text())
    (tmp_path / "mixtures.json").write_text(json.dumps({**index, "n_batches_done": 1}))
    for name in ("waveform", "heard"):
        array = np.load(tmp_path / f"{name}.npy", mmap_mode="r+")
        array[4:] = 0
        array.flush()
    with pytest.raises(DataError, match="holds 4 finished clips, not 12"):
        Mixtures(store, tmp_path, EventTeacherSettings(), batch_size=4, seed=1)
    save_mixtures(soundscapes_of(store), teachers, 3, tmp_path)
    for name in ("waveform", "heard", "activity"):
        assert (tmp_path / f"{name}.npy").read_bytes() == (folder / f"{name}.npy").read_bytes()
    with pytest.raises(DataError, match="another seed"):
        save_mixtures(soundscapes_of(store, seed=4), teachers, 3, tmp_path)


def test_a_batch_is_a_function_of_the_step_and_its_activity_turns_with_its_sound(store, folder):
    mixtures = Mixtures(store, folder, EventTeacherSettings(), batch_size=16, seed=1)
    first, again, other = mixtures.batch_at(5), mixtures.batch_at(5), mixtures.batch_at(6)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first.waveform == other.waveform).all()
    assert first.teacher.shape == (16, mixtures.embedding_size)
    kept, activity = np.load(folder / "waveform.npy"), np.load(folder / "activity.npy")
    loudest = [int(np.abs(clip).argmax()) for clip in kept]
    for waveform, frames in zip(first.waveform.numpy(), first.activity.numpy(), strict=True):
        peak = int(np.abs(waveform).argmax())
        source = next(n for n, place in enumerate(loudest) if kept[n, place] == round(waveform[peak] * 32_768))
        turn = (peak - loudest[source]) % CLIP_SAMPLES
        assert turn % 640 == 0
        assert np.array_equal(np.roll(activity[source], turn // 640), frames)


def test_labels_win_over_what_the_teachers_hear(store, folder):
    mixtures = Mixtures(store, folder, EventTeacherSettings(), batch_size=16, seed=1)
    is_cough = np.load(folder / "row.npy") % 2 == 0
    assert is_cough.any() and not is_cough.all()
    assert (mixtures.events[~is_cough, COUGH] == 0).all()
    known = mixtures.weights[:, COUGH] > 0
    has_activity = np.load(folder / "activity.npy").any(axis=1)
    assert (mixtures.events[known & has_activity, COUGH] == 1).all()


def test_a_run_may_begin_with_the_first_clips_while_more_are_made(store, teachers, tmp_path):
    save_mixtures(soundscapes_of(store), teachers, 3, tmp_path)
    whole = Mixtures(store, tmp_path, EventTeacherSettings(), batch_size=8, seed=1, n_clips=8)
    index = json.loads((tmp_path / "mixtures.json").read_text())
    (tmp_path / "mixtures.json").write_text(json.dumps({**index, "n_batches_done": 2}))
    early = Mixtures(store, tmp_path, EventTeacherSettings(), batch_size=8, seed=1, n_clips=8)
    assert all((a == b).all() for a, b in zip(whole.batch_at(0), early.batch_at(0), strict=True))
    assert early.made_from == whole.made_from


def test_a_damaged_folder_is_refused_by_the_name_of_its_file(store, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "cut")
    content = (tmp_path / "cut" / "heard.npy").read_bytes()
    (tmp_path / "cut" / "heard.npy").write_bytes(content[:1_000])
    with pytest.raises(DataError, match=r"heard\.npy does not hold mixtures"):
        Mixtures(store, tmp_path / "cut", EventTeacherSettings(), batch_size=4, seed=1)
    np.save(tmp_path / "cut" / "heard.npy", np.zeros((3, 3)))
    with pytest.raises(DataError, match=r"heard\.npy holds float64 \(3, 3\)"):
        Mixtures(store, tmp_path / "cut", EventTeacherSettings(), batch_size=4, seed=1)
    (tmp_path / "cut" / "mixtures.json").write_text('{"schema": "tussis.mixtures/1"}')
    with pytest.raises(DataError, match="is not an index of mixtures"):
        Mixtures(store, tmp_path / "cut", EventTeacherSettings(), batch_size=4, seed=1)


def test_two_processes_do_not_write_to_one_folder(store, teachers, folder):
    with locked(folder), pytest.raises(OutputError, match="being written by another process"):
        save_mixtures(soundscapes_of(store), teachers, 3, folder)


def test_a_folder_of_another_store_is_refused(store, folder):
    few = WaveformStore(store.rows[:2], store._samples, store._offsets[:3])
    with pytest.raises(DataError, match="another store"):
        Mixtures(few, folder, EventTeacherSettings(), batch_size=4, seed=1)
