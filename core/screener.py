"""Screens recordings: the command, the app, the benchmarks and the Python API all call it."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.audio import RecordingReader, open_recording
from core.bundle import Bundle, load_bundle
from core.errors import IncompleteError, TussisError
from core.interpreter import Interpreter, LiteRtInterpreter
from core.listening import Supply, check_sample_rate
from core.probes import NO_COLUMNS
from core.results import Screening
from core.screening.live_screening import LiveScreening
from core.sound.read_ahead import read_ahead
from core.stopwatch import Stopwatch

LONG_S = 20.0  # from here on a thread decodes and resamples ahead of the model


class Screener:
    """Screens recordings one after the other with one model; use it from one thread at a time.

    Parameters
    ----------
    bundle : Bundle
    threads : int in [1, 64]
        Threads of the model's runtime.
    interpreter : Interpreter or None
        What runs the model; None for LiteRT with the bundle's model.
    is_ended : callable
        Whether the run was asked to end; then a recording is left in its middle.
    given : mapping of str to str
        Clinical values by column, for the probes that need them; the same for every recording.

    Raises
    ------
    BundleError, InterpreterError
        If the model was altered since the bundle was opened, or cannot be run.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        interpreter: Interpreter | None = None,
        is_ended: Callable[[], bool] = lambda: False,
        given: Mapping[str, str] = NO_COLUMNS,
    ):
        self.bundle, self._is_ended, self.given = bundle, is_ended, given
        self.interpreter = interpreter or LiteRtInterpreter(bundle.read_model(), threads, bundle.model_shape)

    def screen(self, path: str | Path, channel: int | None = None) -> Screening:
        """Screen one file in constant memory; `channel` is that of `open_recording`.

        Raises
        ------
        AudioError
            If it is no recording.
        IncompleteError
            If it cannot be read to its end, or the run was asked to end; it holds the screening of what was heard.
        """
        stopwatch = Stopwatch()
        with stopwatch.stage("decode"):
            recording = open_recording(path, channel)
        with recording:
            supply = Supply(recording.blocks(), str(path), self._is_ended)
            ahead = None if 0 < recording.duration_s < LONG_S else Stopwatch()
            hearing = self._begin(recording.sample_rate_hz, str(path), stopwatch, ahead)
            try:
                screening = _hear(hearing, supply, lambda: sha256_if_readable(recording), stopwatch, ahead)
            except IncompleteError as error:
                error.result = error.result.read_from(recording)
                raise
            return screening.read_from(recording)

    def screen_blocks(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate_hz: int,
        name: str,
        sha256: str | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> Screening:
        """Screen a recording that comes in blocks, none of which is kept.

        Parameters
        ----------
        blocks : iterable of ndarray, shape (n,), float32 in [-1, 1]
            Mono samples at `sample_rate_hz`; how they are divided into blocks does not matter.
        sample_rate_hz : int in [4000, 384000]
        name : str
            The recording's path, for the result and for sentences.
        sha256 : str or None
            SHA-256 of the recording's file, where there is a file.
        stopwatch : Stopwatch or None
            One that already holds the time it took to open the recording.

        Raises
        ------
        AudioError
            If the rate is out of range, there is no sample, or the first block holds one that is not a finite number.
        IncompleteError
            If blocks after the first cannot be had; it holds the screening of what was heard.
        """
        stopwatch = stopwatch or Stopwatch()
        hearing = self.begin(sample_rate_hz, name, stopwatch)
        return _hear(hearing, Supply(blocks, name), lambda: sha256, stopwatch)

    def begin(self, sample_rate_hz: int, name: str, stopwatch: Stopwatch | None = None) -> LiveScreening:
        """Begin to screen sound that is fed as it comes; one at a time, because all share the model.

        AudioError if the rate, an int in [4000, 384000], is out of range. The other parameters are those of
        `screen_blocks`.
        """
        return self._begin(sample_rate_hz, name, stopwatch or Stopwatch())

    def _begin(
        self, sample_rate_hz: int, name: str, stopwatch: Stopwatch, ahead: Stopwatch | None = None
    ) -> LiveScreening:
        check_sample_rate(sample_rate_hz, name)
        return LiveScreening(self.bundle, self.interpreter, sample_rate_hz, name, stopwatch, ahead, self.given)


def screen_recording(path: str | Path, bundle: Bundle | Path | None = None, threads: int = 1) -> Screening:
    """Screen one recording; `bundle` is an open bundle, a bundle folder, or None for the one that comes with Tussis."""
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    return Screener(opened, threads).screen(path)


def _hear(
    hearing: LiveScreening,
    supply: Supply,
    hash_file: Callable[[], str | None],
    stopwatch: Stopwatch,
    ahead: Stopwatch | None = None,
) -> Screening:
    """Hear all of a recording; `ahead` times the thread that prepares a long one, None where there is none."""
    if ahead is None:
        cut_clips = stopwatch.iterate("decode", map(hearing.cut, supply))
    else:
        made_ahead = read_ahead(map(hearing.cut, ahead.iterate("decode", supply)))
        cut_clips = stopwatch.iterate_ahead(made_ahead, ahead)
    with stopwatch.stage("decode"):
        sha256 = hash_file()
    for clips in cut_clips:
        hearing.take(clips)
    screening = hearing.finish(sha256)
    if supply.error:
        raise IncompleteError(supply.error, replace(screening, error=supply.error))
    if supply.is_cut:
        remark = cut_remark(screening.recording.duration_s)
        raise IncompleteError(f"{screening.recording.path}: {remark}", replace(screening, remark=remark))
    return screening


def sha256_if_readable(recording: RecordingReader) -> str | None:
    """SHA-256 of a recording's file; None where it cannot be read to its end, which may still have been heard."""
    with contextlib.suppress(TussisError):
        return recording.sha256
    return None


def cut_remark(duration_s: float) -> str:
    """What is said of a recording that was left because the run was asked to end."""
    return f"the run was ended after {duration_s:.1f} s of this recording; the rest was not heard."
