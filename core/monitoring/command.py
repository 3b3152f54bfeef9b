"""Carries out ``tussis-screen --monitor``: hears a long recording or standard input as a stream."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field

import numpy as np

from core.audio import RecordingReader, open_recording
from core.bundle import COUGH
from core.errors import SettingsError, TussisError
from core.events import Event
from core.listening import Supply
from core.monitoring.gate import GateSettings
from core.monitoring.hourly_totals import HourTotals
from core.monitoring.monitor import Findings, Monitor, MonitorSettings
from core.monitoring.results import (
    Monitoring,
    describe_dead_air,
    describe_event,
    describe_hour,
    describe_monitoring,
    describe_start,
    totals_to_json,
)
from core.process.signals import Stop
from core.results import RecordingFacts, model_facts
from core.screener import Screener, cut_remark, sha256_if_readable
from core.screening.journal import Journal
from core.screening.standard_input import NAME, StandardInput
from core.stopwatch import Stopwatch

HEARD_EVERY_S = 60.0  # how often the journal notes how much was heard


@dataclass(frozen=True)
class MonitorOptions:
    """The command line's options for monitoring."""

    settings: MonitorSettings
    keeps_events: bool


@dataclass(frozen=True)
class Run:
    """What surrounds the monitoring of one recording: who is told, what is kept on disk, whether it shall end."""

    say: Callable[[str], None]
    journal: Journal = field(default_factory=lambda: Journal(None, ""))
    stop: Stop = field(default_factory=Stop)


@dataclass(frozen=True)
class Source:
    """A stream of blocks with its name, its file's SHA-256, and the reader that knows how it was read."""

    blocks: Iterable[np.ndarray]
    sample_rate_hz: int
    name: str
    sha256: str | None = None
    reader: RecordingReader | None = None

    def facts(self, heard_s: float) -> RecordingFacts:
        """What a result says of it once so much was heard."""
        facts = RecordingFacts(self.name, self.sha256, heard_s, self.sample_rate_hz)
        return facts if self.reader is None else facts.read_from(self.reader)


def add_monitor_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--monitor`` and the options that go with it."""
    group = parser.add_argument_group("monitoring")
    group.add_argument(
        "--monitor",
        action="store_true",
        help="hear recordings as streams: each cough is printed when it is found, totals hour by hour; "
        "no probes; with - until Ctrl-C",
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


def read_monitor_options(options: argparse.Namespace) -> MonitorOptions | None:
    """The options, checked; None without ``--monitor``, where those that go with it are refused."""
    given = {"--hop-s": options.hop_s, "--gate/--no-gate": options.gate}
    if not options.monitor:
        for name, value in given.items():
            if value is not None:
                raise SettingsError(f"{name} is for --monitor, which was not given.")
        return None
    settings = MonitorSettings(
        hop_s=MonitorSettings.hop_s if options.hop_s is None else options.hop_s,
        gate=None if options.gate is False else GateSettings(),
    )
    return MonitorOptions(settings, keeps_events=options.json is not None)


def monitor_file(screener: Screener, path: str, channel: int | None, options: MonitorOptions, run: Run) -> Monitoring:
    """Monitor a file to its end, saying what is found when it is; AudioError where it is no sound."""
    stopwatch = Stopwatch()
    with stopwatch.stage("decode"):
        recording = open_recording(path, channel)
    with recording:
        with stopwatch.stage("decode"):
            sha256 = sha256_if_readable(recording)
        source = Source(recording.blocks(), recording.sample_rate_hz, path, sha256, recording)
        return _Hearing(screener, source, options, run, stopwatch).hear(lambda: bool(run.stop))


def monitor_stream(screener: Screener, stream: StandardInput, options: MonitorOptions, run: Run) -> Monitoring:
    """Monitor standard input until it ends, or a signal ends it."""
    source = Source(stream.blocks(), stream.sample_rate_hz, NAME)
    return _Hearing(screener, source, options, run, Stopwatch()).hear(lambda: False)


class _Hearing:
    """One stream that is being monitored, and what was found in it so far."""

    def __init__(
        self, screener: Screener, source: Source, options: MonitorOptions, run: Run, stopwatch: Stopwatch
    ) -> None:
        self._bundle, self._source, self._options, self._run = screener.bundle, source, options, run
        rate_hz, name = source.sample_rate_hz, source.name
        self._monitor = Monitor(screener.bundle, screener.interpreter, rate_hz, options.settings, name, stopwatch)
        self._events: list[Event] = []
        self._hours: list[HourTotals] = []
        self._noted_s = -1.0

    def hear(self, is_ended: Callable[[], bool]) -> Monitoring:
        """Hear it to its end, or as far as it can be heard: then the result has an error or a remark."""
        source, error = self._source, ""
        self._run.say(describe_start(source.name, source.sample_rate_hz))
        supply = Supply(source.blocks, source.name, is_ended)
        try:
            for found in self._monitor.listen(self._noted(supply)):
                self._take(found)
        except TussisError as reason:
            if self._noted_s < 0:
                raise
            error = str(reason)
        result = self._result(supply.error or error, supply.is_cut)
        self._run.say(describe_monitoring(result))
        return result

    def _noted(self, supply: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in supply:
            yield block
            if self._monitor.duration_s >= self._noted_s + HEARD_EVERY_S:
                self._note(Findings((), ()))

    def _take(self, found: Findings) -> None:
        for event in found.events:
            if event.label == COUGH:
                self._run.say(describe_event(event))
        for change in found.dead_air:
            self._run.say(describe_dead_air(change))
        for hour in found.hours:
            self._run.say(describe_hour(hour))
        if self._options.keeps_events:
            self._events += found.events
            self._hours += found.hours
        self._note(found)

    def _note(self, found: Findings) -> None:
        """Write into the journal what was found, and how much was heard."""
        heard_s = self._monitor.duration_s
        if self._noted_s < 0:
            self._run.journal.note(begun=self._facts(heard_s))
        self._noted_s = heard_s
        hours = [hour.to_json() for hour in found.hours]
        totals = {"totals": totals_to_json(self._monitor.totals)} if hours else {}
        self._run.journal.note(heard_s=heard_s, events=[asdict(event) for event in found.events], hours=hours, **totals)

    def _facts(self, heard_s: float) -> dict[str, object]:
        """What a result begins with, as the contract has it."""
        settings, source = self._options.settings, self._source
        return {
            "recording": asdict(source.facts(heard_s)),
            "hop_s": settings.hop_s,
            "gate": None if settings.gate is None else asdict(settings.gate),
            "totals": totals_to_json(self._monitor.totals),
            "model": asdict(model_facts(self._bundle)),
        }

    def _result(self, error: str, is_cut: bool) -> Monitoring:
        monitor, source = self._monitor, self._source
        return Monitoring(
            recording=source.facts(monitor.duration_s),
            settings=self._options.settings,
            totals=monitor.totals,
            hours=tuple(self._hours),
            events=tuple(sorted(self._events, key=lambda event: (event.start_s, event.label != COUGH, event.label))),
            model=model_facts(self._bundle),
            timing_ms=monitor.timing_ms,
            error=error or None,
            remark=cut_remark(monitor.duration_s) if is_cut else None,
        )
