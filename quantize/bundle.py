"""Writes a bundle whole or not at all, signs it and shows it (tussis-bundle)."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.bundle import Bundle, load_bundle, open_files
from core.bundle_files import ARCHIVE_SUFFIX, BUNDLE_FILE, SIGNATURE_FILE, archive_content
from core.errors import BundleError, DataError, OutputError, exit_on_error, one_line
from core.files import write_atomically
from core.interpreter import LiteRtInterpreter
from core.keys.private_keys import PUBLIC_SUFFIX, ask_passphrase, generate_key, new_passphrase, sign
from core.results import printable
from core.signing import read_trust
from distill.command_line import run_app
from distill.folders import draft_beside, exchange
from distill.shown_text import PlainConsole

if TYPE_CHECKING:
    from quantize.bundle_parts import BundleParts

CARD_FILE = "model_card.md"


def build_bundle(parts: "BundleParts", name: str, out: Path) -> Bundle:
    """Write a bundle of parts; the same parts give the same bytes.

    Parameters
    ----------
    parts : BundleParts
    name : str
        For people.
    out : Path
        A folder, or one file where its name ends in .tussis. A bundle that stands there is replaced.

    Raises
    ------
    DataError
        If the reports lack something.
    OutputError
        If `out` is something else than a bundle, or cannot be written.
    """
    from quantize.bundle_parts import MODEL_FILE, bundle_fields
    from quantize.model_card import render_model_card

    files = {MODEL_FILE: parts.int8_model, **{f"probes/{file}": content for file, content in parts.probes.items()}}
    try:
        fields = bundle_fields(parts, name)
        files[CARD_FILE] = render_model_card(fields, parts).encode()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        lacks = f"{type(error).__name__}: {one_line(error)}"
        raise DataError(f"the reports do not hold what bundle.json and the model card need ({lacks}).") from error
    fields["files"] = {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())}
    return write_bundle({**files, BUNDLE_FILE: (json.dumps(fields, indent=1) + "\n").encode()}, out)


def write_bundle(files: dict[str, bytes], out: Path) -> Bundle:
    """Write a bundle's files as a folder or as one .tussis file, checked beside `out` and then renamed."""
    _check_replaceable(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with draft_beside(out) as beside:
            draft = beside / f"new{out.suffix}"
            _write_draft(draft, files)
            check_bundle(load_bundle(draft))
            _replace(draft, out)
    except OSError as error:
        raise OutputError(f"the bundle {out} cannot be written: {error.strerror or error}.") from error
    return load_bundle(out)


def pack_bundle(bundle: Path, out: Path) -> Bundle:
    """Write the files of a bundle, folder or .tussis file, as the other form; the signature stays as it is."""
    return write_bundle(load_bundle(bundle).read_files(), out)


def add_probes(bundle: Path, probes: Path, out: Path) -> Bundle:
    """Write a bundle with every NAME.json of a folder added, or put in place of its own; nobody has signed it.

    Raises
    ------
    DataError, ProbeError
        If the folder holds no probe, or one that is fitted on another model's embedding.
    """
    from quantize.bundle_parts import read_probes

    given = load_bundle(bundle)
    added = read_probes(probes, given.model_sha256, given.model_path)
    if not added:
        raise DataError(f"{probes} holds no NAME.json of a probe")
    files = {name: content for name, content in given.read_files().items() if name != SIGNATURE_FILE}
    files |= {f"probes/{name}": content for name, content in added.items()}
    if CARD_FILE in files:
        files[CARD_FILE] = _card_with_probes(files[CARD_FILE].decode(), files, set(added)).encode()
    fields = json.loads(files.pop(BUNDLE_FILE))
    fields["name"] = f"{fields['name']} with {', '.join(Path(name).stem for name in added)}"[:100]
    fields["files"] = {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())}
    return write_bundle({**files, BUNDLE_FILE: (json.dumps(fields, indent=1) + "\n").encode()}, out)


