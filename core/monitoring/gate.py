"""Decides, from levels alone, on which clips of a stream the model is run."""

from dataclasses import dataclass

import numpy as np

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_S, CLIP_SAMPLES, Clip
from core.errors import SettingsError
from core.quality import FRAME_SAMPLES, MIN_LOUDEST_FRAME_DBFS

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
CLIP_FRAMES = CLIP_SAMPLES // FRAME_SAMPLES
THINNED = 4  # samples that are averaged to one before the difference is taken
MEAN_WEIGHTS = np.full(THINNED, 1 / THINNED, np.float32)


@dataclass(frozen=True)
class GateSettings:
    """When a 20 ms frame stands out from the noise around it.

    Attributes
    ----------
    open_db : float in [1, 40]
        A frame stands out that lies this far over the noise floor.
    min_level_dbfs : float in [-120, 0]
        No frame below it stands out: `core.quality` calls a recording silent that has nothing louder.
    floor_percentile : float in (0, 50]
        The noise floor is this percentile of the frames' levels over the last `floor_s`, or over the newest clip
        alone where that is lower: so it falls at once when a fan stops, and rises late when one starts.
    floor_s : float in [4, 600]
    hold_s : float in [0, 2]
        A frame that stands out counts for this long after its end, so that what follows a cough's burst is run too.
    start_up_s : float in [0, 600]
        For so long all frames stand out: the noise is not known yet.
    """

    open_db: float = 5.0
    min_level_dbfs: float = MIN_LOUDEST_FRAME_DBFS
    floor_percentile: float = 10.0
    floor_s: float = 30.0
    hold_s: float = 0.2
    start_up_s: float = 4.0

    def __post_init__(self) -> None:
        limits = {
            "open_db": (1, 40),
            "min_level_dbfs": (-120, 0),
            "floor_percentile": (0.1, 50),
            "floor_s": (2 * CLIP_S, 600),
            "hold_s": (0, CLIP_S),
            "start_up_s": (0, 600),
        }
        for name, (lowest, highest) in limits.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise SettingsError(f"the gate's {name} is {value}; expected {lowest:g} to {highest:g}")


class Gate:
    """Opens for the clips of one stream in which a frame stands out; constant memory, tens of microseconds a clip.

    Levels are those of a band from about 300 to 2000 Hz, where coughs have most of their energy. The band is the
    difference of neighbouring means of four samples. Hum and the rumble of wind and traffic, whose slow swings would
    stand out, lie below it and most hiss above. Steady noise, white to brown, stays within 4.3 dB over its 10th
    percentile there. Of coughs 5 dB over it at all frequencies together, 99 in 100 reach 5 dB. Once a frame stands out,
    every later clip that holds it is let through, whatever the floor does meanwhile. What the gate decides follows from
    the clips alone, so the blocks that a stream came in do not matter.
    """

    def __init__(self, settings: GateSettings | None = None) -> None:
        self.settings = settings or GateSettings()
        self._ratio = 10.0 ** (self.settings.open_db / 10.0)
        self._powers = np.zeros(round(self.settings.floor_s / FRAME_S), np.float32)  # a ring, in no order
        self._recent = np.zeros(0, np.float32)  # the newest clip's, in order
        self._n_frames = 0
        self._counts_until_s = 0.0

    def admits(self, clip: Clip) -> bool:
        """Whether to run a clip; clips come in order, none missing, each with 2 s of sound of its own."""
        start = round(clip.start_s * SAMPLE_RATE_HZ)
        self._listen(clip.waveform, start)
        self._note_what_stands_out(clip.waveform, start)
        return self._counts_until_s > clip.start_s

    def _listen(self, waveform: np.ndarray, start: int) -> None:
        """Measure the whole frames that are new in a clip that begins at sample `start`."""
        first = max(0, self._n_frames * FRAME_SAMPLES - start)
        n_new = (len(waveform) - first) // FRAME_SAMPLES
        powers = _band_powers(waveform, first, n_new)
        places = np.arange(self._n_frames, self._n_frames + n_new) % len(self._powers)
        self._powers[places] = powers
        self._recent = np.concatenate([self._recent, powers])[-CLIP_FRAMES:]
        self._n_frames += n_new

    def _note_what_stands_out(self, waveform: np.ndarray, start: int) -> None:
        end_s = self._n_frames * FRAME_S
        if end_s <= self.settings.start_up_s:
            self._counts_until_s = end_s + self.settings.hold_s
            return
        for frame in np.flatnonzero(self._recent > self._ratio * self._floor())[::-1]:
            frame_end_s = end_s - (len(self._recent) - 1 - int(frame)) * FRAME_S
            if frame_end_s + self.settings.hold_s <= self._counts_until_s:
                return
            end = round(frame_end_s * SAMPLE_RATE_HZ) - start
            if self._is_loud(waveform[max(0, end - FRAME_SAMPLES) : end]):
                self._counts_until_s = frame_end_s + self.settings.hold_s
                return

    def _floor(self) -> float:
        percentile = self.settings.floor_percentile
        known = self._powers[: min(self._n_frames, len(self._powers))]
        return min(_percentile(known, percentile), _percentile(self._recent, percentile))

    def _is_loud(self, frame: np.ndarray) -> bool:
        return float(np.var(frame, dtype=np.float64)) >= 10.0 ** (self.settings.min_level_dbfs / 10.0)


def _band_powers(waveform: np.ndarray, first: int, n_frames: int) -> np.ndarray:
    """Mean square of each of `n_frames` frames from sample `first` on in the band of `Gate`, shape (n_frames,)."""
    reaches_back = THINNED if first >= THINNED else 0  # a difference takes the mean before its own
    newest = waveform[first - reaches_back : first + n_frames * FRAME_SAMPLES]
    means = newest.reshape(-1, THINNED) @ MEAN_WEIGHTS
    if not reaches_back:
        means = np.append(means[:1], means)
    frames = (means[1:] - means[:-1]).reshape(n_frames, -1)
    return np.einsum("ij,ij->i", frames, frames) / np.float32(FRAME_SAMPLES // THINNED)


def _percentile(values: np.ndarray, percentile: float) -> float:
    """The value that `percentile` of `values`, shape (n,), are not above; a tenth of what numpy.percentile takes."""
    place = int(len(values) * percentile / 100.0)
    return float(np.partition(values, place)[place])
