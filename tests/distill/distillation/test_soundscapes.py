from pathlib import Path

import numpy as np
import pytest

from core.clips import CLIP_SAMPLES
from core.errors import DataError
from distill.corpus.channel import Channel
from distill.corpus.cough_activity import STEP_SAMPLES
from distill.corpus.labels import EVENT_LABELS, N_ACTIVITY_FRAMES
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.soundscapes import COUGH, Soundscapes, SoundscapeSettings
from distill.distillation.targets import Targets, all_crops, crop_offsets, cut_crop, save_values

PACKS = (
    ("coughs", ("cough",), 5.0),
    ("voices", ("speech",), 3.0),
    ("noises", ("noise",), 4.0),
    ("short", ("laugh",), 0.6),
)


def row(pack: str, number: int, labels: tuple[str, ...], duration_s: float, role: str = "train") -> ManifestRow:
    source = f"{pack}{number}"
    return ManifestRow(f"{pack}/{number}.wav", pack, source, source, duration_s, labels, 1, "CC0", role, bool(labels))


def sound(labels: tuple[str, ...], duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """Faint noise, with a loud burst at 1.00-1.28 s where the label is cough."""
    waveform = rng.standard_normal(int(duration_s * 16_000)) * (0.001 if "cough" in labels else 0.05)
    if "cough" in labels:
        waveform[16_000 : 16_000 + 7 * STEP_SAMPLES] *= 150
    return (waveform * 32767).clip(-32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def store() -> WaveformStore:
    rng = np.random.default_rng(0)
    rows = [row(pack, number, labels, duration_s) for pack, labels, duration_s in PACKS for number in range(4)]
    rows.append(row("rooms", 0, (), 0.5, role="augment"))
    samples = [sound(r.labels, r.duration_s, rng) for r in rows]
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in samples])])
    return WaveformStore(rows, np.concatenate(samples), offsets)


@pytest.fixture(scope="module")
def targets(store: WaveformStore) -> Targets:
    crops = np.array(all_crops(store))
    scores = np.zeros((len(crops), len(EVENT_LABELS)), dtype=np.float32)
    embedding = np.random.default_rng(1).standard_normal((len(crops), 6)).astype(np.float32)
    return Targets(crops[:, 0], crops[:, 1], scores, embedding)


@pytest.fixture(scope="module")
def soundscapes(store: WaveformStore, targets: Targets) -> Soundscapes:
    return Soundscapes(store, targets, role="train", batch_size=48, seed=5)


def test_crops_cover_a_recording_on_the_grid_and_a_short_one_once():
    assert crop_offsets(9_600) == [0]
    offsets = crop_offsets(5 * 16_000)
    assert offsets[0] == 0
    assert offsets[-1] == 3 * 16_000 // STEP_SAMPLES * STEP_SAMPLES
    assert all(offset % STEP_SAMPLES == 0 for offset in offsets)
    assert len(crop_offsets(3600 * 16_000)) == 12


def test_a_short_recording_is_tiled_not_padded():
    piece = np.arange(1, 10_001, dtype=np.int16)
    crop = cut_crop(piece, 0)
    assert len(crop) == CLIP_SAMPLES
    assert np.array_equal(crop[10_000:20_000], crop[:10_000])


def test_a_batch_is_a_pure_function_of_the_step(soundscapes):
    first, again, other = soundscapes.batch_at(3), soundscapes.batch_at(3), soundscapes.batch_at(4)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first.waveform == other.waveform).all()


def test_waveforms_stay_in_range_and_targets_are_probabilities(soundscapes):
    batch = soundscapes.batch_at(0)
    assert batch.waveform.shape == (48, CLIP_SAMPLES)
    assert batch.waveform.abs().max() <= 1
    assert ((batch.events >= 0) & (batch.events <= 1)).all()
    assert set(batch.activity.unique().tolist()) <= {0.0, 1.0}


def test_activity_lies_only_where_a_cough_is_a_target(soundscapes):
    for step in range(4):
        batch = soundscapes.batch_at(step)
        assert (batch.events[batch.activity.any(dim=1), COUGH] == 1).all()


def test_active_frames_are_louder_than_the_others_of_the_same_clip(store, targets):
    soundscapes = Soundscapes(store, targets, role="train", batch_size=64, seed=6)
    soundscapes.channel = lambda waveforms, rng: waveforms
    soundscapes._add_background = lambda clip, rng: None
    batch = soundscapes.batch_at(0)
    levels = batch.waveform.reshape(64, N_ACTIVITY_FRAMES, STEP_SAMPLES).square().mean(dim=2).sqrt()
    with_cough = batch.activity.any(dim=1) & (batch.activity_weight > 0)
    assert with_cough.sum() > 5
    for level, active in zip(levels[with_cough], batch.activity[with_cough].bool(), strict=True):
        assert level[active].min() > 3 * level[~active].max()


def test_at_other_speeds_coughs_keep_their_frames_and_one_that_is_cut_away_is_unknown(store, targets):
    fast = SoundscapeSettings(speed_probability=1.0, slowest=0.6, fastest=1.5)
    batches = Soundscapes(store, targets, role="train", batch_size=64, seed=3, settings=fast)
    plain = Soundscapes(store, targets, role="train", batch_size=64, seed=3)
    first, again, other = batches.batch_at(0), batches.batch_at(0), plain.batch_at(0)
    assert (first.waveform == again.waveform).all() and (first.activity == again.activity).all()
    assert not (first.waveform == other.waveform).all()
    batches_of_many = [batches.batch_at(step) for step in range(4)]
    gone = [
        weights[COUGH].item()
        for batch in batches_of_many
        for events, weights, activity, known in zip(
            batch.events, batch.event_weights, batch.activity, batch.activity_weight, strict=True
        )
        if events[COUGH] == 1 and known and not activity.any()
    ]
    assert gone and not any(gone)


def test_a_loud_background_joins_the_targets_and_hides_the_teachers_embedding(soundscapes):
    rng = np.random.default_rng(0)
    seen_loud = False
    for crop in range(4):
        clip = soundscapes._from_crop(crop, rng)
        before = clip.events.copy()
        soundscapes._add_background(clip, rng)
        if clip.teacher_weight == 0.0:
            seen_loud = True
            assert clip.events.sum() >= before.sum()
            assert clip.events[COUGH] == before[COUGH]
    assert seen_loud


def test_the_channel_keeps_clips_finite_and_limits_the_band():
    rng = np.random.default_rng(0)
    white = rng.standard_normal((64, CLIP_SAMPLES)).astype(np.float32)
    out = Channel([np.r_[1.0, 0.5 * rng.standard_normal(800)]])(white, rng)
    spectra = np.abs(np.fft.rfft(out, axis=1)) ** 2
    share_above_6khz = spectra[:, 12_000:].sum(axis=1) / spectra.sum(axis=1)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.0
    assert 5 < (share_above_6khz < 0.02).sum() < 60


def test_targets_survive_writing_and_reading_and_a_mismatch_is_refused(tmp_path: Path, store, targets):
    crops = all_crops(store)
    save_values(tmp_path / "events.npz", crops, targets.scores)
    save_values(tmp_path / "embeddings.npz", crops, targets.embedding)
    read = Targets.load(tmp_path)
    assert np.array_equal(read.row, targets.row)
    assert np.abs(read.embedding - targets.embedding).max() < 2e-3
    save_values(tmp_path / "embeddings.npz", crops[:-1], targets.embedding[:-1])
    with pytest.raises(DataError, match="different crops"):
        Targets.load(tmp_path)
    (tmp_path / "events.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"events\.npz does not hold targets"):
        Targets.load(tmp_path)