def _card_with_probes(card: str, files: dict[str, bytes], added: set[str]) -> str:
    """The model card with its section of probes written anew."""
    from core.probes import parse_probes
    from quantize.model_card import probes_section

    probes = [head for name in sorted(files) if name.startswith("probes/") for head in parse_probes(files[name], name)]
    stale = {f"- the probe {Path(name).stem} on people" for name in added}
    sections = [part for part in card.split("\n## ") if not part.startswith("Probes\n")]
    lines = "\n## ".join(sections).splitlines()
    kept = "\n".join(line for line in lines if line not in stale)
    return f"{kept.rstrip()}\n\n{probes_section(tuple(probes)).rstrip()}\n"


def sign_bundle(path: Path, key: Path) -> Bundle:
    """Put a signature over bundle.json into a bundle that is whole and, where it is signed already, rightly so."""
    bundle = load_bundle(path)
    files = bundle.read_files()
    signature = sign(files[BUNDLE_FILE], key, ask_passphrase)
    if path.is_dir():
        write_atomically(path / SIGNATURE_FILE, signature)
    else:
        write_atomically(path, archive_content({**files, SIGNATURE_FILE: signature}), replaces_any=True)
    return load_bundle(path)


def check_bundle(bundle: Bundle) -> None:
    """Run an opened bundle's model once, which checks its operators; raises where a phone could not run it."""
    from core.demonstration import synthesized_clips

    LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape).run(synthesized_clips(2)[1])


def _check_replaceable(out: Path) -> None:
    if out.is_symlink() or (out.exists() and out.is_dir() == _is_archive(out)):
        kind = f"file whose name ends in {ARCHIVE_SUFFIX}" if _is_archive(out) else "folder"
        raise OutputError(f"{out} is no {kind}; a bundle to write or replace is expected.")
    if out.exists() and not _holds_bundle(out):
        raise OutputError(f"{out} holds something else than a bundle; it is left as it is.")


def _is_archive(out: Path) -> bool:
    return out.suffix == ARCHIVE_SUFFIX


def _holds_bundle(out: Path) -> bool:
    if out.is_dir() and not any(out.iterdir()):
        return True
    try:
        with open_files(out) as files:
            return files.holds(BUNDLE_FILE)
    except BundleError:
        return False


def _write_draft(draft: Path, files: dict[str, bytes]) -> None:
    if _is_archive(draft):
        contents = {draft: archive_content(files)}
    else:
        contents = {draft / path: content for path, content in files.items()}
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _replace(new: Path, out: Path) -> None:
    """Put `new` where `out` is, at once; a folder that was there is then where `new` was."""
    if out.is_dir():
        exchange(new, out)
    else:
        new.replace(out)


app = typer.Typer(add_completion=False, help="Write, sign, show and verify bundles.")


@app.command()
def build(
    float_model: Annotated[Path, typer.Option("--float", help="student_float.tflite of tussis-export.")],
    int8: Annotated[Path, typer.Option(help="student_int8.tflite of tussis-quantize.")],
    checkpoint: Annotated[Path, typer.Option(help="final.pt of tussis-distill.")],
    probes: Annotated[Path, typer.Option(help="Folder of NAME.json, fitted on this int8 model.")],
    agreement: Annotated[Path, typer.Option(help="agreement.json of tussis-quantize.")],
    export: Annotated[Path, typer.Option(help="export.json of tussis-export.")],
    out: Annotated[Path, typer.Option(help="Bundle to write or replace: one file where it ends in .tussis.")],
    thresholds: Annotated[Path | None, typer.Option(help="thresholds.json; defaults of 0.5 if omitted.")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="evaluation.json of tussis-evaluate, for the card.")] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "tussis-small",
) -> None:
    """Build a bundle from parts that belong together by their hashes.

    Example: tussis-bundle build --float runs/export/student_float.tflite --int8 runs/quantize/student_int8.tflite
    --checkpoint runs/student/final.pt --probes runs/probes --agreement runs/quantize/agreement.json
    --export runs/export/export.json --thresholds runs/quantize/thresholds.json --out runs/bundle
    """
    from quantize.bundle_parts import PartPaths, read_parts

    with exit_on_error("tussis-bundle"):
        paths = PartPaths(float_model, int8, checkpoint, probes, agreement, export, thresholds, evaluation)
        _show_line(build_bundle(read_parts(paths), name, out))


Given = Annotated[Path, typer.Argument(help="Bundle folder or .tussis file.")]
Trusted = Annotated[list[Path] | None, typer.Option(help="File of public keys, one a line; may be repeated.")]


