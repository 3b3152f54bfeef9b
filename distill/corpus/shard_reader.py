"""Reads a corpus of shards: split over ranks and workers, whole to check it, or into a store."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError
from rich.progress import track
from torch.utils.data import IterableDataset, get_worker_info

from core.errors import DataError, SettingsError
from core.files import sha256_of_file
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.corpus.shards import (
    INDEX_FILE,
    SHARD_PATTERN,
    WRITE_AGAIN,
    ClipRecord,
    ShardClip,
    ShardEntry,
    ShardIndex,
    read_index,
    read_shard,
    tally,
)
from distill.corpus.waveform_store import (
    MANIFEST_FILE,
    OFFSETS_FILE,
    SAMPLES_FILE,
    WaveformStore,
    clear_store,
    written_store,
)
from distill.folders import locked
from distill.settings import Settings, first_difference
from distill.shown_text import PlainConsole

Remainder = Literal["repeat", "drop", "keep"]
_DECODED_AT_ONCE = 256


class CorpusPosition(Settings):
    """How a corpus is split and shuffled, and how far each rank is: ``batches`` of epoch ``epoch`` were delivered."""

    format: Literal["tussis.shard_position/1"] = "tussis.shard_position/1"
    corpus_sha256: str
    world_size: int = Field(default=1, ge=1)
    workers: int = Field(default=1, ge=1)
    batch_size: int = Field(default=1, ge=1)
    seed: int | None = Field(default=0, ge=0)
    remainder: Remainder = "repeat"
    shuffle_clips: int = Field(default=256, ge=1)
    epoch: int = Field(default=0, ge=0)
    batches: int = Field(default=0, ge=0)


class ShardCorpus(IterableDataset):
    """The share of one rank in a corpus: an epoch of (ManifestRow, int16 waveform (n_samples,)).

    An epoch is one sequence of all clips: the shards in an order drawn from the seed and the epoch. Each rank has one
    stretch of it, and each worker one stretch of its rank's, equally long to within a clip. So one worker alone opens
    most shards, and there may be more ranks than shards. Within a stretch, clips are shuffled in windows of
    ``shuffle_clips``. All of it follows from the arguments, so a position is two numbers, the same on every rank. A
    process compares a shard's SHA-256 with the index when it first opens it.

    Pass it to ``DataLoader(corpus, batch_size, num_workers=workers)``, without persistent workers; ``set_epoch`` before
    each epoch.

    Parameters
    ----------
    folder : Path
        Written by ``tussis-corpus shards write``.
    rank, world_size : int
        Which of how many processes this is.
    workers, batch_size : int
        The DataLoader's; 1 worker where the corpus is iterated without one.
    seed : int or None
        None reads the shards as they were written.
    remainder : {"repeat", "drop", "keep"}
        What happens to the clips that the ranks cannot share equally, fewer than `world_size`. With "repeat" every
        rank has ceil(clips / world_size): none is lost and the epoch's first ones come twice. With "drop" every rank
        has floor(clips / world_size), and an epoch lacks some, other ones in each epoch. Both give every rank the same
        number of batches, of the same sizes. With "keep" every clip comes exactly once and some ranks have one more:
        for a pass over the corpus without synchronization.
    shuffle_clips : int
        Window of the shuffling; a worker holds as many clips in memory, encoded.

    Raises
    ------
    DataError
        At once, if there is no such corpus or a rank would have no clip; while iterating, if a shard is damaged.
    SettingsError
        If an argument is out of range.
    """

    def __init__(self, folder: Path, *, rank: int = 0, **split: Any) -> None:
        self.folder, self.rank, self.index = folder, rank, read_index(folder)
        try:
            self._position = CorpusPosition(corpus_sha256=sha256_of_file(folder / INDEX_FILE), **split)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingsError(f"{first['loc'][0]} of a corpus of shards: {first['msg']}.") from error
        if not 0 <= rank < self._position.world_size:
            raise SettingsError(f"rank is {rank}; expected 0 to {self._position.world_size - 1}.")
        if self.index.clips < self._position.world_size and self._position.remainder == "drop":
            ranks = f"{self._position.world_size} ranks"
            raise DataError(f"{folder} has {self.index.clips} clips for {ranks}: use fewer ranks, or repeat clips.")
        self._unverified = {entry.file for entry in self.index.shards}

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self._position = self._position.model_copy(update={"epoch": epoch, "batches": 0})

    def n_batches(self) -> int:
        """Number of batches of a whole epoch on this rank, the last one of each worker counted though it be short."""
        lengths = [stop - start for start, stop in map(self._stretch, range(self._position.workers))]
        return sum(-(-length // self._position.batch_size) for length in lengths)

    def state_after(self, n_batches: int) -> dict[str, Any]:
        """The position, as JSON, after `n_batches` of the present epoch were taken from the DataLoader, resumed or not.

        Ranks go in step, so one rank's state serves all of them.
        """
        if not 0 <= n_batches <= self.n_batches():
            raise ValueError(f"{n_batches} batches were taken of an epoch of {self.n_batches()}")
        return self._position.model_copy(update={"batches": n_batches}).model_dump()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a `state_after`; DataError where the corpus, the split or the shuffling is another."""
        try:
            position = CorpusPosition.model_validate(state)
        except ValidationError as error:
            message = f"the saved position in {self.folder} is not one ({error.errors()[0]['msg']})"
            raise DataError(f"{message}: begin a new epoch without it.") from error
        moved = frozenset({"epoch", "batches"})
        if difference := first_difference(position.model_dump(), self._position.model_dump(), moved):
            name, then, now = difference
            remedy = f"resume with {name} {then!r}, or begin a new epoch without the position"
            raise DataError(f"the position in {self.folder} was saved with {name} {then!r}, not {now!r}: {remedy}.")
        self._position = position

    def __iter__(self) -> Iterator[tuple[ManifestRow, np.ndarray]]:
        worker = get_worker_info()
        number, n_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        if n_workers != self._position.workers:
            expected = f"the corpus was split over {self._position.workers}: give both the same number"
            raise SettingsError(f"the clips of {self.folder} are read by {n_workers} worker(s), and {expected}.")
        # A resumed DataLoader asks its worker 0 first; the batch that comes next is another worker's turn.
        for clip in self.clips((number + self._position.batches) % n_workers):
            yield clip.record.row, clip.waveform()

    def clips(self, worker: int) -> Iterator[ShardClip]:
        """The clips of a worker of this rank from the position on, not decoded."""
        position = self._position
        start, stop = self._stretch(worker)
        rounds, turn = divmod(position.batches, position.workers)
        taken = min((rounds + (worker < turn)) * position.batch_size, stop - start)
        window_start = start + taken // position.shuffle_clips * position.shuffle_clips
        with closing(self._sequence(window_start, stop)) as clips:
            while window := list(islice(clips, position.shuffle_clips)):
                order = np.arange(len(window))
                if position.seed is not None:
                    np.random.default_rng((position.seed, position.epoch, window_start)).shuffle(order)
                yield from (window[number] for number in order[max(start + taken - window_start, 0) :])
                window_start += len(window)

    def _stretch(self, worker: int) -> tuple[int, int]:
        """First and last + 1 of a worker's clips in the epoch's sequence, which goes on from its start at its end."""
        n_clips, n_ranks, n_workers = self.index.clips, self._position.world_size, self._position.workers
        if self._position.remainder == "keep":
            start, stop = self.rank * n_clips // n_ranks, (self.rank + 1) * n_clips // n_ranks
        else:
            share = n_clips // n_ranks if self._position.remainder == "drop" else -(-n_clips // n_ranks)
            start, stop = self.rank * share, (self.rank + 1) * share
        each, more = divmod(stop - start, n_workers)  # the first workers have one more, so that batches stay in turn
        return start + worker * each + min(worker, more), start + (worker + 1) * each + min(worker + 1, more)

    def _sequence(self, start: int, stop: int) -> Iterator[ShardClip]:
        """Clips [start, stop) of the epoch's sequence."""
        order = np.arange(len(self.index.shards))
        if self._position.seed is not None:
            np.random.default_rng((self._position.seed, self._position.epoch)).shuffle(order)
        ends = np.cumsum([self.index.shards[number].clips for number in order])
        while start < stop:
            place = start % self.index.clips
            turn = int(np.searchsorted(ends, place, side="right"))
            n_taken = min(stop - start, int(ends[turn]) - place)
            entry = self.index.shards[order[turn]]
            skipped, verify = entry.clips - int(ends[turn]) + place, entry.file in self._unverified
            with closing(read_shard(self.folder, entry, self.index.codec, skipped, verify)) as clips:
                yield from islice(clips, n_taken)
            self._unverified.discard(entry.file)
            start += n_taken


