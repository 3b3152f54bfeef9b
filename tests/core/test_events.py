import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bundle import JointTrack, ScreeningSettings
from core.events import ActivityTrack, Event, EventFinder, RunSplitter, WindowProbabilities, count_coughs

LABELS = ("cough", "speech", "throat_clear")
STEP_S = 0.04


def settings(**changes: object) -> ScreeningSettings:
    values = {
        "hop_s": 1.0,
        "event_pooling": "max",
        "event_thresholds": dict.fromkeys(LABELS, 0.5),
        "cough_on_probability": 0.5,
        "cough_off_probability": 0.3,
        "min_event_s": 0.08,
        "max_event_s": 0.6,
        "merge_gap_s": 0.0,
        "activity_frame_step_s": STEP_S,
    }
    return ScreeningSettings(**(values | changes))


def window(
    start_s: float,
    activity: dict[int, float] | None = None,
    *,
    cough: float = 0.9,
    speech: float = 0.0,
    valid_s: float = 2.0,
) -> WindowProbabilities:
    """A clip whose frames are silent but for those in `activity` (frame of the clip: probability)."""
    frames = np.zeros(50)
    for frame, probability in (activity or {}).items():
        frames[frame] = probability
    return WindowProbabilities(start_s, valid_s, np.array([cough, speech, 0.0]), frames)


def find(windows: list[WindowProbabilities], duration_s: float, **changes: object) -> tuple[Event, ...]:
    finder = EventFinder(LABELS, settings(**changes))
    for one in windows:
        finder.push(one)
    return finder.finish(duration_s)


def runs(activity: list[float], **changes: object) -> list[tuple[int, int]]:
    splitter = RunSplitter(settings(**changes))
    found = splitter.push(np.array(activity, dtype=float)) + splitter.finish()
    return [(start, end) for start, end, _ in found]


def test_two_bursts_in_one_clip_are_two_coughs_with_their_times() -> None:
    frames = dict.fromkeys(range(10, 15), 0.8) | dict.fromkeys(range(25, 30), 0.7)
    events = find([window(0.0, frames)], 2.0)
    assert events == (Event("cough", 0.4, 0.6, 0.8), Event("cough", 1.0, 1.2, 0.7))
    assert count_coughs(events) == 2


def test_a_cough_in_the_overlap_of_two_clips_is_counted_once() -> None:
    events = find([window(0.0, dict.fromkeys(range(30, 35), 0.9)), window(1.0, dict.fromkeys(range(5, 10), 0.7))], 3.0)
    assert [(event.start_s, event.end_s) for event in events] == [(1.2, 1.4)]
    assert events[0].probability == pytest.approx(0.8)


def test_a_run_begins_and_ends_at_the_off_probability_once_it_reaches_the_on_probability() -> None:
    assert runs([0.1, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1]) == [(1, 6)]


def test_a_run_that_never_reaches_the_on_probability_is_no_cough() -> None:
    assert runs([0.1, 0.4, 0.49, 0.49, 0.4, 0.1]) == []


def test_a_run_shorter_than_the_minimum_is_no_cough() -> None:
    assert runs([0, 0.9, 0, 0, 0.9, 0.9, 0]) == [(4, 6)]


def test_a_run_longer_than_the_maximum_is_split_at_its_lowest_frame() -> None:
    activity = [0.9] * 8 + [0.4] + [0.9] * 9
    assert runs([0, *activity, 0]) == [(1, 9), (9, 19)]


def test_a_run_of_exactly_the_maximum_is_not_split() -> None:
    assert runs([0, *[0.9] * 7, 0.4, *[0.9] * 7, 0]) == [(1, 16)]


def test_the_quiet_tail_of_a_long_run_is_no_second_cough() -> None:
    assert runs([0.9] * 10 + [0.35] * 20) == [(0, 15)]


def test_no_event_is_longer_than_the_maximum_even_in_endless_coughing() -> None:
    found = runs([0.9] * 1000)
    assert max(end - start for start, end in found) == 15
    assert sum(end - start for start, end in found) == pytest.approx(1000, abs=2)


def test_runs_one_frame_apart_stay_apart_with_a_merge_gap_of_zero() -> None:
    activity = [0.9, 0.9, 0.1, 0.9, 0.9]
    assert runs(activity) == [(0, 2), (3, 5)]
    assert runs(activity, merge_gap_s=0.04) == [(0, 5)]


def test_a_bridged_gap_at_the_end_of_a_run_does_not_belong_to_it() -> None:
    assert runs([0.9, 0.9, 0.1, 0.1, 0.1, 0.1], merge_gap_s=0.08) == [(0, 2)]
    assert runs([0.9, 0.9, 0.1], merge_gap_s=0.08) == [(0, 2)]


