"""Cuts a recording into the 2-second clips that the model takes."""

from dataclasses import dataclass

import numpy as np

from core.audio import SAMPLE_RATE_HZ

CLIP_S = 2.0
CLIP_SAMPLES = int(CLIP_S * SAMPLE_RATE_HZ)
assert CLIP_SAMPLES == 32_000


@dataclass(frozen=True, eq=False)
class Clip:
    """One input of the model.

    Attributes
    ----------
    start_s : float
        Where the clip begins in the recording.
    waveform : ndarray, shape (32000,), float32
        16 kHz; its own memory.
    valid_s : float
        2.0, or the length of the recording where that is shorter: the rest of the waveform repeats it.
    """

    start_s: float
    waveform: np.ndarray
    valid_s: float


class ClipCutter:
    """Cuts a stream into clips at every `hop_s`, the last one aligned to the end of the recording.

    Nothing is padded with zeros: a recording shorter than a clip is repeated to fill it. Zeros move HeAR's embedding of
    a short cough as far as unrelated sound does. Which clips come out does not depend on the blocks they came in. Holds
    at most one clip and one block.

    Parameters
    ----------
    hop_s : float in (0, 2]
        From the start of one clip to the start of the next; rounded to whole samples.
    grid_s : float or None
        Each clip but the last starts at the multiple of this that is nearest to its multiple of `hop_s`, so that the
        frames of overlapping clips lie on one another: a hop of 0.5 s on a grid of 0.04 s is 0.52 and 0.48 s in turns.
    """

    def __init__(self, hop_s: float, grid_s: float | None = None) -> None:
        if not 0.0 < hop_s <= CLIP_S or round(hop_s * SAMPLE_RATE_HZ) < 1:
            raise ValueError(f"hop_s is {hop_s}; expected more than 0 and at most {CLIP_S} seconds")
        self._hop_samples = round(hop_s * SAMPLE_RATE_HZ)
        self._grid_samples = 1 if grid_s is None else round(grid_s * SAMPLE_RATE_HZ)
        if not 1 <= self._grid_samples <= max(1, self._hop_samples):
            raise ValueError(f"grid_s is {grid_s}; expected more than 0 and at most the hop, {hop_s} seconds")
        self._kept = np.zeros(0, np.float32)  # the newest samples, at most CLIP_SAMPLES between calls
        self._received_samples = 0
        self._n_cut = 0
        self._finished = False

    def push(self, block: np.ndarray) -> list[Clip]:
        """Take the next samples, shape (n,), and return the clips that they complete, in order."""
        if self._finished:
            raise RuntimeError("push after finish: a ClipCutter cuts one recording")
        self._kept = np.concatenate([self._kept, np.asarray(block, np.float32)])
        self._received_samples += len(block)
        clips = []
        while (start := self._start(self._n_cut)) + CLIP_SAMPLES <= self._received_samples:
            clips.append(self._cut(start))
            self._n_cut += 1
        self._kept = self._kept[-CLIP_SAMPLES:].copy()
        return clips

    def finish(self) -> list[Clip]:
        """Return the clip that is still missing at the end: none, one aligned to the end, or a repeated short one."""
        self._finished = True
        if 0 < self._received_samples < CLIP_SAMPLES:
            return [Clip(0.0, np.resize(self._kept, CLIP_SAMPLES), self._received_samples / SAMPLE_RATE_HZ)]
        last_start = self._received_samples - CLIP_SAMPLES
        is_covered = last_start <= self._start(self._n_cut - 1)
        return [] if last_start < 0 or is_covered else [self._cut(last_start)]

    def _start(self, number: int) -> int:
        """First sample of clip `number`: on the grid, halves rounded up."""
        return (2 * number * self._hop_samples + self._grid_samples) // (2 * self._grid_samples) * self._grid_samples

    def _cut(self, start: int) -> Clip:
        offset = start - (self._received_samples - len(self._kept))
        return Clip(start / SAMPLE_RATE_HZ, self._kept[offset : offset + CLIP_SAMPLES].copy(), CLIP_S)