def check_corpus(folder: Path) -> ShardIndex:
    """Read and decode all of a corpus; DataError for the first thing that is not as the index says."""
    index = read_index(folder)
    if stray := {path.name for path in folder.glob(SHARD_PATTERN)} - {entry.file for entry in index.shards}:
        raise DataError(f"{folder / min(stray)} is not in {INDEX_FILE}: remove it, or {WRITE_AGAIN}.")
    seen = np.zeros(index.clips, dtype=bool)
    for entry in _progress(index, "checking"):
        records = []
        for clip in read_shard(folder, entry, index.codec):
            _mark(seen, clip)
            clip.waveform()
            records.append(clip.record)
        if any(getattr(entry, name) != value for name, value in tally(records).items()):
            raise DataError(f"{folder / entry.file} holds other seconds or licences than {INDEX_FILE}: {WRITE_AGAIN}.")
    return index


def unpack_corpus(folder: Path, out: Path) -> WaveformStore:
    """Decode a corpus into a waveform store, in the order of its manifest; from FLAC it is as if from the sources."""
    index = read_index(folder)
    records = _records(folder, index)
    offsets = np.concatenate([[0], np.cumsum([record.samples for record in records])])
    with locked(out):
        clear_store(out)
        with written_store(out):
            samples = _reserved(out / SAMPLES_FILE, int(offsets[-1]))
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for entry in _progress(index, "unpacking"):
                    clips = read_shard(folder, entry, index.codec, verify=False)
                    while window := list(islice(clips, _DECODED_AT_ONCE)):
                        for clip, waveform in zip(window, pool.map(ShardClip.waveform, window), strict=True):
                            samples[offsets[int(clip.key)] : offsets[int(clip.key) + 1]] = waveform
            samples.flush()
            np.save(out / OFFSETS_FILE, offsets)
            write_manifest([record.row for record in records], out / MANIFEST_FILE)
    return WaveformStore.open(out)


