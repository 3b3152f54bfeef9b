"""What listens to a recording: the live screening and the ring of columns."""

import numpy as np
import pytest

from app.recorder import to_pcm16
from app.sound.hearing import MAX_COLUMNS, ColumnRing, Hearing, screen_kept
from core.audio import write_wav
from core.demonstration import synthesize_demonstration
from core.errors import BundleError
from core.screener import Screener


class NotingCoach:
    def __init__(self) -> None:
        self.clips, self.n_pushed = [], 0

    def push(self, samples, sample_rate_hz):
        self.n_pushed += len(samples)
        return np.full((len(samples) // 640, 48), self.n_pushed // 640 % 256, np.uint8)

    def note_clip(self, cough_probability, speech_probability):
        self.clips.append((cough_probability, speech_probability))


@pytest.fixture(scope="module")
def demonstration():
    return to_pcm16(synthesize_demonstration())


def test_the_screening_is_that_of_the_exported_recording_and_the_coach_is_told_of_each_clip(
    default_bundle, demonstration, tmp_path
):
    screener, coach = Screener(default_bundle), NotingCoach()
    hearing = Hearing(lambda: screener, coach)
    for start in range(0, len(demonstration), 320):
        hearing.hear(demonstration[start : start + 320], 16_000)
    assert hearing.cough_count >= 2
    hearing.finish()
    write_wav(tmp_path / "exported.wav", demonstration / 32768)
    exported = screener.screen(tmp_path / "exported.wav")
    assert (hearing.screening.events, hearing.screening.event_scores) == (exported.events, exported.event_scores)
    assert (hearing.screening.quality, hearing.screening.probes) == (exported.quality, exported.probes)
    assert max(cough for cough, _ in coach.clips) > 0.9 > max(speech for _, speech in coach.clips)


def test_a_screener_that_cannot_be_had_leaves_no_screening_and_is_asked_once(demonstration):
    asked = []

    def load():
        asked.append(1)
        raise BundleError("altered")

    hearing = Hearing(load, NotingCoach())
    for _ in range(3):
        hearing.hear(demonstration[:320], 16_000)
    hearing.finish()
    assert (hearing.screening, hearing.cough_count, len(asked)) == (None, 0, 1)


def test_the_ring_gives_what_is_new_and_forgets_what_is_old():
    ring = ColumnRing(NotingCoach())
    assert len(ring.since(0)) == 0
    for _ in range(3):
        ring.hear(np.zeros(6400, np.int16), 16_000)
    assert (ring.n_columns, len(ring.since(0)), len(ring.since(25)), len(ring.since(30))) == (30, 30, 5, 0)
    assert len(ring.since(99)) == 0
    for _ in range(40):
        ring.hear(np.zeros(6400, np.int16), 16_000)
    assert (ring.n_columns, len(ring.since(0)), len(ring.newest)) == (430, MAX_COLUMNS, MAX_COLUMNS)


def test_what_can_be_read_is_screened_and_heard_by_the_coach(default_bundle, demonstration):
    class Audio:
        sample_rate_hz = 16_000

        def blocks(self):
            yield from np.split(demonstration, 12)

    screener, coach = Screener(default_bundle), NotingCoach()
    assert screen_kept(Audio(), lambda: screener, coach).cough_count == 3
    assert coach.n_pushed == len(demonstration)
