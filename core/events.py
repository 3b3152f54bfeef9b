"""Turns the model's probabilities into events with a start and an end, and counts coughs."""

import copy
import math
from dataclasses import dataclass

import numpy as np

from core.bundle import COUGH, JointTrack, ScreeningSettings
from core.probes import sigmoid

ROUNDING = 1e-6
LEAST = 1e-4  # of a probability whose log odds are taken


@dataclass(frozen=True)
class Event:
    """One sound in a recording; ``probability`` is the largest of its frames (cough) or of its clips (the others)."""

    label: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True)
class WindowProbabilities:
    """The model's probabilities for one clip: where it lies, how much of it is not a repeat, and two arrays in [0, 1].

    ``events`` has shape (n_events,) and ``activity`` (n_activity_frames,).
    """

    start_s: float
    valid_s: float
    events: np.ndarray
    activity: np.ndarray


def count_coughs(events: tuple[Event, ...]) -> int:
    """The number of coughs among the events."""
    return sum(event.label == COUGH for event in events)


class EventFinder:
    """Finds the events of one recording from its clips in order of time; keeps no more than one clip's frames.

    An event is final once no later clip can change it. A cough is final within about a clip's length, another label's
    event when a clip has begun beyond its end. `release` hands over what is final, so that a stream without an end can
    be heard in constant memory.

    Coughs come from the activity track: the frames of overlapping clips are averaged on one grid. The grid begins at
    the start of the recording, and a clip is placed at the frame nearest to its start. All clips but the last start on
    the grid. The last one ends where the recording ends, so its frames may lie up to half a frame (20 ms) beside their
    time. Event scoring tolerates 250 ms. The other labels have no track: neighbouring clips over the label's threshold
    make one event.

    Parameters
    ----------
    labels : tuple of str
        The model's event labels, in its order.
    settings : ScreeningSettings
    """

    def __init__(self, labels: tuple[str, ...], settings: ScreeningSettings):
        self._labels = labels
        self._cough_index = labels.index(COUGH)
        self._step_s = settings.activity_frame_step_s
        self._track = ActivityTrack(settings.joint_track or settings.event_thresholds[COUGH], self._step_s)
        self._coughs = RunSplitter(settings)
        self._others = {
            label: WindowMerger(label, settings.event_thresholds[label], settings.merge_gap_s)
            for label in labels
            if label != COUGH
        }
        self._events: list[Event] = []

    def push(self, window: WindowProbabilities) -> None:
        """Take the next clip's probabilities."""
        frames = self._track.push(window, float(window.events[self._cough_index]))
        self._add_coughs(self._coughs.push(frames))
        for label, probability in zip(self._labels, window.events, strict=True):
            if label != COUGH:
                self._events += self._others[label].push(window, float(probability))

    def pass_over(self, start_s: float) -> None:
        """Take note of a clip that was not run: it holds no event, and its frames no activity of their own."""
        self._add_coughs(self._coughs.push(self._track.pass_over(start_s)))
        for merger in self._others.values():
            self._events += merger.pass_over(start_s)

    def release(self) -> tuple[Event, ...]:
        """Hand over the events that became final since the last release, in the order in which they did."""
        released, self._events = tuple(self._events), []
        return released

    @property
    def cough_count(self) -> int:
        """Coughs that were found and not released, the ones that later clips may change counted as they look now."""
        looks = copy.deepcopy(self._coughs)
        n_open = len(looks.push(self._track.open_frames) + looks.finish())
        return count_coughs(tuple(self._events)) + n_open

    def finish(self, duration_s: float) -> tuple[Event, ...]:
        """All events not released, in order of time, none beyond the recording's end; call once, after the last clip.

        Parameters
        ----------
        duration_s : float
            Length of the recording.
        """
        self._add_coughs(self._coughs.push(self._track.finish()) + self._coughs.finish())
        for merger in self._others.values():
            self._events += merger.finish()
        clamped = [Event(e.label, e.start_s, min(e.end_s, duration_s), e.probability) for e in self._events]
        inside = [event for event in clamped if event.start_s < event.end_s]
        return tuple(sorted(inside, key=lambda event: (event.start_s, self._labels.index(event.label))))

    def _add_coughs(self, runs: list[tuple[int, int, float]]) -> None:
        for start, end, probability in runs:
            start_s, end_s = round(start * self._step_s, 6), round(end * self._step_s, 6)
            self._events.append(Event(COUGH, start_s, end_s, probability))


