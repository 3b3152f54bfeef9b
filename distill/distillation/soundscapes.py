"""The only place that composes training clips: an event at a known time, alone or over a background, at a known SNR."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field
from torch import Tensor, from_numpy

from core.clips import CLIP_SAMPLES
from distill.corpus.channel import Channel, turned_at_speed
from distill.corpus.cough_activity import STEP_SAMPLES, active_frames, place_activity, runs
from distill.corpus.labels import EVENT_LABELS, N_ACTIVITY_FRAMES, event_labels_of, is_cough_free, soft_event_targets
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.targets import Targets, cut_crop
from distill.settings import Settings

COUGH = EVENT_LABELS.index("cough")
SCARCE = [EVENT_LABELS.index(label) for label in ("snore", "throat_clear", "sneeze")]

# How often a clip's main sound comes from each group. Coughs are a third; laughter and impacts, the usual false
# alarms, about a third of the rest.
GROUP_WEIGHTS = {
    "cough": 0.36,
    "breathing": 0.09,
    "laugh": 0.10,
    "speech": 0.12,
    "sneeze": 0.04,
    "cry": 0.04,
    "vocal_burst": 0.05,
    "noise": 0.14,
    "unlabelled": 0.06,
}
BURST_PROBABILITY = 0.35
BACKGROUND_PROBABILITY = 0.5
BACKGROUND_SNR_DB = (-2.0, 30.0)
HEARD_SNR_DB = 10.0
MAX_BURSTS = 4
MAX_BURST_FRAMES = 15
UNSURE_COUGH_SCORE = 0.08


class SoundscapeSettings(Settings):
    """How far clips are changed beyond their mixing: how often one is played faster or slower, and by how much.

    Speed changes pitch and tempo together, as between a child's cough and a man's; a band that no recording of a class
    reaches is then no sign of the class. The teacher's embedding stays the clip's own.
    """

    speed_probability: float = Field(default=0.0, ge=0, le=1)
    slowest: float = Field(default=0.88, gt=0.5, le=1)
    fastest: float = Field(default=1.15, ge=1, lt=2)


class Batch(NamedTuple):
    """One step's clips and targets; a weight of 0 says that the target is unknown.

    ``waveform`` (batch, 32000); ``events`` and ``event_weights`` (batch, n_events); ``activity`` (batch, 50);
    ``activity_weight`` (batch,); ``teacher`` (batch, d); ``teacher_weight`` (batch,).
    """

    waveform: Tensor
    events: Tensor
    event_weights: Tensor
    activity: Tensor
    activity_weight: Tensor
    teacher: Tensor
    teacher_weight: Tensor


@dataclass
class _Clip:
    waveform: np.ndarray
    events: np.ndarray
    event_weights: np.ndarray
    activity: np.ndarray
    activity_weight: float
    crop: int
    teacher_weight: float


class Soundscapes:
    """Batches of composed clips from the recordings of one role, a pure function of the seed and the step."""

    def __init__(
        self,
        store: WaveformStore,
        targets: Targets,
        *,
        role: str,
        batch_size: int,
        seed: int,
        settings: SoundscapeSettings | None = None,
    ):
        self.store, self.targets, self.batch_size, self.seed = store, targets, batch_size, seed
        self.settings = settings or SoundscapeSettings()
        rooms = [store.sound(index) for index in store.indices("augment")]
        self.channel = Channel(rooms)
        self._crops_of_group = _group_crops(store, targets, role)
        self._groups = [group for group, crops in self._crops_of_group.items() if len(crops)]
        weights = np.array([GROUP_WEIGHTS[group] for group in self._groups])
        self._group_weights = weights / weights.sum()
        self._background = _background_crops(store, targets, self._crops_of_group)
        self._active = {int(row): active_frames(self._recording(row)) for row in self._cough_rows()}

    def batch_at(self, step: int) -> Batch:
        """Compose the batch of training step `step`."""
        rng = np.random.default_rng((self.seed, step))
        clips = [self._at_random_speed(self._compose(rng), rng) for _ in range(self.batch_size)]
        waveforms = self.channel(np.stack([clip.waveform for clip in clips]), rng)
        crops = np.array([clip.crop for clip in clips])
        arrays = (
            waveforms,
            np.stack([clip.events for clip in clips]),
            np.stack([clip.event_weights for clip in clips]),
            np.stack([clip.activity for clip in clips]),
            np.array([clip.activity_weight for clip in clips], dtype=np.float32),
            self.targets.embedding[crops],
            np.array([clip.teacher_weight for clip in clips], dtype=np.float32),
        )
        return Batch(*(from_numpy(array) for array in arrays))

    def _cough_rows(self) -> np.ndarray:
        return np.unique(self.targets.row[self._crops_of_group["cough"]])

    def _recording(self, row: int) -> np.ndarray:
        return self.store.sound(row)

    def _compose(self, rng: np.random.Generator) -> _Clip:
        group = self._groups[rng.choice(len(self._groups), p=self._group_weights)]
        crop = int(rng.choice(self._crops_of_group[group]))
        clip = self._from_bursts(crop, rng) if self._wants_bursts(crop, rng) else self._from_crop(crop, rng)
        if rng.random() < BACKGROUND_PROBABILITY or not clip.waveform.any():
            self._add_background(clip, rng)
        return clip

    def _at_random_speed(self, clip: _Clip, rng: np.random.Generator) -> _Clip:
        """Play some clips faster or slower, from any place on; a cough that is cut away is unknown from then on."""
        its = self.settings
        if not its.speed_probability or rng.random() >= its.speed_probability:
            return clip
        speed = float(np.exp(rng.uniform(np.log(its.slowest), np.log(its.fastest))))
        start = int(rng.integers(N_ACTIVITY_FRAMES))
        had_coughs = clip.activity.any()
        clip.waveform, clip.activity = turned_at_speed(clip.waveform, clip.activity, speed, start)
        if had_coughs and not clip.activity.any():
            clip.event_weights = clip.event_weights.copy()
            clip.event_weights[COUGH] = 0.0
        return clip

    def _wants_bursts(self, crop: int, rng: np.random.Generator) -> bool:
        row = int(self.targets.row[crop])
        is_short = len(self.store.waveform(row)) < CLIP_SAMPLES
        has_bursts = bool(self._active.get(row, np.zeros(0)).any())
        return (is_short or has_bursts) and rng.random() < (0.7 if is_short else BURST_PROBABILITY)

    def _from_crop(self, crop: int, rng: np.random.Generator) -> _Clip:
        """A 2-s cut as it is, tiled where the recording is shorter, circularly shifted or not."""
        row, offset = int(self.targets.row[crop]), int(self.targets.offset[crop])
        manifest_row = self.store.rows[row]
        waveform = cut_crop(self.store.waveform(row), offset)
        events = soft_event_targets(manifest_row.labels, self.targets.scores[crop])
        activity, weight = self._activity_of_crop(row, offset, events)
        if weight and not activity.any() and row in self._active:
            events[COUGH] = self.targets.scores[crop][COUGH]
        event_weights = np.ones_like(events)
        return _Clip(waveform, events, event_weights, activity, weight, crop, 1.0)

    def _activity_of_crop(self, row: int, offset: int, events: np.ndarray) -> tuple[np.ndarray, float]:
        labels = self.store.rows[row].labels
        if row in self._active:
            active = self._active[row]
            n_frames = len(self.store.waveform(row)) // STEP_SAMPLES
            if n_frames < N_ACTIVITY_FRAMES:  # tiled: the frames no longer lie on the 40-ms grid
                return np.zeros(N_ACTIVITY_FRAMES, dtype=np.float32), 0.0
            return place_activity(active, offset // STEP_SAMPLES), float(active.any())
        known_absent = is_cough_free(labels) or events[COUGH] < UNSURE_COUGH_SCORE
        return np.zeros(N_ACTIVITY_FRAMES, dtype=np.float32), float(known_absent)

    def _from_bursts(self, crop: int, rng: np.random.Generator) -> _Clip:
        """Some single coughs of a recording, or another short sound as it is, at random times in silence."""
        row = int(self.targets.row[crop])
        recording, labels = self._recording(row), self.store.rows[row].labels
        is_cough = row in self._active and bool(self._active[row].any())
        pieces = runs(self._active[row]) if is_cough else [(0, max(1, len(recording) // STEP_SAMPLES))]
        waveform = np.zeros(CLIP_SAMPLES, dtype=np.float32)
        activity = np.zeros(N_ACTIVITY_FRAMES, dtype=np.float32)
        for _ in range(rng.integers(1, MAX_BURSTS + 1) if is_cough else rng.integers(1, 3)):
            start, stop = pieces[rng.integers(len(pieces))]
            stop = min(stop, start + (MAX_BURST_FRAMES if is_cough else N_ACTIVITY_FRAMES))
            _place(waveform, activity, recording, (start, stop), rng)
        events = soft_event_targets(labels, self.targets.scores[crop])
        weights = np.where(events > 0.5, 1.0, 0.5).astype(np.float32)
        if not is_cough:
            activity[:] = 0.0
        known = is_cough or is_cough_free(labels) or events[COUGH] < UNSURE_COUGH_SCORE
        return _Clip(waveform, events, weights, activity, float(known), crop, 0.0)

    def _add_background(self, clip: _Clip, rng: np.random.Generator) -> None:
        """Add a cough-free sound; what is loud enough in it joins the targets, what is faint becomes unknown."""
        crop = int(rng.choice(self._background))
        row = int(self.targets.row[crop])
        background = np.roll(
            cut_crop(self.store.waveform(row), int(self.targets.offset[crop])), rng.integers(CLIP_SAMPLES)
        )
        snr_db = rng.uniform(*BACKGROUND_SNR_DB)
        gain = _loud_rms(clip.waveform) / (_loud_rms(background) + 1e-6) * 10 ** (-snr_db / 20)
        if not clip.waveform.any():
            gain = 1.0
        clip.waveform = clip.waveform + np.float32(gain) * background
        scores = soft_event_targets(self.store.rows[row].labels, self.targets.scores[crop])
        scores[COUGH] = 0.0
        if snr_db < HEARD_SNR_DB:
            clip.events = np.maximum(clip.events, scores)
            clip.teacher_weight = 0.0
        else:
            clip.event_weights = clip.event_weights * (scores <= np.maximum(clip.events, 0.2))


def _place(
    waveform: np.ndarray,
    activity: np.ndarray,
    recording: np.ndarray,
    frames: tuple[int, int],
    rng: np.random.Generator,
) -> None:
    """Add `frames` of `recording`, with 10-ms fades, at a random frame of the clip and a random level (10 dB)."""
    start, stop = frames
    piece = recording[start * STEP_SAMPLES : stop * STEP_SAMPLES].copy()
    fade = min(160, len(piece) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    piece[:fade] *= ramp
    piece[len(piece) - fade :] *= ramp[::-1]
    at = int(rng.integers(0, max(1, N_ACTIVITY_FRAMES - (stop - start) + 1)))
    level = 0.1 / (_loud_rms(piece) + 1e-6) * 10 ** (-rng.uniform(0, 10) / 20)
    waveform[at * STEP_SAMPLES : at * STEP_SAMPLES + len(piece)] += np.float32(level) * piece
    activity[at : at + stop - start] = 1.0


def _loud_rms(waveform: np.ndarray) -> float:
    """RMS of the loudest 160 ms."""
    step = 4 * STEP_SAMPLES
    n_frames = max(1, len(waveform) // step)
    frames = waveform[: n_frames * step].reshape(n_frames, -1)
    return float(np.sqrt(np.max(np.mean(frames**2, axis=1))))


def _group_crops(store: WaveformStore, targets: Targets, role: str) -> dict[str, np.ndarray]:
    groups: dict[str, list[int]] = {group: [] for group in GROUP_WEIGHTS}
    for crop, row in enumerate(targets.row):
        manifest_row = store.rows[row]
        if manifest_row.role == role:
            repeats = 1 if manifest_row.labelled else 1 + 4 * int(targets.scores[crop][SCARCE].max() > 0.3)
            groups[_group_of(manifest_row.labels)].extend([crop] * repeats)
    return {group: np.array(crops, dtype=np.int64) for group, crops in groups.items()}


def _group_of(labels: tuple[str, ...]) -> str:
    if not labels:
        return "unlabelled"
    named = event_labels_of(labels)
    for group in GROUP_WEIGHTS:
        if group in named or group in labels:
            return group
    return "noise"


def _background_crops(store: WaveformStore, targets: Targets, groups: dict[str, np.ndarray]) -> np.ndarray:
    """Crops without a cough: labelled noise and speech, and the unlabelled that the event teacher calls cough-free."""
    quiet_unlabelled = groups["unlabelled"][targets.scores[groups["unlabelled"], COUGH] < 0.02]
    return np.concatenate([groups["noise"], groups["speech"], quiet_unlabelled])