@given(
    activity=st.lists(st.floats(0, 1), max_size=120),
    cuts=st.lists(st.integers(0, 120), max_size=6),
    gap_s=st.sampled_from([0.0, 0.04, 0.2]),
)
def test_runs_are_disjoint_in_order_within_bounds_and_independent_of_the_blocks(
    activity: list[float], cuts: list[int], gap_s: float
) -> None:
    splitter = RunSplitter(settings(merge_gap_s=gap_s))
    track = np.array(activity, dtype=float)
    found = [
        run for part in np.split(track, sorted(min(cut, len(track)) for cut in cuts)) for run in splitter.push(part)
    ]
    found += splitter.finish()
    assert [(start, end) for start, end, _ in found] == runs(activity, merge_gap_s=gap_s)
    ends = [0, *[end for _, end, _ in found]]
    for (start, end, peak), previous_end in zip(found, ends, strict=False):
        assert previous_end <= start < end <= len(track)
        assert 2 <= end - start <= 15
        assert peak == track[start:end].max() >= 0.5
        assert track[start] >= 0.3
        assert track[end - 1] >= 0.3


def test_activity_counts_only_where_a_clip_that_covers_it_holds_a_cough() -> None:
    frames = dict.fromkeys(range(10, 15), 0.9)
    assert find([window(0.0, frames, cough=0.49)], 2.0) == ()
    assert len(find([window(0.0, frames, cough=0.5)], 2.0)) == 1


def test_the_gate_of_one_clip_does_not_open_the_next_one() -> None:
    frames = dict.fromkeys(range(30, 35), 0.9)
    quiet = window(1.0, dict.fromkeys(range(5, 10), 0.9), cough=0.1)
    elsewhere = window(2.0, dict.fromkeys(range(30, 35), 0.9), cough=0.1)
    assert [event.start_s for event in find([window(0.0, frames), quiet, elsewhere], 4.0)] == [1.2]


@pytest.mark.parametrize(("start_s", "expected_s"), [(0.419, 2.0), (0.421, 2.04)])
def test_the_last_clip_is_placed_at_the_nearest_frame(start_s: float, expected_s: float) -> None:
    windows = [window(0.0, cough=0.1), window(start_s, dict.fromkeys(range(40, 45), 0.9))]
    assert [event.start_s for event in find(windows, start_s + 2)] == [expected_s]


def test_no_event_ends_after_the_recording() -> None:
    events = find([window(0.0), window(0.39, dict.fromkeys(range(45, 50), 0.9), speech=0.9)], 2.39)
    assert {event.label: event.end_s for event in events} == {"cough": 2.39, "speech": 2.39}


def test_the_repeats_of_a_short_recording_are_not_counted_again() -> None:
    tiled = dict.fromkeys([5, 6, 7, 22, 23, 24, 40, 41, 42], 0.9)
    events = find([window(0.0, tiled, speech=0.8, valid_s=0.7)], 0.7)
    assert events == (Event("speech", 0.0, 0.7, 0.8), Event("cough", 0.2, 0.32, 0.9))


def test_a_cough_at_the_end_of_a_short_recording_ends_with_it() -> None:
    events = find([window(0.0, dict.fromkeys(range(14, 22), 0.9), valid_s=0.7)], 0.7)
    assert [(event.start_s, event.end_s) for event in events] == [(0.56, 0.7)]


def test_neighbouring_clips_over_a_threshold_make_one_event_and_distant_ones_two() -> None:
    speech = {0.0: 0.9, 1.0: 0.6, 2.0: 0.1, 3.0: 0.1, 4.0: 0.8}
    events = find([window(start, cough=0.0, speech=probability) for start, probability in speech.items()], 6.0)
    assert events == (Event("speech", 0.0, 3.0, 0.9), Event("speech", 4.0, 6.0, 0.8))


def test_events_come_in_order_of_time() -> None:
    coughs = window(0.0, dict.fromkeys([10, 11, 30, 31], 0.9))
    assert [event.label for event in find([coughs, window(2.0, speech=0.9)], 4.0)] == ["cough", "cough", "speech"]
    both = window(0.0, dict.fromkeys([10, 11], 0.9), speech=0.9)
    assert [event.label for event in find([both], 2.0)] == ["speech", "cough"]


def test_clips_that_go_back_in_time_are_refused() -> None:
    finder = EventFinder(LABELS, settings())
    finder.push(window(1.0))
    with pytest.raises(ValueError, match=r"starts at 0.0 s, before"):
        finder.push(window(0.0))


@given(
    n_hops=st.integers(0, 6),
    tail_samples=st.integers(0, 15999),
    seed=st.integers(0, 100),
)
def test_the_track_is_the_plain_average_of_the_clips_that_cover_a_frame(
    n_hops: int, tail_samples: int, seed: int
) -> None:
    starts_s = [float(hop) for hop in range(n_hops + 1)] + ([n_hops + tail_samples / 16000] if tail_samples else [])
    generator = np.random.default_rng(seed)
    clips = [generator.uniform(size=50) for _ in starts_s]
    track = ActivityTrack(0.5, STEP_S)
    parts = [
        track.push(WindowProbabilities(start_s, 2.0, np.array([1.0]), activity), 1.0)
        for start_s, activity in zip(starts_s, clips, strict=True)
    ]
    streamed = np.concatenate([*parts, track.finish()])
    placed = [math.floor(start_s / STEP_S + 0.5) for start_s in starts_s]
    expected = [
        np.mean([clip[frame - first] for first, clip in zip(placed, clips, strict=True) if first <= frame < first + 50])
        for frame in range(placed[-1] + 50)
    ]
    assert np.allclose(streamed, expected)


