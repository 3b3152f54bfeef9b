"""Runs the command ``tussis-study``: keys, study files and what phones hand over."""

import argparse
import hashlib
from pathlib import Path

from app.coordinator.contents import Withdrawal
from app.coordinator.fhir import write_fhir
from app.coordinator.handover_file import HandOverFile
from app.coordinator.received import Received, Summary
from app.coordinator.study_folder import build_study, read_folder
from app.coordinator.tables import utc, write_tables
from app.study import Study, read_study
from core.errors import exit_on_error
from core.files import make_folder
from core.keys.private_keys import (
    PUBLIC_SUFFIX,
    ask_passphrase,
    generate_key,
    generate_sealing_key,
    new_passphrase,
    read_public_sealing_key,
    read_sealing_key,
)
from core.process.terminal import SafeParser, say
from core.results import described_line
from core.signing import read_trust

COMMAND = "tussis-study"
SIGNING_KEY, HANDOVER_KEY = "signing.key", "handover.key"
EPILOG = """\
A passphrase comes from TUSSIS_KEY_PASSPHRASE or the terminal. docs/field_work.md has the whole way.

exit status: 0; 2 where something was refused, with one sentence.

example:
  tussis-study keygen keys
  cp -r app/practice_study my_study        # then change study.json and the consent texts
  tussis-study build my_study --key keys/signing.key --handover-key keys/handover.key.pub --out my.tussis-study
  tussis-study check my.tussis-study
  tussis-study receive phone7.tussis-handover --key keys/handover.key --study my.tussis-study --out received
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one of the four; the exit status."""
    options = _parser().parse_args(arguments)
    with exit_on_error(COMMAND):
        options.run(options)
    return 0


def _keygen(options: argparse.Namespace) -> None:
    folder = options.folder
    make_folder(folder)
    passphrase = new_passphrase() if options.passphrase else None
    signer = generate_key(folder / SIGNING_KEY, passphrase)
    public_key = generate_sealing_key(folder / HANDOVER_KEY, passphrase)
    say(f"{folder / SIGNING_KEY}: signs studies; {signer.fingerprint}")
    say(f"{folder / HANDOVER_KEY}: opens what phones hand over; without it nobody can, so keep a copy offline")
    say(f"{folder / HANDOVER_KEY}{PUBLIC_SUFFIX}: {key_words(public_key)}, for {COMMAND} build")


def _build(options: argparse.Namespace) -> None:
    public_key = read_public_sealing_key(options.handover_key)
    study = build_study(options.folder, options.key, public_key, options.out, ask_passphrase)
    _describe(study, options.out)


def _check(options: argparse.Namespace) -> None:
    trust = read_trust(False, options.trusted)
    study = read_folder(options.study) if options.study.is_dir() else read_study(options.study, trust)
    _describe(study, options.study)


def _receive(options: argparse.Namespace) -> None:
    study = read_study(options.study, read_trust(False, options.trusted))
    keys = [read_sealing_key(path, ask_passphrase) for path in options.key]
    with Received(options.out, study) as received:
        for path in options.handovers:
            with HandOverFile(path, keys) as file:
                summary = received.take(file)
                write_tables(received)
                write_fhir(received)
                _say_received(file, summary)


def _say_received(file: HandOverFile, summary: Summary) -> None:
    """What came, what has to be done about it, and the receipt, which is said only once all is on the disk."""
    counts = [f"{summary.new} new", f"{summary.changed} changed", f"{summary.known} received before"]
    if summary.withdrawn_before:
        counts.append(f"{summary.withdrawn_before} withdrawn and not taken again")
    sounds = [f"{summary.sounds.count(state)} {state}" for state in dict.fromkeys(summary.sounds)]
    lines = [
        ("hand-over", f"{file.id} of {utc(file.written_s)}, {file.study_id} version {file.study_version}"),
        ("records", ", ".join(counts) + (": nothing is new" if summary.is_repeated else "")),
        ("recordings", ", ".join(sounds) or "none"),
        *(("withdrawn", _withdrawn_words(said, erased)) for said, erased in summary.withdrawals),
        *(("left out", problem) for problem in summary.problems),
        ("receipt", file.receipt),
    ]
    say("\n".join([str(file.path), *(described_line(label, words) for label, words in lines)]))


def _withdrawn_words(said: Withdrawal, erased: list[str]) -> str:
    done = f"{len(erased)} of {len(said.record_ids)} recordings were here and are erased"
    return f"{said.participant_id} on {utc(said.withdrawn_s)}: {done}; erase every copy (withdrawals.csv)"


