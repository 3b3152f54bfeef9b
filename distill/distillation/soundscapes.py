"""Composes training clips: an event at a known time, alone or over a background, at a known level."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, from_numpy

from core.clips import CLIP_SAMPLES
from core.errors import DataError
from distill.corpus.channel import Channel, turned_at_speed
from distill.corpus.cough_activity import STEP_SAMPLES, active_frames, place_activity, runs
from distill.corpus.labels import EVENT_LABELS, N_ACTIVITY_FRAMES, event_labels_of, is_cough_free, soft_event_targets
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.targets import Targets, cut_crop
from distill.settings import Settings

COUGH = EVENT_LABELS.index("cough")
FADE_SAMPLES = 160  # 10 ms: a sound that is cut out of its recording clicks at both ends without a fade
LOUD_SAMPLES = 4 * STEP_SAMPLES  # 160 ms, the loud part of one cough: the level of a sound is that of such a stretch
_FIRST_GROUPS = ("cough", "breathing", "laugh", "speech", "sneeze", "cry", "vocal_burst")
BURST_RMS = 0.1  # of the loudest bursts; the channel brings the finished clip to a level of its own


class GroupWeights(Settings):
    """How often a clip's main sound comes from each group, relative to the others that have recordings.

    A recording belongs to the first group that its labels name, to noise where they name none of these, and to
    unlabelled where it has no labels. Snores and throat clearings are groups of their own, before all others, where
    their weight is above 0. Coughs are a third; laughter and impacts, the usual false alarms, are about a third of the
    rest.
    """

    cough: NonNegativeFloat = 0.36
    breathing: NonNegativeFloat = 0.09
    laugh: NonNegativeFloat = 0.10
    speech: NonNegativeFloat = 0.12
    sneeze: NonNegativeFloat = 0.04
    cry: NonNegativeFloat = 0.04
    vocal_burst: NonNegativeFloat = 0.05
    noise: NonNegativeFloat = 0.14
    unlabelled: NonNegativeFloat = 0.06
    snore: NonNegativeFloat = 0.0
    throat_clear: NonNegativeFloat = 0.0


class SoundscapeSettings(Settings):
    """How clips are composed: which sounds, how often, how loud and how fast.

    *Main sound.* An unlabelled crop in which the event teacher gives one of ``scarce_labels`` more than
    ``scarce_score`` is drawn ``scarce_repeats`` times as often as another. With an ``evenness`` of 0 all crops of a
    group are drawn equally often, with 1 all recordings are, so that long noises do not push the short ones aside.

    *Bursts.* Instead of the crop itself, up to ``max_coughs`` single coughs of at most ``max_cough_frames`` (40 ms
    each), or up to ``max_short_sounds`` repeats of a recording shorter than a clip, at random times in silence; each is
    up to ``burst_range_db`` below the loudest. The labels that these do not name then weigh ``unnamed_weight``.

    *Background.* A cough-free sound, the main sound ``background_snr_db`` above it. It is labelled cough-free, or the
    teacher gives a cough in it less than ``background_cough_score``. Below an SNR of ``heard_snr_db`` its events become
    targets; above, those of more than ``faint_score`` become unknown.

    *Coughs.* Where no label says so, a cough is known to be absent below a teacher's score of ``unsure_cough_score``.

    *Speed.* Changes pitch and tempo together, as between a child's cough and a man's; a band that no recording of a
    class reaches is then no sign of the class. The teacher's embedding stays the clip's own.
    """

    group_weights: GroupWeights = GroupWeights()
    scarce_labels: tuple[Literal[EVENT_LABELS], ...] = ("snore", "throat_clear", "sneeze")
    scarce_score: float = Field(default=0.3, ge=0, le=1)
    scarce_repeats: PositiveInt = 5
    evenness: float = Field(default=0.0, ge=0, le=1)
    burst_probability: float = Field(default=0.35, ge=0, le=1)
    short_burst_probability: float = Field(default=0.7, ge=0, le=1)
    max_coughs: PositiveInt = 4
    max_cough_frames: int = Field(default=15, ge=1, le=N_ACTIVITY_FRAMES)
    max_short_sounds: PositiveInt = 2
    burst_range_db: NonNegativeFloat = 10.0
    unnamed_weight: float = Field(default=0.5, ge=0, le=1)
    background_probability: float = Field(default=0.5, ge=0, le=1)
    background_snr_db: tuple[float, float] = (-2.0, 30.0)
    background_cough_score: float = Field(default=0.02, ge=0, le=1)
    heard_snr_db: float = 10.0
    faint_score: float = Field(default=0.2, ge=0, le=1)
    unsure_cough_score: float = Field(default=0.08, ge=0, le=1)
    speed_probability: float = Field(default=0.0, ge=0, le=1)
    slowest: float = Field(default=0.88, gt=0.5, le=1)
    fastest: float = Field(default=1.15, ge=1, lt=2)

    @model_validator(mode="after")
    def _snr_is_a_range(self) -> Self:
        lowest, highest = self.background_snr_db
        if lowest > highest:
            raise ValueError(f"background_snr_db is from lowest to highest, not {lowest:g} to {highest:g} dB")
        return self


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


@dataclass(frozen=True, eq=False)
class ComposedClip:
    """One clip of a `Batch`, before the channel.

    ``crop`` is the one that its main sound comes from, ``background`` that of its background, None without one.
    """

    crop: int
    waveform: np.ndarray
    events: np.ndarray
    event_weights: np.ndarray
    activity: np.ndarray
    activity_weight: float
    teacher_weight: float
    background: int | None = None


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
        self.channel = Channel([store.sound(index) for index in store.indices("augment")])
        self._crops_of_group = _group_crops(store, targets, role, self.settings)
        self._groups = [group for group, crops in self._crops_of_group.items() if len(crops)]
        weights = np.array([getattr(self.settings.group_weights, group) for group in self._groups])
        if not weights.sum() > 0:
            raise DataError(f"no recording for {role} is in a group whose weight is above 0")
        self._group_shares = weights / weights.sum()
        self._ends_of_group = {
            group: _ends_of_shares(targets.row[crops], self.settings.evenness)
            for group, crops in self._crops_of_group.items()
            if len(crops)
        }
        self._background_crops = _background_crops(targets, self._crops_of_group, self.settings)
        cough_rows = np.unique(targets.row[self._crops_of_group["cough"]])
        self._active_frames = {int(row): active_frames(store.sound(row)) for row in cough_rows}

    def batch_at(self, step: int) -> Batch:
        """Compose the batch of training step `step`."""
        waveforms, clips = self.clips_at(step)
        arrays = (
            waveforms,
            np.stack([clip.events for clip in clips]),
            np.stack([clip.event_weights for clip in clips]),
            np.stack([clip.activity for clip in clips]),
            np.array([clip.activity_weight for clip in clips], dtype=np.float32),
            self.targets.embedding[[clip.crop for clip in clips]],
            np.array([clip.teacher_weight for clip in clips], dtype=np.float32),
        )
        return Batch(*(from_numpy(array) for array in arrays))

    def clips_at(self, step: int) -> tuple[np.ndarray, list[ComposedClip]]:
        """Compose the clips of a step; the waveforms (batch, 32000), float32, are what the channel made of them."""
        rng = np.random.default_rng((self.seed, step))
        clips = [self._compose(rng) for _ in range(self.batch_size)]
        return self.channel(np.stack([clip.waveform for clip in clips]), rng), clips

    def _compose(self, rng: Generator) -> ComposedClip:
        group = self._groups[rng.choice(len(self._groups), p=self._group_shares)]
        crop = self._main_crop(group, rng)
        clip = self._from_bursts(crop, rng) if self._wants_bursts(crop, rng) else self._from_crop(crop)
        if rng.random() < self.settings.background_probability or not clip.waveform.any():
            clip = self._over_background(clip, rng)
        return self._at_random_speed(clip, rng)

    def _main_crop(self, group: str, rng: Generator) -> int:
        crops = self._crops_of_group[group]
        if not self.settings.evenness:
            return int(rng.choice(crops))
        return int(crops[np.searchsorted(self._ends_of_group[group], rng.random())])

    def _wants_bursts(self, crop: int, rng: Generator) -> bool:
        row = int(self.targets.row[crop])
        if len(self.store.waveform(row)) < CLIP_SAMPLES:
            return rng.random() < self.settings.short_burst_probability
        return self._has_known_coughs(row) and rng.random() < self.settings.burst_probability

    def _has_known_coughs(self, row: int) -> bool:
        return row in self._active_frames and bool(self._active_frames[row].any())

    def _is_cough_absent(self, row: int, cough_score: float) -> bool:
        return is_cough_free(self.store.rows[row].labels) or bool(cough_score < self.settings.unsure_cough_score)

    def _from_crop(self, crop: int) -> ComposedClip:
        """A 2-s cut as it is, tiled where the recording is shorter."""
        row, offset = int(self.targets.row[crop]), int(self.targets.offset[crop])
        waveform = cut_crop(self.store.waveform(row), offset)
        events = soft_event_targets(self.store.rows[row].labels, self.targets.scores[crop])
        activity, is_known = self._activity_of_crop(row, offset, events[COUGH])
        if is_known and not activity.any() and row in self._active_frames:  # labelled cough, but there is none here
            events[COUGH] = self.targets.scores[crop][COUGH]
        return ComposedClip(crop, waveform, events, np.ones_like(events), activity, float(is_known), 1.0)

    def _activity_of_crop(self, row: int, offset: int, cough_score: float) -> tuple[np.ndarray, bool]:
        """Activity of a crop's frames, and whether it is known."""
        silent = np.zeros(N_ACTIVITY_FRAMES, dtype=np.float32)
        if row not in self._active_frames:
            return silent, self._is_cough_absent(row, cough_score)
        if len(self.store.waveform(row)) // STEP_SAMPLES < N_ACTIVITY_FRAMES:  # tiled: off the grid of 40 ms
            return silent, False
        return place_activity(self._active_frames[row], offset // STEP_SAMPLES), self._has_known_coughs(row)

    def _from_bursts(self, crop: int, rng: Generator) -> ComposedClip:
        """Some single coughs of a recording, or another short sound as it is, at random times in silence."""
        row = int(self.targets.row[crop])
        recording, is_cough, limits = self.store.sound(row), self._has_known_coughs(row), self.settings
        pieces = runs(self._active_frames[row]) if is_cough else [(0, max(1, len(recording) // STEP_SAMPLES))]
        max_bursts = limits.max_coughs if is_cough else limits.max_short_sounds
        max_frames = limits.max_cough_frames if is_cough else N_ACTIVITY_FRAMES
        waveform = np.zeros(CLIP_SAMPLES, dtype=np.float32)
        activity = np.zeros(N_ACTIVITY_FRAMES, dtype=np.float32)
        for _ in range(rng.integers(1, max_bursts + 1)):
            start, stop = pieces[rng.integers(len(pieces))]
            n_frames = min(stop - start, max_frames)
            burst = _faded(recording[start * STEP_SAMPLES : (start + n_frames) * STEP_SAMPLES])
            at = int(rng.integers(0, max(1, N_ACTIVITY_FRAMES - n_frames + 1)))
            gain = BURST_RMS / (_loud_rms(burst) + 1e-6) * 10 ** (-rng.uniform(0, limits.burst_range_db) / 20)
            waveform[at * STEP_SAMPLES : at * STEP_SAMPLES + len(burst)] += np.float32(gain) * burst
            activity[at : at + n_frames] = float(is_cough)
        events = soft_event_targets(self.store.rows[row].labels, self.targets.scores[crop])
        event_weights = np.where(events > 0.5, 1.0, limits.unnamed_weight).astype(np.float32)
        is_known = is_cough or self._is_cough_absent(row, events[COUGH])
        return ComposedClip(crop, waveform, events, event_weights, activity, float(is_known), 0.0)

    def _over_background(self, clip: ComposedClip, rng: Generator) -> ComposedClip:
        """Add a cough-free sound; what is loud enough in it joins the targets, what is faint becomes unknown."""
        crop = int(rng.choice(self._background_crops))
        row, offset = int(self.targets.row[crop]), int(self.targets.offset[crop])
        background = np.roll(cut_crop(self.store.waveform(row), offset), rng.integers(CLIP_SAMPLES))
        snr_db = rng.uniform(*self.settings.background_snr_db)
        gain = _loud_rms(clip.waveform) / (_loud_rms(background) + 1e-6) * 10 ** (-snr_db / 20)
        if not clip.waveform.any():
            gain = 1.0
        waveform = clip.waveform + np.float32(gain) * background
        scores = soft_event_targets(self.store.rows[row].labels, self.targets.scores[crop])
        scores[COUGH] = 0.0
        clip = replace(clip, waveform=waveform, background=crop)
        if snr_db < self.settings.heard_snr_db:
            return replace(clip, events=np.maximum(clip.events, scores), teacher_weight=0.0)
        is_clear = scores <= np.maximum(clip.events, self.settings.faint_score)
        return replace(clip, event_weights=clip.event_weights * is_clear)

    def _at_random_speed(self, clip: ComposedClip, rng: Generator) -> ComposedClip:
        """Play some clips faster or slower, from any place on; a cough that is cut away is unknown from then on."""
        probability, slowest, fastest = self.settings.speed_probability, self.settings.slowest, self.settings.fastest
        if not probability or rng.random() >= probability:
            return clip
        speed = float(np.exp(rng.uniform(np.log(slowest), np.log(fastest))))
        start_frame = int(rng.integers(N_ACTIVITY_FRAMES))
        waveform, activity = turned_at_speed(clip.waveform, clip.activity, speed, start_frame)
        event_weights = clip.event_weights.copy()
        if clip.activity.any() and not activity.any():
            event_weights[COUGH] = 0.0
        return replace(clip, waveform=waveform, activity=activity, event_weights=event_weights)


def _faded(sound: np.ndarray) -> np.ndarray:
    n_fade = min(FADE_SAMPLES, len(sound) // 2)
    ramp, faded = np.linspace(0, 1, n_fade, dtype=np.float32), sound.copy()
    faded[:n_fade] *= ramp
    faded[len(faded) - n_fade :] *= ramp[::-1]
    return faded


def _loud_rms(waveform: np.ndarray) -> float:
    """RMS of the loudest 160 ms."""
    n_stretches = max(1, len(waveform) // LOUD_SAMPLES)
    stretches = waveform[: n_stretches * LOUD_SAMPLES].reshape(n_stretches, -1)
    return float(np.sqrt(np.max(np.mean(stretches**2, axis=1))))


def _group_crops(
    store: WaveformStore, targets: Targets, role: str, settings: SoundscapeSettings
) -> dict[str, np.ndarray]:
    """The crops that each group's are drawn from; some stand there several times."""
    scarce = [EVENT_LABELS.index(label) for label in settings.scarce_labels]
    groups: dict[str, list[int]] = {group: [] for group in GroupWeights.model_fields}
    for crop, row in enumerate(targets.row):
        labels = store.rows[row].labels
        if store.rows[row].role != role:
            continue
        is_scarce = not store.rows[row].labelled and (targets.scores[crop][scarce] > settings.scarce_score).any()
        groups[_group_of(labels, settings.group_weights)].extend([crop] * (settings.scarce_repeats if is_scarce else 1))
    return {group: np.array(crops, dtype=np.int64) for group, crops in groups.items()}


def _ends_of_shares(rows: np.ndarray, evenness: float) -> np.ndarray:
    """Where each crop's share of [0, 1) ends; a recording with n crops counts n to the power of 1 - `evenness`."""
    _, recording, n_crops = np.unique(rows, return_inverse=True, return_counts=True)
    shares = n_crops[recording].astype(np.float64) ** -evenness
    ends = np.cumsum(shares) / shares.sum()
    ends[-1] = 1.0
    return ends


def _group_of(labels: tuple[str, ...], weights: GroupWeights) -> str:
    if not labels:
        return "unlabelled"
    named = event_labels_of(labels) | set(labels)
    apart = [group for group in ("throat_clear", "snore") if getattr(weights, group) > 0]
    return next((group for group in (*apart, *_FIRST_GROUPS) if group in named), "noise")


def _background_crops(targets: Targets, groups: dict[str, np.ndarray], settings: SoundscapeSettings) -> np.ndarray:
    """Crops without a cough: labelled noise and speech, and the unlabelled that the event teacher calls cough-free."""
    unlabelled = groups["unlabelled"]
    is_quiet = targets.scores[unlabelled, COUGH] < settings.background_cough_score
    return np.concatenate([groups["noise"], groups["speech"], unlabelled[is_quiet]])