def some_windows(seed: int, n_windows: int) -> list[WindowProbabilities]:
    generator = np.random.default_rng(seed)
    levels = generator.uniform(size=(n_windows, 3))
    return [
        WindowProbabilities(float(hop), 2.0, levels[hop], generator.uniform(0, 1.2, 50).clip(0, 1) ** 3)
        for hop in range(n_windows)
    ]


@given(seed=st.integers(0, 50), n_windows=st.integers(1, 12), gap_s=st.sampled_from([0.0, 0.2, 3.0]))
def test_events_released_as_they_become_final_are_those_of_the_whole(seed: int, n_windows: int, gap_s: float) -> None:
    windows, duration_s = some_windows(seed, n_windows), n_windows + 1.0
    finder, released = EventFinder(LABELS, settings(merge_gap_s=gap_s)), []
    for one in windows:
        finder.push(one)
        now = finder.release()
        assert all(event.end_s <= one.start_s for event in now)
        released += now
    assert finder.release() == ()
    released += finder.finish(duration_s)
    in_order = sorted(released, key=lambda event: (event.start_s, LABELS.index(event.label)))
    assert tuple(in_order) == find(windows, duration_s, merge_gap_s=gap_s)


def test_a_clip_that_was_passed_over_holds_no_event_and_takes_nothing_from_the_average() -> None:
    frames = dict.fromkeys(range(30, 35), 0.9)
    finder = EventFinder(LABELS, settings(event_thresholds=dict.fromkeys(LABELS, 0.0)))
    finder.push(window(0.0, frames, speech=0.9))
    finder.pass_over(1.0)
    finder.pass_over(2.0)
    finder.pass_over(3.0)
    assert finder.release() == (
        Event("cough", 1.2, 1.4, 0.9), Event("speech", 0.0, 2.0, 0.9), Event("throat_clear", 0.0, 2.0, 0.0)
    )  # fmt: skip
    assert finder.finish(5.0) == ()


def test_another_labels_event_ends_when_a_clip_begins_beyond_it() -> None:
    finder = EventFinder(LABELS, settings(merge_gap_s=0.5))
    finder.push(window(0.0, cough=0.0, speech=0.9))
    finder.push(window(2.5, cough=0.0))
    assert finder.release() == ()
    finder.push(window(2.6, cough=0.0))
    assert finder.release() == (Event("speech", 0.0, 2.0, 0.9),)


def test_an_hour_needs_no_more_memory_than_a_minute() -> None:
    def peak_bytes(n_windows: int) -> int:
        finder = EventFinder(LABELS, settings())
        one = window(0.0, dict.fromkeys(range(50), 0.9), cough=0.1, speech=0.9)
        tracemalloc.start()
        for hop in range(n_windows):
            finder.push(WindowProbabilities(float(hop), 2.0, one.events, one.activity))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(3600) < peak_bytes(60) + 4000


@given(seed=st.integers(0, 50), n_windows=st.integers(1, 12))
def test_the_count_so_far_ends_at_the_count_and_changes_nothing(seed: int, n_windows: int) -> None:
    windows, duration_s = some_windows(seed, n_windows), n_windows + 1.0
    finder = EventFinder(LABELS, settings())
    assert finder.cough_count == 0
    for one in windows:
        finder.push(one)
        so_far = finder.cough_count
    events = finder.finish(duration_s)
    assert events == find(windows, duration_s)
    assert so_far == sum(event.label == "cough" for event in events)


MEAN = JointTrack(activity=0.5, cough=0.5, bias=0.0)


def test_a_joint_track_weighs_the_log_odds_of_activity_and_of_the_surest_clip() -> None:
    frames = dict.fromkeys(range(10, 15), 0.9)
    (sure,) = find([window(0.0, frames, cough=0.9)], 2.0, joint_track=MEAN)
    assert (sure.start_s, sure.end_s, sure.probability) == (0.4, 0.6, pytest.approx(0.9))
    (unsure,) = find([window(0.0, frames, cough=0.5)], 2.0, joint_track=MEAN)
    assert unsure.probability == pytest.approx(0.75)  # odds of 9 and of 1 make 3
    (twice,) = find([window(0.0, frames, cough=0.1), window(0.0, frames, cough=0.9)], 2.0, joint_track=MEAN)
    assert twice.probability == pytest.approx(0.9)
    weighed = JointTrack(activity=1.0, cough=2.0, bias=-math.log(9))
    (third,) = find([window(0.0, frames, cough=0.75)], 2.0, joint_track=weighed)
    assert third.probability == pytest.approx(0.9)  # odds of 9, times 3 squared, over 9
    assert not find([window(0.0, frames, cough=0.1)], 2.0, joint_track=MEAN, cough_on_probability=0.51)
    assert not find([window(0.0)], 2.0, joint_track=MEAN, cough_on_probability=0.05, cough_off_probability=0.05)