@app.command()
def pack(
    bundle: Given,
    out: Annotated[Path, typer.Option(help="Bundle to write or replace: one file where it ends in .tussis.")],
) -> None:
    """Write a bundle folder as one .tussis file, or the other way round; the same files give the same bytes.

    Example: tussis-bundle pack runs/bundle --out small.tussis
    """
    with exit_on_error("tussis-bundle"):
        _show_line(pack_bundle(bundle, out))


@app.command(name="add-probes")
def add_probes_command(
    bundle: Given,
    probes: Annotated[Path, typer.Option(help="Folder of NAME.json, fitted on this bundle's model.")],
    out: Annotated[Path, typer.Option(help="Bundle to write or replace: one file where it ends in .tussis.")],
) -> None:
    """Write a bundle with probes of your own beside those that it holds. Sign it afterwards.

    Example: tussis-bundle add-probes core/bundles/default --probes probes --out mine.tussis
    """
    with exit_on_error("tussis-bundle"):
        _show_line(add_probes(bundle, probes, out))


@app.command(name="sign")
def sign_command(
    bundle: Given,
    key: Annotated[Path, typer.Option(help="Private key that tussis-bundle keygen wrote.")],
) -> None:
    """Sign a bundle's bundle.json, which holds the SHA-256 of every other file; an earlier signature is replaced.

    The passphrase of an encrypted key is read from TUSSIS_KEY_PASSPHRASE or asked for.
    Example: tussis-bundle sign small.tussis --key ~/tussis.key
    """
    with exit_on_error("tussis-bundle"):
        _show_line(sign_bundle(bundle, key))


@app.command()
def keygen(
    key: Annotated[Path, typer.Argument(help="Private key to write, PEM; the public key goes beside it, as KEY.pub.")],
    passphrase: Annotated[bool, typer.Option(help="Encrypt the private key with a passphrase.")] = False,
) -> None:
    """Make an Ed25519 key. Whoever holds the private key can sign bundles; give others the one line of KEY.pub.

    Example: tussis-bundle keygen ~/tussis.key --passphrase
    """
    with exit_on_error("tussis-bundle"):
        public_key = generate_key(key, new_passphrase() if passphrase else None)
        console = PlainConsole(soft_wrap=True)
        console.print(f"{printable(str(key))}: private key, keep it to yourself")
        console.print(f"{printable(str(key))}{PUBLIC_SUFFIX}: {public_key.fingerprint}")


@app.command()
def show(path: Given) -> None:
    """Print what a bundle is, who signed it and what it was made from, after checking its files."""
    with exit_on_error("tussis-bundle"):
        bundle = load_bundle(path)
        _show_line(bundle)
        console = PlainConsole(soft_wrap=True)
        console.print(f"bundle.json {bundle.sha256}, created {bundle.created_utc}")
        console.print(f"model {bundle.model_sha256}, events {', '.join(bundle.event_labels)}")
        for probe in bundle.probes:
            console.print(f"probe {probe.name}: {probe.status}, {probe.title}")
        console.print_json(data=bundle.provenance)


@app.command()
def verify(
    path: Given,
    trusted: Trusted = None,
    require_signature: Annotated[bool, typer.Option("--require-signature", help="Refuse an unsigned bundle.")] = False,
) -> None:
    """Check a bundle's format, signature and every file's hash, and run its model once.

    With --trusted, only a bundle that one of these keys signed is accepted.
    Example: tussis-bundle verify small.tussis --trusted tussis.key.pub
    """
    with exit_on_error("tussis-bundle"):
        bundle = load_bundle(path, read_trust(require_signature, trusted or []))
        check_bundle(bundle)
        _show_line(bundle, "complete and unaltered, and its model runs")


def _show_line(bundle: Bundle, verdict: str = "") -> None:
    """What we say of a bundle, on a line of its own, and then what it calls itself."""
    words = [f"bundle.json {bundle.sha256[:12]}", bundle.signature.words, *([verdict] if verdict else [])]
    console = PlainConsole(soft_wrap=True)
    console.print(f"{printable(str(bundle.path))}: {', '.join(words)}")
    console.print(f"name: {bundle.name}")


def main() -> None:
    """Entry point of ``tussis-bundle``."""
    run_app(app)


if __name__ == "__main__":
    main()