def _describe(study: Study, path: Path) -> None:
    """What a coordinator compares before a study is handed out."""
    first = study.languages[0]
    asked = [f"{question.id} ({question.kind})" for question in study.questions]
    done = [f"{task.rounds} x {task.id}, {task.duration_s:g} s" for task in study.tasks]
    limits = [f"{name} {value:g}" for name, value in vars(study.limits).items()]
    switches = [f"screenshots {'allowed' if study.allow_screenshots else 'not allowed'}"]
    switches += [f"monitoring keeps {study.monitoring_keeps}", f"locks after {study.auto_lock_s} s"]
    lines = {
        "study": f"{study.title(first)} ({study.id}, version {study.version}){' for practice' * study.is_practice}",
        "signature": study.signature.words,
        "languages": ", ".join(study.languages),
        "consent": f"version {study.consent.version}, SHA-256 {study.consent.sha256[:16]}",
        "questions": ", ".join(asked) or "none",
        "tasks": ", ".join(done),
        "limits": ", ".join(limits),
        "next steps": ", ".join(study.next_steps) or "none",
        "ids": f"{study.new_id(1)} to {study.new_id(study.id_pattern.highest_serial)}",
        "switches": ", ".join(switches),
        "hand-over": f"sealed for the key {key_words(study.handover_public_key)}",
        "SHA-256": study.sha256,
    }
    say("\n".join([str(path), *(described_line(label, words) for label, words in lines.items())]))


def _parser() -> argparse.ArgumentParser:
    parser = SafeParser(
        prog=COMMAND,
        description="Make the keys of a study, build and check its file, receive what phones hand over.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keygen = commands.add_parser("keygen", help="make the two keys of a study")
    keygen.add_argument("folder", type=Path, metavar="FOLDER", help="where the keys go; made where it is not there")
    keygen.add_argument("--passphrase", action="store_true", help="encrypt both private keys with a passphrase")
    keygen.set_defaults(run=_keygen)
    _add_build(commands.add_parser("build", help="make a signed study file of a folder"))
    check = commands.add_parser("check", help="check a study file or folder, and show what is in it")
    check.add_argument("study", type=Path, metavar="STUDY", help="a .tussis-study file, or the folder of one")
    trusted_help = "refuse a file that is not signed with one of the public keys in this file; may be repeated"
    check.add_argument("--trusted", type=Path, action="append", default=[], metavar="KEYS", help=trusted_help)
    check.set_defaults(run=_check)
    _add_receive(commands.add_parser("receive", help="open what phones handed over: tables, WAV files, FHIR, receipt"))
    return parser


def _add_build(build: argparse.ArgumentParser) -> None:
    folder_help = "study.json and the consent texts that it names; app/practice_study is one to begin with"
    build.add_argument("folder", type=Path, metavar="FOLDER", help=folder_help)
    build.add_argument("--key", type=Path, required=True, metavar="KEY", help="private key that signs: signing.key")
    handover_help = "public key that phones seal for: handover.key.pub"
    build.add_argument("--handover-key", type=Path, required=True, metavar="PUB", help=handover_help)
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write, NAME.tussis-study")
    build.set_defaults(run=_build)


def _add_receive(receive: argparse.ArgumentParser) -> None:
    receive.description = (
        "Open hand-overs and add them to a folder: participants.csv, answers.csv, recordings.csv, withdrawals.csv, "
        "recordings/*.wav, fhir_bundle.json. Recordings that a participant withdrew are erased there. The receipt that "
        "is printed lets the phone delete what was handed over."
    )
    receive.add_argument("handovers", type=Path, nargs="+", metavar="FILE", help="a .tussis-handover file of a phone")
    key_help = "private key: handover.key; repeat it for a key that the study had before"
    receive.add_argument("--key", type=Path, action="append", required=True, metavar="KEY", help=key_help)
    receive.add_argument("--study", type=Path, required=True, metavar="STUDY", help="the .tussis-study file")
    receive.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made where it is not there")
    trusted_help = "refuse a study that is not signed with one of the public keys in this file; may be repeated"
    receive.add_argument("--trusted", type=Path, action="append", default=[], metavar="KEYS", help=trusted_help)
    receive.set_defaults(run=_receive)


def key_words(public_key: bytes) -> str:
    """What people compare of a key for hand-overs: the first 16 digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


if __name__ == "__main__":
    raise SystemExit(main())
