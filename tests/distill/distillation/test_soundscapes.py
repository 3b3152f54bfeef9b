"""Soundscapes: what a batch holds, what is known of it, and that settings say how it is composed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from core.clips import CLIP_SAMPLES
from core.errors import DataError, SettingsError
from distill.checkpoints import load_checkpoint
from distill.corpus.cough_activity import STEP_SAMPLES
from distill.corpus.labels import EVENT_LABELS, N_ACTIVITY_FRAMES
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.distill_student import DistillSettings
from distill.distillation.soundscapes import COUGH, GroupWeights, Soundscapes, SoundscapeSettings
from distill.distillation.targets import Targets, all_crops
from distill.settings import load_settings, with_defaults

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
    soundscapes._over_background = lambda clip, rng: clip
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


@pytest.mark.parametrize(("evenness", "share_of_long"), [(0.0, 5 / 6), (1.0, 0.5)])
def test_evenness_says_whether_crops_or_recordings_are_drawn_equally_often(evenness, share_of_long):
    rows = [row("noises", 0, ("noise",), 6.0), row("noises", 1, ("noise",), 2.0)]
    samples = np.zeros(8 * 16_000, np.int16)
    store = WaveformStore(rows, samples + 9, np.array([0, 6 * 16_000, 8 * 16_000]))
    crops = np.array(all_crops(store))
    assert (crops[:, 0] == 0).sum() == 5 and (crops[:, 0] == 1).sum() == 1
    targets = Targets(crops[:, 0], crops[:, 1], np.zeros((6, len(EVENT_LABELS)), np.float32), np.zeros((6, 0)))
    settings = SoundscapeSettings(evenness=evenness)
    batches = Soundscapes(store, targets, role="train", batch_size=500, seed=1, settings=settings)
    _, clips = batches.clips_at(0)
    of_long = np.mean([targets.row[clip.crop] == 0 for clip in clips])
    assert of_long == pytest.approx(share_of_long, abs=0.07)


def test_a_loud_background_joins_the_targets_and_hides_the_teachers_embedding(soundscapes):
    rng = np.random.default_rng(0)
    seen_loud = False
    for crop in range(4):
        clip = soundscapes._from_crop(crop)
        mixed = soundscapes._over_background(clip, rng)
        if mixed.teacher_weight == 0.0:
            seen_loud = True
            assert mixed.events.sum() >= clip.events.sum()
            assert mixed.events[COUGH] == clip.events[COUGH]
    assert seen_loud


def test_a_seed_gives_the_batch_that_it_gave_before(soundscapes):
    """The hash is of the targets, which are the same everywhere; the levels stand for the sound."""
    batch = soundscapes.batch_at(3)
    targets = (batch.events, batch.event_weights, batch.activity, batch.activity_weight, batch.teacher_weight)
    assert hashlib.sha256(b"".join(part.numpy().tobytes() for part in targets)).hexdigest()[:16] == "e4044e07c4a8c1a0"
    levels = batch.waveform[:6].square().mean(dim=1).sqrt().tolist()
    assert levels == pytest.approx([0.15988, 0.394608, 0.014589, 0.087315, 0.467303, 0.021159], rel=1e-3)


def test_a_run_from_before_a_setting_was_added_has_its_default(tmp_path: Path):
    nano = load_checkpoint(Path(__file__).parents[3] / "distill" / "students" / "nano.pt").settings
    assert set(nano["soundscapes"]) == {"speed_probability", "slowest", "fastest"}
    resumed = with_defaults(DistillSettings, nano)
    assert resumed["soundscapes"] == SoundscapeSettings(speed_probability=0.5).model_dump(mode="json")


def test_one_groups_weight_changes_and_the_others_stay():
    settings = load_settings(SoundscapeSettings, overrides=["group_weights.cough=0.5", "max_coughs=2"])
    assert (settings.group_weights.cough, settings.group_weights.noise, settings.max_coughs) == (0.5, 0.14, 2)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("group_weights.hiccup=1", "unknown setting 'group_weights.hiccup'"),
        ('scarce_labels=["hiccup"]', "'scarce_labels.0' is 'hiccup': it should be 'cough'"),
        ("background_snr_db=[3, -3]", "background_snr_db is from lowest to highest, not 3 to -3 dB"),
        ("unnamed_weight=2", "'unnamed_weight' is 2"),
    ],
)
def test_settings_that_compose_nothing_are_refused(override: str, sentence: str):
    with pytest.raises(SettingsError, match=sentence):
        load_settings(SoundscapeSettings, overrides=[override])


def test_groups_that_nobody_is_in_compose_nothing(store, targets):
    settings = SoundscapeSettings(group_weights={**dict.fromkeys(GroupWeights.model_fields, 0.0), "cry": 1.0})
    with pytest.raises(DataError, match="no recording for train is in a group whose weight is above 0"):
        Soundscapes(store, targets, role="train", batch_size=4, seed=0, settings=settings)
