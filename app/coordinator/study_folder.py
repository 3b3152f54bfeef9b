"""Makes a study file of a folder in which people wrote it: study.json and the consent texts."""

import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.study import (
    MAX_CONSENT_BYTES,
    MAX_JSON_BYTES,
    MAX_STUDY_BYTES,
    STUDY_FILE,
    STUDY_SUFFIX,
    Study,
    StudyError,
    parse_study,
    practice_study,
    read_study,
)
from core.bundle_files import SIGNATURE_FILE, BundleFiles, FolderFiles, archive_content, check_size
from core.errors import BundleError, OutputError
from core.files import write_atomically
from core.json_fields import Fields, parse_object
from core.keys.private_keys import sign
from core.signing import ANYBODY


def build_study(folder: Path, signing_key: Path, public_key: str, out: Path, ask: Callable[[], str]) -> Study:
    """Write the study of a folder as one signed file, checked as a phone checks it.

    Parameters
    ----------
    folder : Path
        ``study.json`` and the consent texts that it names; its ``files`` and ``handover_public_key`` may be missing.
    signing_key : Path
        Private key for signing, of ``tussis-study keygen``.
    public_key : str
        The public key of the hand-over, in base64.
    out : Path
        The file to write; its name ends in .tussis-study. The same study may be replaced, by a new version.
    ask : function
        Gives the passphrase of the signing key where it has one.

    Raises
    ------
    StudyError, SigningError
        If a phone would refuse the study, or the key cannot be used.
    OutputError
        If `out` cannot be written, or holds something else.
    """
    if out.suffix != STUDY_SUFFIX:
        raise OutputError(f"{out} does not end in {STUDY_SUFFIX}, by which phones find it.")
    members = _members(folder, public_key)
    members[SIGNATURE_FILE] = sign(members[STUDY_FILE], signing_key, ask)
    content, study = archive_content(members), _parse(folder, members)
    check_size(out, len(content), MAX_STUDY_BYTES)
    _refuse_practice(study, folder)
    _refuse_same_version(study, out)
    write_atomically(out, content)
    return read_study(out)


def read_folder(folder: Path) -> Study:
    """The study of a folder as `build_study` would make it, but unsigned; raises a StudyError as it does."""
    return _parse(folder, _members(folder))


class _Members(BundleFiles):
    """The files of a study that is not written yet; sentences name the folder that it is made of."""

    def __init__(self, folder: Path, members: dict[str, bytes]):
        super().__init__(folder, STUDY_FILE)
        self._members = members

    def holds(self, relative: str) -> bool:
        return relative in self._members

    def refuse_unlisted(self, listed: Collection[str]) -> None:
        """There is none: the members were made of the list."""

    @contextmanager
    def opened(self, relative: str, at_most_bytes: int) -> Iterator[BinaryIO]:
        check_size(self.path / relative, len(self._members[relative]), at_most_bytes)
        yield io.BytesIO(self._members[relative])


def _parse(folder: Path, members: dict[str, bytes]) -> Study:
    try:
        return parse_study(_Members(folder, members), ANYBODY)
    except BundleError as reason:
        raise StudyError(str(reason)) from reason


def _members(folder: Path, public_key: str | None = None) -> dict[str, bytes]:
    """The files of a study without its signature, complete with their hashes and the public key of the hand-over.

    Line ends of every kind become line feeds in the consent texts, and a byte order mark is left out.
    """
    try:
        with FolderFiles(folder, STUDY_FILE) as files:
            fields = parse_object(files.read(STUDY_FILE, MAX_JSON_BYTES), str(folder / STUDY_FILE), StudyError)
            names = _consent_files(fields)
            texts = {name: _with_line_feeds(files.read(name, MAX_CONSENT_BYTES)) for name in names}
    except BundleError as reason:
        raise StudyError(str(reason)) from reason
    hashes = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    content = fields.values | {"files": hashes}
    if public_key is not None:
        content["handover_public_key"] = public_key
    return {STUDY_FILE: (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(), **texts}


def _consent_files(fields: Fields) -> list[str]:
    texts = fields.object("consent").object("texts")
    return [texts.text(language) for language in texts.values]


def _with_line_feeds(text: bytes) -> bytes:
    return text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _refuse_practice(study: Study, folder: Path) -> None:
    if study.id == practice_study().id:
        raise StudyError(f'{folder / STUDY_FILE}: "id" is "{study.id}", the study of the app; expected another id.')
    if study.handover_public_key == practice_study().handover_public_key:
        raise StudyError(f"nobody has the private key to the practice study's hand-overs; {folder} needs its own key.")


def _refuse_same_version(study: Study, out: Path) -> None:
    """A phone that has a version must not meet another file of the same version."""
    try:
        present = read_study(out)
    except StudyError:
        return
    if (present.id, present.version) == (study.id, study.version) and present.sha256 != study.sha256:
        raise StudyError(f'{out} is version {study.version} of {study.id} already; raise "version" in study.json.')