class ActivityTrack:
    """Averages the activity of overlapping clips frame by frame and gives each frame once no later clip can reach it.

    Only clips that were run are averaged; a frame that none of them covers has activity 0.

    A `JointTrack` makes each frame's probability of its activity and of the surest clip that covers it. With a
    probability as a gate instead, a frame has its activity if one of the clips that cover it holds a cough at least so
    probably, and 0 otherwise. Frames beyond the end of a short, repeated recording are left out: they are repeats.
    """

    def __init__(self, rule: JointTrack | float, step_s: float):
        self._rule, self._step_s = rule, step_s
        self._first_frame = 0
        self._open = np.zeros((3, 0))  # frames not given yet; rows: sum of activity, clips in it, surest clip's cough

    def push(self, window: WindowProbabilities, cough_probability: float) -> np.ndarray:
        """Take a clip; return the frames before its start, which are final. ValueError if clips go back in time."""
        final = self.pass_over(window.start_s)
        activity = window.activity[: math.ceil(window.valid_s / self._step_s - ROUNDING)]
        self._extend(len(activity))
        sums, n_clips, surest = self._open[:, : len(activity)]
        sums += activity
        n_clips += 1
        np.maximum(surest, cough_probability, out=surest)
        return final

    def pass_over(self, start_s: float) -> np.ndarray:
        """Return the frames before `start_s`, where a clip starts that was not run; ValueError as `push`."""
        n_final = math.floor(start_s / self._step_s + 0.5) - self._first_frame
        if n_final < 0:
            raise ValueError(f"a clip starts at {start_s} s, before the one that was taken last")
        return self._release(n_final)

    @property
    def open_frames(self) -> np.ndarray:
        """The frames that later clips may change, as they are now."""
        return self._levels(self._open)

    def finish(self) -> np.ndarray:
        """Return the frames that are left."""
        return self._release(self._open.shape[1])

    def _extend(self, n_frames: int) -> None:
        n_missing = n_frames - self._open.shape[1]
        if n_missing > 0:
            self._open = np.concatenate([self._open, np.zeros((3, n_missing))], axis=1)

    def _release(self, n_frames: int) -> np.ndarray:
        self._extend(n_frames)
        released, self._open = self._open[:, :n_frames], self._open[:, n_frames:]
        self._first_frame += n_frames
        return self._levels(released)

    def _levels(self, frames: np.ndarray) -> np.ndarray:
        sums, n_clips, surest = frames
        activity = sums / np.maximum(n_clips, 1)
        if isinstance(self._rule, JointTrack):
            return np.where(n_clips > 0, joint(activity, surest, self._rule), 0.0)
        return np.where(surest >= self._rule, activity, 0.0)


