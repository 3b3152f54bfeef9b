"""Makes Ed25519 keys and signs bundles with them."""

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import OutputError, SigningError
from core.files import write_atomically
from core.signing import SCHEMA, PublicKey, ed25519_library, read_key_file

PUBLIC_SUFFIX = ".pub"
OWNER_ONLY = 0o600


def sign(content: bytes, key_file: Path, ask_passphrase: Callable[[], str]) -> bytes:
    """The content of a file SIGNATURE over `content`; the same key and content always give the same bytes.

    Parameters
    ----------
    content : bytes
    key_file : Path
        Private key, PEM (PKCS8), which nobody but its owner may read.
    ask_passphrase : function
        Called where the key is encrypted.

    Raises
    ------
    SigningError
        If the key cannot be used, or others can read it.
    """
    key = _private_key(key_file, ask_passphrase)
    signer = PublicKey(key.public_key().public_bytes_raw())
    value = base64.b64encode(key.sign(content)).decode()
    return (json.dumps({"schema": SCHEMA, "signer": signer.line, "signature": value}, indent=1) + "\n").encode()


def generate_key(path: Path, passphrase: str | None) -> PublicKey:
    """Write a new private key to `path`, readable by its owner only, and its public key to ``path.pub``.

    Raises
    ------
    OutputError
        If one of them exists or cannot be written; then there is neither.
    """
    from_library, public_path = ed25519_library(), path.with_name(path.name + PUBLIC_SUFFIX)
    from cryptography.hazmat.primitives import serialization as as_text

    encryption = as_text.BestAvailableEncryption(passphrase.encode()) if passphrase else as_text.NoEncryption()
    key = from_library.Ed25519PrivateKey.generate()
    pem = key.private_bytes(as_text.Encoding.PEM, as_text.PrivateFormat.PKCS8, encryption)
    public_key = PublicKey(key.public_key().public_bytes_raw())
    if public_path.exists():
        raise OutputError(f"{public_path} exists; a key is never overwritten.")
    _write_private(path, pem)
    try:
        write_atomically(public_path, public_key.line + "\n")
    except OutputError:
        path.unlink()
        raise
    return public_key


def _private_key(path: Path, ask_passphrase: Callable[[], str]) -> Any:
    ed25519, content = ed25519_library(), read_key_file(path)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    _check_owner_only(path)
    try:
        try:
            key = load_pem_private_key(content, None)
        except TypeError:  # the library's way to say that it is encrypted
            key = load_pem_private_key(content, ask_passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as reason:
        raise SigningError(f"{path} is not a private key in PEM, or its passphrase is another one.") from reason
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise SigningError(f"{path} holds a key of another kind; expected Ed25519.")
    return key


def _check_owner_only(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise SigningError(f"{path} can be used by others (mode {mode:04o}); expected {OWNER_ONLY:04o}: chmod 600.")


def _write_private(path: Path, content: bytes) -> None:
    """Write a new file that was never readable by anybody else; nothing is left where that fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError as reason:
        raise OutputError(f"{path} exists; a key is never overwritten.") from reason
    except OSError as reason:
        raise OutputError(f"the key {path} cannot be written: {reason.strerror}.") from reason
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as reason:
        path.unlink(missing_ok=True)
        raise OutputError(f"the key {path} cannot be written: {reason.strerror}.") from reason
