"""Runs the command ``tussis-screen``."""

import argparse
import contextlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.bundle import DEFAULT_BUNDLE, load_bundle
from core.errors import IncompleteError, OutputError, ProbeError, TussisError, exit_on_error, report
from core.files import SCREEN_KIND, check_writable, is_standard_output, refuse_same, sha256_of_file, write_atomically
from core.interpreter import MAX_THREADS
from core.monitoring.command import (
    MonitorOptions,
    Run,
    add_monitor_options,
    monitor_file,
    monitor_stream,
    read_monitor_options,
)
from core.monitoring.results import MONITORING_SCHEMA, Monitoring
from core.process.signals import Stop, stop_signals
from core.process.terminal import SafeParser, printable, say
from core.results import LABEL_WIDTH, SCHEMA, FailedRecording, Result, Screening, describe, plain, result_file
from core.screener import Screener
from core.screening.journal import Journal, KeptResult, journal_of, read_journal
from core.screening.standard_input import (
    NAME,
    STANDARD_INPUT,
    RawOptions,
    StandardInput,
    add_input_options,
    read_input_options,
)
from core.signing import TrustPolicy, read_trust

COMMAND = "tussis-screen"
INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended
EPILOG = """\
A recording is a WAV file (8, 16, 24 or 32 bits or float, 4000 to 384000 Hz, 1 to 8 channels); FLAC, MP3, Ogg, AAC,
MPEG-4, AMR, WebM and others where the Python package av is installed. - is standard input. A recording that fails the
quality check is not scored, which is not "no cough".

--json OUT replaces an earlier result, and no other file. What is found is in OUT.partial at once, until OUT is written;
after a kill or a power cut the same command goes on, and --recover OUT writes what is there.

exit status: 0 when every recording was screened; 2 when one could not be, or only in part (the others are screened all
the same); 128 + N when signal N ended the run, with the results so far. Ctrl-C on standard input ends it with 0.

example:
  tussis-screen cough.wav room.wav --json result.json
  tussis-screen --monitor night.wav --json night.json
  arecord -q -f S16_LE -r 16000 -c 1 -t raw | tussis-screen --monitor -
"""


def main(arguments: list[str] | None = None) -> int:
    """Screen the recordings named on the command line; the exit status."""
    options = _parse(arguments)
    try:
        with exit_on_error(COMMAND):
            return _recover(options.recover) if options.recover else _screen_all(options)
    except KeyboardInterrupt:
        return INTERRUPTED


def _screen_all(options: argparse.Namespace) -> int:
    monitoring, raw = read_monitor_options(options), read_input_options(options)
    schema = SCHEMA if monitoring is None else MONITORING_SCHEMA
    if options.json is not None:
        _check_output(options)
    trust = read_trust(options.require_signature, options.trusted)
    with stop_signals() as stop, Journal(options.json, schema) as journal:
        words = partial(say, is_error=options.json is not None and is_standard_output(options.json))
        screener = _open_screener(options, trust, stop)
        run = _ScreeningRun(screener, monitoring, raw, Run(words, journal, stop))
        results, n_left = run.all_of(options.recordings)
        remark = None
        if stop:
            remark = f"{stop.name} ended the run; {n_left} recording(s) were not heard."
            report(COMMAND, remark)
        if options.json is not None and (results or not stop):
            write_atomically(options.json, result_file(schema, results, remark))
            journal.remove()
    failed = any("error" in result.to_json() for result in results)
    return stop.status if stop else 2 * failed


def _recover(out: Path) -> int:
    """Write the JSON file of a run that was killed from its journal."""
    journal = journal_of(out)
    kept = read_journal(journal)
    schema = MONITORING_SCHEMA if any("totals" in result.content for result in kept) else SCHEMA
    check_writable(out, SCREEN_KIND)
    write_atomically(out, result_file(schema, kept, "the run ended without a word; these are the results it left."))
    journal.unlink(missing_ok=True)
    say(f"{out}: {len(kept)} recording(s) of the run that ended early")
    return 0


