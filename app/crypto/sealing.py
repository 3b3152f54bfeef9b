"""Seals bytes with AES-256-GCM, derives keys with HKDF-SHA256 and draws random bytes."""

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from core.errors import TussisError

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
_SHA256_BYTES = 32


class SealError(TussisError):
    """Sealed bytes that do not open: another key sealed them, they were altered, or they belong elsewhere."""


def random_bytes(n_bytes: int) -> bytes:
    """Bytes that nobody can guess."""
    return secrets.token_bytes(n_bytes)


def seal(key: bytes | bytearray, plain: bytes, bound_to: bytes) -> bytes:
    """Seal `plain` under a random nonce: nonce (12 bytes), ciphertext, tag (16 bytes).

    Parameters
    ----------
    key : bytes, 32
    plain : bytes
    bound_to : bytes
        What has to be given again to open it. It is not in the result.
    """
    nonce = random_bytes(NONCE_BYTES)
    return nonce + seal_with_nonce(key, nonce, plain, bound_to)


def open_sealed(key: bytes | bytearray, sealed: bytes, bound_to: bytes) -> bytes:
    """Undo `seal`.

    Raises
    ------
    SealError
        If the key or `bound_to` is another, or any bit of `sealed` is.
    """
    return open_with_nonce(key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)


def seal_with_nonce(key: bytes | bytearray, nonce: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """Ciphertext and tag under a nonce of 12 bytes, which the caller never uses twice with one key."""
    return AESGCM(bytes(key)).encrypt(nonce, plain, bound_to)


def open_with_nonce(key: bytes | bytearray, nonce: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Undo `seal_with_nonce`; raises `SealError`."""
    try:
        return AESGCM(bytes(key)).decrypt(nonce, sealed, bound_to)
    except (InvalidTag, ValueError) as reason:  # ValueError: a key or nonce of another length
        raise SealError("The sealed bytes do not open: they were altered, or another key sealed them.") from reason


def derive_key(secret: bytes | bytearray, purpose: bytes, salt: bytes = b"") -> bytes:
    """A key of 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    return hkdf_expand(hkdf_extract(salt, secret), purpose, KEY_BYTES)


def hkdf_extract(salt: bytes, secret: bytes | bytearray) -> bytes:
    """The first step of HKDF-SHA256: 32 bytes."""
    return hmac.digest(salt or bytes(_SHA256_BYTES), bytes(secret), "sha256")


def hkdf_expand(pseudorandom_key: bytes, info: bytes, n_bytes: int) -> bytes:
    """The second step of HKDF-SHA256: `n_bytes` bytes, at most 8160."""
    return HKDFExpand(algorithm=SHA256(), length=n_bytes, info=info).derive(pseudorandom_key)


def wipe(secret: bytearray) -> None:
    """Overwrite a secret in place; copies that Python or a library made stay until their memory is used again."""
    secret[:] = bytes(len(secret))
