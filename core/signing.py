"""Checks the signature of a bundle or a study (Ed25519 over one file), and decides whose signature is trusted."""

import base64
import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from core.bundle_files import BUNDLE_FILE, SIGNATURE_FILE
from core.errors import BundleError, SigningError
from core.json_fields import parse_object

SCHEMA = "tussis.signature/1"
ALGORITHM = "ssh-ed25519"
PUBLIC_KEY_BYTES, SIGNATURE_BYTES = 32, 64
MAX_KEY_FILE_BYTES = 2**16
FIELD = 2**255 - 19
CURVE_D = -121665 * pow(121666, -1, FIELD) % FIELD
MISSING_LIBRARY = "the Python package cryptography is not installed (pip install cryptography)"


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, 32 bytes, written as OpenSSH does: ssh-keygen -l shows the same fingerprint."""

    raw: bytes

    @property
    def line(self) -> str:
        """The key as one line of text."""
        return f"{ALGORITHM} {base64.b64encode(self._blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """The text that people compare: ``SHA256:`` and 43 characters."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self._blob).digest()).decode().rstrip("=")

    @property
    def _blob(self) -> bytes:
        return b"".join(struct.pack(">I", len(part)) + part for part in (ALGORITHM.encode(), self.raw))


@dataclass(frozen=True)
class TrustPolicy:
    """Whose bundles are taken: anybody's by default, signed or not; with `trusted_keys` only what one of these signed.

    ``require_signature`` alone refuses the unsigned ones; it says nothing about who may have signed.
    """

    require_signature: bool = False
    trusted_keys: frozenset[PublicKey] = frozenset()

    @property
    def demands_signature(self) -> bool:
        """Whether an unsigned bundle is refused."""
        return self.require_signature or bool(self.trusted_keys)


ANYBODY = TrustPolicy()


@dataclass(frozen=True)
class Signature:
    """Who signed a bundle; no ``signer`` where nobody did.

    ``is_verified`` is False only where the library was missing and no signature was demanded: a wrong signature is
    refused and gives no bundle. ``is_trusted`` where the signer is among the trusted keys.
    """

    signer: PublicKey | None = None
    is_verified: bool = False
    is_trusted: bool = False

    @property
    def words(self) -> str:
        """For people, without a full stop."""
        if self.signer is None:
            return "unsigned"
        if not self.is_verified:
            return f"said to be signed by {self.signer.fingerprint}, which was not verified: {MISSING_LIBRARY}"
        return f"signed by {self.signer.fingerprint}" + (", a trusted key" if self.is_trusted else "")


UNSIGNED = Signature()


def check_signature(
    signature: bytes | None, signed: bytes, bundle: Path, policy: TrustPolicy, signed_file: str = BUNDLE_FILE
) -> Signature:
    """Check a bundle's signature and its signer.

    Parameters
    ----------
    signature : bytes or None
        Content of the file SIGNATURE; None where there is none.
    signed : bytes
        Content of bundle.json.
    bundle : Path
        The bundle, for the sentences.
    policy : TrustPolicy
    signed_file : str
        The name of what was signed; a study has another one.

    Raises
    ------
    BundleError
        If the signature does not fit, or the policy demands another one.
    """
    if signature is None:
        if policy.demands_signature:
            raise BundleError(f"{bundle} is not signed; expected a signature{_by_whom(policy)}.")
        return UNSIGNED
    signer, value = _parse_signature(signature, str(bundle / SIGNATURE_FILE))
    try:
        library = ed25519_library()
    except SigningError as reason:
        if policy.demands_signature:
            raise BundleError(f"the signature of {bundle} cannot be verified: {MISSING_LIBRARY}.") from reason
        return Signature(signer)
    if not _fits(library, signer, value, signed):
        by = f"the signature by {signer.fingerprint}"
        raise BundleError(
            f"{bundle / signed_file} is not what was signed: {by} does not fit it; one of them was altered."
        )
    if policy.trusted_keys and signer not in policy.trusted_keys:
        raise BundleError(f"{bundle} is signed by {signer.fingerprint}; expected a signature{_by_whom(policy)}.")
    return Signature(signer, is_verified=True, is_trusted=signer in policy.trusted_keys)


