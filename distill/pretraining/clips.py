"""Draws pretraining clips from a waveform store: which recording, crop, background and channel."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from core.errors import DataError
from distill.corpus.channel import N_CHANNEL_DRAWS, Channel
from distill.corpus.labels import is_cough_free
from distill.corpus.waveform_store import FULL_SCALE, WaveformStore
from distill.models.hear_front_end import CLIP_SAMPLES, SAMPLE_RATE_HZ
from distill.settings import Settings

_QUIET_PEAK = 1e-3  # -60 dBFS: min-max scaling would turn a crop below it into full-scale noise
_CROP_TRIES = 4
_CLIP_S = CLIP_SAMPLES / SAMPLE_RATE_HZ


class ClipSettings(Settings):
    """How clips are drawn and what is done to them.

    ``pack_exponent`` tempers the packs' sizes: a pack is drawn in proportion to its hours to this power. So 1 draws
    each hour alike and 0 each pack alike. A recording that is hardly longer than a clip, which a random crop hardly
    moves, is shifted circularly by at most ``time_shift_max_s``. With ``background_probability`` a recording that is
    labelled and holds no cough is mixed in, at an SNR (of the clips' RMS) between the two limits. With
    ``random_channel`` each clip passes through `Channel`: band limits, rooms, gain, noise, clipping. With
    ``clean_targets`` it brings along what it was before its channel, for the autoencoder to predict.
    """

    pack_exponent: float = Field(default=0.5, ge=0, le=1)
    time_shift_max_s: float = Field(default=0.25, ge=0, le=1)
    background_probability: float = Field(default=0.25, ge=0, le=1)
    background_snr_min_db: float = 0.0
    background_snr_max_db: float = 30.0
    random_channel: bool = True
    clean_targets: bool = False

    @model_validator(mode="after")
    def _the_limits_are_in_order(self) -> "ClipSettings":
        low, high = self.background_snr_min_db, self.background_snr_max_db
        if low > high:
            raise ValueError(f"must have a background_snr_min_db ({low}) of at most background_snr_max_db ({high})")
        return self


class ClipDraws(NamedTuple):
    """What chance decides of a clip before its channel: uniform in [0, 1), (n,), the starts (n, 4)."""

    recording: Tensor
    starts: Tensor
    shift: Tensor
    background: Tensor
    background_recording: Tensor
    background_starts: Tensor
    background_shift: Tensor
    background_level: Tensor


_DRAWS = ClipDraws(1, _CROP_TRIES, 1, 1, 1, _CROP_TRIES, 1, 1)
_N_CLIP_DRAWS = sum(_DRAWS)


class Recordings(NamedTuple):
    """Recordings one after the other: ``samples`` (n_samples,), int16, at least 32000; ``offsets`` (n + 1,), int64."""

    samples: Tensor
    offsets: Tensor

    def to(self, device: torch.device) -> "Recordings":
        return Recordings(self.samples.to(device), self.offsets.to(device))


def recordings_of(samples: Tensor, offsets: Tensor) -> Recordings:
    """Take samples (n,), int16, as recordings that begin at `offsets`; too few for a clip are followed by zeros."""
    missing = CLIP_SAMPLES - len(samples)
    return Recordings(F.pad(samples, (0, missing)) if missing > 0 else samples, offsets)


class ClipMaker:
    """Makes clips from recordings and from what chance drew: the crop, its background and its channel.

    The numbers of a step are drawn for all its clips; those of `positions` are this maker's own.
    """

    def __init__(self, settings: ClipSettings, rooms: list[np.ndarray], seed: int, positions: slice) -> None:
        self._settings, self._seed, self._positions = settings, seed, positions
        self._channel = Channel(rooms) if settings.random_channel else None

    def draws_at(self, step: int) -> Tensor:
        """Draw what the clips of a step are made from, on the CPU: shape (batch_size, 30), float64 in [0, 1)."""
        generator = np.random.default_rng((self._seed, step))
        draws = generator.random((self._positions.stop, _N_CLIP_DRAWS + N_CHANNEL_DRAWS))
        return torch.from_numpy(draws[self._positions])

    def made(
        self, draws: Tensor, recordings: Recordings, rows: Tensor, others: Recordings, backgrounds: Tensor
    ) -> Tensor:
        """Make a clip of each of the recordings `rows` (n,), some over one of the `backgrounds` among `others`.

        Returns
        -------
        Tensor, shape (n, 32000), float32 in [-1, 1]; (n, 2, 32000) with ``clean_targets``, last the clean
        """
        chosen = _clip_draws(draws)
        clips = self._crops(recordings, rows, chosen.starts, chosen.shift)
        if len(backgrounds) and self._settings.background_probability:
            clips = self._with_backgrounds(clips, others, backgrounds, chosen)
        heard = clips if self._channel is None else self._channel.apply(clips, draws[:, _N_CLIP_DRAWS:])
        return torch.stack([heard, clips], dim=1) if self._settings.clean_targets else heard

    def _with_backgrounds(self, clips: Tensor, others: Recordings, rows: Tensor, chosen: ClipDraws) -> Tensor:
        settings = self._settings
        has_background = chosen.background < settings.background_probability
        changed = _rows_where(has_background)
        number = (chosen.background_recording[changed] * len(rows)).long()
        starts, shift = chosen.background_starts[changed], chosen.background_shift[changed]
        backgrounds = self._crops(others, rows[number], starts, shift)
        range_db = settings.background_snr_max_db - settings.background_snr_min_db
        snr_db = (settings.background_snr_min_db + range_db * chosen.background_level[changed]).float()
        mixtures = mixed(clips[changed], backgrounds, snr_db)
        clips[changed] = mixtures.where(has_background[changed, None], clips[changed])
        return clips

    def _crops(self, recordings: Recordings, rows: Tensor, starts: Tensor, shift: Tensor) -> Tensor:
        """Cut a random crop of each recording; a silent one is drawn again, a few times."""
        samples, offsets = recordings
        first, length = offsets[rows], offsets[rows + 1] - offsets[rows]
        n_starts = torch.where(length < CLIP_SAMPLES, length.clamp(min=1), length - CLIP_SAMPLES + 1)
        tries = (starts * n_starts[:, None]).long()
        most = round(self._settings.time_shift_max_s * SAMPLE_RATE_HZ)
        is_shifted = (length >= CLIP_SAMPLES) & (length < CLIP_SAMPLES + most)
        moved = ((shift * (2 * most + 1)).long() - most).where(is_shifted, 0)
        clips = crops(samples, first, length, tries[:, 0], moved)
        for again in range(1, _CROP_TRIES):
            is_quiet = clips.abs().amax(dim=1) <= _QUIET_PEAK
            quiet = _rows_where(is_quiet)
            others = crops(samples, first[quiet], length[quiet], tries[quiet, again], moved[quiet])
            clips[quiet] = others.where(is_quiet[quiet, None], clips[quiet])
        return clips


def _clip_draws(draws: Tensor) -> ClipDraws:
    parts = draws[:, :_N_CLIP_DRAWS].split(_DRAWS, dim=1)
    return ClipDraws(*(part if part.shape[1] > 1 else part[:, 0] for part in parts))


class ClipSampler(ClipMaker):
    """Batches of 2-s clips of the recordings of one role, each clip a pure function of the seed, step and position.

    A batch's first position is `first_clip`: a process of several draws from there, and all together draw what one
    process would. Chance is drawn as numbers (`draws_at`), and clips are made from these (`clips`) on the device that
    the sampler was moved to. A GPU makes its own from a few kilobytes; a core of a CPU makes about 2000 a second.
    """

    def __init__(
        self, store: WaveformStore, role: str, settings: ClipSettings, batch_size: int, seed: int, first_clip: int = 0
    ) -> None:
        super().__init__(settings, rooms_of(store), seed, slice(first_clip, first_clip + batch_size))
        rows = store.indices(role)
        if not rows:
            raise DataError(f"the waveform store holds no recording with the role {role!r}")
        packs = [store.rows[index].pack for index in rows]
        durations_s = [store.rows[index].duration_s for index in rows]
        cumulative = np.cumsum(recording_weights(packs, durations_s, settings.pack_exponent))
        self._rows, self._backgrounds = torch.tensor(rows), backgrounds_of(store, role)
        self._cumulative = torch.from_numpy(cumulative / cumulative[-1])
        self._recordings = recordings_of(*store.tensors())

    def to(self, device: torch.device) -> Self:
        """Move the recordings, 115 MB an hour, and all else that clips are made from to a device; returns itself."""
        for name in ("_rows", "_backgrounds", "_cumulative", "_recordings"):
            setattr(self, name, getattr(self, name).to(device))
        if self._channel is not None:
            self._channel.to(device)
        return self

    def batch_at(self, step: int) -> Tensor:
        """Make the clips of a step, shape (batch_size, 32000) or as `made` says, float32 in [-1, 1]."""
        return self.clips(self.draws_at(step))

    def clips(self, draws: Tensor) -> Tensor:
        """Make the clips of `draws`, any rows of `draws_at`, where the sampler is: as `made` says."""
        drawn = torch.searchsorted(self._cumulative, _clip_draws(draws).recording.contiguous(), right=True)
        rows = self._rows[drawn.clamp(max=len(self._rows) - 1)]
        return self.made(draws, self._recordings, rows, self._recordings, self._backgrounds)


def _rows_where(chosen: Tensor) -> Tensor | slice:
    """Number the rows in which `chosen` (n,) is true; all rows on a GPU, which would have to be waited for."""
    return chosen.nonzero()[:, 0] if chosen.device.type == "cpu" else slice(None)


def crops(samples: Tensor, first: Tensor, length: Tensor, start: Tensor, shift: Tensor) -> Tensor:
    """Cut 2 s from each of n recordings; one that is shorter is repeated.

    Parameters
    ----------
    samples : Tensor, shape (n_samples,), int16, all recordings one after the other; at least 32000
    first, length : Tensors, shape (n,), int64, where a recording begins and how long it is
    start, shift : Tensors, shape (n,), int64, of the crop in its recording, and by how much it is then turned round

    Returns
    -------
    Tensor, shape (n, 32000), float32 in [-1, 1]
    """
    is_short = length < CLIP_SAMPLES
    base = (first + start.where(~is_short, 0)).clamp(max=len(samples) - CLIP_SAMPLES)
    clips = samples.unfold(0, CLIP_SAMPLES, 1)[base].float() / FULL_SCALE
    turned = _rows_where(is_short | (shift != 0))
    period = length[turned, None].clamp(min=1, max=CLIP_SAMPLES).float()
    time = torch.arange(CLIP_SAMPLES, device=samples.device) + start.where(is_short, -shift)[turned, None].float()
    place = (time - (time / period).floor() * period).long() + (first - base).where(is_short, 0)[turned, None]
    clips[turned] = clips[turned].gather(1, place)
    return clips


def rooms_of(store: WaveformStore) -> list[np.ndarray]:
    """Impulse responses for the channel: the recordings with the role "augment", float32."""
    return [store.sound(index) for index in store.indices("augment")]


def backgrounds_of(store: WaveformStore, role: str) -> Tensor:
    """Number the recordings with the role that are known to hold no cough, (n,), int64."""
    rows = [index for index in store.indices(role) if is_cough_free(store.rows[index].labels)]
    return torch.tensor(rows, dtype=torch.int64)


def recording_weights(packs: Sequence[str], durations_s: Sequence[float], pack_exponent: float) -> np.ndarray:
    """Weights with which recordings are drawn, shape (n,), sum 1.

    A pack has its hours to the power `pack_exponent`; within a pack, a recording has its duration, but never less
    than one clip's.
    """
    seconds = np.maximum(np.asarray(durations_s, dtype=np.float64), _CLIP_S)
    totals: defaultdict[str, float] = defaultdict(float)
    for pack, duration in zip(packs, seconds, strict=True):
        totals[pack] += duration
    weights = np.array([s * totals[pack] ** (pack_exponent - 1.0) for pack, s in zip(packs, seconds, strict=True)])
    return weights / weights.sum()


def mixed(clips: Tensor, backgrounds: Tensor, snr_db: Tensor) -> Tensor:
    """Add backgrounds so that a clip's RMS lies `snr_db` (n,) above its; a sum is brought to full scale where above.

    Silence has no level to stand out by: as a clip it becomes the background, as a background it adds nothing.
    """
    clip_rms, background_rms = (sounds.square().mean(dim=1).sqrt() for sounds in (clips, backgrounds))
    gain = clip_rms / background_rms * 10.0 ** (-snr_db / 20.0)
    gain = gain.where((clip_rms > 0) & (background_rms > 0), 1.0)
    total = clips + gain[:, None] * backgrounds
    return total / total.abs().amax(dim=1, keepdim=True).clamp(min=1.0)