class _ScreeningRun:
    """Screens or monitors one recording after the other, and keeps each result on disk at once."""

    def __init__(self, screener: Screener, monitoring: MonitorOptions | None, raw: RawOptions, run: Run) -> None:
        self._screener, self._monitoring, self._raw, self._run = screener, monitoring, raw, run
        self._signed_by = f"  {'bundle':<{LABEL_WIDTH}}{screener.bundle.signature.words}"

    def all_of(self, paths: list[str]) -> tuple[list[Result], int]:
        """The results of these recordings, those of an earlier run first or taken over, and how many were left out."""
        kept = self._kept(paths)
        results: list[Result] = [result for result in self._run.journal.kept if result.path == NAME]
        for n_done, path in enumerate(paths):
            if self._run.stop:
                return results, len(paths) - n_done
            if path in kept:
                self._run.say(f"{path}: heard before; its result is taken from {self._run.journal.path}")
                results.append(kept[path])
                continue
            results.append(self._one(path))
            self._run.journal.note(result=results[-1].to_json())
            self._complain()
        return results, 0

    def _one(self, path: str) -> Result:
        try:
            if path == STANDARD_INPUT:
                return self._of_standard_input()
            if self._monitoring is not None:
                result = monitor_file(self._screener, path, self._raw.channel, self._monitoring, self._run)
                self._end(result)
            else:
                result = self._screener.screen(path, self._raw.channel)
                self._run.say(f"{describe(result)}\n{self._signed_by}")
        except IncompleteError as error:
            result = error.result
            self._run.say(describe(result))
            self._end(result)
        except TussisError as error:
            report(COMMAND, error)
            return FailedRecording(path, str(error))
        return result

    def _of_standard_input(self) -> Result:
        stop = self._run.stop
        try:
            stream = StandardInput(self._raw, lambda: bool(stop))
            if self._monitoring is not None:
                result = monitor_stream(self._screener, stream, self._monitoring, self._run)
            else:
                result = self._screener.screen_blocks(stream.blocks(), stream.sample_rate_hz, NAME)
                self._run.say(describe(result))
        finally:
            if stop.number == signal.SIGINT:
                stop.forgive()  # the way to end a live stream
        remarks = [stream.remark, f"{stop.name} ended it" if stop else ""]
        if said := ". ".join(filter(None, remarks)):
            result = replace(result, remark=f"{said}.")
            report(COMMAND, result.remark)
        self._end(result)
        return result

    def _end(self, result: Screening | Monitoring) -> None:
        self._run.say(self._signed_by)
        if result.error is not None:
            report(COMMAND, result.error)

    def _complain(self) -> None:
        """Say once that the journal cannot be written."""
        journal = self._run.journal
        if journal.problem and journal.path is not None:
            report(COMMAND, f"{journal.problem} The results are kept in memory.")
            journal.path = None

    def _kept(self, paths: list[str]) -> dict[str, KeptResult]:
        """Results of an earlier run that are still those of these recordings; OutputError where one would be lost."""
        kept = {}
        named = {plain(path): path for path in paths}
        for result in self._run.journal.kept:
            if result.path not in named and result.path != NAME and "error" not in result.content:
                remedy = f"{COMMAND} --recover writes them"
                raise OutputError(f"{self._run.journal.path} holds results of other recordings; {remedy}.")
            if result.path in named and self._is_current(result, named[result.path]):
                kept[named[result.path]] = result
        return kept

    def _is_current(self, result: KeptResult, path: str) -> bool:
        content, settings = result.content, self._monitoring and self._monitoring.settings
        if not result.is_whole or content["model"]["sha256"] != self._screener.bundle.model_sha256:
            return False
        gate = None if settings is None or settings.gate is None else vars(settings.gate)
        if settings is not None and (content["hop_s"], content["gate"]) != (settings.hop_s, gate):
            return False
        if settings is None and content.get("columns", {}) != dict(self._screener.given):
            return False
        with contextlib.suppress(TussisError):
            return content["recording"]["sha256"] == sha256_of_file(path)
        return False


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if bool(options.recordings) == bool(options.recover):
        parser.error("the following arguments are required: RECORDING, or else --recover")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = SafeParser(
        prog=COMMAND,
        description="Screen recordings: coughs and their times, event probabilities, quality, probes, time per stage.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recordings", nargs="*", metavar="RECORDING", help="a sound file, or - for standard input")
    column_help = "a clinical value that a probe needs, the same for every recording; may be repeated"
    parser.add_argument("--column", type=_column, action="append", default=[], metavar="NAME=VALUE", help=column_help)
    add_model_options(parser)
    add_trust_options(parser)
    add_monitor_options(parser)
    add_input_options(parser)
    json_help = "also write the results to this file, whole or not at all; - is standard output"
    parser.add_argument("--json", type=Path, metavar="OUT", help=json_help)
    recover_help = "write the JSON file OUT from what a killed run left in OUT.partial, and quit"
    parser.add_argument("--recover", type=Path, metavar="OUT", help=recover_help)
    parser.add_argument("--version", action="version", version=f"{COMMAND} {_version()}")
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--bundle`` and ``--threads``, the same for every command that screens on a phone."""
    bundle_help = "bundle folder or .tussis file (default: the one in core/bundles)"
    parser.add_argument("--bundle", type=Path, metavar="PATH", help=bundle_help)
    parser.add_argument(
        "--threads",
        type=_thread_count,
        default=1,
        metavar="N",
        help=f"threads of the model's runtime, 1 to {MAX_THREADS} (default: %(default)s)",
    )


def add_trust_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--require-signature`` and ``--trusted``, for `core.signing.read_trust`; the app has them too."""
    parser.add_argument("--require-signature", action="store_true", help="refuse a bundle that nobody signed")
    parser.add_argument(
        "--trusted",
        type=Path,
        action="append",
        default=[],
        metavar="KEYS",
        help="refuse a bundle that is not signed with one of the public keys in this file, one a line; may be repeated",
    )


