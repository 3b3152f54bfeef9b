"""Carries out ``tussis-screen --monitor``: hears a long recording or standard input as a stream."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from core.audio import open_recording
from core.bundle import COUGH
from core.errors import AudioError, SettingsError
from core.monitoring.gate import GateSettings
from core.monitoring.monitor import Monitor, MonitorSettings
from core.monitoring.results import (
    Monitoring,
    describe_dead_air,
    describe_event,
    describe_hour,
    describe_monitoring,
    describe_start,
)
from core.results import RecordingFacts
from core.screener import Screener, model_facts
from core.stopwatch import Stopwatch

STANDARD_INPUT = "-"
PCM_BLOCK_S = 0.5
DEFAULT_PCM_RATE_HZ = 16_000


@dataclass(frozen=True)
class MonitorOptions:
    """The command line's options for monitoring; ``pcm_rate_hz`` is the rate of the samples on standard input."""

    settings: MonitorSettings
    pcm_rate_hz: int
    keeps_events: bool


def add_monitor_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--monitor`` and the options that go with it."""
    group = parser.add_argument_group("monitoring")
    group.add_argument(
        "--monitor",
        action="store_true",
        help="hear recordings as streams: each cough is printed when it is found, totals hour by hour; "
        f"no probes; {STANDARD_INPUT} is raw PCM on standard input (mono, signed 16 bits, little-endian), until Ctrl-C",
    )
    group.add_argument(
        "--hop-s",
        type=float,
        metavar="S",
        help=f"seconds from one 2-second clip to the next (default: {MonitorSettings.hop_s:g})",
    )
    group.add_argument(
        "--gate",
        action=argparse.BooleanOptionalAction,
        help="run the model only where a 20 ms frame stands out from the noise of the last "
        f"{GateSettings.floor_s:g} s by {GateSettings.open_db:g} dB (default: on)",
    )
    group.add_argument(
        "--pcm-hz",
        type=int,
        metavar="HZ",
        help=f"rate of the samples on standard input, 4000 to 384000 (default: {DEFAULT_PCM_RATE_HZ})",
    )


def read_monitor_options(options: argparse.Namespace) -> MonitorOptions | None:
    """The options, checked; None without ``--monitor``, where those that go with it are refused."""
    given = {"--hop-s": options.hop_s, "--gate/--no-gate": options.gate, "--pcm-hz": options.pcm_hz}
    if not options.monitor:
        for name, value in given.items():
            if value is not None:
                raise SettingsError(f"{name} is for --monitor, which was not given.")
        return None
    if options.recordings.count(STANDARD_INPUT) > 1:
        raise SettingsError(f"{STANDARD_INPUT} was given more than once; standard input can be read only once.")
    settings = MonitorSettings(
        hop_s=MonitorSettings.hop_s if options.hop_s is None else options.hop_s,
        gate=None if options.gate is False else GateSettings(),
    )
    pcm_rate_hz = DEFAULT_PCM_RATE_HZ if options.pcm_hz is None else options.pcm_hz
    return MonitorOptions(settings, pcm_rate_hz, keeps_events=options.json is not None)


def monitor_one(screener: Screener, path: str, options: MonitorOptions, say: Callable[[str], None]) -> Monitoring:
    """Monitor a file or standard input to its end, saying what is found when it is; AudioError where it is no sound."""
    stopwatch = Stopwatch()
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise AudioError("standard input is closed; expected sound on it.")
        with _ended_by_interrupt() as is_ended:
            blocks = pcm_blocks(sys.stdin.buffer, options.pcm_rate_hz, is_ended)
            return _monitor(screener, blocks, "standard input", options.pcm_rate_hz, None, options, stopwatch, say)
    with stopwatch.stage("decode"):
        recording = open_recording(path)
    with recording:
        with stopwatch.stage("decode"):
            sha256 = recording.sha256
        rate_hz = recording.sample_rate_hz
        return _monitor(screener, recording.blocks(), path, rate_hz, sha256, options, stopwatch, say)


def _monitor(
    screener: Screener,
    blocks: Iterable[np.ndarray],
    name: str,
    sample_rate_hz: int,
    sha256: str | None,
    options: MonitorOptions,
    stopwatch: Stopwatch,
    say: Callable[[str], None],
) -> Monitoring:
    monitor = Monitor(screener.bundle, screener.interpreter, sample_rate_hz, options.settings, name, stopwatch)
    events, hours = [], []
    say(describe_start(name, sample_rate_hz))
    for found in monitor.listen(blocks):
        for event in found.events:
            if event.label == COUGH:
                say(describe_event(event))
        for change in found.dead_air:
            say(describe_dead_air(change))
        for hour in found.hours:
            say(describe_hour(hour))
        if options.keeps_events:
            events += found.events
            hours += found.hours
    result = Monitoring(
        recording=RecordingFacts(name, sha256, monitor.duration_s, sample_rate_hz),
        settings=options.settings,
        totals=monitor.totals,
        hours=tuple(hours),
        events=tuple(sorted(events, key=lambda event: (event.start_s, event.label != COUGH, event.label))),
        model=model_facts(screener.bundle),
        timing_ms=monitor.timing_ms,
    )
    say(describe_monitoring(result))
    return result


def pcm_blocks(
    file: BinaryIO, sample_rate_hz: int, is_ended: Callable[[], bool] = lambda: False
) -> Iterator[np.ndarray]:
    """Half seconds of raw PCM (mono, int16, little-endian) until the file ends or `is_ended`; float32 in [-1, 1).

    Raises
    ------
    AudioError
        If the file ends within a sample: then it is likely that the samples are not of 16 bits.
    """
    n_bytes = 2 * max(1, round(PCM_BLOCK_S * sample_rate_hz))
    while not is_ended():
        content = file.read(n_bytes)
        if len(content) % 2 and not is_ended():
            raise AudioError("standard input ends within a sample; expected signed 16-bit little-endian PCM.")
        if len(content) < 2:
            return
        yield np.frombuffer(content[: len(content) // 2 * 2], "<i2").astype(np.float32) / 32768


@contextmanager
def _ended_by_interrupt() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C end the stream, so that its totals are still given; the second one interrupts."""
    interrupts: list[int] = []

    def note(number: int, frame: object) -> None:
        interrupts.append(number)
        if len(interrupts) > 1:
            raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread, which alone may be interrupted
        yield lambda: False
        return
    try:
        yield lambda: bool(interrupts)
    finally:
        signal.signal(signal.SIGINT, before)
