"""Pretraining clips from shards: every recording once an epoch, a batch from its step alone, no damage passed over."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from core.audio import write_wav
from core.errors import DataError
from distill.corpus.manifests import ManifestRow
from distill.corpus.shard_writer import write_shards
from distill.corpus.shards import read_index
from distill.corpus.waveform_store import WaveformStore
from distill.prefetch import prefetch
from distill.pretraining.clips import ClipSettings
from distill.pretraining.shard_clips import ShardSampler

PLAIN = ClipSettings(time_shift_max_s=0.0, background_probability=0.0, random_channel=False)
N_RECORDINGS = 13
LEVEL_STEP = 1 / 64


def row(number: int, role: str = "train", label: str = "cough") -> ManifestRow:
    return ManifestRow(f"pack/{number}.wav", "pack", f"s{number}", f"p{number}", 2.5, (label,), 1, "CC0", role, True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen recordings in shards; recording n is (n + 1) / 64 all along, so that its clips are known by level."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "pack").mkdir()
    for number in range(N_RECORDINGS):
        n_samples = 8_000 if number % 5 == 0 else 40_000
        write_wav(folder / "pack" / f"{number}.wav", np.full(n_samples, (number + 1) * LEVEL_STEP, np.float32))
    rows = [row(number, label=("cough", "noise")[number == 3]) for number in range(N_RECORDINGS)]
    write_shards(rows, folder, folder / "shards", shard_mib=0.02)
    assert len(read_index(folder / "shards").shards) > 2
    return folder / "shards"


def sampler(corpus: Path, batch_size: int = 5, **more: object) -> ShardSampler:
    return ShardSampler(corpus, PLAIN, batch_size, 7, **more)


def recordings_in(clips: torch.Tensor) -> list[int]:
    """The numbers of the recordings that the clips were cut from."""
    assert clips.shape[1] == 32_000
    assert torch.equal(clips.amin(dim=1), clips.amax(dim=1))
    return [round(level / LEVEL_STEP) - 1 for level in clips[:, 0].tolist()]


def test_every_recording_gives_a_clip_an_epoch_and_epochs_follow_without_a_gap(corpus: Path) -> None:
    drawn = sampler(corpus)
    stream = [number for step in range(N_RECORDINGS) for number in recordings_in(drawn.batch_at(step))]
    epochs = [stream[start : start + N_RECORDINGS] for start in range(0, len(stream), N_RECORDINGS)]
    assert len(epochs) == 5
    assert all(sorted(epoch) == list(range(N_RECORDINGS)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_a_batch_follows_from_its_step_alone_however_it_is_asked_for(corpus: Path) -> None:
    settings = ClipSettings()
    whole = ShardSampler(corpus, settings, 4, 7)
    expected = [whole.batch_at(step) for step in range(9)]
    for step in (8, 3, 4, 0, 3):
        assert torch.equal(whole.batch_at(step), expected[step])
    resumed = ShardSampler(corpus, settings, 4, 7)
    for batch, step in zip(prefetch(resumed.batch_at, 2, 9, depth=6, threads=3), range(2, 9), strict=True):
        assert torch.equal(batch, expected[step])


def test_processes_share_an_epoch_without_overlap_or_loss(corpus: Path) -> None:
    both = [sampler(corpus, batch_size=1, process=process, n_processes=2) for process in (0, 1)]
    share = -(-N_RECORDINGS // 2)
    counts = Counter(recordings_in(torch.cat([part.batch_at(step) for part in both for step in range(share)])))
    assert set(counts) == set(range(N_RECORDINGS)) and counts.total() == N_RECORDINGS + 1


def test_the_position_is_the_epoch_and_the_clip_and_names_the_split(corpus: Path) -> None:
    position = sampler(corpus, process=1, n_processes=2).position_at(4)
    assert (position["epoch"], position["batches"], position["world_size"]) == (2, 6, 2)
    assert position == sampler(corpus, n_processes=2).position_at(4)


def test_backgrounds_are_the_batchs_cough_free_recordings_and_those_of_a_store_where_there_is_one(corpus: Path) -> None:
    settings = PLAIN.model_copy(
        update={"background_probability": 1.0, "background_snr_min_db": 0.0, "background_snr_max_db": 0.0}
    )
    alone = ShardSampler(corpus, settings, N_RECORDINGS, 7).batch_at(0)
    plain = sampler(corpus, batch_size=N_RECORDINGS).batch_at(0)
    assert torch.allclose(alone, 2 * plain, atol=1e-5)  # a constant background at 0 dB doubles a constant clip
    held_out = WaveformStore([row(0, "validation", "noise")], np.zeros(32_000, np.int16), 32_000 * np.arange(2))
    assert torch.equal(ShardSampler(corpus, settings, N_RECORDINGS, 7, store=held_out).batch_at(0), alone)
    click = np.zeros(32_000, np.int16)
    click[50] = 20_000
    store = WaveformStore(
        [row(0, label="noise"), row(1, "augment"), row(2, "augment")], np.tile(click, 3), 32_000 * np.arange(4)
    )
    clicked = ShardSampler(corpus, settings, 5, 7, store=store).batch_at(0)
    assert all((clip - clip.median()).abs().max() > 0.1 for clip in clicked)


def test_a_corpus_of_other_than_training_recordings_is_refused(corpus: Path, tmp_path: Path) -> None:
    held_out = shutil.copytree(corpus, tmp_path / "held_out")
    index = json.loads((held_out / "index.json").read_text()) | {"roles": ["train", "validation"]}
    (held_out / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"index\.json .* the roles train, validation; expected train .*--role train"):
        sampler(held_out)


def test_a_damaged_shard_is_refused_as_often_as_it_is_met_and_what_lies_before_it_is_given(
    corpus: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(corpus, tmp_path / "damaged")
    drawn = sampler(damaged, batch_size=1)
    first = recordings_in(drawn.batch_at(0))
    victim = next(path for path in sorted(damaged.glob("*.tar")) if not _holds(path, first[0]))
    victim.write_bytes(victim.read_bytes()[:-700])
    fresh = sampler(damaged, batch_size=1)
    for step in (N_RECORDINGS - 1, N_RECORDINGS - 1, N_RECORDINGS - 2 + N_RECORDINGS):
        with pytest.raises(DataError, match=rf"{victim.name} is truncated: .* copy it again"):
            fresh.batch_at(step)


def _holds(shard: Path, number: int) -> bool:
    return f"{number:09d}.json".encode() in shard.read_bytes()
