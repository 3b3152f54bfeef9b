"""What is kept of a stream without an end: the sound around wanted events, and gaps in place of the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sealed_audio import SealedAudioReader, SealedAudioWriter
from app.sound.around_events import HELD_S, AroundEvents

RATE_HZ, KEY, RECORD_ID = 16_000, bytes(range(32)), "a monitoring"


class Kept:
    """A sink that lays out what it is given on the time line of the stream."""

    def __init__(self) -> None:
        self.at, self.stretches, self.is_closed = 0, [], False

    def append(self, samples):
        self.stretches += [(self.at + place, int(sample)) for place, sample in enumerate(samples)]
        self.at += len(samples)

    def mark_gap(self, lost_s):
        self.at += round(lost_s * RATE_HZ)

    def sync_if_due(self):
        pass

    def close(self):
        self.is_closed = True


def numbered(n_samples: int) -> np.ndarray:
    return (np.arange(n_samples) % 30_011).astype(np.int16)


@pytest.mark.long
@given(
    starts_s=st.lists(st.floats(0, 18), max_size=6),
    n_block=st.integers(700, 30_000),
    late_s=st.floats(1.2, 6),
)
def test_what_lies_around_events_is_kept_at_its_time_and_nothing_else(starts_s, n_block, late_s):
    sound, sink, kept_until = numbered(20 * RATE_HZ), Kept(), set()
    around, wanted = AroundEvents(sink, RATE_HZ), sorted(starts_s)
    for start_s in wanted:
        kept_until |= set(
            range(max(0, round((start_s - 1) * RATE_HZ)), min(len(sound), round((start_s + 1.3) * RATE_HZ)))
        )
    for start in range(0, len(sound), n_block):
        around.append(sound[start : start + n_block])
        while wanted and wanted[0] + 0.3 + late_s < (start + n_block) / RATE_HZ:
            around.want(wanted[0], wanted.pop(0) + 0.3)
    for start_s in wanted:
        around.want(start_s, start_s + 0.3)
    around.close()
    assert sink.is_closed
    assert [place for place, _ in sink.stretches] == sorted(kept_until)
    assert all(sound[place] == sample for place, sample in sink.stretches)


def test_a_long_gap_moves_the_time_line_and_a_short_one_does_not():
    sink = Kept()
    around = AroundEvents(sink, RATE_HZ)
    around.append(numbered(RATE_HZ))
    around.mark_gap(0.5)
    around.append(numbered(RATE_HZ))
    around.mark_gap(60.0)
    around.append(numbered(3 * RATE_HZ))
    around.want(63.0, 63.2)
    around.close()
    assert (sink.stretches[0][0], sink.stretches[-1][0]) == (62 * RATE_HZ, round(64.2 * RATE_HZ) - 1)


def test_no_more_than_some_seconds_of_sound_are_held():
    around = AroundEvents(Kept(), RATE_HZ)
    for _ in range(60):
        around.append(numbered(RATE_HZ))
    assert sum(len(samples) for _, samples in around._held) <= (HELD_S + 1) * RATE_HZ


def test_sealed_sound_of_it_tells_its_times_by_its_gaps(tmp_path):
    path = tmp_path / "a.sealed"
    around = AroundEvents(SealedAudioWriter(path, KEY, RECORD_ID, RATE_HZ), RATE_HZ)
    for start_s in range(20):
        around.append(numbered(20 * RATE_HZ)[start_s * RATE_HZ : (start_s + 1) * RATE_HZ])
        if start_s in (6, 15):
            around.want(start_s - 2.0, start_s - 1.8)
    around.close()
    reader = SealedAudioReader(path, KEY, RECORD_ID)
    assert len(reader.read()) == round(2 * 2.2 * RATE_HZ)
    assert reader.gaps == ((0.0, 3.0), (pytest.approx(2.2), pytest.approx(6.8)))
    assert reader.state == "complete"
