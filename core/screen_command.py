"""Runs the command ``tussis-screen``."""

import argparse
import contextlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.bundle import load_bundle
from core.errors import OutputError, TussisError, exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import MAX_THREADS
from core.monitoring.command import MonitorOptions, add_monitor_options, monitor_one, read_monitor_options
from core.monitoring.results import Monitoring, monitoring_file
from core.results import LABEL_WIDTH, FailedRecording, Screening, describe, screening_file
from core.screener import Screener
from core.signing import TrustPolicy, read_trust

COMMAND = "tussis-screen"
INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended
EPILOG = """\
A recording is a WAV file (8, 16, 24 or 32 bits or float, 4000 to 384000 Hz, mono or stereo); FLAC, OGG and MP3 where
the Python package soundfile is installed. One that fails the quality check is not scored, which is not "no cough".

exit status: 0 when every recording was screened, 2 when one could not be (the others are screened all the same).

example:
  tussis-screen cough.wav room.wav --json result.json
  tussis-screen --monitor night.wav --json night.json
  arecord -q -f S16_LE -r 16000 -c 1 -t raw | tussis-screen --monitor -
"""


def main(arguments: list[str] | None = None) -> int:
    """Screen the recordings named on the command line; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with exit_on_error(COMMAND):
            return _screen_all(options)
    except KeyboardInterrupt:
        return INTERRUPTED


def _screen_all(options: argparse.Namespace) -> int:
    monitoring = read_monitor_options(options)
    if options.json is not None:
        _check_output(options.json, options.recordings)
    trust = read_trust(options.require_signature, options.trusted)
    screener = _open_screener(options.bundle, trust, options.threads)
    results = [_screen_one(screener, path, monitoring) for path in options.recordings]
    if options.json is not None:
        write_atomically(options.json, (screening_file if monitoring is None else monitoring_file)(results))
    return 2 if any(isinstance(result, FailedRecording) for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Screen recordings: coughs and their times, event probabilities, quality, probes, time per stage.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recordings", nargs="+", metavar="RECORDING", help="a sound file")
    add_model_options(parser)
    add_trust_options(parser)
    add_monitor_options(parser)
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="also write the results to this file, whole or not at all"
    )
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


def _version() -> str:
    try:
        return importlib.metadata.version("tussis")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout"


def _check_output(output: Path, recordings: list[str]) -> None:
    for path in recordings:
        with contextlib.suppress(OSError):
            if output.samefile(path):
                raise OutputError(f"{output} is one of the recordings; --json would overwrite it.")
    check_writable(output)


def _open_screener(bundle: Path | None, trust: TrustPolicy, threads: int) -> Screener:
    opened = load_bundle(bundle, trust)
    with _quiet_runtime():
        return Screener(opened, threads)


def _screen_one(
    screener: Screener, path: str, monitoring: MonitorOptions | None
) -> Screening | Monitoring | FailedRecording:
    signed_by = f"  {'bundle':<{LABEL_WIDTH}}{screener.bundle.signature.words}"
    try:
        if monitoring is not None:
            result = monitor_one(screener, path, monitoring, _say)
            _say(signed_by)
        else:
            result = screener.screen(path)
            _say(f"{describe(result)}\n{signed_by}")
    except TussisError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr, flush=True)
        return FailedRecording(path, str(error))
    return result


def _say(text: str) -> None:
    """Print, with escapes for what the terminal's encoding lacks; a reader that went away ends nothing."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _quiet_runtime() -> Iterator[None]:
    """Keep the native runtime's INFO lines off stderr while it starts; errors reach us as exceptions."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as unread:
        sys.stderr.flush()
        os.dup2(unread.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


if __name__ == "__main__":
    raise SystemExit(main())