def joint(activity: np.ndarray, surest: np.ndarray, track: JointTrack) -> np.ndarray:
    """The probabilities of a joint track, of frames' activities and their surest clips' probabilities, any shape."""
    return sigmoid(track.activity * log_odds(activity) + track.cough * log_odds(surest) + track.bias)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, each held 0.0001 away from 0 and 1."""
    held = np.clip(probability, LEAST, 1.0 - LEAST)
    return np.log(held / (1.0 - held))


class RunSplitter:
    """Cuts the activity track into coughs: (first frame, frame after the last, largest activity) of each.

    A run is a stretch of frames at or above the off probability; gaps of up to ``merge_gap_s`` are bridged. A run
    longer than ``max_event_s`` is cut, from its beginning, at the lowest frame that leaves a piece of allowed length
    (the last of equals). A run or piece is a cough if it reaches the on probability and lasts ``min_event_s``. At
    most ``max_event_s`` and a gap are held at a time.
    """

    def __init__(self, settings: ScreeningSettings):
        step_s = settings.activity_frame_step_s
        self._on, self._off = settings.cough_on_probability, settings.cough_off_probability
        self._min_frames = max(1, math.ceil(settings.min_event_s / step_s - ROUNDING))
        self._max_frames = max(self._min_frames, math.floor(settings.max_event_s / step_s + ROUNDING))
        self._gap_frames = math.floor(settings.merge_gap_s / step_s + ROUNDING)
        self._next_frame = 0
        self._run: list[float] = []
        self._quiet_frames = 0

    def push(self, frames: np.ndarray) -> list[tuple[int, int, float]]:
        """Take the next frames of the track, shape (n,), and return the coughs that are complete."""
        coughs: list[tuple[int, int, float]] = []
        if not self._run and frames.max(initial=0.0) < self._off:  # nothing begins: most of a night
            self._next_frame += len(frames)
            return coughs
        for activity in frames.tolist():
            self._take(activity, coughs)
        return coughs

    def finish(self) -> list[tuple[int, int, float]]:
        """Return the coughs that reach to the end of the track."""
        coughs: list[tuple[int, int, float]] = []
        self._close(coughs)
        return coughs

    def _take(self, activity: float, coughs: list[tuple[int, int, float]]) -> None:
        is_active = activity >= self._off and activity > 0
        self._next_frame += 1
        if not is_active and not self._run:
            return
        self._run.append(activity)
        self._quiet_frames = 0 if is_active else self._quiet_frames + 1
        if self._quiet_frames > self._gap_frames:
            self._close(coughs)
        elif is_active:
            self._split(coughs)

    def _split(self, coughs: list[tuple[int, int, float]]) -> None:
        while len(self._run) > self._max_frames:
            places = range(self._min_frames, self._max_frames + 1)
            cut = min(places, key=lambda place: (self._run[place], -place))
            self._keep(self._run[:cut], self._next_frame - len(self._run), coughs)
            self._run = self._run[cut:]

    def _close(self, coughs: list[tuple[int, int, float]]) -> None:
        self._keep(self._run, self._next_frame - len(self._run), coughs)
        self._run, self._quiet_frames = [], 0

    def _keep(self, piece: list[float], first_frame: int, coughs: list[tuple[int, int, float]]) -> None:
        active = [place for place, activity in enumerate(piece) if activity >= self._off and activity > 0]
        if active and active[-1] + 1 - active[0] >= self._min_frames and max(piece) >= self._on:
            coughs.append((first_frame + active[0], first_frame + active[-1] + 1, max(piece)))


class WindowMerger:
    """Joins clips over a label's threshold that overlap, touch or lie within `merge_gap_s` into one event."""

    def __init__(self, label: str, threshold: float, merge_gap_s: float):
        self._label, self._threshold, self._merge_gap_s = label, threshold, merge_gap_s
        self._open: Event | None = None

    def push(self, window: WindowProbabilities, probability: float) -> list[Event]:
        """Take a clip's probability of the label; return the event that ended before it, if one did."""
        ended = self.pass_over(window.start_s)
        if probability < self._threshold:
            return ended
        end_s = window.start_s + window.valid_s
        if self._open is None:
            self._open = Event(self._label, window.start_s, end_s, probability)
        else:
            self._open = Event(self._label, self._open.start_s, end_s, max(self._open.probability, probability))
        return ended

    def pass_over(self, start_s: float) -> list[Event]:
        """Return the open event if it lies too far before `start_s`, where the next clip starts, to be joined."""
        is_over = self._open is not None and start_s > self._open.end_s + self._merge_gap_s + ROUNDING
        return self.finish() if is_over else []

    def finish(self) -> list[Event]:
        """Return the event that is still open, if there is one."""
        ended = [] if self._open is None else [self._open]
        self._open = None
        return ended
