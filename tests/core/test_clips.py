"""Clips cover a recording from its first sample to its last, however it arrives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clips import CLIP_SAMPLES, Clip, ClipCutter


def cut(waveform: np.ndarray, hop_s: float, block_samples: int = 10**9) -> list[Clip]:
    """All clips of a waveform that arrives in equal blocks."""
    cutter, clips = ClipCutter(hop_s), []
    for start in range(0, len(waveform), block_samples):
        clips += cutter.push(waveform[start : start + block_samples])
    return clips + cutter.finish()


def ramp(n_samples: int) -> np.ndarray:
    """A waveform whose samples are their own positions (exact in float32 up to 2**24)."""
    return np.arange(n_samples, dtype=np.float32)


def test_clips_begin_at_every_hop_and_hold_the_recording() -> None:
    clips = cut(ramp(64_000), 1.0)
    assert [clip.start_s for clip in clips] == [0.0, 1.0, 2.0]
    for clip in clips:
        np.testing.assert_array_equal(clip.waveform, clip.start_s * 16_000 + ramp(CLIP_SAMPLES))
        assert clip.waveform.dtype == np.float32
        assert clip.valid_s == 2.0


def test_the_last_clip_ends_with_the_recording() -> None:
    clips = cut(ramp(64_100), 1.0)
    assert [clip.start_s for clip in clips] == [0.0, 1.0, 2.0, 2.00625]
    np.testing.assert_array_equal(clips[-1].waveform, ramp(64_100)[-CLIP_SAMPLES:])


def test_a_recording_of_exactly_one_clip_gives_one() -> None:
    assert [clip.start_s for clip in cut(ramp(CLIP_SAMPLES), 0.5)] == [0.0]


def test_a_short_recording_is_repeated_and_not_padded() -> None:
    (clip,) = cut(1.0 + ramp(5_000), 1.0)
    np.testing.assert_array_equal(clip.waveform, 1.0 + np.arange(CLIP_SAMPLES) % 5_000)
    assert (clip.start_s, clip.valid_s) == (0.0, 5_000 / 16_000)


def test_no_sound_gives_no_clip() -> None:
    assert cut(ramp(0), 1.0) == []


def test_a_clip_has_its_own_memory() -> None:
    waveform = ramp(CLIP_SAMPLES)
    (clip,) = ClipCutter(1.0).push(waveform)
    waveform[:] = -1.0
    assert clip.waveform.min() == 0.0


def test_memory_does_not_grow_with_the_recording() -> None:
    cutter = ClipCutter(1.0)
    for _ in range(200):
        cutter.push(np.zeros(16_000, np.float32))
    kept_samples = sum(value.size for value in vars(cutter).values() if isinstance(value, np.ndarray))
    assert kept_samples <= CLIP_SAMPLES


@settings(max_examples=60, deadline=None)
@given(
    n_samples=st.integers(0, 150_000),
    hop_s=st.sampled_from([0.1, 0.33, 0.5, 1.0, 2.0]),
    cuts=st.lists(st.integers(0, 150_000), max_size=8),
)
def test_any_division_into_blocks_gives_the_same_clips_and_they_cover_everything(
    n_samples: int, hop_s: float, cuts: list[int]
) -> None:
    waveform = ramp(n_samples)
    cutter, clips = ClipCutter(hop_s), []
    for block in np.split(waveform, sorted(min(position, n_samples) for position in cuts)):
        clips += cutter.push(block)
    clips += cutter.finish()
    expected = cut(waveform, hop_s)
    assert [clip.start_s for clip in clips] == [clip.start_s for clip in expected]
    for clip, other in zip(clips, expected, strict=True):
        np.testing.assert_array_equal(clip.waveform, other.waveform)
    heard = np.unique(np.concatenate([np.zeros(0), *(clip.waveform for clip in clips)]))
    np.testing.assert_array_equal(heard, waveform)
    assert len({clip.start_s for clip in clips}) == len(clips)


@pytest.mark.parametrize("hop_s", [0.0, -1.0, 2.1, 1e-6, float("nan")])
def test_a_hop_that_would_leave_gaps_or_never_end_is_refused(hop_s: float) -> None:
    with pytest.raises(ValueError, match=r"expected more than 0 and at most 2\.0 seconds"):
        ClipCutter(hop_s)


def test_a_finished_cutter_takes_no_more() -> None:
    cutter = ClipCutter(1.0)
    cutter.finish()
    with pytest.raises(RuntimeError, match="push after finish"):
        cutter.push(ramp(10))


def test_clips_start_on_the_grid_nearest_to_the_hop() -> None:
    waveform = np.arange(5 * 16000, dtype=np.float32)
    cutter = ClipCutter(0.5, grid_s=0.04)
    starts = [clip.start_s for start in range(0, 80000, 777) for clip in cutter.push(waveform[start : start + 777])]
    assert starts == [0.0, 0.52, 1.0, 1.52, 2.0, 2.52, 3.0]
    assert cutter.finish() == []


def test_a_hop_on_the_grid_is_not_changed_and_the_last_clip_still_ends_with_the_recording() -> None:
    waveform = np.arange(5 * 16000 + 100, dtype=np.float32)
    plain, on_grid = ClipCutter(1.0), ClipCutter(1.0, grid_s=0.04)
    clips = [[*cutter.push(waveform), *cutter.finish()] for cutter in (plain, on_grid)]
    assert [clip.start_s for clip in clips[0]] == [clip.start_s for clip in clips[1]] == [0, 1, 2, 3, 3 + 100 / 16000]


@pytest.mark.parametrize("grid_s", [0.0, -1.0, 0.6])
def test_a_grid_that_is_no_part_of_the_hop_is_refused(grid_s: float) -> None:
    with pytest.raises(ValueError, match="expected more than 0 and at most the hop"):
        ClipCutter(0.5, grid_s)
