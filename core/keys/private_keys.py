"""Makes private keys, reads them, and signs with them; only workstations have private keys in files."""

import base64
import getpass
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import OutputError, SigningError
from core.files import write_atomically
from core.signing import SCHEMA, PublicKey, ed25519_library, read_key_file

PUBLIC_SUFFIX = ".pub"
PASSPHRASE_VARIABLE = "TUSSIS_KEY_PASSPHRASE"
SEALING_ALGORITHM = "x25519"
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
    key = _private_key(key_file, ask_passphrase, ed25519_library().Ed25519PrivateKey, "Ed25519")
    signer = PublicKey(key.public_key().public_bytes_raw())
    value = base64.b64encode(key.sign(content)).decode()
    return (json.dumps({"schema": SCHEMA, "signer": signer.line, "signature": value}, indent=1) + "\n").encode()


def generate_key(path: Path, passphrase: str | None) -> PublicKey:
    """Write a new private key for signing to `path`, readable by its owner only, and its public key to ``path.pub``.

    Raises
    ------
    OutputError
        If one of them exists or cannot be written; then there is neither.
    """
    key = ed25519_library().Ed25519PrivateKey.generate()
    public_key = PublicKey(key.public_key().public_bytes_raw())
    _write_pair(path, key, public_key.line, passphrase)
    return public_key


def generate_sealing_key(path: Path, passphrase: str | None) -> bytes:
    """The same for a key that opens what others seal for it: X25519; gives the public key, 32 bytes.

    ``path.pub`` holds one line: ``x25519`` and the public key in base64. Raises as `generate_key` does.
    """
    key = _x25519_key().generate()
    public = key.public_key().public_bytes_raw()
    _write_pair(path, key, f"{SEALING_ALGORITHM} {base64.b64encode(public).decode()}", passphrase)
    return public


def read_sealing_key(path: Path, ask_passphrase: Callable[[], str]) -> bytes:
    """The private X25519 key of a file, 32 bytes; SigningError as `sign` raises it."""
    return _private_key(path, ask_passphrase, _x25519_key(), "X25519").private_bytes_raw()


def read_public_sealing_key(path: Path) -> str:
    """The public X25519 key of a file ``KEY.pub``, in base64; SigningError where there is none."""
    parts = read_key_file(path).decode("utf-8", "replace").split()
    if len(parts) < 2 or parts[0] != SEALING_ALGORITHM:
        raise SigningError(f"{path} is not a public key for sealing; expected a line such as {SEALING_ALGORITHM} AAAA.")
    return parts[1]


def ask_passphrase(prompt: str = "Passphrase of the key: ") -> str:
    """The passphrase of a key, from the environment or the terminal; SigningError where there is neither."""
    if given := os.environ.get(PASSPHRASE_VARIABLE):
        return given
    if not sys.stdin.isatty():
        raise SigningError(f"the key needs a passphrase; give it in {PASSPHRASE_VARIABLE} or at a terminal.")
    return getpass.getpass(prompt)


def new_passphrase() -> str:
    """A passphrase for a new key, asked for twice; SigningError where the two differ."""
    first = ask_passphrase("Passphrase for the new key: ")
    if not first or first != ask_passphrase("The same again: "):
        raise SigningError("the passphrase is empty, or the second differs from the first; no key was made.")
    return first


def _x25519_key() -> Any:
    ed25519_library()  # says what is missing where it is
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey


def _write_pair(path: Path, key: Any, public_line: str, passphrase: str | None) -> None:
    from cryptography.hazmat.primitives import serialization as as_text

    public_path = path.with_name(path.name + PUBLIC_SUFFIX)
    encryption = as_text.BestAvailableEncryption(passphrase.encode()) if passphrase else as_text.NoEncryption()
    pem = key.private_bytes(as_text.Encoding.PEM, as_text.PrivateFormat.PKCS8, encryption)
    if public_path.exists():
        raise OutputError(f"{public_path} exists; a key is never overwritten.")
    _write_private(path, pem)
    try:
        write_atomically(public_path, public_line + "\n")
    except OutputError:
        path.unlink()
        raise


def _private_key(path: Path, ask: Callable[[], str], kind: type, kind_name: str) -> Any:
    content = read_key_file(path)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    _check_owner_only(path)
    try:
        try:
            key = load_pem_private_key(content, None)
        except TypeError:  # the library's way to say that it is encrypted
            key = load_pem_private_key(content, ask().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as reason:
        raise SigningError(f"{path} is not a private key in PEM, or its passphrase is another one.") from reason
    if not isinstance(key, kind):
        raise SigningError(f"{path} holds a key of another kind; expected {kind_name}.")
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