def _thread_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_THREADS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads; expected 1 to {MAX_THREADS}")
    return int(text)


def _column(text: str) -> tuple[str, str]:
    name, is_given, value = text.partition("=")
    if not (is_given and name.strip() and value.strip() and text.isprintable()):
        raise argparse.ArgumentTypeError(f"{text!r} is no clinical value; expected NAME=VALUE")
    return name.strip(), value.strip()


def _version() -> str:
    try:
        return importlib.metadata.version("tussis")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout"


def _check_output(options: argparse.Namespace) -> None:
    """Refuse an output that would overwrite what is read, or any other file that is no such result."""
    bundle = options.bundle or DEFAULT_BUNDLE
    refuse_same(options.json, options.recordings, "one of the recordings; --json would overwrite it")
    refuse_same(options.json, [bundle, *bundle.rglob("*")], "the bundle or a part of it")
    refuse_same(options.json, options.trusted, "the file of trusted keys")
    check_writable(options.json, SCREEN_KIND)


def _open_screener(options: argparse.Namespace, trust: TrustPolicy, stop: Stop) -> Screener:
    opened, given = load_bundle(options.bundle, trust), dict(options.column)
    known = {column.name for probe in opened.probes for column in probe.columns}
    if unknown := sorted(given.keys() - known):
        takes = f"its probes take {', '.join(sorted(known))}" if known else "no probe of the bundle takes one"
        raise ProbeError(f"--column gives {printable(unknown[0])}; {takes}.")
    with _quiet_runtime():
        return Screener(opened, options.threads, is_ended=lambda: bool(stop), given=given)


@contextlib.contextmanager
def _quiet_runtime() -> Iterator[None]:
    """Keep the native runtime's INFO lines off stderr while it starts; errors reach us as exceptions."""
    try:
        saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


if __name__ == "__main__":
    raise SystemExit(main())
