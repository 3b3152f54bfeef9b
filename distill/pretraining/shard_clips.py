"""Draws pretraining clips from a corpus of shards, in the order of its epochs."""

import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import DataError
from distill.corpus.labels import is_cough_free
from distill.corpus.shard_reader import ShardCorpus
from distill.corpus.shards import INDEX_FILE, ShardClip
from distill.corpus.waveform_store import WaveformStore
from distill.pretraining.clips import ClipMaker, ClipSettings, Recordings, backgrounds_of, recordings_of, rooms_of

_MOST_BATCHES_AHEAD = 64
_TRAINING_ROLES = ("train",)


class ShardSampler(ClipMaker):
    """Batches of 2-s clips of a corpus of shards: one clip of each recording in an epoch, epoch after epoch.

    A clip is a function of the seed, step and position, as with `ClipSampler`. But each process has its own stretch of
    an epoch, so another number of processes gives other clips. Batches may be made in several threads; they are read
    once where steps come roughly in order, and found again where not.

    Parameters
    ----------
    folder : written by ``tussis-corpus shards write``, of training recordings only
    settings : as for `ClipSampler`; ``pack_exponent`` says nothing here, for every recording comes once in an epoch
    batch_size : of this process's share
    process, n_processes : which of how many this is
    store : gives what a stream cannot: rooms ("augment") and backgrounds (its cough-free training recordings). Without
        rooms there are none; without backgrounds they are the cough-free recordings of the batch itself.

    Raises
    ------
    DataError
        At once, if there is no such corpus or it holds other than training recordings; from `batch_at`, if a shard is
        damaged or a clip is not what its record says.
    """

    def __init__(
        self,
        folder: Path,
        settings: ClipSettings,
        batch_size: int,
        seed: int,
        process: int = 0,
        n_processes: int = 1,
        *,
        store: WaveformStore | None = None,
    ) -> None:
        self._corpus = ShardCorpus(folder, rank=process, world_size=n_processes, seed=seed)
        if self._corpus.index.roles != _TRAINING_ROLES:
            roles = ", ".join(self._corpus.index.roles)
            raise DataError(
                f"{folder / INDEX_FILE} says that the corpus holds the roles {roles}; expected train alone, or others "
                "would be trained on: write it with tussis-corpus shards write --role train."
            )
        positions = slice(process * batch_size, (process + 1) * batch_size)
        super().__init__(settings, rooms_of(store) if store else [], seed, positions)
        self._size = batch_size
        backgrounds = backgrounds_of(store, "train") if store else ()
        self._others = (recordings_of(*store.tensors()), backgrounds) if len(backgrounds) else None
        self._lock, self._read_ahead = threading.Lock(), {}
        self._clips: Iterator[ShardClip] = iter(())
        self._next_step: int | None = None

    def origin(self) -> dict[str, Any]:
        """What a checkpoint says of the corpus: the hash of its index, how much it holds, and under which licences."""
        index = self._corpus.index
        totals = {"clips": index.clips, "hours": round(index.seconds / 3600, 3), "licences": index.licences}
        return {"corpus": {"index_sha256": self._corpus.state_after(0)["corpus_sha256"], **totals}}

    def batch_at(self, step: int) -> Tensor:
        """Make the clips of a step, shape (batch_size, 32000) or as `made` says, float32 in [-1, 1]."""
        clips = self._take(step)
        recordings = _one_after_the_other([clip.waveform() for clip in clips])
        cough_free = [number for number, clip in enumerate(clips) if is_cough_free(clip.record.row.labels)]
        others = self._others or (recordings, torch.tensor(cough_free, dtype=torch.int64))
        return self.made(self.draws_at(step), recordings, torch.arange(len(clips)), *others)

    def position_at(self, step: int) -> dict[str, Any]:
        """How the corpus is split, and the epoch and the clip in it with which a step begins on every process."""
        epoch, taken = divmod(step * self._size, self._corpus.n_batches())
        return self._corpus.state_after(0) | {"epoch": epoch, "batches": taken}

    def _take(self, step: int) -> list[ShardClip]:
        with self._lock:
            if step not in self._read_ahead:
                try:
                    self._read_up_to(step)
                except BaseException:
                    self._next_step = None  # what is damaged is found again by whoever asks next
                    raise
            return self._read_ahead.pop(step)

    def _read_up_to(self, step: int) -> None:
        if self._next_step is None or not self._next_step <= step < self._next_step + _MOST_BATCHES_AHEAD:
            self._next_step, self._clips = step, self._clips_from(step)
        for old in [number for number in self._read_ahead if number < step - _MOST_BATCHES_AHEAD]:
            del self._read_ahead[old]
        while self._next_step <= step:
            self._read_ahead[self._next_step] = list(islice(self._clips, self._size))
            self._next_step += 1

    def _clips_from(self, step: int) -> Iterator[ShardClip]:
        """This process's clips from a step on, without end: the corpus counts clips as batches of one."""
        position = self.position_at(step)
        while True:
            self._corpus.load_state(position)
            yield from self._corpus.clips(0)
            position = position | {"epoch": position["epoch"] + 1, "batches": 0}


def _one_after_the_other(waveforms: Sequence[np.ndarray]) -> Recordings:
    offsets = np.concatenate([[0], np.cumsum([len(waveform) for waveform in waveforms])])
    return recordings_of(torch.from_numpy(np.concatenate(waveforms)), torch.from_numpy(offsets))