def _reserved(path: Path, n_samples: int) -> np.ndarray:
    """Map a new file of int16 samples whose space is taken: writing into a hole of a full disk would be a SIGBUS."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2 * n_samples)
    return np.memmap(path, dtype=np.int16, mode="r+", shape=(n_samples,))


def _records(folder: Path, index: ShardIndex) -> list[ClipRecord]:
    """The records of all clips by their key, once every shard is seen to be whole."""
    seen, records = np.zeros(index.clips, dtype=bool), {}
    for entry in _progress(index, "verifying"):
        for clip in read_shard(folder, entry, index.codec):
            _mark(seen, clip)
            records[int(clip.key)] = clip.record
    return [records[number] for number in range(index.clips)]


def _mark(seen: np.ndarray, clip: ShardClip) -> None:
    """Note a key; as many different ones below the number of clips as there are clips means that none is missing."""
    if int(clip.key) >= len(seen) or seen[int(clip.key)]:
        raise DataError(f"{clip.file} holds the key {clip.key} a second time or too many: {WRITE_AGAIN}.")
    seen[int(clip.key)] = True


def _progress(index: ShardIndex, what: str) -> Iterator[ShardEntry]:
    console = PlainConsole(stderr=True)
    yield from track(index.shards, what, console=console, disable=not console.is_terminal)