def read_trust(require_signature: bool, key_files: Iterable[Path]) -> TrustPolicy:
    """The policy of a command's options: files of trusted keys, one a line; a line that begins with # is a comment.

    Raises
    ------
    SigningError
        If a file cannot be read, can be written by everybody, holds no key, or holds a line that is none.
    """
    keys: set[PublicKey] = set()
    for path in key_files:
        _check_not_writable_by_all(path)
        lines = [(number, line) for number, line in _lines(path) if line.strip() and not line.lstrip().startswith("#")]
        if not lines:
            raise SigningError(f"{path} holds no key; expected lines such as {ALGORITHM} AAAA....")
        keys |= {parse_public_key(line, f"line {number} of {path}") for number, line in lines}
    return TrustPolicy(require_signature, frozenset(keys))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, as an editor and ssh-keygen count them: only a line feed ends one."""
    for number, line in enumerate(read_key_file(path).decode("utf-8-sig", "replace").split("\n"), start=1):
        line = line.removesuffix("\r").replace("\t", " ")
        if not line.isprintable():
            raise SigningError(f"line {number} of {path} holds a control character, which may hide a key.")
        yield number, line


def _check_not_writable_by_all(path: Path) -> None:
    with contextlib.suppress(OSError):  # a file that is not there is named where it is read
        mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and path.is_file() and mode & stat.S_IWOTH:
            raise SigningError(f"{path} can be written by everybody (mode {mode:04o}): chmod o-w.")


def parse_public_key(line: str, source: str) -> PublicKey:
    """Read a public key from its line, whose comment is passed over; SigningError names `source`."""
    parts = line.split(maxsplit=2)
    with contextlib.suppress(ValueError):
        blob = base64.b64decode(parts[1], validate=True) if len(parts) > 1 else b""
        key = PublicKey(blob[-PUBLIC_KEY_BYTES:])
        if key.line.split() == parts[:2] and len(key.raw) == PUBLIC_KEY_BYTES:
            if _is_of_small_order(key.raw):
                raise SigningError(f"{source} is a key under which one signature fits anything; expected another.")
            return key
    raise SigningError(f"{source} is not an Ed25519 public key; expected a line such as {ALGORITHM} AAAA....")


def _is_of_small_order(raw: bytes) -> bool:
    """Whether a public key is one of the points whose order divides 8, or is not written in the one right way.

    They are those of y = 0, 1 or -1, and those that doubling takes to y = 0: d y^4 + 2 y^2 = 1 (RFC 8032, section 5.1).
    """
    y = int.from_bytes(raw, "little") % 2**255
    return y >= FIELD or y * (y * y - 1) % FIELD == 0 or (CURVE_D * y**4 + 2 * y * y - 1) % FIELD == 0


def _parse_signature(content: bytes, source: str) -> tuple[PublicKey, bytes]:
    fields = parse_object(content, source, BundleError)
    fields.one_of("schema", (SCHEMA,))
    try:
        signer = parse_public_key(fields.text("signer"), f'{source}: "signer"')
        value = base64.b64decode(fields.text("signature"), validate=True)
    except SigningError as reason:
        raise BundleError(str(reason)) from reason
    except ValueError:
        value = b""
    if len(value) != SIGNATURE_BYTES:
        fields.refuse("signature", f"{SIGNATURE_BYTES} bytes in base64")
    return signer, value


def _fits(library: ModuleType, signer: PublicKey, value: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        library.Ed25519PublicKey.from_public_bytes(signer.raw).verify(value, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _by_whom(policy: TrustPolicy) -> str:
    fingerprints = sorted(key.fingerprint for key in policy.trusted_keys)
    return f" by {' or '.join(fingerprints)}" if fingerprints else ""


def ed25519_library() -> ModuleType:
    """The part of cryptography that is needed, imported only where there is a signature or a key."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as reason:
        raise SigningError(f"keys cannot be used: {MISSING_LIBRARY}.") from reason
    return ed25519


def read_key_file(path: Path) -> bytes:
    """Content of a file of keys; SigningError where it cannot be read or is too large to be one."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as reason:
        raise SigningError(f"the key {path} cannot be read: {reason.strerror}.") from reason
    if len(content) > MAX_KEY_FILE_BYTES:
        raise SigningError(f"{path} has more than {MAX_KEY_FILE_BYTES} bytes; expected a key.")
    return content
